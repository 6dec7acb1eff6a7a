"""Control flow inside a block: calls of the device's runtime, and what has no effect here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..code import LANES
from ..context import ErrorKind, Slot
from ..control import first_lane
from ..faults import record_error
from ..lane_loops import lane_loop
from ..lanes import store_buffer
from ..ptx import Instruction, Register, Symbol, Vector
from . import opcode, unknown

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []

#: Bytes of arguments that one printf can have: 32 of 8 bytes each.
_PRINTF_ARGUMENTS = 256


@opcode("brkpt", "nop")
def nothing(e: Emitter, instruction: Instruction) -> None:
    """``brkpt``: no debugger is there."""


@opcode("call")
def call(e: Emitter, instruction: Instruction) -> None:
    """Calls of functions that the PTX only declares: ``printf`` and a failed ``assert``."""
    results, target, arguments = instruction.operands
    assert isinstance(results, Vector)
    assert isinstance(target, Symbol)
    assert isinstance(arguments, Vector)
    if target.name == "vprintf":
        _printf(e, arguments)
        for result in results.items:
            if isinstance(result, Register):
                e.write(result, e.constant("i32", 0), "b32")
    elif target.name == "__assertfail":
        text = first_lane(e, e.read(arguments.items[0], "u64"), "i64")
        record_error(e, ErrorKind.ASSERT, e.active_name)
        place = e.code.line(f"getelementptr i64, ptr %ctx, i64 {Slot.ERROR_ADDRESS.value}")
        e.code.effect(f"store i64 {text}, ptr {place}")
        e.fail_if("true")
    else:
        raise unknown(instruction, f"the function {target.name} is not defined in the PTX")


def _printf(e: Emitter, arguments: Vector) -> None:
    """Append a record for each active lane to the context's buffer.

    A record has its size in bytes, the block, the thread and the address of the format,
    64 bits each; then the arguments as they lie in the thread's local memory, from their
    start to its end at most.
    """
    pattern, place = (e.read(each, "u64") for each in arguments.items)
    patterns = store_buffer(e, "printf.patterns", pattern, "i64")
    places = store_buffer(e, "printf.places", place, "i64")
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    e.module.declare("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
    e.module.declare("declare i64 @llvm.umin.i64(i64, i64)")
    e.runtime("record_printf", _RECORD)
    given = f"ptr %ctx, i32 %warp, i32 {e.active_bits()}, ptr {patterns}, ptr {places}"
    e.code.effect(f"call void @record_printf({given})")


def _slot(slot: Slot) -> str:
    name = slot.name.lower()
    return f"  %{name}.slot = getelementptr i64, ptr %ctx, i64 {slot.value}\n  %{name} = load i64, ptr %{name}.slot"


#: What the loop does for a lane.
_RECORD_OF_LANE = f"""  %pattern.slot = getelementptr i64, ptr %patterns, i64 %index
  %pattern = load i64, ptr %pattern.slot
  %place.slot = getelementptr i64, ptr %places, i64 %index
  %place = load i64, ptr %place.slot
  %warp.wide = zext i32 %warp to i64
  %first = mul i64 %warp.wide, {LANES}
  %thread = add i64 %first, %index
  %window.offset = mul i64 %thread, %local_window_stride
  %window = add i64 %local_window, %window.offset
  %offset = sub i64 %place, %window
  %inside = icmp ult i64 %offset, %local_stride
  %rest = sub i64 %local_stride, %offset
  %most = call i64 @llvm.umin.i64(i64 %rest, i64 {_PRINTF_ARGUMENTS})
  %bytes = select i1 %inside, i64 %most, i64 0
  %size = add i64 %bytes, 32
  %used = load i64, ptr %used.slot
  %end = add i64 %used, %size
  %fits = icmp ule i64 %end, %printf_bytes
  br i1 %fits, label %write, label %again
write:
  store i64 %end, ptr %used.slot
  %at = add i64 %printf_buffer, %used
  %record = inttoptr i64 %at to ptr
  store i64 %size, ptr %record
  %block.place = getelementptr i64, ptr %record, i64 1
  store i64 %block, ptr %block.place
  %thread.place = getelementptr i64, ptr %record, i64 2
  store i64 %thread, ptr %thread.place
  %pattern.place = getelementptr i64, ptr %record, i64 3
  store i64 %pattern, ptr %pattern.place
  %body = getelementptr i64, ptr %record, i64 4
  %host.offset = mul i64 %thread, %local_stride
  %host.first = add i64 %local_host, %host.offset
  %host = add i64 %host.first, %offset
  %source = inttoptr i64 %host to ptr
  call void @llvm.memcpy.p0.p0.i64(ptr %body, ptr %source, i64 %bytes, i1 false)
  br label %again"""

_RECORD = f"""define internal void @record_printf(ptr %ctx, i32 %warp, i32 %mask, ptr %patterns,
    ptr %places) noinline {{
entry:
{_slot(Slot.LOCAL_HOST)}
{_slot(Slot.LOCAL_STRIDE)}
{_slot(Slot.LOCAL_WINDOW)}
{_slot(Slot.LOCAL_WINDOW_STRIDE)}
{_slot(Slot.PRINTF_BUFFER)}
{_slot(Slot.PRINTF_BYTES)}
{_slot(Slot.BLOCK)}
  %used.slot = getelementptr i64, ptr %ctx, i64 {Slot.PRINTF_USED.value}
  br label %loop
{lane_loop("entry", _RECORD_OF_LANE)}
}}"""
