"""What ``precision="fast"`` means on the host: the textbook's formulas, of logarithms in float64.

A softmax is computed in the dtype itself, 16-bit types in float32, operation by operation as SciPy does it, so it is as
near to the truth. Logarithms cancel near zero, where float32 has no digit left; float64 costs them no more than what
else they need.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.arrays import is_bfloat16

__all__ = ["fast_log_softmax", "fast_logsumexp", "fast_softmax"]

Array = npt.NDArray[Any]


def fast_softmax(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """Write softmax of `x` over `axes` to `out`."""
    narrow = x.dtype == np.float16 or is_bfloat16(x.dtype)
    with np.errstate(all="ignore"):
        d, _ = _differences(x.astype(np.float32) if narrow else x, axes)
        np.exp(d, out=d)
        d /= d.sum(axis=axes, keepdims=True)
        out[...] = d


def fast_log_softmax(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """Write the logarithm of softmax of `x` over `axes` to `out`."""
    with np.errstate(all="ignore"):
        d, m = _differences(x.astype(np.float64, copy=False), axes)
        # Where m is not finite, x - m is as SciPy has it: beside +inf all others are -inf.
        d -= np.where(np.isfinite(m), _log_of_sum(d, axes), 0.0)
        out[...] = d


def fast_logsumexp(a: Array, axes: tuple[int, ...], out: Array) -> None:
    """Write the logarithm of the sum of exponentials of `a` over `axes` to `out`."""
    with np.errstate(all="ignore"):
        d, m = _differences(a.astype(np.float64, copy=False), axes)
        result = np.where(np.isfinite(m), m + _log_of_sum(d, axes), m)
        out[...] = result.reshape(out.shape)


def _differences(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """x less the maximum of its row, in a new array, and that maximum."""
    m = x.max(axis=axes, keepdims=True)
    return x - m, m


def _log_of_sum(d: Array, axes: tuple[int, ...]) -> Array:
    """log(sum(exp(d))), where the largest d is 0; that is counted apart, so that log(1 + tiny) keeps its bits."""
    largest = d == 0
    count = largest.sum(axis=axes, keepdims=True).astype(np.float64)
    terms = np.exp(d)
    terms[largest] = 0.0
    return np.asarray(np.log1p(terms.sum(axis=axes, keepdims=True) / count) + np.log(count))
