"""What a block barrier is given: its number, and how many threads it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..code import LANES
from ..context import BARRIER_IDS, ErrorKind
from ..lanes import store_buffer
from ..literals import integer
from ..ptx import Immediate, Operand
from .ordering import add
from .text import FAIL, Routine
from .traffic import CTTZ

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["check_operands"]

#: ``i1 (ctx, warp, where, values, lanes, kind)``: reports the value of the first of `lanes`, if there is one.
_MISUSED = Routine(
    "check_misused",
    """define internal i1 @check_misused(ptr %ctx, i32 %warp, i32 %where, ptr %values, i32 %lanes, i64 %kind) noinline {
  %none = icmp eq i32 %lanes, 0
  br i1 %none, label %fine, label %wrong
fine:
  ret i1 false
wrong:
  %lane = call i32 @llvm.cttz.i32(i32 %lanes, i1 true)
  %at = getelementptr i32, ptr %values, i32 %lane
  %value = load i32, ptr %at
  %value.wide = zext i32 %value to i64
  %first = shl i32 %warp, 5
  %thread = add i32 %first, %lane
  %thread.wide = zext i32 %thread to i64
  call void @check_fail(ptr %ctx, i64 %kind, i32 %where, i64 %thread.wide, i64 %value.wide, i64 0, i64 -1, i64 0)
  ret i1 true
}
""",
    (CTTZ, FAIL),
)


def check_operands(e: Emitter, number: Operand, count: Operand | None) -> None:
    """End the warp where it names a barrier that there is not, or one for threads that are not whole warps."""
    _hold(e, number, BARRIER_IDS - 1, ErrorKind.BARRIER_NUMBER)
    if count is not None:
        _hold(e, count, -LANES & 0xFFFFFFFF, ErrorKind.BARRIER_COUNT)


def _hold(e: Emitter, operand: Operand, bits: int, kind: ErrorKind) -> None:
    """Report the first active lane whose operand has bits besides those it may have."""
    if isinstance(operand, Immediate) and not integer(operand.text) & ~bits:
        return
    value = e.read(operand, "u32")
    others = e.map("and <W x i32> {0}, {1}", value, e.constant("i32", ~bits & 0xFFFFFFFF))
    wrong = e.map("icmp ne <W x i32> {0}, splat (i32 0)", others)
    lanes = e.code.line(f"and i32 {e.bits(wrong)}, {e.active_bits()}")
    values = store_buffer(e, "barrier.operands", value, "i32")
    add(e, _MISUSED)
    given = f"ptr %ctx, i32 %warp, i32 {e.index}, ptr {values}, i32 {lanes}, i64 {kind.value}"
    e.fail_if(e.code.line(f"call i1 @{_MISUSED.name}({given})"))
