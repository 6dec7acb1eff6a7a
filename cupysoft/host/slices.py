"""exp(x) of any float64 as digits on one grid for all numbers, in integers: what a state adds up.

    exp(x) = 2^(30 place) (digits[0] . digits[1] digits[2] ... digits[6]),    0 <= digits[k] < 2^30

The digits follow from x alone: what lies below the last is cut off, so every digit has its place on the grid, whatever
else is summed. They are those of a number that misses exp(x) by less than EXP_ERROR of itself.

    y = x log2(e), cut off after 210 bits          M c, a product of whole numbers, brought to its place
    y = 30 place + k + v                           0 <= k < 30, 0 <= v < 1
    2^v = T_i T_j 2^t                              i and j the first six bits of v, and the next six; t < 2^-12
    2^t = 1 + t (c_1 + t (c_2 + ...))              c_n = log(2)^n / n!, thirteen of them

Numbers are limbs of 30 bits, the least first, rows of an array of uint64. Products leave out the limbs below the last
but one. Kernels do the same in kernels/numerics/slices.cuh, to the same bits.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host import fixed
from cupysoft.host.words import FloatArray

__all__ = ["BITS", "EXP_ERROR", "HUGE", "SLICES", "Places", "Tables", "Term", "gap_of", "place_of", "tables", "terms"]

Places = npt.NDArray[np.int64]
Limbs = npt.NDArray[np.uint64]

BITS = 30
"""Bits of a slice, which are those of a limb."""

SLICES = 7
"""Slices that a state keeps, and limbs of a fraction."""

HUGE = 2.0**61
"""From here on two numbers that differ do so by 256 or more, so beside one exponential the other is nothing."""

FAR = 1 << 60
"""The place of huge numbers, and minus that of hugely negative ones: beyond all others."""

EXP_ERROR = 2.0**-204
"""Forty units of 2^-210: 12 of T_i T_j, twice the 8 of t times the series, 8 of the last product, 3 of v."""

_ONE = np.uint64(1)
_BITS = np.uint64(BITS)
_MASK = np.uint64((1 << BITS) - 1)
_FRACTION = BITS * SLICES
_LOG2_E_LIMBS = 10
# How many limbs each step of the series takes, for c_12, c_11, ... c_1: what is multiplied by t^n needs 12 n bits less.
_WIDTHS = (3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7)


class Tables(NamedTuple):
    """Constants as limbs: log2(e) with 300 bits behind the point, 2^(i/64) - 1, 2^(i/4096) - 1, and the series."""

    log2_e: list[int]
    coarse: list[list[int]]
    fine: list[list[int]]
    series: list[list[int]]


class Term(NamedTuple):
    """exp(x): place, and digits with the first one first; k, and 2^v - 1 in limbs."""

    place: Places
    digits: Limbs
    k: Places
    fraction: Limbs


@functools.cache
def tables() -> Tables:
    """Compute the constants, each cut off."""
    wide = 400
    log2 = fixed.log2(wide)
    log2_e = (1 << (BITS * _LOG2_E_LIMBS + wide)) // log2
    series, factor = [], 1 << wide
    for n in range(1, len(_WIDTHS) + 2):
        factor = factor * log2 // (n << wide)
        series.append(_limbs(factor >> (wide - _FRACTION)))
    return Tables(_limbs(log2_e, _LOG2_E_LIMBS + 1), _powers(6, wide), _powers(12, wide), series)


def _powers(halvings: int, wide: int) -> list[list[int]]:
    """2^(i / 2^halvings) - 1 for i below 64."""
    root = 2 << wide
    for _ in range(halvings):
        root = math.isqrt(root << wide)
    power, powers = 1 << wide, []
    for _ in range(64):
        powers.append(_limbs((power >> (wide - _FRACTION)) - (1 << _FRACTION)))
        power = power * root >> wide
    return powers


def _limbs(number: int, count: int = SLICES) -> list[int]:
    return [number >> (BITS * i) & int(_MASK) for i in range(count)]


@functools.cache
def _arrays() -> tuple[Limbs, Limbs, Limbs, Limbs]:
    """The same as arrays: limbs by rows."""
    log2_e, coarse, fine, series = (np.array(table, np.uint64) for table in tables())
    return log2_e, np.ascontiguousarray(coarse.T), np.ascontiguousarray(fine.T), series


def terms(x: FloatArray) -> Term:
    """Give exp(x) for finite `x` of one axis; huge numbers as 1, at their place beyond all others."""
    place, k, v = _reduced(x)
    fraction = _power(v)
    # Up by k bits: of the fraction's limbs the first goes in part above the point.
    k_bits = k.astype(np.uint64)
    above = np.empty((SLICES + 1, len(x)), np.uint64)
    above[0] = _ONE
    above[1:] = fraction[::-1]
    digits = above[:-1] << k_bits
    digits |= above[1:] >> (_BITS - k_bits)
    digits &= _MASK
    huge = np.abs(x) >= HUGE
    if huge.any():
        fraction[:, huge] = 0
        digits[:, huge] = 0
        digits[0, huge] = 1
    return Term(place, digits, k, fraction)


def place_of(m: FloatArray) -> Places:
    """Give the place of exp(m); that of -inf, inf and NaN is of no use."""
    finite = np.where(np.isfinite(m), m, 0.0).reshape(-1)
    return _reduced(finite)[0].reshape(np.shape(m))


def gap_of(upper: FloatArray, lower: FloatArray, upper_place: Places, lower_place: Places) -> Places:
    """Give by how many slices the one lies above the other, at most SLICES; huge numbers that differ, by that."""
    gap = np.minimum(upper_place - lower_place, SLICES)
    # Where numbers are infinite or NaN, no slice is kept either.
    apart = (np.maximum(np.abs(upper), np.abs(lower)) < HUGE) | (upper == lower)
    return np.where(apart, gap, SLICES)


def _reduced(x: FloatArray) -> tuple[Places, Places, Limbs]:
    """Give place, k and the limbs of v."""
    bits = x.view(np.int64) & 0x7FFFFFFFFFFFFFFF
    field = np.maximum(bits >> 52, 1)
    huge = field >= 1023 + 61
    mantissa = (bits & 0xFFFFFFFFFFFFF) | np.where(bits >> 52 > 0, 1 << 52, 0)
    # y = mantissa 2^(field - 1075) log2(e) in units of 2^-210; the product is in those of 2^-300, times that power.
    down = BITS * _LOG2_E_LIMBS - _FRACTION + 1075 - np.where(huge, 1023, field)
    y = _shifted(_times_log2_e(mantissa.astype(np.uint64)), down, SLICES + 3)
    whole = (y[SLICES] | y[SLICES + 1] << _BITS | y[SLICES + 2] << (_BITS + _BITS)).view(np.int64)
    v = y[:SLICES]
    # Below 0: the complement, less than what is cut off away from 1 - v.
    negative = x < 0
    v ^= np.where(negative, _MASK, np.uint64(0))
    whole = np.where(negative, ~whole, whole)
    place = whole // BITS
    k = whole - BITS * place
    place = np.where(huge, np.where(negative, -FAR, FAR), place)
    return place, np.where(huge, 0, k), v


def _times_log2_e(mantissa: Limbs) -> Limbs:
    """Give the product, exactly: limbs up to 2^354, and zeros above."""
    log2_e = _arrays()[0]
    low, high = mantissa & _MASK, mantissa >> _BITS
    product = np.zeros((4 * SLICES, len(mantissa)), np.uint64)
    column = np.zeros_like(mantissa)
    for i in range(_LOG2_E_LIMBS + 2):
        if i <= _LOG2_E_LIMBS:
            column += low * log2_e[i]
        if i > 0:
            column += high * log2_e[i - 1]
        product[i] = column & _MASK
        column >>= _BITS
    product[_LOG2_E_LIMBS + 2] = column
    return product


def _shifted(limbs: Limbs, down: Places, count: int) -> Limbs:
    """Give so many limbs of a number brought down by bits."""
    limbs_down = np.minimum(down // BITS, 13)
    rest = (down % BITS).astype(np.uint64)
    size = limbs.shape[1]
    flat = limbs.reshape(-1)
    at = limbs_down * size + np.arange(size)
    taken = np.empty((count + 1, size), np.uint64)
    for i in range(count + 1):
        np.take(flat, at, out=taken[i])
        at += size
    result: Limbs = taken[:-1] >> rest
    result |= taken[1:] << (_BITS - rest)
    result &= _MASK
    return result


def _power(v: Limbs) -> Limbs:
    """Give 2^v - 1 for a fraction."""
    _, coarse, fine, series = _arrays()
    top = v[-1]
    a = coarse[:, (top >> np.uint64(24)).astype(np.intp)]
    b = fine[:, (top >> np.uint64(18) & np.uint64(63)).astype(np.intp)]
    t = v.copy()
    t[-1] &= np.uint64((1 << 18) - 1)
    product = _multiplied(a, b, a + b)
    p = np.broadcast_to(series[-1][-_WIDTHS[0] :, None], (_WIDTHS[0], v.shape[1]))
    for width, coefficient in zip(_WIDTHS, series[-2::-1], strict=True):
        if width > len(p):
            p = np.concatenate([np.zeros((width - len(p), v.shape[1]), np.uint64), p])
        p = _multiplied(p, t[-width:], coefficient[-width:])
    z = _multiplied(t, p)
    return _multiplied(product, z, product + z)


def _multiplied(a: Limbs, b: Limbs, addend: Limbs | None = None) -> Limbs:
    """Give a b, less up to a unit for each limb and one more, plus sums of limbs; all of it a fraction."""
    width = len(a)
    backwards = b[::-1]
    product = np.empty_like(a)
    column = np.add.reduce(a * backwards, axis=0)
    for i in range(width):
        column >>= _BITS
        if i + 1 < width:
            # The limbs of a from i + 1 on, and those of b that go with them.
            column += np.add.reduce(a[i + 1 :] * backwards[: width - 1 - i], axis=0)
        if addend is not None:
            column += addend[i]
        np.bitwise_and(column, _MASK, out=product[i])
    return product
