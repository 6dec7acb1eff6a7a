"""The rigorous reference, sooner: most results are decided by pairs of float64, and balls decide the rest.

A value is computed as a pair with a proven bound (`twofold`), rounded in some way to the type, and looked at: does it,
with its bound, lie between the points half way to that number's neighbours? Then that is the correctly rounded result.
Where it does not, and for rows with infinities, NaN or nothing but zeros, the reference is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.words import fast_two_sum, two_product, two_sum
from cupysoft.testing import reference, twofold
from cupysoft.testing.reference import _Axis, _log_softmax_row, _real_row, _rows, _softmax_row, _target
from cupysoft.testing.twofold import Pair

__all__ = ["log_softmax", "logsumexp", "softmax"]

FloatArray = npt.NDArray[np.float64]

CHUNK = 1 << 15
"""Elements at a time, so that the many pairs stay in the cache."""

DROPPED = 2.0**-900
"""A slack below this is that of a share: it is not negative, so where it rounds to zero its sign is known."""

LOWEST = -960.0 * math.log(2)
"""exp of less is no more than 2^-960, and the bound of `twofold` does not hold there."""


def softmax(x: npt.ArrayLike, axis: _Axis = None, *, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Give the correctly rounded softmax; parameters as for :func:`reference.softmax`.

    Examples
    --------
    >>> softmax([0.0, 0.0, 0.0, 0.0])
    array([0.25, 0.25, 0.25, 0.25])
    """
    return _rowwise(x, axis, dtype, _shares, _softmax_row)


