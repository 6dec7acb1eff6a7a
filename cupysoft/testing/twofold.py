"""exp, sums and log in pairs of float64 by the plainest way there is, for the reference: nothing is tuned.

A pair is an unevaluated sum hi + lo with hi its rounding. A product of pairs is off by at most 2^-101 of itself, a sum
of pairs by 2^-103 of the sizes of its terms (Joldes, Muller, Popescu, "Tight and rigorous error bounds for basic
building blocks of double-word arithmetic", ACM TOMS 44 (2), 2017, with room to spare).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from cupysoft.host.words import FloatArray, fast_two_sum, two_product, two_sum

__all__ = ["EXP_ERROR", "Pair", "added", "exponential", "logarithm", "total"]

Pair = tuple[FloatArray, FloatArray]

EXP_ERROR = 2.0**-90
"""Relative error of `exponential`, for arguments from -1000 to 700 whose result is above 2^-960.

Series: 2^-117 is cut off and each of ten steps is off by 2^-101 or less of what is below 2^-9. Each of 8 doublings adds
2^-100 of exp - 1 and at most doubles what there is relative to 1: 2^8 (10 x 2^-110) + 2^8 2^-100 < 2^-91.
"""

TERMS = 10
HALVINGS = 8
# log(2) in four words: the first two have 32 bits, so a multiple of up to 2^11 of them is exact.
_LOG_2_BITS = 0xB17217F7D1CF79ABC9E3B39803F2F6AF40F343267298B62D8A0D175B8BAAFA2BE7B876206DEBAC98559552FB4AFA1B10ED2EAE35
_LOG_2 = Fraction(_LOG_2_BITS, 1 << 416)


def _words(value: Fraction, sizes: tuple[int, ...]) -> tuple[float, ...]:
    words = []
    for size in sizes:
        scale = Fraction(2) ** (size - 1)
        while abs(value) * scale < 2 ** (size - 1) and value:
            scale *= 2
        word = Fraction(round(value * scale)) / scale
        words.append(float(word))
        value -= word
    return tuple(words)


LOG_2 = _words(_LOG_2, (32, 32, 53, 53))
INVERSES = [_words(Fraction(1, n), (53, 53)) for n in range(1, TERMS + 1)]


def times(a: Pair, b: Pair) -> Pair:
    """Multiply pairs."""
    hi, lo = two_product(a[0], b[0])
    return fast_two_sum(hi, lo + (a[0] * b[1] + a[1] * b[0]))


def added(a: Pair, b: Pair) -> Pair:
    """Add pairs."""
    s, e = two_sum(a[0], b[0])
    t, f = two_sum(a[1], b[1])
    s, e = fast_two_sum(s, e + t)
    return fast_two_sum(s, e + f)


def exponential(d: Pair) -> Pair:
    """Give exp(d), from -1000 to 700."""
    k = np.rint(d[0] / LOG_2[0])
    r = two_sum(d[0] - k * LOG_2[0], -(k * LOG_2[1]))  # the first difference is exact: neighbours, on one grid
    r = added(r, (d[1], np.zeros_like(d[1])))
    for word in LOG_2[2:]:
        r = added(r, tuple(-each for each in two_product(k, word)))  # type: ignore[arg-type]
    scale = 2.0**-HALVINGS
    r = r[0] * scale, r[1] * scale
    # expm1 = r (1 + r/2 (1 + r/3 (...))), then expm1(2 r) = expm1(r) (2 + expm1(r)).
    one: Pair = np.ones_like(k), np.zeros_like(k)
    series = one
    for inverse in reversed(INVERSES[1:]):
        series = added(times(times(series, r), _constant(inverse, k)), one)
    result = times(series, r)
    for _ in range(HALVINGS):
        result = times(result, added(result, (2 * one[0], one[1])))
    hi, lo = added(result, one)
    power = k.astype(np.int64)
    return np.ldexp(hi, power), np.ldexp(lo, power)


def _constant(words: tuple[float, ...], like: Any) -> Pair:
    return np.full_like(like, words[0]), np.full_like(like, words[1])


def total(a: Pair) -> Pair:
    """Sum the last axis: halves are added, so the error is 2^-103 of the sizes for each doubling of the length."""
    hi, lo = a
    while (n := hi.shape[-1]) > 1:
        half = n // 2
        front = added((hi[..., :half], lo[..., :half]), (hi[..., half : 2 * half], lo[..., half : 2 * half]))
        hi, lo = (np.concatenate([s, w[..., 2 * half :]], axis=-1) for s, w in zip(front, (hi, lo), strict=True))
    return hi[..., 0], lo[..., 0]


def logarithm(a: Pair) -> Pair:
    """Give log(a), of positive pairs, to 2^-89 in absolute numbers: a guess, mended by log1p(a exp(-guess) - 1)."""
    guess = np.log(a[0])
    nothing = np.zeros_like(guess)
    z = added(times(a, exponential((-guess, nothing))), (np.full_like(guess, -1.0), nothing))
    square = times(z, z)
    return added((guess, nothing), added(z, (-0.5 * square[0], -0.5 * square[1])))
