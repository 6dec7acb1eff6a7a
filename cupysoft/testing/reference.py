"""Rigorous references: correctly rounded softmax, log_softmax and logsumexp.

The sums are taken in ball arithmetic (python-flint), whose every result encloses the true value. The precision rises
until all of a ball rounds to the same number of the dtype, so the answer is the correctly rounded one by proof, however
much cancels. What no precision can decide is found before: results that are exact, and weights that cancel exactly. A
value that the last precision does not decide raises `UndecidedError`, which says how many bits were not enough.

This is slow, a microsecond or more an element; `quick_reference` gives the same values sooner.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import numpy.typing as npt

from cupysoft.testing.balls import decide, decide_complex, round_dyadic
from cupysoft.testing.terms import grouped, grouped_complex

__all__ = ["log_softmax", "logsumexp", "softmax"]

EXACT = 1 << 12
"""Bits in which the difference of any two numbers of float64 is exact."""

_Axis = int | tuple[int, ...] | None


def softmax(x: npt.ArrayLike, axis: _Axis = None, *, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Give the correctly rounded softmax.

    Parameters
    ----------
    x : array_like
        Real values, taken as exact.
    axis : int, tuple of int or None
        Axes to reduce; all by default.
    dtype : dtype, optional
        Type to round to: float16, bfloat16, float32 or float64. That of `x` by default (float64 for integers).

    Returns
    -------
    ndarray
        Array of the shape of `x`.

    Examples
    --------
    >>> softmax([0.0, 0.0, 0.0, 0.0])
    array([0.25, 0.25, 0.25, 0.25])
    """
    return _rowwise(x, axis, dtype, _softmax_row)


