"""exp, sums, quotients and logarithms in two words, with errors near 2^-77: float64's first tier.

    exp(d) = 2^k T (1 + r + r^2/2 + ...),    T = 2^(j/4096) = T0 + T1,    abs(r) <= 2^-13.5,    r = r1 + r2

T0 has 27 bits and r1, a multiple of 2^-39, has 26: so T0 r1 and r1^2 are exact, and every other product is of something
so small that one rounding of it does not matter. Roundings, relative to the result and with T0 in [1, 2):

    what T0 + T1 leave of T                                      2^-81
    r1^2/2 + (r2 + ...), below 2^-28; times T0; plus T1 expm1    3 x 2^-81
    adding T1, below 2^-27, and the error of T0 + T0 r1          2 x 2^-80
    all else: r^6/720, the reduction of d, the short series      less than 2^-88 together

which is 8 x 2^-81 = 2^-78, over 1 - 2^-13: EXP_ERROR is a tenth more.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cupysoft.host.fixed import log2_words
from cupysoft.host.plain import LOWEST_REST, powers, steady_sum
from cupysoft.host.words import (
    BIN_ANCHOR,
    FloatArray,
    compress,
    exponent_above,
    fast_two_sum,
    two_product,
)

__all__ = [
    "EXP_ERROR",
    "SHARE_ERROR",
    "STRETCH",
    "SUM_ERROR",
    "exp_pair",
    "inverse",
    "share_sums",
    "shares",
    "sum_slack",
    "sums",
]

EXP_ERROR = 1.1 * 2.0**-78
SUM_ERROR = 1.2 * 2.0**-78
"""Error of a sum of exponentials, relative to itself; with `sums`, relative to what it is above 1."""

SHARE_ERROR = 3.7 * 2.0**-78
"""Relative error of exp(x - m) over the sum: 1.1 + 1.2 + 1.25 for the quotient, and terms of second order."""

STRETCH = 1 + 2.0**54 * 4 * 2.0**-78
"""A share is decided if stretching its low word so much does not move its high word: half a last place is 2^-54 or more
of a number, and what lies within SHARE_ERROR of it is within STRETCH of it seen from the low word."""

STEPS, STEP_BITS = 4096, 12
# Times 4096 k + j, below 2^23, the first two words, of 30 bits, are exact.
STEP = log2_words(STEPS, (30, 30, 53))
PER_STEP = STEPS / float(np.log(2.0))
MAGIC = 1.5 * 2.0**52
GRID = 1.5 * 2.0 ** (52 - 39)
SPLITTER_27 = 2.0**26 + 1
SPLITTER_26 = 2.0**27 + 1


@functools.cache
def _table() -> tuple[FloatArray, FloatArray]:
    hi, lo = powers()
    short = _short(hi)
    return short, (hi - short) + lo


def _short(values: FloatArray) -> FloatArray:
    """Round to 27 bits."""
    wide = values * SPLITTER_27
    return wide - (wide - values)


def exp_pair(d: FloatArray, d_lo: FloatArray | float) -> tuple[FloatArray, FloatArray, Any]:
    """Give (h, l, k) with exp(d + d_lo) = 2^k (h + l) to EXP_ERROR; h in [0.99, 2), abs(l) at most half its last place.

    `d` lies in [-800, 700] and `d_lo` below its last place; exp(0) is exactly 1.
    """
    if not d.flags.c_contiguous:  # take gives its results in the order of C
        hi, lo, power = exp_pair(d.T, d_lo.T if isinstance(d_lo, np.ndarray) else d_lo)
        return hi.T, lo.T, power.T
    steps = d * PER_STEP
    steps += MAGIC
    number = steps.view(np.int64) - np.float64(MAGIC).view(np.int64)
    steps -= MAGIC
    a = steps * STEP[0]
    np.subtract(d, a, out=a)  # exact: a multiple of 2^-66 or of d's last place, below 2^-13
    b = steps * STEP[1]  # exact, below 2^-20
    r1 = a - b
    r1 += GRID
    r1 -= GRID
    a -= r1
    a -= b  # both exact: what is left is below 2^-39.9 and a multiple of what b and d are
    steps *= STEP[2]
    np.subtract(d_lo, steps, out=steps)
    a += steps
    return (*_exponential(r1, a, number & (STEPS - 1)), number >> STEP_BITS)


def _exponential(r1: FloatArray, r2: FloatArray, index: Any) -> tuple[FloatArray, FloatArray]:
    """Give 2^(index/4096) exp(r1 + r2) as two words."""
    r = r1 + r2
    low = r * (1 / 120)
    low += 1 / 24
    low *= r
    low += 1 / 6
    low *= r
    square = r * r
    low *= square
    r += r1  # 2 r1 + r2: half of that times r2 is what r^2/2 has beside r1^2/2
    r *= r2
    r *= 0.5
    low += r
    low += r2
    np.multiply(r1, r1, out=square)
    square *= 0.5
    low += square
    t0, t1 = (column.take(index) for column in _table())
    expm1 = np.add(r1, low, out=square)
    low *= t0
    expm1 *= t1
    low += expm1
    low += t1
    r1 *= t0
    hi = t0 + r1
    t0 -= hi
    t0 += r1
    low += t0
    return fast_two_sum(hi, low)


def _cut(values: FloatArray, anchor: Any) -> tuple[FloatArray, FloatArray]:
    """Give the sum of the parts on the anchor's grid, which is exact, and what is left of each element."""
    on_grid = values + anchor
    on_grid -= anchor
    return np.add.reduce(on_grid, axis=1), np.subtract(values, on_grid, out=on_grid)


