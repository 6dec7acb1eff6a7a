"""What ``precision="fast"`` means on the host: the textbook's formulas in the dtype itself, 16-bit types in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.arrays import is_bfloat16

__all__ = ["fast_log_softmax", "fast_logsumexp", "fast_softmax"]

Array = npt.NDArray[Any]


def fast_softmax(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """Write softmax of `x` over `axes` to `out`."""
    with np.errstate(all="ignore"):
        d, _ = _differences(x, axes)
        np.exp(d, out=d)
        d /= d.sum(axis=axes, keepdims=True)
        out[...] = d


def fast_log_softmax(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """Write the logarithm of softmax of `x` over `axes` to `out`."""
    with np.errstate(all="ignore"):
        d, m = _differences(x, axes)
        # In float64, where two subtractions cost little.
        result = np.subtract(_widened(x), m, dtype=np.float64)
        result -= _log_of_sum(d, axes)
        # As SciPy has it: beside +inf all others are -inf.
        np.copyto(result, np.where(np.isposinf(_widened(x)), np.nan, -np.inf), where=np.isposinf(m))
        out[...] = result


def fast_logsumexp(a: Array, axes: tuple[int, ...], out: Array) -> None:
    """Write the logarithm of the sum of exponentials of `a` over `axes` to `out`."""
    with np.errstate(all="ignore"):
        d, m = _differences(a, axes)
        result = np.where(np.isfinite(m), m + _log_of_sum(d, axes), m)
        out[...] = result.reshape(out.shape)


def _widened(x: Array) -> Array:
    return x.astype(np.float32) if x.dtype == np.float16 or is_bfloat16(x.dtype) else x


def _differences(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """x less the maximum of its row, in a new array, and that maximum."""
    wide = _widened(x)
    m = wide.max(axis=axes, keepdims=True)
    return wide - m, m


def _log_of_sum(d: Array, axes: tuple[int, ...]) -> Array:
    """log(sum(exp(d))), where the largest d is 0; that is counted apart, so that log(1 + tiny) keeps its bits."""
    largest = d == 0
    count = largest.sum(axis=axes, keepdims=True).astype(np.float64)
    rest = np.where(largest, d.dtype.type(0), np.exp(d)).sum(axis=axes, keepdims=True)
    return np.asarray(np.log1p(rest / count) + np.log(count))
