"""The approximate functions of the PTX manual, each well inside its bound there, or where a seed puts it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..ptx import Instruction, type_of
from . import opcode
from .bounds import in_bound
from .polynomials import COS, EXP2, LOG2, ROUND_32, SIN, TANH, logarithm_parts, quarter_turn
from .vector import Vector, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["exp2", "reciprocal_gross", "tanh"]


def exp2(x: Vector) -> Vector:
    """2^x of float32, subnormal results included."""
    x = select(x.compare("ogt", 130.0), 130.0, select(x.compare("olt", -152.0), -152.0, x))
    shifted = x + ROUND_32
    power = shifted.integer() - 0x4B400000
    r = x - (shifted - ROUND_32)
    result = r.horner((1.0, *EXP2))
    half = power.ashr(1)  # two steps, because 2^power alone may not be a normal number
    return result * _power_of_two(half) * _power_of_two(power - half)


def _power_of_two(exponent: Vector) -> Vector:
    return ((exponent + 127) << 23).real()


def _log2(x: Vector) -> Vector:
    exponent, f = logarithm_parts(x)
    power = exponent.cast("sitofp", "float")
    result = f.horner(LOG2).fma(f, power)
    special = select(x.compare("oeq", 0.0), -math.inf, select(x.compare("olt", 0.0), math.nan, x))
    return select(x.compare("ogt", 0.0) & x.compare("olt", math.inf), result, special)


def _sine(x: Vector, quarter_turns: int) -> Vector:
    """sin(x + quarter_turns pi/2); beyond 2^50 just some number in [-1, 1]."""
    wide, quadrant = quarter_turn(x, quarter_turns)
    r = wide.cast("fptrunc", "float")
    r = select(r.compare("ogt", 1.0), 1.0, select(r.compare("olt", -1.0), -1.0, r))
    square = r * r
    sine = square.horner(SIN).fma(square * r, r).copysign(r)  # copysign keeps sin(-0) = -0
    cosine = square.horner((1.0, *COS))
    value = select((quadrant & 1).compare("eq", 0), sine, cosine).integer()
    return (value ^ ((quadrant & 2) << 30)).real()


def tanh(x: Vector) -> Vector:
    """tanh of float32."""
    magnitude, square = x.abs(), x * x
    small = square.horner(TANH).fma(square * magnitude, magnitude)
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
    if e.drawn:
        result = in_bound(e, result, x)
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
        result = 1.0 / x.call("sqrt")
        if e.drawn and type_ == "f32":
            result = in_bound(e, result, x)
        result = result.flushed(i.has("ftz"))
    write(e, i.operands[0], result, type_)


def reciprocal_gross(x: Vector) -> Vector:
    """``rcp.approx.ftz.f64``: a reciprocal of which only the upper 32 bits are there."""
    return _upper_word((1.0 / _upper_word(x, truncate=True).flushed()).flushed())


def _upper_word(x: Vector, truncate: bool = False) -> Vector:
    bits = x.integer() if truncate else x.integer() + 0x80000000
    return (bits & 0xFFFFFFFF00000000).real()
