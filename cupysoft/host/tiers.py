"""The wider tiers as values: how each takes exp, sums and logarithms of chosen rows, and how far each may be off.

What a tier leaves undecided goes to the next: `DOUBLE` (2^-76), `WIDE` (2^-113), and then Python integers of rising
size (`exact`). The first tier of float64 is `DOUBLE` too, written out in `softmax` for speed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host import double, wide
from cupysoft.host.double_log import log_pair
from cupysoft.host.exponential import scale_by_power
from cupysoft.host.plain import LOWEST, LOWEST_REST
from cupysoft.host.words import FloatArray, compress, two_sum

__all__ = [
    "DOUBLE",
    "NOTHING",
    "TIERS",
    "WIDE",
    "Read",
    "Tier",
    "Total",
    "logarithm",
    "settled_logarithm",
    "total",
    "wider",
]

NOTHING = -800.0
"""exp of anything smaller, over any sum of at least 1, rounds to 0 in every type."""

Read = Callable[[npt.NDArray[np.intp]], Iterator[FloatArray]]
"""Gives chosen rows as (rows, columns) float64 arrays, piece after piece."""


class Total(NamedTuple):
    """Sums of exp(x - m) of rows, words whose sum it is, and a bound of their error in absolute numbers."""

    words: list[FloatArray]
    slack: FloatArray
    columns: int

    def at(self, rows: npt.NDArray[np.intp]) -> Total:
        """Give the totals of chosen rows."""
        return Total([word[rows] for word in self.words], self.slack[rows], self.columns)


class Tier(NamedTuple):
    """One width of arithmetic.

    Attributes
    ----------
    exp : callable
        (d, d_lo) -> (words, k): exp(d + d_lo) is 2^k times the sum of the words, to `exp_error` of itself.
    sums : callable
        Words of (rows, columns) terms, a power of two for each row above them -> words of the sums, to `sum_error` of
        the sizes of all terms that are not that power or 0, and `sum_floor` of the power.
    log : callable
        Words -> words of the logarithm, and a bound of its error.
    """

    name: str
    exp: Callable[[FloatArray, FloatArray], tuple[list[FloatArray], Any]]
    sums: Callable[[list[FloatArray], FloatArray], list[FloatArray]]
    log: Callable[[list[FloatArray]], tuple[list[FloatArray], FloatArray]]
    exp_error: float
    sum_error: float
    sum_floor: float


def _double_exp(d: FloatArray, d_lo: FloatArray) -> tuple[list[FloatArray], Any]:
    hi, lo, power = double.exp_pair(d, d_lo)
    return [hi, lo], power


def _double_log(words: list[FloatArray]) -> tuple[list[FloatArray], FloatArray]:
    hi, lo, error = log_pair(words)
    return [hi, lo], error


def _double_sums(words: list[FloatArray], scale: FloatArray) -> list[FloatArray]:
    hi, *low = words
    return double.sums(hi, functools.reduce(np.add, low), scale)


def _wide_log(words: list[FloatArray]) -> tuple[list[FloatArray], FloatArray]:
    log = wide.wide_log(words)
    # Near 1 the logarithm is accurate in itself, but for what the words lack.
    return log, wide.WIDE_ERROR * np.minimum(1.0, np.abs(log[0]) * 2.0**12)


DOUBLE = Tier(
    "double",
    _double_exp,
    _double_sums,
    _double_log,
    double.EXP_ERROR,
    double.SUM_ERROR,
    0.0,
)
WIDE = Tier("wide", wide.wide_exp_parts, wide.wide_sums, _wide_log, wide.WIDE_ERROR, 1.1 * wide.WIDE_ERROR, 2.0**-119)
TIERS: tuple[Tier, ...] = (DOUBLE, WIDE)


def wider(dtype: np.dtype[Any]) -> tuple[Tier, ...]:
    """Give the tiers behind the first: float64's first is `DOUBLE`."""
    return TIERS[1:] if dtype.itemsize == 8 else TIERS


def total(tier: Tier, read: Read, rows: npt.NDArray[np.intp], m: FloatArray) -> Total:
    """Sum exp(x - m) over chosen rows, whose largest elements are `m`."""
    words: list[FloatArray] = []
    columns = 0
    for x in read(rows):
        columns += x.shape[1]
        d, d_lo = two_sum(x, -m[:, None])
        d_lo[d < LOWEST] = 0.0
        terms, power = tier.exp(np.maximum(d, LOWEST, out=d), d_lo)
        words += tier.sums([scale_by_power(term, power) for term in terms], np.ones((len(x), 1)))
        words = compress(words, 4)
    first = words[0] - 1.0 + words[1]
    return Total(words, tier.sum_error * np.abs(first) + tier.sum_floor + columns * LOWEST_REST, columns)


def logarithm(tier: Tier, given: Total, read: Read, rows: npt.NDArray[np.intp]) -> tuple[list[FloatArray], FloatArray]:
    """Give the logarithms of totals that are at least 1, as words, and a bound of their error.

    Where hardly more than the largest element counts, rows without another finite one have the logarithm 0, and of
    the others it is known only that the logarithm is above 0 and how small it must be.
    """
    words, error = tier.log(given.words)
    return settled_logarithm(words, error + given.slack / given.words[0] * (1 + 2.0**-20), given, read, rows)


def settled_logarithm(
    words: list[FloatArray], slack: FloatArray, given: Total, read: Read, rows: npt.NDArray[np.intp]
) -> tuple[list[FloatArray], FloatArray]:
    """Replace logarithms of totals that may be nothing but 1."""
    bound = 4 * given.columns * LOWEST_REST
    lonely = np.flatnonzero((given.words[0] == 1.0) & (given.words[1] < bound))
    if lonely.size:
        words, slack = [word.copy() for word in words], slack.copy()
        one = sum(np.count_nonzero(np.isfinite(x), axis=1) for x in read(rows[lonely])) == 1
        for word in words:
            word[lonely] = 0.0
        words[0][lonely] = np.where(one, 0.0, bound)
        slack[lonely] = words[0][lonely] * (1 - 2.0**-40)
    return words, slack
