"""The rounding test of Ziv: does all that a value may be round to one number of the result's type?

A value is a sum of float64 words, known up to a slack. Its two ends are rounded exactly, from words to bits, and where
they agree that is the correctly rounded value. Before that, a cheap look at the bits of one word tells which elements
of a block can lie near a tie at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host.rounding import store
from cupysoft.host.words import FloatArray, two_sum

__all__ = ["MARGIN", "Format", "between", "decided", "format_of", "just_below", "marked", "near_ties", "nearest"]

BoolArray = npt.NDArray[np.bool_]

MARGIN = 1024
"""Units in the last place of a float64 by which `near_ties` may be off: 2^-42 relative, several times any bound."""


class Format(NamedTuple):
    """Significant bits of a type, and the exponent of its smallest subnormal number."""

    bits: int
    least: int

    @property
    def smallest_normal(self) -> float:
        """The least number that has all its bits."""
        return float(np.ldexp(1.0, self.least + self.bits - 1))


_FORMATS = {
    "float16": Format(11, -24),
    "bfloat16": Format(8, -133),
    "float32": Format(24, -149),
    "float64": Format(53, -1074),
}


def format_of(dtype: np.dtype[Any]) -> Format:
    """Give the format of a floating type."""
    return _FORMATS[dtype.name]


def near_ties(values: FloatArray, dtype: np.dtype[Any], least_size: float) -> BoolArray:
    """Mark the values that lie within MARGIN of a point half way between two numbers of a type of at most 32 bits.

    None of them is smaller than `least_size`.

    Among numbers that have all their bits, that is a matter of the bits that the type has not: are they near 1000...0?
    Subnormal numbers are whole multiples of the smallest one, and adding a large number tells what they are above that.
    """
    bits, least = format_of(dtype)
    dropped = 53 - bits
    rest = values.view(np.int64) + (MARGIN - (1 << (dropped - 1)))
    rest &= (1 << dropped) - 1
    near = np.asarray(rest < 2 * MARGIN)
    smallest = format_of(dtype).smallest_normal
    if least_size < smallest:
        size = np.abs(values, out=rest.view(np.float64))
        np.minimum(size, smallest, out=size)
        anchor = 1.5 * 2.0 ** (52 + least)
        grid = size + anchor
        grid -= anchor
        size -= grid
        np.abs(size, out=size)
        near |= size >= 2.0 ** (least - 1) - MARGIN * 2.0**-52 * smallest
    return near


def marked(mask: BoolArray) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Give the rows and columns that are marked; NumPy's own nonzero is slow unless there is one axis."""
    if mask.flags.c_contiguous:
        return np.divmod(np.flatnonzero(mask), mask.shape[1])
    column, row = np.divmod(np.flatnonzero(mask.T), mask.shape[0])
    return row, column


def just_below(values: FloatArray, dtype: np.dtype[Any]) -> tuple[FloatArray, BoolArray]:
    """Round to a type of at most 32 bits what lies below each value, by less than the step to the next float64.

    That goes as the rounding of the next float64, unless that one is a tie: then it is left undecided.
    """
    bits = format_of(dtype).bits
    next_below = np.nextafter(values, -np.inf)
    rest = next_below.view(np.int64) & ((1 << (53 - bits)) - 1)
    good = (rest != 1 << (52 - bits)) & (np.abs(next_below) > format_of(dtype).smallest_normal)
    return _stored(next_below, dtype), good


def between(hi: FloatArray, lo: FloatArray, slack: FloatArray, dtype: np.dtype[Any]) -> tuple[FloatArray, BoolArray]:
    """Round hi + lo, known up to `slack`, to `dtype`: the value, and whether it is decided; quickly, for whole rows.

    The ends are pushed outwards by more than their own rounding, so they enclose the true value. Rounding is monotone:
    where it takes both ends to one number, it takes the true value there.
    """
    slack = slack + 2.0**-51 * (np.abs(lo) + slack)
    if dtype.itemsize < 8:  # then the ends are rounded twice, first to float64
        slack += 2.0**-51 * (np.abs(hi) + np.abs(lo))
    low, high = _stored(hi + (lo - slack), dtype), _stored(hi + (lo + slack), dtype)
    return np.where(hi < 0, low, high), (low == high) & np.isfinite(hi)


def decided(
    words: list[FloatArray], slack: FloatArray, dtype: np.dtype[Any], power: Any = None
) -> tuple[FloatArray, BoolArray]:
    """Round the exact sum of finite `words`, known up to `slack`, times 2^power; tell where that is decided.

    Where that is zero it has the sign of the end that lies below.
    """
    known = np.isfinite(slack)
    slack = np.where(known, slack, 0.0)
    low, high = (nearest([*words, end], dtype, power) for end in (-slack, slack))
    return low, (low == high) & known


def nearest(words: list[FloatArray], dtype: np.dtype[Any], power: Any = None) -> FloatArray:
    """Round the exact sum of finite `words`, times 2^power, once to `dtype`: nearest, ties to even, subnormals kept."""
    hi, lo = _two(words)
    power = np.zeros(hi.shape, np.int64) if power is None else power
    if dtype.itemsize < 8:
        # Rounded to odd, the value keeps beside 53 bits the news that there is more, so it can be rounded again.
        return _stored(np.ldexp(_odd(*two_sum(hi, lo)), power), dtype)
    result: FloatArray = np.ldexp(hi + lo, power)
    # A subnormal result has its last place at 2^-1074, which seen from the words is 2^(-1074 - power). Added to 2^52 of
    # those, the words are rounded to that place; those below 2^-1200 are nothing, and 1074 + 1200 fits an exponent.
    anchor = np.ldexp(1.0, -1022 - np.maximum(power, -1200))
    below = np.flatnonzero((np.abs(hi) <= anchor) & (hi != 0) & (power >= -1200))
    if below.size:
        sign, top = np.sign(hi[below]), anchor[below]
        grid, rest = two_sum(top, np.abs(hi[below]))
        rounded = (grid + _odd(*two_sum(rest, sign * lo[below]))) - top
        result[below] = np.copysign(np.ldexp(rounded, power[below]), sign)
    return result


def _stored(values: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Round float64 values to `dtype`, and give them as float64 again."""
    if dtype.itemsize == 8:
        return values
    out = np.empty(values.shape, dtype)
    store(values, out)
    return out.astype(np.float64)


def _two(words: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Give (h, t): h is the sum rounded, up to a tie, and h + t lies where the sum does beside any shorter number.

    Sweeps of exact additions run until no word overlaps the next. Then all behind the second can only break its tie.
    """
    words = [np.array(np.broadcast_to(word, np.shape(words[0])), np.float64) for word in words]
    moving = True
    while moving:
        moving = False
        for i in range(len(words) - 1, 0, -1):
            hi, lo = two_sum(words[i - 1], words[i])
            moving |= not np.array_equal(hi, words[i - 1])
            words[i - 1], words[i] = hi, lo
    tail = words[-1]
    for word in words[-2:0:-1]:
        tail = _odd(word, tail)
    return words[0], tail


def _odd(hi: FloatArray, lo: FloatArray) -> FloatArray:
    """Round hi + lo to odd, for abs(lo) up to an ulp of hi: cut off, with the last bit set where something was."""
    bits = hi.view(np.int64).copy()
    step = np.where(np.signbit(hi) == np.signbit(lo), 1, -1)
    bits += np.where((lo != 0) & (bits & 1 == 0) & (hi != 0), step, 0)
    return np.asarray(bits.view(np.float64))
