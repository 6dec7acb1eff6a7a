"""Integer arithmetic: sums with carry, products of every width, minima, dot products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ptx import SIZES, Instruction, type_of
from ..usage import CARRY
from . import opcode
from .vector import Vector, halves, joined, read, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []


@opcode("add", "sub", "addc", "subc", kind="integer")
def add_sub(e: Emitter, i: Instruction) -> None:
    """``add``, ``sub`` and their forms with carry, saturation or two 16-bit halves."""
    type_ = type_of(i)
    subtract = i.opcode.startswith("sub")
    a, b = sources(e, i, type_)
    if i.opcode.endswith("c") or i.has("cc"):
        result = _with_carry(e, a, b, subtract, i.opcode.endswith("c"), i.has("cc"))
    elif i.has("sat"):
        result = a.call(f"{type_[0]}{i.opcode}.sat", b)
    elif type_.endswith("x2"):
        pairs = zip(halves(a, "i16"), halves(b, "i16"), strict=True)
        result = joined(*(x - y if subtract else x + y for x, y in pairs))
    else:
        result = a - b if subtract else a + b
    write(e, i.operands[0], result, type_)


def _with_carry(e: Emitter, a: Vector, b: Vector, subtract: bool, take: bool, leave: bool) -> Vector:
    """Add or subtract with the carry taken in, left behind, or both.

    As in the hardware a difference is ``a + ~b + carry``: the carry is set where nothing was
    borrowed. The compiler's 128-bit division relies on that: it reads it with ``addc``.
    """
    if subtract and not take:
        result, carry = a - b, a.compare("uge", b)
    else:
        b = ~b if subtract else b
        result = a + b
        carry = result.compare("ult", a)
        if take:
            step = read(e, CARRY, "pred")
            # The step itself carries only where every bit is set.
            carry = carry | (step & result.compare("eq", -1))
            result = result + step.to(result.type)
    if leave:
        write(e, CARRY, carry, "pred")
    return result


@opcode("mul", "mad", "madc", kind="integer")
def multiply(e: Emitter, i: Instruction) -> None:
    """``mul`` and ``mad``: the low half, the high half or the whole product, plus an addend."""
    type_ = type_of(i)
    signed = type_[0] == "s"
    a, b = (read(e, operand, type_) for operand in i.operands[1:3])
    target = type_
    if i.has("wide"):
        target = f"{type_[0]}{2 * a.bits}"
        wide = f"i{2 * a.bits}"
        result = a.to(wide, signed=signed) * b.to(wide, signed=signed)
    else:
        result = high_product(a, b, signed) if i.has("hi") else a * b
    if i.opcode != "mul":
        c = read(e, i.operands[3], target)
        if i.has("sat"):
            result = result.call("sadd.sat", c)
        elif i.opcode == "madc" or i.has("cc"):
            result = _with_carry(e, result, c, False, i.opcode == "madc", i.has("cc"))
        else:
            result = result + c
    write(e, i.operands[0], result, target)


def high_product(a: Vector, b: Vector, signed: bool) -> Vector:
    """Return the upper half of the product."""
    if a.bits < 64:
        wide = f"i{2 * a.bits}"
        product = a.to(wide, signed=signed) * b.to(wide, signed=signed)
        return product.lshr(a.bits).to(a.type)
    low = 0xFFFFFFFF
    a0, a1, b0, b1 = a & low, a.lshr(32), b & low, b.lshr(32)
    middle = a1 * b0 + (a0 * b0).lshr(32)
    cross = a0 * b1 + (middle & low)
    high = a1 * b1 + middle.lshr(32) + cross.lshr(32)
    if signed:
        high = high - (a.ashr(63) & b) - (b.ashr(63) & a)
    return high


@opcode("mul24", "mad24")
def multiply24(e: Emitter, i: Instruction) -> None:
    """Products of the lower 24 bits: the low 32 bits of 48, or bits 16 to 47."""
    type_ = type_of(i)
    signed = type_[0] == "s"
    a, b = ((read(e, operand, type_) << 8) for operand in i.operands[1:3])
    a, b = (x.ashr(8) if signed else x.lshr(8) for x in (a, b))
    result = a * b
    if i.has("hi"):
        result = (a.to("i64", signed=signed) * b.to("i64", signed=signed)).lshr(16).to("i32")
    if i.opcode == "mad24":
        c = read(e, i.operands[3], type_)
        result = result.call("sadd.sat", c) if i.has("sat") else result + c
    write(e, i.operands[0], result, type_)


@opcode("sad")
def sad(e: Emitter, i: Instruction) -> None:
    """``c + |a - b|``."""
    type_ = type_of(i)
    a, b, c = sources(e, i, type_)
    sign = "s" if type_[0] == "s" else "u"
    write(e, i.operands[0], c + (a.call(f"{sign}max", b) - a.call(f"{sign}min", b)), type_)


@opcode("abs", "neg", kind="integer")
def abs_neg(e: Emitter, i: Instruction) -> None:
    """``abs`` and ``neg``; the smallest integer is its own."""
    type_ = type_of(i)
    (a,) = sources(e, i, type_)
    write(e, i.operands[0], -a if i.opcode == "neg" else a.call("abs", trailing="i1 false"), type_)


@opcode("min", "max", kind="integer")
def min_max(e: Emitter, i: Instruction) -> None:
    """``min`` and ``max`` of two, and in two 16-bit halves; ``.relu`` keeps negatives out."""
    type_ = type_of(i)
    name = f"{'s' if type_[0] == 's' else 'u'}{i.opcode}"

    def pick(x: Vector, y: Vector) -> Vector:
        result = x.call(name, y)
        return result.call("smax", 0) if i.has("relu") else result

    a, b = sources(e, i, type_)
    if type_.endswith("x2"):
        pairs = zip(halves(a, "i16"), halves(b, "i16"), strict=True)
        result = joined(*(pick(x, y) for x, y in pairs))
    else:
        result = pick(a, b)
    write(e, i.operands[0], result, type_)


@opcode("dp4a", "dp2a")
def dot_product(e: Emitter, i: Instruction) -> None:
    """Dot products of four bytes, or of two 16-bit numbers with two bytes, plus an addend."""
    kinds = [modifier for modifier in i.modifiers if modifier in SIZES]
    a_signed, b_signed = (kind[0] == "s" for kind in kinds)
    a, b, total = sources(e, i, "u32")
    size = 8 if i.opcode == "dp4a" else 16
    first = 2 if i.has("hi") else 0
    for k in range(32 // size):
        total = total + _field(a, k * size, size, a_signed) * _field(b, (first + k) * 8, 8, b_signed)
    write(e, i.operands[0], total, "u32")


def _field(vector: Vector, start: int, size: int, signed: bool) -> Vector:
    """Extract bits that start at a fixed place."""
    up = vector << (vector.bits - start - size)
    return up.ashr(vector.bits - size) if signed else up.lshr(vector.bits - size)


@opcode("div", "rem", kind="integer")
def divide(e: Emitter, i: Instruction) -> None:
    """``div`` and ``rem``. By zero: a quotient of all ones and the dividend as remainder."""
    type_ = type_of(i)
    signed = type_[0] == "s"
    a, b = sources(e, i, type_)
    zero = b.compare("eq", 0)
    divisor = select(zero, 1, b)
    if signed:
        minus_a, minus_b = a.compare("slt", 0), divisor.compare("slt", 0)
        magnitude = quotient(a.call("abs", trailing="i1 false"), divisor.call("abs", trailing="i1 false"))
        result = select(minus_a ^ minus_b, -magnitude, magnitude)
    else:
        result = quotient(a, divisor)
    result = select(zero, a, a - result * divisor) if i.opcode == "rem" else select(zero, -1, result)
    write(e, i.operands[0], result, type_)


def quotient(a: Vector, b: Vector) -> Vector:
    """Divide unsigned integers; `b` is not zero.

    Up to 32 bits float64 is exact enough: a quotient that is no integer lies at least
    1/b below the next one, and its rounding error is below 2^-53 a/b < 1/b.
    """
    if a.bits <= 32:
        return (a.cast("uitofp", "double") / b.cast("uitofp", "double")).cast("fptoui", a.type)
    e = a.emitter
    name = e.runtime("divide_u64", _DIVIDE_64.replace("LANES", str(e.W)))
    value = e.map(f"call <W x i64> {name}(<W x i64> {{0}}, <W x i64> {{1}})", a.value, b.value)
    return Vector(e, "i64", value)


_DIVIDE_64 = """define internal <W x i64> @divide_u64(<W x i64> %a, <W x i64> %b) noinline {
entry:
  br label %loop
loop:
  %lane = phi i32 [0, %entry], [%next, %loop]
  %so_far = phi <W x i64> [poison, %entry], [%sofar_next, %loop]
  %x = extractelement <W x i64> %a, i32 %lane
  %y = extractelement <W x i64> %b, i32 %lane
  %q = udiv i64 %x, %y
  %sofar_next = insertelement <W x i64> %so_far, i64 %q, i32 %lane
  %next = add i32 %lane, 1
  %more = icmp ult i32 %next, LANES
  br i1 %more, label %loop, label %done
done:
  ret <W x i64> %sofar_next
}"""