def log_softmax(x: npt.ArrayLike, axis: _Axis = None, *, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Give the correctly rounded logarithm of the softmax; parameters as for :func:`softmax`.

    Examples
    --------
    >>> log_softmax([0.0, -100.0])
    array([-3.72007598e-44, -1.00000000e+02])
    """
    return _rowwise(x, axis, dtype, _log_softmax_row)


def logsumexp(
    a: npt.ArrayLike,
    axis: _Axis = None,
    b: npt.ArrayLike | None = None,
    *,
    return_sign: bool = False,
    dtype: npt.DTypeLike | None = None,
) -> Any:
    """Give the correctly rounded ``log(abs(sum(b * exp(a))))``.

    Parameters
    ----------
    a : array_like
        Real or complex values, taken as exact.
    axis : int, tuple of int or None
        Axes to reduce; all by default.
    b : array_like, optional
        Weights. A zero weight takes its element out of the sum, whatever that is.
    return_sign : bool
        Return the pair (result, sign). Without it a negative sum of real terms gives NaN.
    dtype : dtype, optional
        Type to round to; that of `a` and `b` together by default. A complex result is within 2^-50 ulp of the nearest
        pair of numbers, measured by its modulus.

    Returns
    -------
    ndarray, or pair of ndarrays
        Without the reduced axes.

    Examples
    --------
    >>> logsumexp([0.0, -100.0])
    array(3.72007598e-44)
    """
    a = np.asarray(a)
    weights = np.ones((), a.dtype) if b is None else np.asarray(b)
    a, weights = np.broadcast_arrays(a, weights)
    target = _target(np.result_type(a, weights) if b is not None else a.dtype, dtype)
    rows, shape, _ = _rows(a, axis)
    weight_rows, _, _ = _rows(weights, axis)
    one = _complex_row if target.kind == "c" else _real_row
    pairs = [one(row, w, target, return_sign) for row, w in zip(rows, weight_rows, strict=True)]
    result_type = np.dtype(f"f{target.itemsize // 2}") if return_sign and target.kind == "c" else target
    result = np.array([p[0] for p in pairs]).astype(result_type).reshape(shape)
    return (result, np.array([p[1] for p in pairs]).astype(target).reshape(shape)) if return_sign else result


def _target(natural: np.dtype[Any], dtype: npt.DTypeLike | None) -> np.dtype[Any]:
    if dtype is not None:
        return np.dtype(dtype)
    return np.dtype(np.float64) if natural.kind in "biu" else natural


def _rows(x: npt.NDArray[Any], axis: _Axis) -> tuple[npt.NDArray[Any], tuple[int, ...], tuple[int, ...]]:
    """Copy to (rows, columns); give also the batch shape and the axes as they were moved to the end."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    axes = tuple(item % x.ndim for item in axes)
    batch = tuple(x.shape[i] for i in range(x.ndim) if i not in axes)
    moved = np.moveaxis(x, axes, tuple(range(x.ndim - len(axes), x.ndim)))
    wide = moved.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
    return wide.reshape(math.prod(batch), math.prod(x.shape[i] for i in axes)), batch, axes


def _rowwise(
    x: npt.ArrayLike, axis: _Axis, dtype: npt.DTypeLike | None, one: Callable[..., list[float]]
) -> npt.NDArray[Any]:
    x = np.asarray(x)
    target = _target(x.dtype, dtype)
    rows, batch, axes = _rows(x, axis)
    values = np.array([one(row, target) for row in rows], np.float64)
    moved = values.reshape(batch + tuple(x.shape[i] for i in axes))
    return np.moveaxis(moved, tuple(range(x.ndim - len(axes), x.ndim)), axes).astype(target)


def _distinct(row: npt.NDArray[Any]) -> tuple[list[float], list[int], npt.NDArray[np.intp]]:
    """Give the finite elements once each, how often each is there, and which of them each place holds (-1 for -inf)."""
    values, which, counts = np.unique(row, return_inverse=True, return_counts=True)
    drop = int(values[0] == -math.inf)
    return values[drop:].tolist(), counts[drop:].tolist(), which - drop


def _exponentials(values: list[float], counts: list[int]) -> tuple[list[Any], Any]:
    """Give exp(value - largest) of distinct values, and their sum."""
    largest = flint.arb(values[-1])
    terms = [(flint.arb(v) - largest).exp() for v in values]
    return terms, sum((term * n for term, n in zip(terms, counts, strict=True)), flint.arb(0))


def _softmax_row(row: npt.NDArray[Any], dtype: np.dtype[Any], chosen: npt.NDArray[Any] | None = None) -> list[float]:
    """Give the results of a row, or of chosen places of it."""
    chosen = np.arange(row.size) if chosen is None else chosen
    if np.isnan(row).any() or not np.isfinite(row.max()):
        return [math.nan] * len(chosen)
    values, counts, which = _distinct(row)
    which = which[chosen]
    wanted = sorted({int(i) for i in which if i >= 0})

    def quotients() -> list[Any]:
        terms, total = _exponentials(values, counts)
        return [terms[i] / total for i in wanted]

    if len(values) == 1 and counts[0].bit_count() == 1:  # the one case in which the result is a dyadic number
        results = [round_dyadic(1, 1 - counts[0].bit_length(), dtype)] * len(wanted)
    else:
        results = decide(quotients, dtype)
    found = dict(zip(wanted, results, strict=True))
    return [found.get(int(i), 0.0) for i in which]


def _log_softmax_row(
    row: npt.NDArray[Any], dtype: np.dtype[Any], chosen: npt.NDArray[Any] | None = None
) -> list[float]:
    """Give the results of a row, or of chosen places of it."""
    chosen = np.arange(row.size) if chosen is None else chosen
    if np.isnan(row).any() or row.max() == -math.inf:
        return [math.nan] * len(chosen)
    if row.max() == math.inf:
        return [math.nan if v == math.inf else -math.inf for v in row[chosen]]
    values, counts, which = _distinct(row)
    which = which[chosen]
    wanted = sorted({int(i) for i in which if i >= 0})

    def differences() -> list[Any]:
        _, total = _exponentials(values, counts)
        return [(flint.arb(values[i]) - flint.arb(values[-1])) - total.log() for i in wanted]

    if len(values) == 1 and counts[0] == 1:
        results = [0.0] * len(wanted)
    else:
        # The logarithm is above 0, if only by exp(-1e30), and its difference below x - m.
        with flint.ctx.workprec(EXACT):
            ceilings = [flint.arb(values[i]) - flint.arb(values[-1]) for i in wanted]
        results = decide(differences, dtype, ceilings)
    found = dict(zip(wanted, results, strict=True))
    return [found.get(int(i), -math.inf) for i in which]


def _real_row(
    row: npt.NDArray[Any], weights: npt.NDArray[Any], dtype: np.dtype[Any], return_sign: bool
) -> tuple[float, float]:
    special = _special(row, weights)
    if special is not None:
        size, sign = special
    else:
        terms = grouped(row, weights)
        sign = _sign(terms)
        size = -math.inf if sign == 0 else decide(lambda: [abs(_total(terms)).log() + _anchor(terms)], dtype)[0]
        if size == 0:  # on which side of 1 the size of the sum lies
            beside_one = grouped(np.append(row, 0.0), np.append(weights, -sign))
            size = 0.0 * (_sign(beside_one) * sign or 1.0)
    return (math.nan if sign < 0 and not return_sign else size), sign


def _special(row: npt.NDArray[Any], weights: npt.NDArray[Any]) -> tuple[float, float] | None:
    """Answer rows with NaN or infinite terms: (log of the size, sign); None for ordinary rows."""
    special = (weights != 0) & ~(np.isfinite(weights) & (row < math.inf))
    if not special.any():
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        values = row[special]
        total = (weights[special] * np.where(np.isfinite(values), 1.0, np.exp(values))).sum()
    return (math.nan, math.nan) if np.isnan(total) else (math.inf, math.copysign(1, total))


def _anchor(terms: list[tuple[float, Any]]) -> Any:
    """Give the largest exponent; exponentials of it alone could be too large even for balls."""
    return flint.arb(max(value for value, _ in terms))


def _total(terms: list[tuple[float, Any]]) -> Any:
    """Give the sum divided by the exponential of the anchor."""
    anchor = _anchor(terms)
    return sum((flint.arb(weight) * (flint.arb(value) - anchor).exp() for value, weight in terms), flint.arb(0))


def _sign(terms: list[tuple[float, Any]]) -> float:
    """Give the sign of the sum; exponentials of distinct numbers never cancel exactly (Lindemann)."""
    precision = 160
    while terms:
        with flint.ctx.workprec(precision):
            total = _total(terms)
            if not total.contains(0):
                return 1.0 if total > 0 else -1.0
        precision *= 2
    return 0.0


def _complex_row(
    row: npt.NDArray[Any], weights: npt.NDArray[Any], dtype: np.dtype[Any], return_sign: bool
) -> tuple[complex, complex]:
    row, weights = row.astype(np.complex128), weights.astype(np.complex128)
    kept = (weights != 0) & (row.real != -math.inf)
    row, weights = row[kept], weights[kept]
    if not (np.isfinite(row).all() and np.isfinite(weights).all()):
        raise ValueError("reference.logsumexp: complex rows with NaN or infinities have no rigorous reference")
    if not (row.imag.any() or weights.imag.any()):
        size, sign = _real_row(row.real, weights.real, np.dtype(np.float64), True)
        return (size if return_sign else complex(size, math.pi if sign < 0 else 0)), sign
    terms = grouped_complex(row, weights)
    if not terms:
        return (-math.inf if return_sign else complex(-math.inf, 0)), 0
    anchor = flint.acb(max(a.real for a, _, _ in terms))

    def total() -> Any:
        return sum((flint.acb(re, im) * (flint.acb(a) - anchor).exp() for a, re, im in terms), flint.acb(0))

    if not return_sign:
        return decide_complex(lambda: total().log() + anchor), 0
    size = decide_complex(lambda: flint.acb(abs(total()).log()) + anchor).real
    return size, decide_complex(lambda: total() / abs(total()))