def share_sums(hi: FloatArray, lo: FloatArray) -> list[FloatArray]:
    """Sum rows of up to 2^17 terms of at most 1, one of them 1, as words: two grids, of 2^-25 and 2^-51, and the rest.

    The rest is below columns 2^-52, and depth(columns) + 1 u of that, at most 2^-82, is the error beside a sum above 1;
    that of the low words, which are at most 2^-53 of theirs, is less.
    """
    top, rest = _cut(hi, BIN_ANCHOR)
    middle, rest = _cut(rest, BIN_ANCHOR * 2.0**-26)
    rest += lo
    return [top, middle, steady_sum(rest)]


def sums(hi: FloatArray, lo: FloatArray, scale: FloatArray | float = 1.0) -> list[FloatArray]:
    """Sum rows of up to 2^17 terms, at most `scale` in size, as words, to 2^-82 of what lies off the grid of 2^-25.

    So 1 + tiny keeps all of tiny: the second and the third grid follow the largest that is left by the first.
    """
    top, rest = _cut(hi, BIN_ANCHOR * scale)
    finer = exponent_above(np.maximum.reduce(np.abs(rest), axis=1, keepdims=True))
    middle, rest = _cut(rest, BIN_ANCHOR * finer)
    low, rest = _cut(rest, BIN_ANCHOR * 2.0**-26 * finer)
    rest += lo
    return [top, middle, low, steady_sum(rest)]


def sum_slack(rest: FloatArray, columns: int) -> FloatArray:
    """Bound the error of a sum of exponentials that is 1 + rest."""
    return SUM_ERROR * rest + columns * LOWEST_REST


def inverse(words: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Give 1 / sum(words), 1 to 2^31, as a word of 27 bits and one of 53, to 2^-81 of itself."""
    hi, lo = compress(words, 2)
    first = 1.0 / hi
    product, error = two_product(first, hi)
    second = (((1.0 - product) - error) - first * lo) / hi
    short = _short(first)
    return short, (first - short) + second


def shares(hi: FloatArray, lo: FloatArray, inverses: tuple[Any, Any]) -> tuple[FloatArray, FloatArray]:
    """Multiply hi + lo by the inverse of a sum: two words, to 2^-78 of themselves.

    hi is cut into halves of 26 bits, so its products with the short word are exact. Roundings, with hi and the inverse
    in [1, 2): hi times the second word, below 2^-26; lo added to that; their sum with the error of the first sum. They,
    lo times the second word, which is left out, and the second word's own error make 5 x 2^-80.
    """
    short, second = inverses
    head = hi * SPLITTER_26
    part = head - hi
    head -= part
    tail = np.subtract(hi, head, out=part)
    head *= short
    tail *= short
    result = head + tail
    head -= result
    head += tail
    small = hi * second
    np.multiply(lo, short, out=tail)
    small += tail
    small += head
    return fast_two_sum(result, small)
