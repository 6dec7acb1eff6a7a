"""Checks of what the lanes of a warp do together."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .text import FAIL, Routine, load_slot
from .traffic import CTTZ

__all__ = ["MEMBERS"]

#: ``i1 (ctx, warp, active, strangers, members, live, where, exited allowed)``: whether a member mask is wrong.
#: A lane must be in its own mask (strangers are not), and no mask may name a lane that has exited. Lanes that the
#: block never had may be named: a full mask is usual in a block of fewer than 32 threads.
MEMBERS = Routine(
    "check_members",
    f"""define internal i1 @check_members(ptr %ctx, i32 %warp, i32 %active, i32 %strangers, i32 %members,
    i32 %live, i32 %where, i1 %lenient) noinline {{
entry:
{load_slot("warps", Slot.WARPS)}{load_slot("tail", Slot.LAST_WARP_MASK)}
  %next64 = zext i32 %warp to i64
  %next = add i64 %next64, 1
  %last = icmp eq i64 %next, %warps
  %tail32 = trunc i64 %tail to i32
  %existing = select i1 %last, i32 %tail32, i32 -1
  %named = and i32 %members, %existing
  %dead = xor i32 %live, -1
  %exited0 = and i32 %named, %dead
  %exited = select i1 %lenient, i32 0, i32 %exited0
  %wrong = or i32 %strangers, %exited
  %fine = icmp eq i32 %wrong, 0
  br i1 %fine, label %good, label %bad
good:
  ret i1 false
bad:
  %odd = icmp ne i32 %strangers, 0
  %from = select i1 %odd, i32 %strangers, i32 %active
  %lane = call i32 @llvm.cttz.i32(i32 %from, i1 true)
  %first = shl i32 %warp, 5
  %thread32 = or i32 %first, %lane
  %thread = zext i32 %thread32 to i64
  %kind = select i1 %odd, i64 {ErrorKind.NOT_A_MEMBER.value}, i64 {ErrorKind.EXITED_LANES.value}
  %mask = zext i32 %wrong to i64
  %all = zext i32 %members to i64
  call void @check_fail(ptr %ctx, i64 %kind, i32 %where, i64 %thread, i64 %mask, i64 0, i64 -1, i64 %all)
  ret i1 true
}}
""",
    (CTTZ, FAIL),
)
