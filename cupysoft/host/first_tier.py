"""The first tier of softmax and log_softmax, over blocks: the common way, which has to be quick.

`Plain` serves results of at most 32 bits, `Double` those of 64. Both give results and a mask of the elements whose
rounding they do not vouch for; `settle` decides those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cupysoft.host import double, plain, tiers
from cupysoft.host.exponential import log_words
from cupysoft.host.nearest import between, marked, near_ties
from cupysoft.host.states import anchored
from cupysoft.host.tiers import NOTHING, Read, Total
from cupysoft.host.words import FloatArray, add_words, compress, two_sum

__all__ = ["Double", "FirstTier", "Logs", "Plain", "first_tier"]

Doubts = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Terms = tuple[FloatArray, ...]
Logs = tuple[list[FloatArray], FloatArray]

LOG_ERROR = 2.0**-60
"""Relative error of `log_words`."""

DEEP = -640.0
"""Below it exp's low word may be subnormal, and a share of float64 as well."""


class Plain:
    """One word of float64 for exponentials, shares and logarithms."""

    uses_up = True
    """Whether `terms` uses up the values that it is given."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def terms(self, values: FloatArray, m: FloatArray) -> Terms:
        """Turn (rows, columns) values into what sums and shares are made of."""
        return (plain.exp_word(plain.lowered(values, m[:, None])),)

    def share_sums(self, terms: Terms) -> list[FloatArray]:
        """Sum terms for `shares`."""
        return [plain.steady_sum(terms[0])]

    def share_total(self, parts: list[list[FloatArray]], columns: int, piece: int) -> Total:
        """Add the sums of the pieces of rows."""
        total = plain.steady_sum(np.stack([part[0] for part in parts], axis=1))
        folds = plain.depth(piece) + plain.depth(len(parts))
        return Total([total, np.zeros_like(total)], plain.U * plain.share_slack(columns, folds) * total, columns)

    def shares(self, terms: Terms, total: Total) -> tuple[FloatArray, Doubts]:
        """Divide terms, which are used up, by their rows' totals."""
        values = terms[0]
        values /= total.words[0][:, None]

        def slack(row: Places, found: FloatArray) -> FloatArray:
            # abs(x - m) is -log(share) - log(sum), and the sum is 1 or more.
            own = plain.U * (plain.EXP_ERROR + 1.05 - np.log(found))
            return np.asarray(found * (own + (total.slack / total.words[0])[row]) * (1 + 2.0**-20))

        return values, self._doubts(values, np.fmin.reduce(values, axis=None), slack)

    def rest_sums(self, terms: Terms) -> list[FloatArray]:
        """Sum terms, which are used up, so that what is above 1 keeps its accuracy."""
        return list(plain.sums(terms[0]))

    def rest_total(self, parts: list[list[FloatArray]], columns: int, piece: int) -> Total:
        """Add such sums of the pieces of rows."""
        hi, lo = parts[0]
        for part in parts[1:]:
            hi, lo = add_words(hi, lo, *part)
        slack = plain.rest_slack((hi - 1.0) + lo, columns, plain.depth(piece) + len(parts))
        return Total([hi, lo], slack, columns)

    def logarithm(self, total: Total, read: Read) -> Logs:
        """Give the logarithms of totals, as words, and a bound of their error."""
        hi, lo = log_words(*total.words)
        slack = total.slack / total.words[0] * (1 + 2.0**-20) + LOG_ERROR * np.abs(hi)
        return tiers.settled_logarithm([hi, lo], slack, total, read, np.arange(len(hi)))

    def log_shares(self, values: FloatArray, m: FloatArray, logs: Logs) -> tuple[FloatArray, Doubts]:
        """Turn values into values - m - log(l), in place; x - m and the logarithm have one sign, so nothing cancels."""
        values -= anchored(m)[:, None]
        values -= np.where(np.isfinite(m), logs[0][0], m)[:, None]

        def slack(row: Places, found: FloatArray) -> FloatArray:
            # x - m is rounded by less than abs(result) u, and so are the logarithm to one word and the difference.
            return np.asarray(3.1 * plain.U * np.abs(found) + logs[1][row])

        # The least size is that of a largest element, whose result is the logarithm itself.
        return values, self._doubts(values, np.fmin.reduce(logs[0][0], initial=np.inf), slack)

    def _doubts(
        self, values: FloatArray, least_size: float, slack: Callable[[Places, FloatArray], FloatArray]
    ) -> Doubts:
        """Mark what a quick look doubts, and a look with each element's own slack does as well."""
        doubts = near_ties(values, self.dtype, least_size)
        if doubts.any():
            row, column = marked(doubts)
            found = values[row, column]
            _, good = between(found, np.zeros_like(found), slack(row, found), self.dtype)
            doubts[row[good], column[good]] = False
        return doubts