def log_softmax(x: npt.ArrayLike, axis: _Axis = None, *, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Give the correctly rounded logarithm of the softmax; parameters as for :func:`reference.softmax`.

    Examples
    --------
    >>> log_softmax([0.0, -100.0])
    array([-3.72007598e-44, -1.00000000e+02])
    """
    return _rowwise(x, axis, dtype, _log_shares, _log_softmax_row)


def logsumexp(
    a: npt.ArrayLike,
    axis: _Axis = None,
    b: npt.ArrayLike | None = None,
    *,
    return_sign: bool = False,
    dtype: npt.DTypeLike | None = None,
) -> Any:
    """Give the correctly rounded ``log(abs(sum(b * exp(a))))`` of real numbers, as :func:`reference.logsumexp` does.

    Examples
    --------
    >>> logsumexp([0.0, -100.0])
    array(3.72007598e-44)
    """
    a = np.asarray(a)
    target = _target(a.dtype if b is None else np.result_type(a, b), dtype)
    if target.kind == "c" or np.size(a) == 0:
        return reference.logsumexp(a, axis, b, return_sign=return_sign, dtype=dtype)
    a, weights = np.broadcast_arrays(a, np.ones((), a.dtype) if b is None else np.asarray(b))
    rows, shape, _ = _rows(a, axis)
    weight_rows, _, _ = _rows(weights, axis)
    size, sign = np.empty(len(rows)), np.empty(len(rows))
    for cut in _chunks(rows):
        size[cut], sign[cut], good = _sums(rows[cut], weight_rows[cut], target)
        for i in cut.start + np.flatnonzero(~good):
            size[i], sign[i] = _real_row(rows[i], weight_rows[i], target, True)
    if not return_sign:
        size[sign < 0] = math.nan
        return size.reshape(shape).astype(target)
    return size.reshape(shape).astype(target), sign.reshape(shape).astype(target)


def _rowwise(
    x: npt.ArrayLike,
    axis: _Axis,
    dtype: npt.DTypeLike | None,
    values_of: Callable[[FloatArray], tuple[Pair, FloatArray]],
    rigorous: Callable[..., list[float]],
) -> npt.NDArray[Any]:
    x = np.asarray(x)
    target = _target(x.dtype, dtype)
    rows, batch, axes = _rows(x, axis)
    result = np.empty(rows.shape)
    for cut in _chunks(rows):
        with np.errstate(all="ignore"):
            values, slack = values_of(rows[cut])
            result[cut], good = _rounded(values, slack, target)
        good &= np.isfinite(rows[cut]).all(axis=1, keepdims=True)
        for i in np.flatnonzero(~good.all(axis=1)):
            places = np.flatnonzero(~good[i])
            result[cut.start + i, places] = rigorous(rows[cut.start + i], target, places)
    moved = result.reshape(batch + tuple(x.shape[i] for i in axes))
    return np.moveaxis(moved, tuple(range(x.ndim - len(axes), x.ndim)), axes).astype(target)


def _chunks(rows: FloatArray) -> list[slice]:
    step = max(1, CHUNK // max(rows.shape[1], 1))
    return [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]


def _terms(rows: FloatArray, m: FloatArray) -> Pair:
    """Give exp(x - m), and 0 for what is below LOWEST."""
    d, d_lo = two_sum(rows, -m)
    lost = ~(d >= LOWEST)
    d, d_lo = np.where(lost, 0.0, d), np.where(lost, 0.0, d_lo)
    hi, lo = twofold.exponential((d, d_lo))
    return np.where(lost, 0.0, hi), np.where(lost, 0.0, lo)


def _shares(rows: FloatArray) -> tuple[Pair, FloatArray]:
    terms = _terms(rows, rows.max(axis=1, keepdims=True))
    hi, lo = (word[:, None] for word in twofold.total(terms))
    first = terms[0] / hi
    product = twofold.times((first, np.zeros_like(first)), (np.broadcast_to(hi, first.shape), lo))
    rest = twofold.added(terms, (-product[0], -product[1]))
    value = fast_two_sum(first, (rest[0] + rest[1]) / hi)
    # A term that was left out is below 2^-959, and what they all lack in the sum below 2^-928, for up to 2^31 of them.
    return value, 3 * twofold.EXP_ERROR * np.abs(value[0]) + 2.0**-928


def _log_shares(rows: FloatArray) -> tuple[Pair, FloatArray]:
    m = rows.max(axis=1, keepdims=True)
    log = twofold.logarithm(twofold.total(_terms(rows, m)))
    log_hi, log_lo = (word[:, None] for word in log)
    value = twofold.added(two_sum(rows, -m), (-log_hi, -log_lo))
    return value, 4 * twofold.EXP_ERROR * (1 + np.abs(log_hi)) + 2.0**-100 * np.abs(value[0])


def _sums(
    rows: FloatArray, weights: FloatArray, dtype: np.dtype[Any]
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Give log(abs(sum)), the sign, and where both are decided."""
    with np.errstate(all="ignore"):
        rows = np.where(weights == 0, -math.inf, rows)
        m = rows.max(axis=1, keepdims=True)
        size = np.abs(weights)
        ordinary = (np.isfinite(rows) | (rows == -math.inf)).all(axis=1) & np.isfinite(m[:, 0])
        ordinary &= (size < 2.0**400).all(axis=1) & ((size > 2.0**-400) | (size == 0)).all(axis=1)
        terms = _terms(rows, m)
        hi, lo = two_product(terms[0], weights)
        products = fast_two_sum(hi, lo + terms[1] * weights)
        sums, sizes = twofold.total(products), np.abs(products[0]).sum(axis=1)
        sign = np.sign(sums[0])
        slack = (2 * twofold.EXP_ERROR * sizes + 2.0**-500) / np.abs(sums[0])
        ordinary &= slack < 2.0**-20
        log = twofold.logarithm((sums[0] * sign, sums[1] * sign))
        value = twofold.added((m[:, 0], np.zeros_like(sign)), log)
        slack = 2 * slack + 4 * twofold.EXP_ERROR * (1 + np.abs(log[0])) + 2.0**-100 * np.abs(value[0])
        result, good = _rounded(value, slack, dtype)
    return result, sign, good & ordinary


def _rounded(value: Pair, slack: FloatArray, dtype: np.dtype[Any]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Round values known up to `slack`, and tell where that is proven right."""
    near = value[0].astype(dtype)
    result = near.astype(np.float64)
    zero = result == 0
    below, above = (_neighbour(np.where(zero, 1, near).astype(dtype), step).astype(np.float64) for step in (-1, 1))
    beside = (value[0] - result) + value[1]
    # That subtraction is exact, as is half a gap, unless it is subnormal: then it is 0, and nothing is proven.
    slack = slack + 2.0**-50 * np.abs(beside)
    good = (beside + slack < 0.5 * (above - result)) & (beside - slack > -0.5 * (result - below))
    smallest = float(_neighbour(np.zeros(1, dtype), 1)[0])
    nothing = zero & (np.abs(beside) + slack < 0.5 * smallest) & ((np.abs(value[0]) > slack) | (slack < DROPPED))
    return result, (good & ~zero) | nothing


def _neighbour(values: npt.NDArray[Any], step: int) -> npt.NDArray[Any]:
    """Give the next number of the type, upwards or downwards; of numbers other than 0."""
    bits = values.view(f"i{values.dtype.itemsize}")
    return np.asarray((bits + np.where(np.signbit(values), -step, step).astype(bits.dtype)).view(values.dtype))
