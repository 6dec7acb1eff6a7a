"""``redux.sync``: reductions over the lanes of a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..code import LANES
from ..lanes import load_buffer, store_buffer
from ..ptx import Instruction, type_of
from . import opcode, unknown
from .vector import Vector, read, select

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []

_REDUCTIONS = {
    "add": ("add", 0),
    "and": ("and", -1),
    "or": ("or", 0),
    "xor": ("xor", 0),
    "umin": ("umin", 0xFFFFFFFF),
    "umax": ("umax", 0),
    "smin": ("smin", 0x7FFFFFFF),
    "smax": ("smax", 0x80000000),
}


@opcode("redux")
def reduce_lanes(e: Emitter, instruction: Instruction) -> None:
    """Reduce integers, or find the least or greatest float."""
    e.checks.warp_sync(e)
    type_ = type_of(instruction)
    operation = next(each for each in instruction.modifiers if each in ("add", "min", "max", "and", "or", "xor"))
    source = read(e, instruction.operands[1], type_)
    if type_ == "f32" and operation in ("min", "max"):
        result = _float(_reduced(e, instruction, _order(source, instruction, operation), "s" + operation))
    elif type_ in ("u32", "s32", "b32"):
        result = _reduced(e, instruction, source, (type_[0] if operation in ("min", "max") else "") + operation)
    else:
        raise unknown(instruction)
    e.write(instruction.operands[0], result.value, "b32")


def _reduced(e: Emitter, instruction: Instruction, source: Vector, operation: str) -> Vector:
    """Reduce ``i32`` over the lanes that each lane's mask names."""
    name, neutral = _REDUCTIONS[operation]
    values = store_buffer(e, "values.i32", source.value, "i32")
    masks = store_buffer(e, "choice", e.read(instruction.operands[2], "b32"), "i32")
    result = e.buffer("chosen", 4 * LANES)
    helper = e.runtime(*_reduction(e, name, neutral))
    e.code.effect(f"call void {helper}(ptr {values}, ptr {masks}, i32 {e.active_name}, ptr {result})")
    return Vector(e, "i32", load_buffer(e, "chosen", "i32"))


def _order(x: Vector, instruction: Instruction, operation: str) -> Vector:
    """Return integers in the order of floats; a NaN loses, or wins where the instruction says ``.NaN``."""
    if instruction.has("abs"):
        x = x.abs()
    bits = x.integer()
    key = bits ^ (bits.ashr(31) & 0x7FFFFFFF)
    highest = (operation == "max") == instruction.has("NaN")
    return select(x.compare("uno", x), 0x7FFFFFFF if highest else 0x80000000, key)


def _float(key: Vector) -> Vector:
    """Turn such an integer back into the bits of its float; both ends are NaN."""
    bits = key ^ (key.ashr(31) & 0x7FFFFFFF)
    return select((bits & 0x7FFFFFFF).compare("ugt", 0x7F800000), 0x7FFFFFFF, bits)


def _reduction(e: Emitter, name: str, neutral: int) -> tuple[str, str]:
    """Write a helper that reduces, for one active lane after the other that has no result yet, over its mask."""
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    vector = f"<{LANES} x i32>"
    e.module.declare(f"declare i32 @llvm.vector.reduce.{name}.v{LANES}i32({vector})")
    helper = f"redux.{name}"
    return (
        helper,
        f"""define internal void @{helper}(ptr noalias %values, ptr noalias %masks, i32 %active, ptr noalias %result)
    noinline {{
entry:
  %v = load {vector}, ptr %values, align 4
  %none = icmp eq i32 %active, 0
  br i1 %none, label %done, label %loop
loop:
  %left = phi i32 [ %active, %entry ], [ %left.next, %loop ]
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  %mask.place = getelementptr i32, ptr %masks, i32 %lane
  %mask = load i32, ptr %mask.place
  %members = and i32 %mask, %active
  %bits = bitcast i32 %members to <{LANES} x i1>
  %taken = select <{LANES} x i1> %bits, {vector} %v, {vector} splat (i32 {neutral})
  %total = call i32 @llvm.vector.reduce.{name}.v{LANES}i32({vector} %taken)
  %self = shl i32 1, %lane
  %group = or i32 %members, %self
  %group.bits = bitcast i32 %group to <{LANES} x i1>
  %old = load {vector}, ptr %result, align 4
  %filled = insertelement {vector} poison, i32 %total, i64 0
  %spread = shufflevector {vector} %filled, {vector} poison, {vector} zeroinitializer
  %new = select <{LANES} x i1> %group.bits, {vector} %spread, {vector} %old
  store {vector} %new, ptr %result, align 4
  %rest = xor i32 %group, -1
  %left.next = and i32 %left, %rest
  %over = icmp eq i32 %left.next, 0
  br i1 %over, label %done, label %loop
done:
  ret void
}}""",
    )
