"""The part of the driver that begins a block and gives its warps their turns, as LLVM text."""

from __future__ import annotations

from collections.abc import Sequence

from .code import LANES
from .context import BARRIER_FIELDS, BarrierField, Slot, Status
from .layout import StateOffset
from .pcs import EXITED

__all__ = ["start_text", "turns_text"]


def _field(number: int, field: BarrierField) -> int:
    return Slot.BARRIERS + BARRIER_FIELDS * number + field


def start_text(numbers: list[int], copies: bool, unset: Sequence[int] = ()) -> str:
    """Write ``start_block``: coordinates, empty barriers, every warp at the first block; predicates `unset` true."""
    true = "".join(
        f"\n  %unset{number} = getelementptr i8, ptr %state, i64 {offset}\n  store i32 -1, ptr %unset{number}"
        for number, offset in enumerate(unset)
    )
    # What another block left there could be just what a copy, not waited for, would bring. All ones are NaNs.
    soil = "\n  call void @copies.soil(ptr %ctx)" if copies else ""
    clear = "\n".join(
        f"  call void @set_slot(ptr %ctx, i64 {_field(number, field)}, i64 0)"
        for number in numbers
        for field in (BarrierField.EXPECTED, BarrierField.ARRIVED, BarrierField.TRUE)
    )
    return f"""define internal void @start_block(ptr %ctx, i64 %block) noinline {{
entry:
  %grid.x = call i64 @slot(ptr %ctx, i64 {Slot.NCTAID_X.value})
  %grid.y = call i64 @slot(ptr %ctx, i64 {Slot.NCTAID_Y.value})
  %x = urem i64 %block, %grid.x
  %rows = udiv i64 %block, %grid.x
  %y = urem i64 %rows, %grid.y
  %z = udiv i64 %rows, %grid.y
  call void @set_slot(ptr %ctx, i64 {Slot.BLOCK.value}, i64 %block)
  call void @set_slot(ptr %ctx, i64 {Slot.CTAID_X.value}, i64 %x)
  call void @set_slot(ptr %ctx, i64 {Slot.CTAID_Y.value}, i64 %y)
  call void @set_slot(ptr %ctx, i64 {Slot.CTAID_Z.value}, i64 %z)
  %epoch = call i64 @slot(ptr %ctx, i64 {Slot.EPOCH.value})
  %epoch.next = add i64 %epoch, 1
  call void @set_slot(ptr %ctx, i64 {Slot.EPOCH.value}, i64 %epoch.next){soil}
{clear}
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  %last = sub i64 %warps, 1
  %partial = call i64 @slot(ptr %ctx, i64 {Slot.LAST_WARP_MASK.value})
  %partial.small = trunc i64 %partial to i32
  br label %warp.loop
warp.loop:
  %warp = phi i64 [0, %entry], [%warp.next, %warp.loop]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %is.last = icmp eq i64 %warp, %last
  %live = select i1 %is.last, i32 %partial.small, i32 -1
  %alive = bitcast i32 %live to <{LANES} x i1>
  %gone = xor <{LANES} x i1> %alive, splat (i1 true)
  %ones = sext <{LANES} x i1> %gone to <{LANES} x i32>
  %pcs = and <{LANES} x i32> %ones, splat (i32 {EXITED})
  store <{LANES} x i32> %pcs, ptr %state, align 64
  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  store i32 %live, ptr %live.place
  %favoured.place = getelementptr i8, ptr %state, i64 {StateOffset.FAVOURED}
  store i32 -1, ptr %favoured.place
  %forced.place = getelementptr i8, ptr %state, i64 {StateOffset.FORCED}
  store i32 0, ptr %forced.place
  %sync.place = getelementptr i8, ptr %state, i64 {StateOffset.SYNC_EPOCH}
  store i32 0, ptr %sync.place
  %status.place = getelementptr i8, ptr %state, i64 {StateOffset.STATUS}
  store i32 {Status.YIELD.value}, ptr %status.place{true}
  %warp.next = add i64 %warp, 1
  %more = icmp ult i64 %warp.next, %warps
  br i1 %more, label %warp.loop, label %done
done:
  ret void
}}"""


