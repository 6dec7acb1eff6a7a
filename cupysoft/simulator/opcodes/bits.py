"""Bits: logic, shifts, counting."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from ..literals import integer
from ..ptx import Immediate, Instruction, Operand, Pair, type_of
from . import opcode
from .vector import Vector, read, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []


@opcode("and", "or", "xor")
def logic(e: Emitter, i: Instruction) -> None:
    """Bitwise logic of integers and predicates."""
    type_ = type_of(i)
    a, b = sources(e, i, type_)
    write(e, i.operands[0], a.binary(i.opcode, b), type_)


@opcode("not", "cnot")
def negation(e: Emitter, i: Instruction) -> None:
    """Bitwise ``not``, and C's logical one."""
    type_ = type_of(i)
    (a,) = sources(e, i, type_)
    write(e, i.operands[0], ~a if i.opcode == "not" else a.compare("eq", 0).to(a.type), type_)


@opcode("lop3")
def logic3(e: Emitter, i: Instruction) -> None:
    """Any function of three bits, given by its table; optionally a predicate ``d != 0``."""
    predicated = i.modifiers[0] in ("and", "or")
    a, b, c = (read(e, operand, "b32") for operand in i.operands[1:4])
    result = _truth_table(number(i.operands[4]), (a, b, c))
    d = i.operands[0]
    if predicated and isinstance(d, Pair):
        flag = result.compare("ne", 0).binary(i.modifiers[0], read(e, i.operands[5], "pred"))
        write(e, d.second, flag, "pred")
        d = d.first
    write(e, d, result, "b32")


def _truth_table(table: int, inputs: tuple[Vector, ...]) -> Vector:
    """Write a truth table as a sum (xor) of products of the inputs; the first is the highest bit."""
    count = len(inputs)
    coefficients = [table >> index & 1 for index in range(1 << count)]
    for bit in range(count):  # the Moebius transform gives the products' coefficients
        for index in range(1 << count):
            if index >> bit & 1:
                coefficients[index] ^= coefficients[index ^ 1 << bit]
    terms = []
    for index in range(1, 1 << count):
        if coefficients[index]:
            factors = [vector for bit, vector in enumerate(reversed(inputs)) if index >> bit & 1]
            terms.append(reduce(lambda x, y: x & y, factors))
    start = inputs[0].constant(-coefficients[0])
    if not terms:
        return start
    total = reduce(lambda x, y: x ^ y, terms)
    return ~total if coefficients[0] else total


def number(operand: Operand) -> int:
    """Return the value of an operand that must be a literal."""
    if not isinstance(operand, Immediate):
        raise TypeError(f"{operand} is not a literal")
    return integer(operand.text)


@opcode("shl", "shr")
def shift(e: Emitter, i: Instruction) -> None:
    """Shifts; an amount of the width or more shifts everything out."""
    type_ = type_of(i)
    a = read(e, i.operands[1], type_)
    signed = i.opcode == "shr" and type_[0] == "s"
    amount = read(e, i.operands[2], "u32")
    if signed:
        result = a.ashr(amount.call("umin", a.bits - 1).to(a.type))
    else:
        name = "shl" if i.opcode == "shl" else "lshr"
        operand = i.operands[2]
        if isinstance(operand, Immediate):
            places = integer(operand.text) & 0xFFFFFFFF
            result = a.binary(name, places) if places < a.bits else a.constant(0)
        else:
            result = select(amount.compare("ult", a.bits), a.binary(name, amount.to(a.type)), 0)
    write(e, i.operands[0], result, type_)


@opcode("shf")
def funnel_shift(e: Emitter, i: Instruction) -> None:
    """``shf``: 32 bits out of 64, the second source above the first."""
    low, high, amount = sources(e, i, "b32")
    left = i.has("l")
    if i.has("wrap"):
        result = high.call("fshl" if left else "fshr", low, amount)
    else:
        wide = low.to("i64") | (high.to("i64") << 32)
        places = amount.call("umin", 32).to("i64")
        result = ((wide << places).lshr(32) if left else wide.lshr(places)).to("i32")
    write(e, i.operands[0], result, "b32")


@opcode("popc", "clz", "brev")
def count(e: Emitter, i: Instruction) -> None:
    """Count the bits that are set, or the zeros above them; turn the bits around."""
    type_ = type_of(i)
    (a,) = sources(e, i, type_)
    if i.opcode == "brev":
        write(e, i.operands[0], a.call("bitreverse"), type_)
        return
    result = a.call("ctpop") if i.opcode == "popc" else a.call("ctlz", trailing="i1 false")
    write(e, i.operands[0], result.to("i32"), "u32")


@opcode("bfind")
def find_highest(e: Emitter, i: Instruction) -> None:
    """Place of the highest bit that is not the sign, all ones where there is none."""
    type_ = type_of(i)
    (a,) = sources(e, i, type_)
    if type_[0] == "s":
        a = a ^ a.ashr(a.bits - 1)
    zeros = a.call("ctlz", trailing="i1 false")
    found = zeros if i.has("shiftamt") else (a.bits - 1) - zeros
    write(e, i.operands[0], select(a.compare("eq", 0), -1, found).to("i32"), "u32")


@opcode("fns")
def find_nth(e: Emitter, i: Instruction) -> None:
    """Place of the n-th bit that is set, counted from a place upwards or downwards."""
    mask, base, offset = (read(e, operand, "b32") for operand in i.operands[1:4])
    down = offset.compare("slt", 0)
    mask = select(down, mask.call("bitreverse"), mask)
    start = select(down, 31 - base, base) & 31
    rest = mask & (mask.constant(-1) << start)
    skip = offset.call("abs", trailing="i1 false") - 1
    for step in range(31):
        rest = select(skip.compare("sgt", step), rest & (rest - 1), rest)
    place = rest.call("cttz", trailing="i1 false")
    place = select(down, 31 - place, place)
    here = offset.compare("eq", 0)
    found = rest.compare("ne", 0) & (~here | place.compare("eq", base))
    write(e, i.operands[0], select(found, place, -1), "b32")
