"""Sums and products whose rounding errors are kept as further words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "FloatArray",
    "add_words",
    "compress",
    "exponent_above",
    "fast_two_sum",
    "sum_words",
    "two_product",
    "two_sum",
]

FloatArray = npt.NDArray[np.float64]

SPLITTER = 134217729.0  # 2^27 + 1: cuts 53 bits into 26 and 26 (Dekker 1971)
BIN_BITS = 27  # a bin's grid is 2^(27 - 52) = 2^-25 of its scale, so sums of up to 2^26 grid numbers are exact
BIN_ANCHOR = 1.5 * 2.0**BIN_BITS


def two_sum(a: Any, b: Any) -> tuple[FloatArray, FloatArray]:
    """Add to (sum, error): together exactly a + b."""
    s = a + b
    bb = s - a
    return s, (a - (s - bb)) + (b - bb)


def fast_two_sum(a: Any, b: Any) -> tuple[FloatArray, FloatArray]:
    """As :func:`two_sum`, for abs(a) >= abs(b) or a == 0."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Any, b: Any) -> tuple[FloatArray, FloatArray]:
    """Multiply to (product, error): together exactly a b, unless it over- or underflows."""
    p = a * b
    t = SPLITTER * a
    a_hi = t - (t - a)
    a_lo = a - a_hi
    t = SPLITTER * b
    b_hi = t - (t - b)
    b_lo = b - b_hi
    return p, ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo


def add_words(a_hi: Any, a_lo: Any, b_hi: Any, b_lo: Any) -> tuple[FloatArray, FloatArray]:
    """Add two two-word numbers; the error is a few 2^-106 of abs(a) + abs(b)."""
    s, e = two_sum(a_hi, b_hi)
    return fast_two_sum(s, e + (a_lo + b_lo))


def compress(words: list[FloatArray], keep: int) -> list[FloatArray]:
    """Turn a sum of many words into `keep` words of falling size with nearly the same sum.

    Each sweep of two_sums pushes the leading part into the first word and leaves the rest exactly in the others.
    """
    rest = list(words)
    result = []
    for _ in range(keep):
        for _ in range(2):  # the second sweep mends what cancellation left in front
            for i in range(len(rest) - 1, 0, -1):
                rest[i - 1], rest[i] = two_sum(rest[i - 1], rest[i])
        result.append(rest.pop(0))
        rest = rest or [np.zeros_like(result[0])]
    return result


def exponent_above(x: FloatArray) -> FloatArray:
    """Give a power of two above abs(x), at least 2^-900 so that a bin's grid stays normal; 1 where x is not finite."""
    _, exponent = np.frexp(x)
    return np.ldexp(1.0, np.where(np.isfinite(x), np.maximum(exponent, -900), 0))


def sum_words(
    values: FloatArray, low: FloatArray | None = None, *, scale: FloatArray | None = None, relative: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Sum the last axis of (rows, columns) `values` (+ `low`, far smaller) to two words.

    Parameters
    ----------
    values : (rows, columns) array
        At most `scale` in size, and at most 2^25 columns.
    scale : (rows, 1) array of powers of two, optional
        1 by default.
    relative : bool
        Bound the error by 2^-70 of the sum of what lies below the grid, too, so that 1 + tiny keeps all of tiny.

    Notes
    -----
    A float64 plus 1.5 2^27 scale is rounded to a grid of 2^-25 scale. Numbers on the grid add exactly in any order;
    what is left is below 2^-26 scale, and so are the errors of its plain sum.
    """
    on_grid, below = _cut(values, BIN_ANCHOR if scale is None else BIN_ANCHOR * scale)
    top = np.add.reduce(on_grid, axis=1)
    lowest = 0.0 if low is None else np.add.reduce(low, axis=1)
    if not relative:
        return two_sum(top, np.add.reduce(below, axis=1) + lowest)
    finer = exponent_above(np.maximum.reduce(np.abs(below), axis=1, keepdims=True))
    middle, bottom = _cut(below, BIN_ANCHOR * finer)
    s, e = two_sum(np.add.reduce(middle, axis=1), np.add.reduce(bottom, axis=1) + lowest)
    return add_words(top, 0.0, s, e)


def _cut(values: FloatArray, anchor: Any) -> tuple[FloatArray, FloatArray]:
    """Split into multiples of the anchor's last place and the rest."""
    on_grid = values + anchor
    on_grid -= anchor
    return on_grid, values - on_grid
