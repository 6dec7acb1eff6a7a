"""Comparison of one call with SciPy's: type, dtype, shape, special values, and values within SciPy's own rounding."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

import cupysoft

__all__ = ["assert_same", "both", "scipys"]

EPSILON = {"float16": 1e-3, "float32": 2e-7, "complex64": 2e-7}


def scipys(function: str) -> Callable[..., Any]:
    """SciPy's function, which warns where ours does not."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(scipy.special, function)(*args, **kwargs)

    return call


def assert_same(ours: Any, theirs: Any) -> None:
    """Same type, dtype, shape and special values, and equal within the rounding of SciPy's arithmetic."""
    assert type(ours) is type(theirs)
    if isinstance(ours, tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
        return
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    tolerance = 4 * EPSILON.get(ours.dtype.name, 1e-15)
    wide = np.complex128 if np.iscomplexobj(ours) else np.float64
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(np.asarray(ours, wide), np.asarray(theirs, wide), rtol=tolerance, atol=tolerance)


def both(function: str, *args: Any, **kwargs: Any) -> None:
    """Compare one call."""
    assert_same(getattr(cupysoft, function)(*args, **kwargs), scipys(function)(*args, **kwargs))
