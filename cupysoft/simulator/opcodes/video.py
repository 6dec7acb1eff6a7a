"""Video instructions on two 16-bit or four 8-bit numbers, without masks or selectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ptx import Instruction
from . import opcode, unknown
from .vector import Vector, read, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []

_OPERATIONS = ("vadd", "vsub", "vavrg", "vabsdiff", "vmin", "vmax")


@opcode(*(f"{name}{count}" for name in _OPERATIONS for count in (2, 4)))
def simd(e: Emitter, i: Instruction) -> None:
    """Work on each part; with ``.add`` the sum of all parts is added to the third source."""
    name, count = i.opcode[:-1], int(i.opcode[-1])
    kinds = [modifier for modifier in i.modifiers if modifier in ("u32", "s32")]
    if len(kinds) != 3 or len(i.operands) != 4:
        raise unknown(i)
    bits = 32 // count
    parts = []
    for k in range(count):
        a, b = (
            _part(read(e, operand, "b32"), k * bits, bits, kind == "s32")
            for operand, kind in zip(i.operands[1:3], kinds[1:], strict=True)
        )
        result = _apply(name, a, b)
        if i.has("sat"):
            low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kinds[0] == "s32" else (0, (1 << bits) - 1)
            result = result.call("smax", low).call("smin", high)
        parts.append(result)
    total = read(e, i.operands[3], "b32")
    if i.has("add"):
        for part in parts:
            total = total + part
    else:
        total = total.constant(0)
        for k, part in enumerate(parts):
            total = total | ((part & ((1 << bits) - 1)) << (k * bits))
    write(e, i.operands[0], total, "b32")


def _part(x: Vector, start: int, bits: int, signed: bool) -> Vector:
    up = x << (32 - start - bits)
    return up.ashr(32 - bits) if signed else up.lshr(32 - bits)


def _apply(name: str, a: Vector, b: Vector) -> Vector:
    match name:
        case "vadd":
            return a + b
        case "vsub":
            return a - b
        case "vavrg":  # rounded away from zero
            total = a + b
            return (total + 1 - total.lshr(31)).ashr(1)
        case "vabsdiff":
            return (a - b).call("abs", trailing="i1 false")
        case "vmin":
            return a.call("smin", b)
        case _:
            return a.call("smax", b)
