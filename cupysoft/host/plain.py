"""The first tier for results of at most 32 bits: exp in one word, with a bound that is a few roundings of float64.

    exp(d) = 2^k 2^(j/4096) exp(r),    r = d - (4096 k + j) log(2)/4096,    abs(r) <= 2^-13.5

Bounds are counted in u = 2^-53, the relative error of one rounding. Of exp(d), d as it is given:

    2^(j/4096), rounded once                                1 u
    the product with exp(r), rounded once, at the sum       1 u
    Taylor's series cut off behind r^3/6: r^4/24            2^-58.6
    all other roundings, each of something below 2^-13      less than 2^-65 together

which is less than 2.05 u. What d = x - m was rounded by is abs(d) u of exp(d): see `share_slack` and `rest_slack`.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.fixed import exp_table, log2_words
from cupysoft.host.words import BIN_ANCHOR, FloatArray, two_sum

__all__ = [
    "EXP_ERROR",
    "LOWEST",
    "LOWEST_REST",
    "U",
    "depth",
    "exp_word",
    "lowered",
    "powers",
    "rest_slack",
    "share_slack",
    "steady_sum",
    "sums",
]

U = 2.0**-53
"""The relative error of one rounding of float64."""

EXP_ERROR = 2.05
"""Relative error of `exp_word`, in u."""

LOWEST = -700.0
"""Smaller arguments are raised to it, so that 2^k stays an ordinary power: at most 2^-1009 too much for a term."""

LOWEST_REST = 2.0**-950
"""More than what is lost or gained so, for a term, and by the underflow of low words."""

STEPS, STEP_BITS = 4096, 12
# The step's first word has 30 bits: times 4096 k + j, below 2^23, it is exact. The second is below 2^-43.
STEP_HI, STEP_LO = log2_words(STEPS, (30, 53))
PER_STEP = STEPS / float(np.log(2.0))
MAGIC = 1.5 * 2.0**52  # adding it rounds to an integer, which then stands in the low bits


@functools.cache
def powers() -> tuple[FloatArray, FloatArray]:
    """Give 2^(j/4096) as two words."""
    hi, lo = exp_table(STEPS, 2)
    return hi, lo


@functools.cache
def _table() -> npt.NDArray[np.int64]:
    """2^(j/4096), less j at the place where `exp_word` adds 4096 k + j, so that k alone is added to the exponent."""
    return np.asarray(powers()[0].view(np.int64) - (np.arange(STEPS, dtype=np.int64) << (52 - STEP_BITS)))


def exp_word(d: FloatArray) -> FloatArray:
    """Give exp(d) to 2.05 u of itself, for d in [LOWEST, 700]; `d` is used up. NaN gives NaN, and 0 exactly 1."""
    if not d.flags.c_contiguous:  # take gives its results in the order of C
        return exp_word(d.T).T
    places = d * PER_STEP
    places += MAGIC
    steps = places - MAGIC
    product = steps * STEP_HI
    d -= product  # exact: both are multiples of 2^-66 or of d's last place, and their difference is below 2^-13
    steps *= STEP_LO
    d -= steps
    series = np.multiply(d, 1 / 6, out=product)
    series += 0.5
    series *= d
    series *= d
    series += d
    number = places.view(np.int64)
    index = np.bitwise_and(number, STEPS - 1, out=steps.view(np.int64))
    bits = _table().take(index, out=d.view(np.int64), mode="clip")
    number <<= 52 - STEP_BITS
    bits += number
    power = bits.view(np.float64)
    series *= power
    series += power
    return series


def depth(columns: int) -> int:
    """Give the most additions that an element passes through in `steady_sum`."""
    result = 0
    while columns > 15:
        columns //= 4
        result += 4
    return result + (columns - 1).bit_length()


def steady_sum(values: FloatArray) -> FloatArray:
    """Sum the last axis of (rows, columns) so that the error is at most depth(columns) u of the sum of sizes.

    NumPy's own order is not promised. Here quarters are added to one, up to three columns that are left over to its
    first ones, and halves at last.
    """
    while (columns := values.shape[1]) > 15:
        quarter = columns // 4
        folded = values[:, :quarter] + values[:, quarter : 2 * quarter]
        folded += values[:, 2 * quarter : 3 * quarter]
        folded += values[:, 3 * quarter : 4 * quarter]
        folded[:, : columns - 4 * quarter] += values[:, 4 * quarter :]
        values = folded
    while (columns := values.shape[1]) > 1:
        half = columns // 2
        folded = values[:, : columns - half].copy(order="K")
        folded[:, :half] += values[:, columns - half :]
        values = folded
    return values[:, 0]


def sums(terms: FloatArray, scale: FloatArray | float = 1.0) -> tuple[FloatArray, FloatArray]:
    """Sum rows of terms, at most `scale` in size, as two words: those on a grid of 2^-25 scale exactly, and the rest.

    What is left of a term is at most the term and at most 2^-26 scale, so the error is depth(columns) u of the sum of
    the sizes of all terms that do not lie on the grid; terms that are `scale` or 0 do.
    """
    anchor = BIN_ANCHOR * scale
    on_grid = terms + anchor
    on_grid -= anchor
    below = np.subtract(terms, on_grid, out=terms)
    return two_sum(np.add.reduce(on_grid, axis=1), steady_sum(below))


def share_slack(columns: int, folds: int) -> float:
    """Bound the relative error of a sum of exp(x - m), in u, where elements pass through `folds` additions.

    The rounding of x - m makes exp(x - m) off by abs(x - m) u. Weighted by the shares p of the terms in their sum l,
    abs(x - m) = -log(p) - log(l) has a mean of at most the entropy of the shares, which is at most log(columns).
    """
    return EXP_ERROR + float(np.log(columns)) + folds + 0.01


def rest_slack(rest: FloatArray, columns: int, folds: int) -> FloatArray:
    """Bound the error of `sums` of exp(x - m), where rest is the sum less one term of 1: in absolute numbers.

    Terms of exactly 1 have no error. For the others the same mean holds with -log(rest) in the place of -log(l), which
    counts where the rest is small. Terms below exp(LOWEST) are off by at most LOWEST_REST.
    """
    steps = share_slack(columns, folds) - np.minimum(np.log(np.maximum(rest, LOWEST_REST)), 0.0)
    return np.asarray(U * steps * rest * (1 + 2.0**-20) + columns * LOWEST_REST)


def lowered(values: FloatArray, m: Any) -> FloatArray:
    """Turn x into x - m, at least LOWEST, in place."""
    values -= m
    if np.fmin.reduce(values, axis=None, initial=0.0) < LOWEST:  # to look takes less time than to write
        np.maximum(values, LOWEST, out=values)
    return values