class Double:
    """Two words of float64 for exponentials, shares and logarithms."""

    uses_up = False

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def terms(self, values: FloatArray, m: FloatArray) -> Terms:
        """Turn (rows, columns) values into what sums and shares are made of."""
        d, d_lo = two_sum(values, -m[:, None])
        lowest = np.fmin.reduce(d, axis=None, initial=0.0)
        deep: Terms = (d.copy(order="K"),) if lowest < DEEP else ()
        if lowest < plain.LOWEST:
            d_lo[d < plain.LOWEST] = 0.0
            np.maximum(d, plain.LOWEST, out=d)
        hi, lo, power = double.exp_pair(d, d_lo)
        power += 1023  # an exponent's bits: LOWEST keeps it above 0
        power <<= 52
        scale = power.view(np.float64)
        hi *= scale
        lo *= scale
        return (hi, lo, *deep)

    def share_sums(self, terms: Terms) -> list[FloatArray]:
        """Sum terms for `shares`."""
        return double.share_sums(*terms[:2])

    def share_total(self, parts: list[list[FloatArray]], columns: int, piece: int) -> Total:
        """Add the sums of the pieces of rows."""
        words = _gathered(parts)
        return Total(words, double.SUM_ERROR * words[0] * (1 + 2.0**-20), columns)

    def shares(self, terms: Terms, total: Total) -> tuple[FloatArray, Doubts]:
        """Divide terms by their rows' totals."""
        inverses = tuple(word[:, None] for word in double.inverse(total.words))
        hi, lo = double.shares(terms[0], terms[1], (inverses[0], inverses[1]))
        lo *= double.STRETCH
        lo += hi
        doubts = lo != hi
        for d in terms[2:]:  # there are some below DEEP
            doubts |= d < DEEP
            nothing = d < NOTHING
            doubts &= ~nothing
            hi *= ~nothing  # NaN stays
        undefined = np.isnan(total.words[0])
        if undefined.any():
            doubts[undefined] = False
        return hi, doubts

    def rest_sums(self, terms: Terms) -> list[FloatArray]:
        """Sum terms so that what is above 1 keeps its accuracy."""
        return double.sums(*terms[:2])

    def rest_total(self, parts: list[list[FloatArray]], columns: int, piece: int) -> Total:
        """Add such sums of the pieces of rows."""
        words = _gathered(parts)
        rest = (words[0] - 1.0) + words[1]
        return Total(words, double.sum_slack(rest * (1 + 2.0**-20), columns), columns)

    def logarithm(self, total: Total, read: Read) -> Logs:
        """Give the logarithms of totals, as words, and a bound of their error."""
        return tiers.logarithm(tiers.DOUBLE, total, read, np.arange(len(total.slack)))

    def log_shares(self, values: FloatArray, m: FloatArray, logs: Logs) -> tuple[FloatArray, Doubts]:
        """Give values - m - log(l) of two words, rounded, by the rule of `nearest.between`."""
        finite = np.isfinite(m)
        log_hi = np.where(finite, logs[0][0], m)[:, None]
        log_lo, slack = (np.where(finite, word, 0.0)[:, None] for word in (logs[0][1], logs[1]))
        d, d_lo = two_sum(values, -anchored(m)[:, None])
        hi, lo = two_sum(d, -log_hi)
        d_lo -= log_lo
        lo += d_lo
        result = hi + lo
        hi -= result
        lo += hi
        # The low word has been rounded a few times, by less than 2^-45 of half a last place.
        lo *= 1 + 2.0**-45
        doubts = result + (lo - slack) != result
        doubts |= result + (lo + slack) != result
        endless = ~np.isfinite(lo)
        if endless.any():
            np.subtract(d, log_hi, out=result, where=endless)
            doubts &= ~endless
        return result, doubts


def _gathered(parts: list[list[FloatArray]]) -> list[FloatArray]:
    """Add words of pieces: words of falling size."""
    words = compress(parts[0], 4)
    for part in parts[1:]:
        words = compress([*words, *part], 4)
    return words


FirstTier: TypeAlias = Plain | Double


def first_tier(dtype: np.dtype[Any]) -> FirstTier:
    """Choose the first tier for results of a type."""
    kind: Callable[[np.dtype[Any]], FirstTier] = Plain if dtype.itemsize < 8 else Double
    return kind(dtype)
