"""Bits: fields, masks, permutations of bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..literals import integer
from ..ptx import Immediate, Instruction, type_of
from . import opcode
from .vector import Vector, read, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []


@opcode("bfe")
def extract_field(e: Emitter, i: Instruction) -> None:
    """``bfe``: a field of bits, with its sign where the type has one."""
    type_ = type_of(i)
    a = read(e, i.operands[1], type_)
    start, length = ((read(e, operand, "u32") & 0xFF) for operand in i.operands[2:4])
    if type_[0] == "s":
        moved = a.ashr(start.call("umin", a.bits - 1).to(a.type))
        spare = (a.bits - length.call("umin", a.bits)).to(a.type)
        result = select(length.compare("eq", 0), 0, (moved << spare).ashr(spare))
    else:
        moved = select(start.compare("ult", a.bits), a.lshr(start.to(a.type)), 0)
        result = moved & _ones(length, a.type)
    write(e, i.operands[0], result, type_)


def _ones(length: Vector, type_: str) -> Vector:
    """Return so many ones from bit 0 up; more than the width are all."""
    all_ones = length.constant(-1, type_)
    return select(length.compare("ult", all_ones.bits), ~(all_ones << length.to(type_)), -1)


@opcode("bfi")
def insert_field(e: Emitter, i: Instruction) -> None:
    """``bfi``: put the low bits of the first source into the second."""
    type_ = type_of(i)
    a, b = (read(e, operand, type_) for operand in i.operands[1:3])
    start, length = ((read(e, operand, "u32") & 0xFF) for operand in i.operands[3:5])
    places = start.to(a.type)
    inside = start.compare("ult", a.bits)
    mask = select(inside, _ones(length, a.type) << places, 0)
    result = (b & ~mask) | (select(inside, a << places, 0) & mask)
    write(e, i.operands[0], result, type_)


@opcode("szext")
def extend(e: Emitter, i: Instruction) -> None:
    """Extend the low bits of a number by zeros or their sign."""
    type_ = type_of(i)
    a, size = sources(e, i, type_)
    size = size & 31 if i.has("wrap") else size.call("umin", 32)
    spare = 32 - size
    up = a << spare
    result = select(size.compare("eq", 0), 0, up.ashr(spare) if type_[0] == "s" else up.lshr(spare))
    write(e, i.operands[0], result, type_)


@opcode("bmsk")
def bit_mask(e: Emitter, i: Instruction) -> None:
    """Ones from a place on, so many."""
    start, size = sources(e, i, "b32")
    if i.has("wrap"):
        start, size = start & 31, size & 31
    ones = _ones(size, "i32")
    result = select(start.compare("ult", 32), ones << start, 0)
    write(e, i.operands[0], result, "b32")


#: Selectors of the special modes of ``prmt``, by the low two bits of the third source.
_PERMUTATIONS = {
    "f4e": (0x3210, 0x4321, 0x5432, 0x6543),
    "b4e": (0x5670, 0x6701, 0x7012, 0x0123),
    "rc8": (0x0000, 0x1111, 0x2222, 0x3333),
    "ecl": (0x3210, 0x3211, 0x3222, 0x3333),
    "ecr": (0x0000, 0x1110, 0x2210, 0x3210),
    "rc16": (0x1010, 0x3232, 0x1010, 0x3232),
}


@opcode("prmt")
def permute(e: Emitter, i: Instruction) -> None:
    """``prmt``: four bytes out of eight, or their signs."""
    low, high, selector = sources(e, i, "b32")
    mode = next((modifier for modifier in i.modifiers if modifier in _PERMUTATIONS), None)
    operand = i.operands[3]
    if mode is None and isinstance(operand, Immediate):
        write(e, i.operands[0], _fixed_permutation(low, high, integer(operand.text)), "b32")
        return
    if mode is not None:
        table = sum(entry << 16 * k for k, entry in enumerate(_PERMUTATIONS[mode]))
        places = ((selector & 3) << 4).to("i64")
        selector = selector.constant(table, "i64").lshr(places).to("i32")
    wide = low.to("i64") | (high.to("i64") << 32)
    result = low.constant(0)
    for k in range(4):
        choice = selector.lshr(4 * k)
        byte = wide.lshr(((choice & 7) << 3).to("i64")).to("i8")
        byte = select((choice & 8).compare("ne", 0), byte.ashr(7), byte)
        result = result | (byte.to("i32") << (8 * k))
    write(e, i.operands[0], result, "b32")


def _fixed_permutation(low: Vector, high: Vector, selector: int) -> Vector:
    """Permute by a known selector: neighbouring bytes that stay neighbours move together."""
    result = low.constant(0)
    k = 0
    while k < 4:
        choice = selector >> 4 * k & 15
        source = (low, high)[choice >> 2 & 1]
        start, count = choice & 3, 1
        while not choice & 8 and k + count < 4 and start + count < 4:
            if selector >> 4 * (k + count) & 15 != choice + count:
                break
            count += 1
        size = 8 * count
        up = source << (32 - 8 * start - size)
        field = up.lshr(32 - size) if not choice & 8 else up.ashr(31).lshr(32 - size)
        result = result | (field << (8 * k)) if k else field
        k += count
    return result
