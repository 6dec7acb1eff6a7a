"""The approximate functions of the PTX manual, each well inside its bound there.

Polynomials are of our own: near-minimax by the Remez exchange in extended precision, with
the weight that the bound asks for; the remark beside each gives its error in exact arithmetic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..ptx import Instruction, type_of
from . import opcode
from .vector import Vector, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["exp2", "reciprocal_gross", "tanh"]

# (2^r - 1) / r on [-1/2, 1/2]; relative error of 2^r: 2^-28.9.
_EXP2 = (0.6931472028550452, 0.24022647913632073, 0.05550332471159397, 0.00961843735744351,
         0.0013398874403537124, 0.00015353361945071787)  # fmt: skip
# log2(1 + f) / f on [sqrt(1/2) - 1, sqrt(2) - 1]; relative error 2^-27.9.
_LOG2 = (1.4426950408299362, -0.7213473515005806, 0.4808982410576184, -0.3606966494115299, 0.28856740839006095,
         -0.23961740352375355, 0.20460061957207315, -0.1910627548074596, 0.1861749623471177,
         -0.10994955189451588)  # fmt: skip
# (sin(r) / r - 1) / r^2 and (cos(r) - 1) / r^2 in r^2, |r| <= pi/4; absolute errors 2^-28.8 and 2^-33.8.
_SIN = (-0.16666648660255753, 0.008331867650443475, -0.00019481791549479105)
_COS = (-0.4999999967808774, 0.04166661787948041, -0.0013886589580660517, 2.4373973428897088e-05)
# (tanh(x) / x - 1) / x^2 in x^2, |x| <= 0.55; relative error 2^-24.8.
_TANH = (-0.3333295749900286, 0.13320941943928297, -0.05268414631646027, 0.016458763470528798)

#: Adding it to a small float32 (float64) leaves the nearest integer in the low bits.
_ROUND_32 = 1.5 * 2.0**23
_ROUND_64 = 1.5 * 2.0**52

#: pi/2 in two words of float64.
_HALF_PI = (math.pi / 2, 6.123233995736766e-17)


def exp2(x: Vector) -> Vector:
    """2^x of float32, subnormal results included."""
    x = select(x.compare("ogt", 130.0), 130.0, select(x.compare("olt", -152.0), -152.0, x))
    shifted = x + _ROUND_32
    power = shifted.integer() - 0x4B400000
    r = x - (shifted - _ROUND_32)
    result = r.horner((1.0, *_EXP2))
    half = power.ashr(1)  # two steps, because 2^power alone may not be a normal number
    return result * _power_of_two(half) * _power_of_two(power - half)


def _power_of_two(exponent: Vector) -> Vector:
    return ((exponent + 127) << 23).real()


def _log2(x: Vector) -> Vector:
    tiny = x.compare("olt", 2.0**-126)
    bits = select(tiny, x * 2.0**24, x).integer()
    exponent = (bits - 0x3F3504F3).ashr(23)  # the bits of sqrt(1/2): the rest is in [sqrt(1/2), sqrt(2))
    f = (bits - (exponent << 23)).real() - 1.0
    power = (exponent - select(tiny, exponent.constant(24), 0)).cast("sitofp", "float")
    result = f.horner(_LOG2).fma(f, power)
    special = select(x.compare("oeq", 0.0), -math.inf, select(x.compare("olt", 0.0), math.nan, x))
    return select(x.compare("ogt", 0.0) & x.compare("olt", math.inf), result, special)


def _sine(x: Vector, quarter_turns: int) -> Vector:
    """sin(x + quarter_turns pi/2), reduced in float64; beyond 2^50 just some number in [-1, 1]."""
    wide = x.cast("fpext", "double")
    shifted = wide.fma(2 / math.pi, _ROUND_64)
    turns = -(shifted - _ROUND_64)
    r = turns.fma(_HALF_PI[1], turns.fma(_HALF_PI[0], wide)).cast("fptrunc", "float")
    r = select(r.compare("ogt", 1.0), 1.0, select(r.compare("olt", -1.0), -1.0, r))
    quadrant = shifted.integer().to("i32") + quarter_turns
    square = r * r
    sine = square.horner(_SIN).fma(square * r, r).copysign(r)  # copysign keeps sin(-0) = -0
    cosine = square.horner((1.0, *_COS))
    value = select((quadrant & 1).compare("eq", 0), sine, cosine).integer()
    return (value ^ ((quadrant & 2) << 30)).real()


def tanh(x: Vector) -> Vector:
    """tanh of float32."""
    magnitude, square = x.abs(), x * x
    small = square.horner(_TANH).fma(square * magnitude, magnitude)
    large = 1.0 - 2.0 / (exp2(magnitude * (2 / math.log(2))) + 1.0)
    return select(magnitude.compare("olt", 0.55), small, large).copysign(x)


@opcode("ex2", "lg2", "sin", "cos", "tanh", kind="float")
def approximate(e: Emitter, i: Instruction) -> None:
    """The transcendental functions of float32."""
    (x,) = sources(e, i, "f32")
    x = x.flushed(i.has("ftz"))
    match i.opcode:
        case "ex2":
            result = exp2(x)
        case "lg2":
            result = _log2(x)
        case "tanh":
            result = tanh(x)
        case _:
            result = _sine(x, 1 if i.opcode == "cos" else 0)
    write(e, i.operands[0], result.flushed(i.has("ftz")), "f32")


@opcode("rsqrt")
def reciprocal_root(e: Emitter, i: Instruction) -> None:
    """``rsqrt``: two rounded operations, 2^-23 at most."""
    type_ = type_of(i)
    (x,) = sources(e, i, type_)
    if type_ == "f64" and i.has("ftz"):
        result = _upper_word(1.0 / _upper_word(x, truncate=True).flushed().call("sqrt"))
    else:
        x = x.flushed(i.has("ftz"))
        result = (1.0 / x.call("sqrt")).flushed(i.has("ftz"))
    write(e, i.operands[0], result, type_)


def reciprocal_gross(x: Vector) -> Vector:
    """``rcp.approx.ftz.f64``: a reciprocal of which only the upper 32 bits are there."""
    return _upper_word((1.0 / _upper_word(x, truncate=True).flushed()).flushed())


def _upper_word(x: Vector, truncate: bool = False) -> Vector:
    bits = x.integer() if truncate else x.integer() + 0x80000000
    return (bits & 0xFFFFFFFF00000000).real()
