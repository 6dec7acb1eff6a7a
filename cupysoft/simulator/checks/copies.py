"""Checks of asynchronous copies: what they read, and from when on their bytes are there."""

from __future__ import annotations

from ..context import Slot
from .array_lanes import lane_check
from .clock import REFRESH, times
from .layout import CELLS_OFFSET, Access, Counter, ShadowField, Space
from .passing import EVERY_BYTE
from .text import Routine, load_slot
from .traffic import CTTZ, add_to, global_traffic

__all__ = ["COPIED", "partial_check"]


def partial_check(size: int, shift: int) -> Routine:
    """``i1 (ctx, addresses, counts, mask, warp, where)``: true after filling the error record.

    It is for lanes that read some bytes but not all `size`; the addresses of these become host addresses in place.
    """
    name = f"check_partial_{size}"
    traffic, lanes = global_traffic(Access.READ, size), lane_check(Access.READ, shift)
    text = f"""define internal i1 @{name}(ptr %ctx, ptr %addresses, ptr %counts, i32 %mask, i32 %warp,
    i32 %where) noinline {{
entry:
{load_slot("counters", Slot.COUNTERS, "ptr")}  %c = load <32 x i32>, ptr %counts, align 4
  %less = icmp ult <32 x i32> %c, splat (i32 {size})
  %some = icmp ne <32 x i32> %c, zeroinitializer
  %part = and <32 x i1> %less, %some
  %bits = bitcast <32 x i1> %part to i32
  %chosen = and i32 %bits, %mask
  %none = icmp eq i32 %chosen, 0
  br i1 %none, label %done, label %begin
begin:
  call void @{traffic.name}(ptr %ctx, ptr %addresses, i32 %chosen)
  br label %next
next:
  %rest = phi i32 [%chosen, %begin], [%left, %counted]
  %over = icmp eq i32 %rest, 0
  br i1 %over, label %done, label %take
take:
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %bit = shl i32 1, %lane
  %left = xor i32 %rest, %bit
  %count.at = getelementptr i32, ptr %counts, i32 %lane
  %count = load i32, ptr %count.at
  %count.wide = zext i32 %count to i64
  %fine = call i32 @{lanes.name}(ptr %ctx, ptr %addresses, i32 %bit, i32 %warp, i32 %where, i64 %count.wide,
    i64 {size}, i64 {EVERY_BYTE}, ptr null, i64 0)
  %wrong = icmp eq i32 %fine, 0
  br i1 %wrong, label %bad, label %counted
counted:
  %fewer = sub i64 %count.wide, {size}
{add_to(Space.GLOBAL, Access.READ, {Counter.BYTES: "%fewer"})}  br label %next
bad:
  ret i1 true
done:
  ret i1 false
}}
"""
    return Routine(name, text, (CTTZ, traffic, lanes))


#: ``void (ctx, warp, targets, mask, size)``: the lanes have waited for their copies, which are writes of this moment.
COPIED = Routine(
    "check_copied",
    f"""define internal void @check_copied(ptr %ctx, i32 %warp, ptr %targets, i32 %mask, i32 %size) noinline {{
entry:
  %stop = call i1 @check_refresh(ptr %ctx)
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}{times()}
  %shift.at = getelementptr i64, ptr %shadow, i64 {ShadowField.SHIFT.value}
  %shift = load i32, ptr %shift.at
  %many = lshr i32 %size, %shift
  %thread0 = shl i32 %warp, 5
  br label %next
next:
  %rest = phi i32 [%mask, %entry], [%left, %advance]
  %over = icmp eq i32 %rest, 0
  br i1 %over, label %done, label %take
take:
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %lower = sub i32 %rest, 1
  %left = and i32 %rest, %lower
  %thread = or i32 %thread0, %lane
  %stamp = or i32 %now12, %thread
  %target.at = getelementptr i32, ptr %targets, i32 %lane
  %target = load i32, ptr %target.at
  %place = lshr i32 %target, %shift
  br label %cells
cells:
  %step = phi i32 [0, %take], [%step1, %cells]
  %index = add i32 %place, %step
  %index.wide = zext i32 %index to i64
  %offset = mul i64 %index.wide, 8
  %far = add i64 %offset, {CELLS_OFFSET}
  %cell = getelementptr i8, ptr %shadow, i64 %far
  store i32 %stamp, ptr %cell
  %step1 = add i32 %step, 1
  %again = icmp ult i32 %step1, %many
  br i1 %again, label %cells, label %advance
advance:
  br label %next
done:
  ret void
}}
""",
    (CTTZ, REFRESH),
)
