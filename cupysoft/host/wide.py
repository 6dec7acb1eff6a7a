"""exp, sums and log with errors near 2^-112: for rows where the sum cancels almost all that float64 holds.

A normalised row of float64 log-probabilities has a logsumexp near 2^-53, the sum of what rounding left over: to get it
right to the last bit takes twice the digits of float64. A number is here a list of words whose sum it is.

Errors of exp, in units of 2^-118 of the result, with the table's entry in [1, 2) and abs(r) <= 2^-12.5:

    r: three roundings of low words, each below 2^-65                            3
    expm1(r): the low word's two roundings; all else is below 2^-120             1.5
    t0 q_lo, t1 q and their sum; p_error + t2; the sum of both: below 2^-63      1 + 0.7 + 1 + 0.5 + 2
    t1 q_lo and t2 q, left out                                                   0.5 + 0.7

which is 10.9, and 16 are 2^-114.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cupysoft.host.exponential import MAGIC, scale_by_power
from cupysoft.host.fixed import exp_table, log2_words, to_words
from cupysoft.host.plain import steady_sum
from cupysoft.host.words import BIN_ANCHOR, FloatArray, compress, fast_two_sum, two_product, two_sum

__all__ = ["WIDE_ERROR", "wide_exp", "wide_exp_parts", "wide_log", "wide_sums"]

WIDE_ERROR = 2.0**-114
"""Bound of the relative error of `wide_exp`, and of the error of `wide_log`; times 2^12 abs(log) for logarithms below
2^-12, where the table's entry is 1 and exp(-y) - 1 is as accurate in itself. Measured: 2^-116.5, and 2^-118."""

STEPS = 2048
STEP = log2_words(STEPS, (31, 31, 31, 53))
PER_STEP = STEPS / float(np.log(2.0))
BINS = 4


@functools.cache
def _table() -> tuple[Any, ...]:
    return exp_table(STEPS, 3)


def _reciprocal(n: int) -> tuple[float, ...]:
    return to_words((1 << 200) // n, 200, (53, 53))


def wide_exp(d: FloatArray, d_lo: FloatArray | float) -> list[FloatArray]:
    """Give exp(d + d_lo) as words; `d` in [-800, 700]. The first is a power of two times a table entry."""
    words, power = wide_exp_parts(d, d_lo)
    return [scale_by_power(word, power) for word in words]


def wide_exp_parts(d: FloatArray, d_lo: FloatArray | float) -> tuple[list[FloatArray], Any]:
    """Give (words, k): exp(d + d_lo) is 2^k times the sum of the words; `d` in [-800, 700]."""
    steps = d * PER_STEP + MAGIC
    number = steps.view(np.int64) - np.float64(MAGIC).view(np.int64)
    steps -= MAGIC
    r, r_lo = _remainder(d, d_lo, steps)
    q, q_lo = _expm1(r, r_lo)
    index = number & (STEPS - 1)
    t0, t1, t2 = (column.take(index) for column in _table())
    p, p_error = two_product(t0, q)
    words = [t0, p, t1, (t0 * q_lo + t1 * q) + (p_error + t2)]
    number >>= 11
    return words, number


def _remainder(d: FloatArray, d_lo: FloatArray | float, steps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give d + d_lo - steps log(2)/2048 to 2^-117; the first three products are exact."""
    r, low = two_sum(d - steps * STEP[0], -(steps * STEP[1]))
    r, error = two_sum(r, d_lo)
    low += error
    r, error = two_sum(r, -(steps * STEP[2]))
    low += error
    low -= steps * STEP[3]
    return fast_two_sum(r, low)


def _expm1(r: FloatArray, r_lo: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Taylor's series for abs(r) < 2^-12.5: terms from r^5 on in one word, the larger ones in two."""
    tail = r * (1 / 40320)
    for n in (5040, 720, 120):
        tail += 1 / n
        tail *= r
    hi, lo = two_sum(*_reciprocal(24))
    hi, lo = fast_two_sum(hi, tail + lo)
    for n in (6, 2):
        hi, lo = _times(hi, lo, r, r_lo)
        first, second = _reciprocal(n)
        hi, error = fast_two_sum(first, hi)
        hi, lo = fast_two_sum(hi, lo + (error + second))
    hi, lo = _times(*_times(hi, lo, r, r_lo), r, r_lo)
    hi, error = fast_two_sum(r, hi)
    return fast_two_sum(hi, error + (lo + r_lo))


def _times(a: Any, a_lo: Any, b: Any, b_lo: Any) -> tuple[FloatArray, FloatArray]:
    p, error = two_product(a, b)
    return fast_two_sum(p, error + (a * b_lo + a_lo * b))


def wide_sums(words: list[FloatArray], scale: FloatArray) -> list[FloatArray]:
    """Sum (rows, columns) words over columns; each word is at most `scale` (rows, 1), a power of two, in size.

    Four grids, 25 bits apart, take sums that are exact. Of up to 2^17 terms of five words, less than 2^-81 of the scale
    is left, and the error of its sum, depth(columns) + 5 u of that, is below 2^-128.
    """
    sums = []
    for level in range(BINS):
        anchor = BIN_ANCHOR * scale * 2.0 ** (-25 * level)
        total: Any = 0.0
        for i, word in enumerate(words):
            on_grid = word + anchor
            on_grid -= anchor
            words[i] = word - on_grid
            total = total + np.add.reduce(on_grid, axis=1)
        sums.append(total)
    return [*sums, steady_sum(functools.reduce(np.add, words))]


def wide_log(words: list[FloatArray]) -> list[FloatArray]:
    """Give log of a positive sum of `words` of falling size, as words: y + log1p(words exp(-y) - 1), y a float64.

    Near 1 all is written with words - 1 and exp(-y) - 1, so that the result is accurate in itself.
    """
    first = words[0]
    near = np.abs(first - 1.0) < 2.0**-9
    above = compress([np.where(near, first - 1.0, first), *words[1:]], 3)
    y = np.where(near, np.log1p(above[0]), np.log(first))
    e = wide_exp(-y, 0.0)
    # Words of exp(-y), less 1 where near; the table's entry there is 1, or close enough to subtract exactly.
    below = compress([np.where(near, e[0] - 1.0, e[0]), *e[1:]], 3)
    zero = np.zeros_like(y)
    addends = [np.where(near, zero, -1.0)]
    addends += [np.where(near, word, zero) for word in (*above, *below)]
    for i, a in enumerate(above):
        for b in below[: 3 - i]:
            addends += two_product(a, b)
    z = compress(addends, 2)
    return [y, z[0], z[1] - 0.5 * z[0] * z[0]]
