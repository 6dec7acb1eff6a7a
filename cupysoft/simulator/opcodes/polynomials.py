"""Polynomials for the approximate functions, and the reductions of their arguments.

They are of our own: near-minimax by the Remez exchange in extended precision, with the weight
that the bound asks for; the remark beside each gives its error in exact arithmetic.
"""

from __future__ import annotations

import math

from .vector import Vector, select

__all__ = ["COS", "EXP2", "LOG2", "ROUND_32", "ROUND_64", "SIN", "TANH", "logarithm_parts", "quarter_turn"]

# (2^r - 1) / r on [-1/2, 1/2]; relative error of 2^r: 2^-28.9.
EXP2 = (0.6931472028550452, 0.24022647913632073, 0.05550332471159397, 0.00961843735744351,
         0.0013398874403537124, 0.00015353361945071787)  # fmt: skip
# log2(1 + f) / f on [sqrt(1/2) - 1, sqrt(2) - 1]; relative error 2^-27.9.
LOG2 = (1.4426950408299362, -0.7213473515005806, 0.4808982410576184, -0.3606966494115299, 0.28856740839006095,
         -0.23961740352375355, 0.20460061957207315, -0.1910627548074596, 0.1861749623471177,
         -0.10994955189451588)  # fmt: skip
# (sin(r) / r - 1) / r^2 and (cos(r) - 1) / r^2 in r^2, |r| <= pi/4; absolute errors 2^-28.8 and 2^-33.8.
SIN = (-0.16666648660255753, 0.008331867650443475, -0.00019481791549479105)
COS = (-0.4999999967808774, 0.04166661787948041, -0.0013886589580660517, 2.4373973428897088e-05)
# (tanh(x) / x - 1) / x^2 in x^2, |x| <= 0.55; relative error 2^-24.8.
TANH = (-0.3333295749900286, 0.13320941943928297, -0.05268414631646027, 0.016458763470528798)

#: Adding it to a small float32 (float64) leaves the nearest integer in the low bits.
ROUND_32 = 1.5 * 2.0**23
ROUND_64 = 1.5 * 2.0**52

#: pi/2 in two words of float64.
_HALF_PI = (math.pi / 2, 6.123233995736766e-17)


def logarithm_parts(x: Vector) -> tuple[Vector, Vector]:
    """Return k and f with ``x = 2^k (1 + f)``, f from sqrt(1/2) - 1 to sqrt(2) - 1."""
    tiny = x.compare("olt", 2.0**-126)
    bits = select(tiny, x * 2.0**24, x).integer()
    exponent = (bits - 0x3F3504F3).ashr(23)  # the bits of sqrt(1/2)
    f = (bits - (exponent << 23)).real() - 1.0
    return exponent - select(tiny, exponent.constant(24), 0), f


def quarter_turn(x: Vector, quarter_turns: int) -> tuple[Vector, Vector]:
    """Reduce ``x + quarter_turns pi/2`` in float64: what is left of it, at most pi/4, and the quadrant."""
    wide = x.cast("fpext", "double")
    shifted = wide.fma(2 / math.pi, ROUND_64)
    turns = -(shifted - ROUND_64)
    r = turns.fma(_HALF_PI[1], turns.fma(_HALF_PI[0], wide))
    return r, shifted.integer().to("i32") + quarter_turns
