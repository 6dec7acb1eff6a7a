"""Barriers for a part of the block: they order only the warps that take part.

Who comes, to wait or only to arrive, leaves what it knows at the barrier; who passes takes it along.
"""

from __future__ import annotations

from ..context import Slot
from .clock import REFRESH, TELL, TICK, Event
from .layout import ShadowField
from .text import Routine, load_slot

__all__ = ["ARRIVE", "OPENED"]

_TELLS = f"""  %unsettled.at = getelementptr i64, ptr %shadow, i64 {ShadowField.UNSETTLED.value}
  %unsettled = load i64, ptr %unsettled.at
  %silent = icmp eq i64 %unsettled, 0
  br i1 %silent, label %done, label %tell
"""

#: ``void (ctx, warp, barrier)``: a warp comes to a barrier.
ARRIVE = Routine(
    "check_arrive",
    f"""define internal void @check_arrive(ptr %ctx, i32 %warp, i32 %barrier) noinline {{
entry:
  %stop = call i1 @check_refresh(ptr %ctx)
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}  call void @check_tick(ptr %shadow)
  %now = load i64, ptr %shadow
  %start.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  %start = load i64, ptr %start.at
  %own.row = mul i32 %warp, 32
  %known.field = add i32 %own.row, {ShadowField.KNOWN.value}
  %known = getelementptr i64, ptr %shadow, i32 %known.field
  %row = mul i32 %barrier, 32
  %arrived.field = add i32 %row, {ShadowField.ARRIVED.value}
  %arrived = getelementptr i64, ptr %shadow, i32 %arrived.field
  br label %next
next:
  %u = phi i32 [0, %entry], [%u1, %next]
  %known.at = getelementptr i64, ptr %known, i32 %u
  %knows = load i64, ptr %known.at
  %later = icmp sgt i64 %knows, %start
  %most = select i1 %later, i64 %knows, i64 %start
  %itself = icmp eq i32 %u, %warp
  %time = select i1 %itself, i64 %now, i64 %most
  %at = getelementptr i64, ptr %arrived, i32 %u
  %old = load i64, ptr %at
  %more = icmp sgt i64 %time, %old
  %new = select i1 %more, i64 %time, i64 %old
  store i64 %new, ptr %at
  %u1 = add i32 %u, 1
  %over = icmp eq i32 %u1, 32
  br i1 %over, label %written, label %next
written:
{_TELLS}tell:
  call void @check_tell(ptr %ctx, i32 {Event.ARRIVE.value}, i32 %warp, i32 %barrier, ptr null)
  br label %done
done:
  ret void
}}
""",
    (REFRESH, TELL, TICK),
)

#: ``void (ctx, barrier, warps)``: some warps pass a barrier, and not all that are left.
OPENED = Routine(
    "check_part_opened",
    f"""define internal void @check_part_opened(ptr %ctx, i32 %barrier, i32 %warps) noinline {{
entry:
  %stop = call i1 @check_refresh(ptr %ctx)
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}  call void @check_tick(ptr %shadow)
  %now = load i64, ptr %shadow
  %row = mul i32 %barrier, 32
  %arrived.field = add i32 %row, {ShadowField.ARRIVED.value}
  %arrived = getelementptr i64, ptr %shadow, i32 %arrived.field
  br label %warp
warp:
  %w = phi i32 [0, %entry], [%w1, %warp.done]
  %left = lshr i32 %warps, %w
  %taking = trunc i32 %left to i1
  br i1 %taking, label %learn, label %warp.done
learn:
  %parted.field = add i32 %w, {ShadowField.PARTED.value}
  %parted.at = getelementptr i64, ptr %shadow, i32 %parted.field
  store i64 %now, ptr %parted.at
  %synced.field = add i32 %w, {ShadowField.WARPS.value}
  %synced.at = getelementptr i64, ptr %shadow, i32 %synced.field
  store i64 %now, ptr %synced.at
  %own.row = mul i32 %w, 32
  %known.field = add i32 %own.row, {ShadowField.KNOWN.value}
  %known = getelementptr i64, ptr %shadow, i32 %known.field
  br label %next
next:
  %u = phi i32 [0, %learn], [%u1, %next]
  %from = getelementptr i64, ptr %arrived, i32 %u
  %brought = load i64, ptr %from
  %at = getelementptr i64, ptr %known, i32 %u
  %old = load i64, ptr %at
  %more = icmp sgt i64 %brought, %old
  %new = select i1 %more, i64 %brought, i64 %old
  store i64 %new, ptr %at
  %u1 = add i32 %u, 1
  %over = icmp eq i32 %u1, 32
  br i1 %over, label %warp.done, label %next
warp.done:
  %w1 = add i32 %w, 1
  %last = icmp eq i32 %w1, 32
  br i1 %last, label %clear, label %warp
clear:
  call void @llvm.memset.p0.i64(ptr %arrived, i8 0, i64 256, i1 false)
{_TELLS}tell:
  %number = zext i32 %warps to i64
  %mask = inttoptr i64 %number to ptr
  call void @check_tell(ptr %ctx, i32 {Event.OPEN.value}, i32 0, i32 %barrier, ptr %mask)
  br label %done
done:
  ret void
}}
""",
    (REFRESH, TELL, TICK),
)
