"""Approximate results as an adversary gives them: anywhere inside the bound of the PTX manual.

With a seed, an approximate instruction is a function that the seed chooses: the same operands give the same result
throughout, but not that of any GPU. It starts from a value in float64, whose own error is far below the bound, moves it
by a random part of the bound (the whole bound, one time in two), and rounds. What then lies beyond the bound, or would
become zero, infinite or subnormal, is given up for the result that is given without a seed.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from ..context import Slot
from .vector import Vector, select

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["drawn", "gap", "moved", "random_bits"]


def drawn(e: Emitter, plain: Vector, value: Vector, bound: Vector, *operands: Vector, own: float = 2.0**-50) -> Vector:
    """Return a float32 result that the seed chooses.

    Parameters
    ----------
    plain : Vector
        The result without a seed, float32.
    value : Vector
        The true one in float64, nearly.
    bound : Vector
        How far the result may be from it, float64.
    operands : Vector
        Those of the instruction, on which the choice depends.
    own : float
        Relative error of `value`.
    """
    room = bound - value.abs() * own
    result = moved(e, value, room, *operands).cast("fptrunc", "float")
    error = (result.cast("fpext", "double") - value).abs()
    usual = plain.abs().compare("oge", 2.0**-126) & plain.abs().compare("olt", float("inf"))
    normal = result.abs().compare("oge", 2.0**-126) & result.abs().compare("olt", float("inf"))
    return select(usual & normal & error.compare("ole", room), result, plain)


def moved(e: Emitter, value: Vector, bound: Vector, *operands: Vector) -> Vector:
    """Return `value` moved by at most `bound`, both float32 or float64."""
    bits = random_bits(e, *operands)
    part = bits.cast("sitofp", value.type) * 2.0**-31
    whole = part.constant(1.0).copysign(part)
    return select((bits & 1).compare("eq", 0), part, whole).fma(bound, value)


def gap(value: Vector) -> Vector:
    """Return the distance of neighbouring float32 numbers around a float64, which is not subnormal in float32."""
    return (value.integer() & (0x7FF << 52)).real() * 2.0**-23


def random_bits(e: Emitter, *operands: Vector) -> Vector:
    """Return 32 bits that depend on the seed, the opcode and the operands' bits (16 or 32 each)."""
    name = zlib.crc32(e.instruction.opcode.encode())
    seed = e.code.scalar(f"xor i32 {e.hoisted(Slot.VALUES, 'i32')}, {name}")
    bits = Vector(e, "i32", e.splat("i32", seed))
    for operand in operands:
        bits = _mixed(bits ^ operand.integer().to("i32"))
    return bits


def _mixed(x: Vector) -> Vector:
    """Scatter 32 bits: each bit of the argument changes each bit of the result one time in two."""
    x = (x ^ x.lshr(16)) * 0x7FEB352D
    x = (x ^ x.lshr(15)) * 0x846CA68B
    return x ^ x.lshr(16)
