"""What is made of a state: logarithms and shares, each with the news whether its rounding is decided.

The digits of a sum leave out less than one unit, 2^-180 of the place of exp(m), for each element, and EXP_ERROR. So
the true sum lies in an interval, and a result is decided where both ends round to the same number. Most are settled in
words of float64; what is left goes in integers, for whose results only the interval counts.

An undecided result is that of the sum as the digits have it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host import exact, fixed, tiers
from cupysoft.host.nearest import between
from cupysoft.host.settle import quotient, tier_shares
from cupysoft.host.sliced import SlicedState, whole_number
from cupysoft.host.slices import BITS, HUGE, SLICES, place_of, terms
from cupysoft.host.tiers import Total
from cupysoft.host.words import FloatArray, compress

__all__ = ["logarithms", "shares", "sums_in_words"]

BoolArray = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

UNIT = BITS * (SLICES - 1)
"""A sum is a number of 2^-UNIT, seen from its place."""

FRACTION = BITS * SLICES
"""Bits behind the point of a term."""

WIDE = 400
"""Bits behind the point of a logarithm in integers."""

TERM_ERROR = 64
"""What a term may miss, in units of its own 2^-210: EXP_ERROR; and one unit the other way where x is below 0."""

WORDS_ERROR = 2.0**-140
"""More than three words miss of a quotient of two whole numbers."""

_LOG2 = fixed.log2_words(1, (26, 26, 26, 53))
_LARGEST_POWER = 1 << 26


class _Sum(NamedTuple):
    """The sum of a row: `digits` units, and the ends of what it may truly be; a unit is 2^power, times exp(base)."""

    digits: int
    low: int
    high: int
    power: int
    base: float


class _Term(NamedTuple):
    """An exponential seen from the place of a sum, and how many elements that has, if it is that of the largest.

    It is 2^(power - FRACTION) digits.
    """

    digits: int
    power: int
    maxima: int


def sums_in_words(state: SlicedState) -> Total:
    """Give the sums of rows over exp(m), in three words; NaN where there is none."""
    m, sums = state
    finite = np.isfinite(m)
    anchor = np.where(finite, m, 0.0)
    term = terms(anchor)
    # exp(m) as the same kind of number: limbs of its fraction from the first on, each less than 2^30.
    parts = [np.ldexp(limb.astype(np.float64), -BITS * (i + 1)) for i, limb in enumerate(term.fraction[::-1])]
    own = compress([np.ones(len(m)), *parts], 3)
    words = quotient(_words(sums), [np.ldexp(word, term.k) for word in own])
    words = [np.where(finite, word, np.nan) for word in words]
    slack = sums[0] * np.ldexp(1.0, -UNIT - term.k) + WORDS_ERROR * words[0]
    return Total(words, slack, 0)


def _words(sums: npt.NDArray[np.uint64]) -> list[FloatArray]:
    """Give the sums of rows in four words, seen from their places."""
    halves = []
    for i, digits in enumerate(sums[1:]):
        for half, power in ((digits >> np.uint64(32), 32), (digits & np.uint64(0xFFFFFFFF), 0)):
            halves.append(np.ldexp(half.astype(np.float64), power - BITS * i))
    return compress(halves, 4)


def logarithms(state: SlicedState, dtype: np.dtype[Any]) -> tuple[FloatArray, BoolArray]:
    """Give the logarithms of the sums of rows, rounded to a type, and which of them are undecided."""
    m, sums = state
    ordinary = np.isfinite(m)
    result, good = m.copy(), ~ordinary | (sums[0] == 1)
    place = place_of(m)
    quick = np.flatnonzero(~good & (np.abs(m) < HUGE) & (np.abs(place) < _LARGEST_POWER // BITS - 8))
    if quick.size:
        result[quick], good[quick] = _quick_logarithms(sums[:, quick], place[quick], dtype)
    for i in np.flatnonzero(~good):
        result[i], good[i] = _logarithm(_sum(state, place, int(i)), dtype)
    return result, ~good


def _quick_logarithms(
    sums: npt.NDArray[np.uint64], place: npt.NDArray[np.int64], dtype: np.dtype[Any]
) -> tuple[FloatArray, BoolArray]:
    """The sum is 2^power f with 1 <= f < 2: power log(2) + log(f) in two words."""
    words = _words(sums)
    power = np.frexp(words[0])[1] - 1
    f = [np.ldexp(word, -power) for word in words]
    slack = sums[0] * np.ldexp(1.0, -UNIT - power) * (1 + 2.0**-20) + WORDS_ERROR
    logs, error = tiers.DOUBLE.log(compress(f, 3))
    whole = (power + BITS * place).astype(np.float64)
    hi, lo, rest = compress([*(word * whole for word in _LOG2), *logs], 3)
    slack += error + np.abs(rest) + np.abs(whole) * 2.0**-120
    return between(hi, lo, slack, dtype)


def _sum(state: SlicedState, place: npt.NDArray[np.int64], row: int) -> _Sum:
    """Give the sum of a row that has one. Of a huge number it is the count, at a place beyond all others."""
    m, count = float(state.m[row]), int(state.sums[0, row])
    digits = whole_number(state.sums, row)
    low, high = digits - (digits >> 230) - 1, digits + count + (digits >> 202) + 1
    huge = abs(m) >= HUGE
    return _Sum(digits, low, high, (0 if huge else BITS * int(place[row])) - UNIT, m if huge else 0.0)


def _logarithm(total: _Sum, dtype: np.dtype[Any]) -> tuple[float, bool]:
    """Give the logarithm of a sum, rounded, and whether it is decided."""
    length = total.digits.bit_length() - 1
    power = total.power + length
    value = (int(total.base) << WIDE) + power * fixed.log2(WIDE)
    # The sum may be a power of two, and its logarithm exactly nothing.
    if total.digits != 1 << length:
        value += fixed.log(total.digits << WIDE >> length, WIDE)
    margin = abs(power) + 64 if value else 0
    below = ((total.digits - total.low) << WIDE) // total.low + margin
    above = ((total.high - total.digits) << WIDE) // total.digits + 1 + margin
    low, middle, high = (exact.rounded(value + step, -WIDE, dtype) for step in (-below, 0, above))
    return middle, low == high


def shares(state: SlicedState, x: FloatArray, rows: Places, dtype: np.dtype[Any]) -> tuple[FloatArray, BoolArray]:
    """Give exp(x) over the sums of their rows for single elements, finite or -inf and not above the largest."""
    result = np.zeros(len(x))
    m = state.m[rows]
    left = np.flatnonzero(np.isfinite(x))
    of_rows, at = np.unique(rows, return_inverse=True)
    total = sums_in_words(SlicedState(state.m[of_rows], state.sums[:, of_rows]))
    for tier in tiers.TIERS:
        if left.size:
            result[left], good = tier_shares(tier, x[left], m[left], total.at(at[left]), dtype)
            left = left[~good]
    undecided = np.zeros(len(x), np.bool_)
    undecided[left] = True
    # A huge number and another one have no common grid; their quotient stays as it is.
    left = left[(np.maximum(np.abs(x[left]), np.abs(m[left])) < HUGE) | (x[left] == m[left])]
    place, term = place_of(state.m), terms(x[left])
    for i, j in enumerate(left):
        digits = (1 << FRACTION) + sum(limb << (BITS * k) for k, limb in enumerate(term.fraction[:, i].tolist()))
        row = int(rows[j])
        above = 0 if abs(x[j]) >= HUGE else BITS * (int(term.place[i]) - int(place[row]))
        one = _Term(digits, above + int(term.k[i]), int(state.sums[0, row]) if x[j] == m[j] else 0)
        result[j], good_one = _share(one, _sum(state, place, row), dtype)
        undecided[j] = not good_one
    return result, undecided


def _share(term: _Term, total: _Sum, dtype: np.dtype[Any]) -> tuple[float, bool]:
    """Give the quotient of an exponential and a sum, rounded, and whether it is decided."""
    up = 640
    if term.maxima and total.digits == term.maxima * (term.digits << term.power >> BITS):
        # As far as digits go all elements are equal: the share is one over a whole number, or less by next to
        # nothing. Of such numbers only 2^-25 is a tie, in float16, and that goes down either way.
        whole, rest = divmod(1 << up, term.maxima)
        return exact.rounded(whole << 1 | bool(rest), -up - 1, dtype), True
    power = term.power - FRACTION + UNIT - up
    whole, rest = divmod(term.digits << up, total.digits)
    low = ((term.digits - 1) << up) // total.high
    high = ((term.digits + TERM_ERROR) << up) // total.low + 1
    ends = exact.rounded(low, power, dtype), exact.rounded(high, power, dtype)
    return exact.rounded(whole << 1 | bool(rest), power - 1, dtype), ends[0] == ends[1]
