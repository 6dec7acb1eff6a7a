"""cos and sin to two words, by the same way as exp: a table over the circle and short series for the rest."""

from __future__ import annotations

import functools

import numpy as np

from cupysoft.host.exponential import MAGIC
from cupysoft.host.fixed import pi, sin_table, to_words
from cupysoft.host.words import FloatArray, fast_two_sum, two_sum

__all__ = ["WIDEST_ANGLE", "cos_sin_words"]

WIDEST_ANGLE = 2.0**20
"""Above it the reduction would lose digits."""

STEPS = 2048
QUARTER = STEPS // 4
# 2 pi / STEPS: the first words have 24 bits, so that their products with up to 2^29 steps are exact.
STEP = to_words((2 * pi(320)) // STEPS, 320, (24, 24, 53))
PER_STEP = STEPS / (2 * float(np.pi))

_Pair = tuple[FloatArray, FloatArray]


@functools.cache
def _sines() -> _Pair:
    """Give the table, in two words; only complex numbers need it, and it takes longer than to import all the rest."""
    hi, lo = sin_table(STEPS, 2)
    return hi, lo


def cos_sin_words(angle: FloatArray) -> tuple[_Pair, _Pair]:
    """Give cos and sin of angles up to WIDEST_ANGLE in size, each as two words good to 2^-61."""
    steps = angle * PER_STEP + MAGIC
    number = steps.view(np.int64) - np.float64(MAGIC).view(np.int64)
    steps -= MAGIC
    r, r_lo = two_sum(angle - steps * STEP[0], -(steps * STEP[1]))
    r, r_lo = fast_two_sum(r, r_lo - steps * STEP[2])
    square = r * r
    sine = r + (r * square * (square * (1 / 120) - 1 / 6) + r_lo)
    cosine_less_1 = square * (square * (1 / 24 - square * (1 / 720)) - 0.5)
    # Wrapping the index by the mask serves negative steps too.
    s, s_lo = (table.take(number & (STEPS - 1)) for table in _sines())
    c, c_lo = (table.take((number + QUARTER) & (STEPS - 1)) for table in _sines())
    return (
        two_sum(c, c_lo + (c * cosine_less_1 - s * sine)),
        two_sum(s, s_lo + (s * cosine_less_1 + c * sine)),
    )
