"""Barriers that do not end a block: of a warp, arrivals without waiting, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..context import BarrierField
from ..control import add_to_field, barrier_operands, barrier_record, expect, threads_of
from ..ptx import Instruction
from . import opcode, unknown

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []


@opcode("bar", "barrier")
def barrier(e: Emitter, instruction: Instruction) -> None:
    """The forms of ``bar`` after which the thread goes on at once.

    ``bar.warp.sync`` has met its lanes at the start of the block already. ``bar.result``
    is the second half of ``bar.red``, which the analysis of the flow cut off.
    """
    if instruction.has("cluster"):
        raise unknown(instruction, "clusters are not simulated")
    if instruction.has("warp"):
        e.checks.warp_sync(e)
    elif instruction.has("arrive"):
        number, count, _ = barrier_operands(instruction)
        _, record = barrier_record(e, number)
        expect(e, record, count)
        add_to_field(e, record, BarrierField.ARRIVED, threads_of(e))
        e.checks.barrier(e)
    elif instruction.has("result"):
        _result(e, instruction)
    else:
        raise unknown(instruction)


def _result(e: Emitter, instruction: Instruction) -> None:
    """Read what a ``bar.red`` found: a count, or whether all or any were true."""
    target, number = instruction.operands
    _, record = barrier_record(e, number)
    true, total = (_field(e, record, field) for field in (BarrierField.RESULT_TRUE, BarrierField.RESULT_COUNT))
    if instruction.has("popc"):
        e.write(target, e.splat("i32", true), "u32")
        return
    test = f"icmp eq i32 {true}, {total}" if instruction.has("and") else f"icmp ne i32 {true}, 0"
    e.write(target, e.splat("i1", e.code.line(test)), "pred")


def _field(e: Emitter, record: str, field: BarrierField) -> str:
    place = e.code.line(f"getelementptr i64, ptr {record}, i64 {field.value}")
    return e.code.line(f"load i32, ptr {place}")
