"""log of sums in two words, with an error near 2^-78.

Away from 1: y is a first guess at log(l), whatever np.log gives, and what it lacks is found from exp:

    log(l) = y + log1p(z),    z = l exp(-y) - 1

z is computed to EXP_ERROR, so the guess decides nothing but how small z is, and that is looked at. Near 1 log1p's own
series serves, in two words as far as its third term, so that the logarithm is accurate in itself however small it is.
"""

from __future__ import annotations

import numpy as np

from cupysoft.host.double import EXP_ERROR, exp_pair
from cupysoft.host.words import FloatArray, compress, fast_two_sum, two_product

__all__ = ["log_pair"]

FAR_ERROR = EXP_ERROR + 2.0**-100
NEAR = 2.0**-14
NEAR_ERROR = 2.0**-79
GUESS = 2.0**-40
"""A guess that is farther off is none: z^3/3 is left out, and is below 2^-121."""


def log_pair(words: list[FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the logarithm of positive sums of words as two words, and a bound of its error."""
    first = words[0]
    for word in words[1:]:
        first = first + word
    near = np.abs(first - 1.0) < NEAR
    hi, lo = _far(words, np.where(near, 2.0, first))
    wrong = ~(np.abs(lo) < GUESS)
    error = np.where(wrong, np.inf, FAR_ERROR)
    hi, lo = fast_two_sum(hi, np.where(wrong, 0.0, lo))
    if near.any():
        close_hi, close_lo = _close([word[near] for word in words])
        hi[near], lo[near], error[near] = close_hi, close_lo, NEAR_ERROR * np.abs(close_hi)
    return hi, lo, error


def _far(words: list[FloatArray], guess: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give y and log1p(z)."""
    y = np.log(guess)
    e, e_lo, power = exp_pair(-y, 0.0)
    hi, lo = (np.ldexp(word, power) for word in compress(words, 2))
    product, error = two_product(hi, e)
    z = (product - 1.0) + (error + (hi * e_lo + lo * e))
    return y, z - 0.5 * z * z


def _close(words: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Give log1p(s), s the sum of words less 1, below 2^-14 in size.

    s - s^2/2 has two words; s^3/3 and beyond is below 2^-29 s, so a few roundings of it are below 2^-80 s. The series
    is cut off before s^8/8.
    """
    s, s_lo, rest = compress([words[0], np.full_like(words[0], -1.0), *words[1:]], 3)
    s_lo = s_lo + rest
    square, square_lo = two_product(s, s)
    square_lo += 2 * s * s_lo
    tail = np.full_like(s, 1 / 7)
    for coefficient in (-1 / 6, 1 / 5, -1 / 4, 1 / 3):
        tail *= s
        tail += coefficient
    tail *= square
    tail *= s
    hi, error = fast_two_sum(s, -0.5 * square)
    return fast_two_sum(hi, error + (tail + (s_lo - 0.5 * square_lo)))
