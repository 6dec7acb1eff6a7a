"""The part of the driver that opens block barriers, as LLVM text.

A barrier is open when as many threads have come as it expects: a number that the
instruction gives, or all that are alive.
"""

from __future__ import annotations

from .code import LANES
from .context import BARRIER_FIELDS, BarrierField, Slot, Status
from .layout import StateOffset
from .pcs import ID_SHIFT, WAITING
from .release_faults import FAULTS, WHO

__all__ = ["release_text", "slots_text"]

#: The program counters of a warp, as LLVM's type.
_COUNTERS = f"<{LANES} x i32>"


def slots_text() -> str:
    """Return helpers for slots, warp states and waiting lanes."""
    return f"""define internal i64 @slot(ptr %ctx, i64 %index) alwaysinline {{
  %place = getelementptr i64, ptr %ctx, i64 %index
  %value = load i64, ptr %place
  ret i64 %value
}}
define internal void @set_slot(ptr %ctx, i64 %index, i64 %value) alwaysinline {{
  %place = getelementptr i64, ptr %ctx, i64 %index
  store i64 %value, ptr %place
  ret void
}}
define internal ptr @state_of(ptr %ctx, i64 %warp) alwaysinline {{
  %first.number = call i64 @slot(ptr %ctx, i64 {Slot.STATES.value})
  %first = inttoptr i64 %first.number to ptr
  %stride = call i64 @slot(ptr %ctx, i64 {Slot.STATE_STRIDE.value})
  %offset = mul i64 %stride, %warp
  %state = getelementptr i8, ptr %first, i64 %offset
  ret ptr %state
}}
define internal i32 @waiting_lanes(ptr %state, i32 %counter) noinline {{
  %pcs = load {_COUNTERS}, ptr %state, align 64
  %kinds = and {_COUNTERS} %pcs, splat (i32 {~((1 << ID_SHIFT) - 1) & 0xFFFFFFFF})
  %one = insertelement {_COUNTERS} poison, i32 %counter, i32 0
  %wanted = shufflevector {_COUNTERS} %one, {_COUNTERS} poison, {_COUNTERS} zeroinitializer
  %here = icmp eq {_COUNTERS} %kinds, %wanted
  %mask = bitcast <{LANES} x i1> %here to i32
  ret i32 %mask
}}
define internal void @let_go(ptr %state, i32 %lanes) noinline {{
  %pcs = load {_COUNTERS}, ptr %state, align 64
  %chosen = bitcast i32 %lanes to <{LANES} x i1>
  %next = and {_COUNTERS} %pcs, splat (i32 {(1 << ID_SHIFT) - 1})
  %new = select <{LANES} x i1> %chosen, {_COUNTERS} %next, {_COUNTERS} %pcs
  store {_COUNTERS} %new, ptr %state, align 64
  %status.place = getelementptr i8, ptr %state, i64 {StateOffset.STATUS}
  store i32 {Status.YIELD.value}, ptr %status.place
  ret void
}}
; How many threads wait at a barrier, or, with the counter 0, how many are alive. In whole warps, one of which all lanes
; that are left wait counts for 32.
define internal i64 @count_threads(ptr %ctx, i32 %counter, i1 %whole) noinline {{
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  %of.living = icmp eq i32 %counter, 0
  br label %loop
loop:
  %warp = phi i64 [0, %0], [%warp.next, %next]
  %sum = phi i64 [0, %0], [%sum.next, %next]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  %live = load i32, ptr %live.place
  br i1 %of.living, label %living, label %waiting
living:
  br label %next
waiting:
  %wait = call i32 @waiting_lanes(ptr %state, i32 %counter)
  br label %next
next:
  %here = phi i32 [%live, %living], [%wait, %waiting]
  %left = icmp eq i32 %here, %live
  %some = icmp ne i32 %here, 0
  %full = and i1 %left, %some
  %rounded = and i1 %full, %whole
  %lanes = select i1 %rounded, i32 -1, i32 %here
  %count = call i32 @llvm.ctpop.i32(i32 %lanes)
  %wide = zext i32 %count to i64
  %sum.next = add i64 %sum, %wide
  %warp.next = add i64 %warp, 1
  %more = icmp ult i64 %warp.next, %warps
  br i1 %more, label %loop, label %done
done:
  ret i64 %sum.next
}}
define internal void @fail(ptr %ctx, i64 %kind, i64 %instruction, i64 %thread) noinline {{
  %block = call i64 @slot(ptr %ctx, i64 {Slot.BLOCK.value})
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_KIND.value}, i64 %kind)
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_INSTRUCTION.value}, i64 %instruction)
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_BLOCK.value}, i64 %block)
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_THREAD.value}, i64 %thread)
  ret void
}}"""


#: Lines that tell the checks which warps pass a barrier without the others.
_PART = f"""  %high.bits = lshr i32 %counter, {ID_SHIFT}
  %barrier = and i32 %high.bits, 15
  call void @check_part_opened(ptr %ctx, i32 %barrier, i32 %passing.next)
"""


