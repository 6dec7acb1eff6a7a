"""The bounds of the PTX manual for approximate functions of float32, held against their values in float64."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .adversary import drawn, gap
from .polynomials import COS, EXP2, LOG2, ROUND_64, SIN, logarithm_parts, quarter_turn
from .vector import Vector, select

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["in_bound"]

#: The bits of ROUND_64: less by them, the sum of a number and ROUND_64 is the nearest integer.
_ROUND_BITS = 0x4338000000000000


def in_bound(e: Emitter, plain: Vector, *operands: Vector) -> Vector:
    """Return a result that the seed chooses, in place of the `plain` one, of an approximate instruction."""
    opcode, x = e.instruction.opcode, operands[0]
    wide = [operand.cast("fpext", "double") for operand in operands]
    match opcode:
        case "ex2":
            value = _exp2(wide[0])
            result = drawn(e, plain, value, gap(value) * 2.0, x, own=2.0**-28)
        case "lg2":
            value = _log2(x)
            near = x.compare("ogt", 0.5) & x.compare("olt", 2.0)
            bound = select(near, 2.0**-22, value.abs() * 2.0**-22)
            return drawn(e, plain, value, bound, x, own=2.0**-27)
        case "sin" | "cos":
            value = _sine(x, 1 if opcode == "cos" else 0)
            size = wide[0].abs()
            # Less than the bounds by the error of the polynomials.
            bound = select(size.compare("ole", 2 * math.pi), value.constant(2.0**-20.5), 2.0**-14.7) - 2.0**-28
            result = drawn(e, plain, value, bound, x, own=0.0)
            result = select(size.compare("ole", 100 * math.pi), result, plain)  # the manual has no bound beyond
        case "tanh":
            value = plain.cast("fpext", "double")
            result = drawn(e, plain, value, value.abs() * 2.0**-11, x, own=2.0**-20)
            return select(x.abs().compare("olt", float("inf")), result, plain)
        case "rsqrt":
            value = 1.0 / wide[0].call("sqrt")
            return drawn(e, plain, value, value * 2.0**-22.9, x)
        case "sqrt":
            value = wide[0].call("sqrt")
            return drawn(e, plain, value, value * 2.0**-23, x)
        case "rcp":
            value = 1.0 / wide[0]
            return drawn(e, plain, value, gap(value), x)
        case _:
            value = wide[0] / wide[1]
            return drawn(e, plain, value, gap(value) * 2.0, *operands)
    # The manual has these functions' values at zero and subnormal numbers, 0 or 1.
    return select(x.abs().compare("olt", 2.0**-126), plain, result)


def _exp2(x: Vector) -> Vector:
    x = select(x.compare("ogt", 130.0), 130.0, select(x.compare("olt", -152.0), -152.0, x))
    shifted = x + ROUND_64
    power = shifted.integer() - _ROUND_BITS
    r = x - (shifted - ROUND_64)
    return r.horner((1.0, *EXP2)) * ((power + 1023) << 52).real()


def _log2(x: Vector) -> Vector:
    power, f = logarithm_parts(x)
    wide = f.cast("fpext", "double")
    return wide.horner(LOG2).fma(wide, power.cast("sitofp", "double"))


def _sine(x: Vector, quarter_turns: int) -> Vector:
    r, quadrant = quarter_turn(x, quarter_turns)
    square = r * r
    sine = square.horner(SIN).fma(square * r, r)
    value = select((quadrant & 1).compare("eq", 0), sine, square.horner((1.0, *COS)))
    return select((quadrant & 2).compare("eq", 0), value, -value)
