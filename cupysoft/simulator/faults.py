"""Filling the error record of the context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .context import ErrorKind, Slot

if TYPE_CHECKING:
    from .emitter import Emitter

__all__ = ["record_error"]

_RECORD = f"""define internal void @record_error(ptr %ctx, i64 %kind, i64 %instruction, i32 %warp,
    i32 %lanes) noinline {{
  %kind.place = getelementptr i64, ptr %ctx, i64 {Slot.ERROR_KIND.value}
  %old = load i64, ptr %kind.place
  %free = icmp eq i64 %old, 0
  br i1 %free, label %fill, label %done
fill:
  store i64 %kind, ptr %kind.place
  %instruction.place = getelementptr i64, ptr %ctx, i64 {Slot.ERROR_INSTRUCTION.value}
  store i64 %instruction, ptr %instruction.place
  %here.place = getelementptr i64, ptr %ctx, i64 {Slot.BLOCK.value}
  %here = load i64, ptr %here.place
  %block.place = getelementptr i64, ptr %ctx, i64 {Slot.ERROR_BLOCK.value}
  store i64 %here, ptr %block.place
  %lane = call i32 @llvm.cttz.i32(i32 %lanes, i1 false)
  %base = shl i32 %warp, 5
  %thread = add i32 %base, %lane
  %thread.wide = zext i32 %thread to i64
  %thread.place = getelementptr i64, ptr %ctx, i64 {Slot.ERROR_THREAD.value}
  store i64 %thread.wide, ptr %thread.place
  br label %done
done:
  ret void
}}"""


def record_error(e: Emitter, kind: ErrorKind, lanes: str) -> None:
    """Write the current instruction and the lowest of `lanes` to the record, unless it is filled."""
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    e.runtime("record_error", _RECORD)
    e.code.effect(f"call void @record_error(ptr %ctx, i64 {kind.value}, i64 {e.index}, i32 %warp, i32 {lanes})")
