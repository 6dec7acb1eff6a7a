"""Asynchronous copies from global to shared memory: ``cp.async``, its groups and its waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses import address
from ..copies import copies_text
from ..lanes import store_buffer
from ..literals import integer
from ..ptx import Immediate, Instruction, Negated, Operand, Register
from . import opcode, unknown

if TYPE_CHECKING:
    from ..emitter import Emitter, Value

__all__: list[str] = []

#: What ``copies.wait`` is told to wait for everything, in a group or not.
_EVERYTHING = -1


@opcode("cp")
def copy(e: Emitter, instruction: Instruction) -> None:
    """``cp.async``: issue a copy, close a group, wait for all groups but the last ones."""
    form = instruction.modifiers[1] if instruction.has("async") else ""
    if form in ("ca", "cg"):
        _issue(e, instruction)
    elif form == "commit_group":
        _queues(e)
        e.code.effect(f"call void @copies.commit(ptr %ctx, i32 %warp, i32 {e.active_bits()})")
    elif form in ("wait_group", "wait_all"):
        groups = _EVERYTHING if form == "wait_all" else _number(instruction, 0)
        _queues(e)
        e.code.effect(f"call void @copies.wait(ptr %ctx, i32 %warp, i32 {e.active_bits()}, i32 {groups})")
    else:
        raise unknown(instruction, "of asynchronous copies only those with groups are known")


def _queues(e: Emitter) -> None:
    """Put the functions that keep the queues into the module."""
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    e.module.declare("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    e.module.declare("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
    e.checks.copied(e)
    e.runtime("copies", copies_text(marked=e.checks.enabled))


def _issue(e: Emitter, instruction: Instruction) -> None:
    """Append the copies of the active lanes to the warp's queue."""
    target, source, *rest = instruction.operands
    size = _number(instruction, 2)
    if instruction.has("L2::cache_hint"):
        rest = rest[:-1]
    if size not in (4, 8, 16) or (size != 16 and instruction.has("cg")) or len(rest) > 2:
        raise unknown(instruction)
    counts = _counts(e, rest[1] if len(rest) > 1 else None, size)
    source_host, target_host = e.checks.copy(e, address(e, source), address(e, target), counts, size)
    sources = store_buffer(e, "copy.sources", source_host, "i64")
    targets = store_buffer(e, "copy.targets", target_host, "i64")
    number = store_buffer(e, "copy.counts", counts, "i32")
    _queues(e)
    e.code.effect(
        f"call void @copies.issue(ptr %ctx, i32 %warp, i32 {e.active_bits()}, i32 {size}, ptr {sources},"
        f" ptr {targets}, ptr {number})"
    )


def _counts(e: Emitter, operand: Operand | None, size: int) -> Value:
    """Return how many bytes each lane reads: all, ``src-size``, or none where ``ignore-src`` is true."""
    whole = e.constant("i32", size)
    if operand is None:
        return whole
    ignored = isinstance(operand, Negated)
    if isinstance(operand, Register):
        ignored = e.layout.registers[operand.name] == "pred"
    if ignored:
        return e.select(e.read(operand, "pred"), e.constant("i32", 0), whole, "i32")
    return e.intrinsic("umin", "i32", e.read(operand, "u32"), whole)


def _number(instruction: Instruction, place: int) -> int:
    """Return an operand that must be a literal."""
    if place >= len(instruction.operands) or not isinstance(instruction.operands[place], Immediate):
        raise unknown(instruction)
    operand = instruction.operands[place]
    assert isinstance(operand, Immediate)
    return integer(operand.text)
