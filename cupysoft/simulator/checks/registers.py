"""Code that follows registers which were never written, see `..unwritten`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..context import ErrorKind
from ..ptx import Negated, Register
from ..unwritten import companion, deciding, sources
from ..usage import definitions
from .ordering import add
from .text import FAIL
from .traffic import CTTZ

if TYPE_CHECKING:
    from ..emitter import Emitter, Value

__all__ = ["follow_registers"]


def follow_registers(e: Emitter) -> None:
    """Report where an unwritten register decides something; note which results are as good as unwritten."""
    wrong = [_unwritten(e, register) for register in deciding(e.instruction) if register.name in e.followed]
    if wrong:
        _report(e, _any(e, wrong))
    targets = [register for register in definitions(e.instruction) if register.name in e.followed]
    if targets:
        spoilt = _result(e)
        for target in targets:
            e.write(companion(target.name), spoilt, "pred")


def _result(e: Emitter) -> Value:
    """The lanes in which the result of the instruction is unwritten."""
    instruction = e.instruction
    if instruction.opcode == "selp":
        then, other, choice = (_of(e, operand) for operand in instruction.operands[1:4])
        chosen = e.select(e.read(instruction.operands[3], "pred"), then, other, "i1")
        return _any(e, [chosen, choice])
    registers, together = sources(instruction)
    marks = [_unwritten(e, register) for register in registers]
    spoilt = _all(e, marks) if together else _any(e, marks)
    if instruction.predicate is not None and instruction.predicate.name in e.followed:
        spoilt = _any(e, [spoilt, _unwritten(e, instruction.predicate)])
    return spoilt


def _of(e: Emitter, operand: object) -> Value:
    register = operand.register if isinstance(operand, Negated) else operand
    return _unwritten(e, register) if isinstance(register, Register) else e.constant("i1", 0)


def _unwritten(e: Emitter, register: Register) -> Value:
    if register.name not in e.followed:
        return e.constant("i1", 0)
    return e.read(companion(register.name), "pred")


def _any(e: Emitter, marks: list[Value]) -> Value:
    total = e.constant("i1", 0)
    for mark in marks:
        total = e.map("or <W x i1> {0}, {1}", total, mark)
    return total


def _all(e: Emitter, marks: list[Value]) -> Value:
    if not marks:
        return e.constant("i1", 0)
    total = marks[0]
    for mark in marks[1:]:
        total = e.map("and <W x i1> {0}, {1}", total, mark)
    return total


def _report(e: Emitter, wrong: Value) -> None:
    """End the warp where a lane that executes the instruction, or would if its guard were known, is wrong."""
    guard = e.instruction.predicate
    unsure = guard is not None and guard.name in e.followed
    lanes = e.block_mask() if unsure else e.active()
    add(e, FAIL)
    add(e, CTTZ)
    code = e.code
    bits = e.bits(e.map("and <W x i1> {0}, {1}", lanes, wrong))
    fine, bad = code.fresh("written"), code.fresh("unwritten")
    code.effect(f"br i1 {code.line(f'icmp eq i32 {bits}, 0')}, label %{fine}, label %{bad}")
    code.label(bad)
    lane = code.line(f"call i32 @llvm.cttz.i32(i32 {bits}, i1 true)")
    number = code.line(f"add i32 {code.line('shl i32 %warp, 5')}, {lane}")
    thread = code.line(f"zext i32 {number} to i64")
    code.effect(
        f"call void @check_fail(ptr %ctx, i64 {ErrorKind.UNWRITTEN_REGISTER.value}, i32 {e.index}, i64 {thread}, i64 0,"
        " i64 0, i64 -1, i64 0)"
    )
    code.effect("br label %fault")
    code.label(fine)