def release_text(numbers: list[int], strict: bool, parts: bool) -> str:
    """Write ``release``: let go who waits at a complete barrier, and count those barriers.

    It returns -1 after filling the error record. With `parts` the checks hear of barriers that some warps pass without
    the others.
    """
    lines = []
    for number in numbers:
        lines.append(f"""  %released.{number} = call i64 @release_one(ptr %ctx, i32 {WAITING | number << ID_SHIFT},
    i64 {Slot.BARRIERS + BARRIER_FIELDS * number})
  %bad.{number} = icmp slt i64 %released.{number}, 0
  br i1 %bad.{number}, label %bad, label %good.{number}
good.{number}:""")
    total = "0"
    for number in numbers:
        lines.append(f"  %total.{number} = add i64 {total}, %released.{number}")
        total = f"%total.{number}"
    body = "\n".join(lines)
    return f"""{WHO if strict else ""}
{_release_one(strict, parts)}
define internal i64 @release(ptr %ctx) noinline {{
{body}
  ret i64 {total}
bad:
  ret i64 -1
}}"""


def _release_one(strict: bool, parts: bool) -> str:
    expected, arrived, true = BarrierField.EXPECTED, BarrierField.ARRIVED, BarrierField.TRUE
    faults = FAULTS if strict else "  br label %go\n"
    tells = _PART if parts else ""
    return f"""define internal i64 @release_one(ptr %ctx, i32 %counter, i64 %record) noinline {{
  %waiting = call i64 @count_threads(ptr %ctx, i32 %counter, i1 false)
  %nobody = icmp eq i64 %waiting, 0
  br i1 %nobody, label %none, label %some
none:
  ret i64 0
some:
  %arrived.slot = add i64 %record, {arrived.value}
  %arrived = call i64 @slot(ptr %ctx, i64 %arrived.slot)
  %came = add i64 %waiting, %arrived
  %expected.slot = add i64 %record, {expected.value}
  %given = call i64 @slot(ptr %ctx, i64 %expected.slot)
  %all = icmp eq i64 %given, 0
  %apart.slot = add i64 %record, {BarrierField.APART.value}
  %apart.number = call i64 @slot(ptr %ctx, i64 %apart.slot)
  %apart = icmp ne i64 %apart.number, 0
  br i1 %all, label %everybody, label %counted
everybody:
  %alive = call i64 @count_threads(ptr %ctx, i32 0, i1 false)
  br label %compare
counted:
  %whole = xor i1 %apart, true
  %warps.waiting = call i64 @count_threads(ptr %ctx, i32 %counter, i1 %whole)
  %came.counted = add i64 %warps.waiting, %arrived
  br label %compare
compare:
  %expected = phi i64 [%given, %counted], [%alive, %everybody]
  %here = phi i64 [%came.counted, %counted], [%came, %everybody]
  %complete = icmp uge i64 %here, %expected
  br i1 %complete, label %test, label %none
test:
{faults}go:
  %true.slot = add i64 %record, {true.value}
  %true = call i64 @slot(ptr %ctx, i64 %true.slot)
  call void @set_slot(ptr %ctx, i64 %true.slot, i64 0)
  call void @set_slot(ptr %ctx, i64 %arrived.slot, i64 0)
  %result.slot = add i64 %record, {BarrierField.RESULT_TRUE.value}
  call void @set_slot(ptr %ctx, i64 %result.slot, i64 %true)
  %count.slot = add i64 %record, {BarrierField.RESULT_COUNT.value}
  call void @set_slot(ptr %ctx, i64 %count.slot, i64 %waiting)
  %left = call i64 @count_threads(ptr %ctx, i32 0, i1 false)
  %whole.block = icmp eq i64 %left, %waiting
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  br label %loop
loop:
  %warp = phi i64 [0, %go], [%warp.next, %next]
  %passing = phi i32 [0, %go], [%passing.next, %next]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %lanes = call i32 @waiting_lanes(ptr %state, i32 %counter)
  %idle = icmp eq i32 %lanes, 0
  br i1 %idle, label %next, label %let
let:
  call void @let_go(ptr %state, i32 %lanes)
  br label %next
next:
  %warp.small = trunc i64 %warp to i32
  %bit = shl i32 1, %warp.small
  %here.bit = select i1 %idle, i32 0, i32 %bit
  %passing.next = or i32 %passing, %here.bit
  %warp.next = add i64 %warp, 1
  %more = icmp ult i64 %warp.next, %warps
  br i1 %more, label %loop, label %passed
passed:
  br i1 {"%whole.block" if parts else "true"}, label %count, label %part
count:
  %epoch = call i64 @slot(ptr %ctx, i64 {Slot.EPOCH.value})
  %epoch.next = add i64 %epoch, 1
  call void @set_slot(ptr %ctx, i64 {Slot.EPOCH.value}, i64 %epoch.next)
  br label %done
part:
{tells}  br label %done
done:
  ret i64 1
}}"""
