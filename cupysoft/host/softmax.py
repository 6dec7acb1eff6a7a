"""softmax and log_softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.rounding import store

__all__ = ["log_softmax", "softmax"]


def softmax(x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any]) -> None:
    """Write the softmax of `x` over `axes` to `out`."""
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        e = np.exp(wide - wide.max(axis=axes, keepdims=True))
        store(e / e.sum(axis=axes, keepdims=True), out)


def log_softmax(x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any]) -> None:
    """Write the logarithm of the softmax of `x` over `axes` to `out`."""
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        largest = wide.max(axis=axes, keepdims=True)
        largest[np.isinf(largest)] = 0
        d = wide - largest
        store(d - np.log(np.exp(d).sum(axis=axes, keepdims=True)), out)