def turns_text(copies: bool) -> str:
    """Write ``warps_round``: one turn for each warp that can run."""
    drift = "\n  call void @copies.drift(ptr %ctx, i32 %warp.small)" if copies else ""
    return f"""; Returns 0 when no warp can run before a barrier opens, 1 when some can, 2 when all are gone, else 3.
define internal i32 @warps_round(ptr %ctx) noinline {{
entry:
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  %seed = call i64 @slot(ptr %ctx, i64 {Slot.SEED.value})
  %drawn = icmp ne i64 %seed, 0
  %budget.wide = call i64 @slot(ptr %ctx, i64 {Slot.BUDGET.value})
  %budget.given = trunc i64 %budget.wide to i32
  br i1 %drawn, label %draw.first, label %loop
draw.first:
  %drawn.first = call i64 @chance(ptr %ctx)
  %first.drawn = urem i64 %drawn.first, %warps
  br label %loop
loop:
  %turn = phi i64 [0, %entry], [0, %draw.first], [%turn.next, %next]
  %first = phi i64 [0, %entry], [%first.drawn, %draw.first], [%first, %next]
  %runs = phi i1 [false, %entry], [false, %draw.first], [%runs.next, %next]
  %waits = phi i1 [false, %entry], [false, %draw.first], [%waits.next, %next]
  %shifted = add i64 %turn, %first
  %over = icmp uge i64 %shifted, %warps
  %wrapped = sub i64 %shifted, %warps
  %warp = select i1 %over, i64 %wrapped, i64 %shifted
  %warp.small = trunc i64 %warp to i32
  br i1 %drawn, label %unsettled, label %look
unsettled:{drift}
  br label %look
look:
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %status.place = getelementptr i8, ptr %state, i64 {StateOffset.STATUS}
  %status = load i32, ptr %status.place
  %can = icmp eq i32 %status, {Status.YIELD.value}
  br i1 %can, label %ready, label %next
ready:
  br i1 %drawn, label %draw, label %go
draw:
  %dice = call i64 @chance(ptr %ctx)
  %skip = trunc i64 %dice to i1
  %high = lshr i64 %dice, 1
  %few = urem i64 %high, %budget.wide
  %few.small = trunc i64 %few to i32
  %budget.few = add i32 %few.small, 1
  br i1 %skip, label %next, label %go
go:
  %budget = phi i32 [%budget.given, %ready], [%budget.few, %draw]
  %new = call i32 @advance(ptr %ctx, ptr %state, i32 %warp.small, i32 %budget)
  store i32 %new, ptr %status.place
  %failed = icmp eq i32 %new, {Status.ERROR.value}
  br i1 %failed, label %error, label %next
next:
  %now = phi i32 [%status, %look], [{Status.YIELD.value}, %draw], [%new, %go]
  %is.running = icmp eq i32 %now, {Status.YIELD.value}
  %runs.next = or i1 %runs, %is.running
  %is.waiting = icmp eq i32 %now, {Status.WAITING.value}
  %waits.next = or i1 %waits, %is.waiting
  %turn.next = add i64 %turn, 1
  %more = icmp ult i64 %turn.next, %warps
  br i1 %more, label %loop, label %done
done:
  %quiet = select i1 %waits.next, i32 0, i32 2
  %result = select i1 %runs.next, i32 1, i32 %quiet
  ret i32 %result
error:
  ret i32 3
}}
define internal i1 @stopped(ptr %ctx) noinline {{
  %number = call i64 @slot(ptr %ctx, i64 {Slot.STOP.value})
  %none = icmp eq i64 %number, 0
  br i1 %none, label %no, label %look
no:
  ret i1 false
look:
  %place = inttoptr i64 %number to ptr
  %value = load atomic i32, ptr %place monotonic, align 4
  %stop = icmp ne i32 %value, 0
  ret i1 %stop
}}"""
