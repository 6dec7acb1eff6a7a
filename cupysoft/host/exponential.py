"""exp and log to two words, the same on every machine.

np.exp is good to half an ulp on some machines and to four on others, and gives one word. Here

    exp(d) = 2^k 2^(j/256) (1 + q),    q = expm1(r),    r = d - (256 k + j) log(2)/256,    abs(r) <= log(2)/512,

with 2^(j/256) from a table of two words. q is below 2^-9.5, so the rounding errors of its polynomial, whose
coefficients are Taylor's, stay below 2^-61 of the result (measured: 2^-60.8). log goes the other way: a table at
1 + j/256 and the series of log1p (measured: 2^-61.9).
Table entries and constants are computed here with integers, exactly rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cupysoft.host.fixed import exp_table, log2_words, log_table
from cupysoft.host.words import FloatArray, add_words, fast_two_sum, two_product

__all__ = ["LOWEST", "exp_parts", "exp_words", "log_words", "scale_by_power"]

STEPS = 256
LOWEST = -800.0  # exp of anything smaller is 0 in float64, and 2^k still fits two steps of scaling
EXP_HI, EXP_LO = exp_table(STEPS, 2)
LOG_HI, LOG_LO = log_table(STEPS, 2)
# The step's first word has 31 bits: times k (below 2^19) it is exact.
STEP_HI, STEP_LO = log2_words(STEPS, (31, 53))
PER_STEP = STEPS / float(np.log(2.0))
MAGIC = 1.5 * 2.0**52  # adding it rounds to an integer, which then stands in the low bits
TWO_HI, TWO_LO = log2_words(1, (40, 53))


def exp_parts(d: FloatArray, d_lo: FloatArray | float) -> tuple[FloatArray, FloatArray, Any]:
    """Give (f, g, k) with exp(d + d_lo) = 2^k (f + g) to 2^-61; f in [1, 2), abs(g) < 2^-9, k integers.

    `d` lies in [LOWEST, 800]; NaN gives NaN in g.
    """
    t = d * PER_STEP
    t += MAGIC
    steps = t - MAGIC
    r = d - steps * STEP_HI
    r -= steps * STEP_LO
    r += d_lo
    q = r * (1 / 120)
    for coefficient in (1 / 24, 1 / 6, 1 / 2):
        q += coefficient
        q *= r
    q *= r
    q += r
    number = t.view(np.int64) - np.float64(MAGIC).view(np.int64)
    index = number & (STEPS - 1)
    number >>= 8
    f = EXP_HI.take(index)
    q *= f
    q += EXP_LO.take(index)
    return f, q, number


def scale_by_power(values: FloatArray, k: Any) -> FloatArray:
    """Multiply `values` in place by 2^k, k in [-1200, 1200], rounding at most once."""
    lowest, highest = (k.min(), k.max()) if k.size else (0, 0)
    if lowest >= -1000 and highest <= 1000:
        values *= _power(k)
        return values
    first = np.clip(k, -1000, 1000)
    values *= _power(first)
    values *= _power(k - first)
    return values


def _power(k: Any) -> FloatArray:
    bits = k + 1023
    bits <<= 52
    return np.asarray(bits.view(np.float64))


def exp_words(d: FloatArray, d_lo: FloatArray | float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Give exp(d + d_lo) as two words, to 2^-61 of itself where it is a normal number; `d` in [LOWEST, 709]."""
    f, g, k = exp_parts(d, d_lo)
    hi, lo = fast_two_sum(f, g)
    return scale_by_power(hi, k), scale_by_power(lo, k)


def log_words(hi: FloatArray, lo: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give log(hi + lo) as two words, to 2^-60 of itself; for hi >= 0, and lo below an ulp of hi.

    Relative accuracy near 1 holds because there the table gives exactly 0 and the series starts with hi - 1 + lo, in
    two words good to 2^-112: u, at most 2^-9. What follows, u^2/2 and beyond, is rounded four times, by 2^-72 each, and
    cut off before u^8/8: less than 2^-60.9 of u. At other entries u is at most 2^-8.5, and the same four are below
    2^-69.3, which is 2^-60.3 of a logarithm of at least 2^-9.
    """
    fraction, exponent = np.frexp(hi)
    # A fraction below 3/4 goes with twice itself, so that 1 - tiny and 1 + tiny meet the same table entry.
    low_half = fraction < 0.75
    fraction = np.where(low_half, fraction * 2, fraction)
    exponent = exponent - low_half
    low = np.ldexp(lo, -exponent)
    index = np.rint(fraction * STEPS)
    knot = index / STEPS
    place = np.where(np.isfinite(index), index - STEPS * 0.75, 0).astype(np.int64)
    difference = fraction - knot
    u = (difference + low) / knot
    product, error = two_product(u, knot)
    u_lo = (((difference - product) - error) + low) / knot
    tail = u * (1 / 7)
    for coefficient in (-1 / 6, 1 / 5, -1 / 4, 1 / 3, -1 / 2):
        tail += coefficient
        tail *= u
    tail *= u
    tail += u_lo
    tail -= u * u_lo
    small_hi, small_lo = fast_two_sum(u, tail)
    big_hi, big_lo = fast_two_sum(exponent * TWO_HI, LOG_HI.take(place))
    y_hi, y_lo = add_words(big_hi, big_lo + (exponent * TWO_LO + LOG_LO.take(place)), small_hi, small_lo)
    ordinary = np.isfinite(y_hi)
    return np.where(ordinary, y_hi, np.log(hi)), np.where(ordinary, y_lo, 0.0)
