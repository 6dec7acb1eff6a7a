"""Checks of shared memory: bounds, alignment, races, and reads of what nobody wrote."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .atomic_cells import atomic_check
from .banks import shared_traffic
from .clock import REFRESH
from .groups import group_check
from .layout import IN_SHARED, Access
from .text import FAIL, Routine, load_slot, splat
from .traffic import CTTZ
from .warp_cells import warp_check

__all__ = ["bounds_failure", "shared_check"]


def bounds_failure(size: int, memory: int) -> str:
    """Lines for lanes ``%missing`` whose ``%offset.vector`` leaves memory or is misaligned; they end the function."""
    return f"""  %bad.lane = call i32 @llvm.cttz.i32(i32 %missing, i1 true)
  %bad.at = getelementptr i64, ptr %addresses, i32 %bad.lane
  %bad.address = load i64, ptr %bad.at
  %bad.low = and i64 %bad.address, {size - 1}
  %bad.odd = icmp ne i64 %bad.low, 0
  %bad.kind = select i1 %bad.odd, i64 {ErrorKind.MISALIGNED.value}, i64 {ErrorKind.OUT_OF_BOUNDS.value}
  %bad.first = shl i32 %warp, 5
  %bad.thread32 = add i32 %bad.first, %bad.lane
  %bad.thread = zext i32 %bad.thread32 to i64
  call void @check_fail(ptr %ctx, i64 %bad.kind, i32 %where, i64 %bad.thread, i64 %bad.address, i64 {size},
    i64 -1, i64 {memory})
  %remaining = xor i32 %missing, %mask
  ret i32 %remaining
"""


def shared_check(access: Access, size: int) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, values, components)``: the lanes that may go on.

    Offsets of those lanes become host addresses in place.
    """
    name = f"check_shared_{access.name.lower()}_{size}"
    groups, traffic = group_check(access, size), shared_traffic(access, size)
    needs: tuple[Routine, ...] = (CTTZ, FAIL, REFRESH, groups, traffic)
    together, joined = "  br label %slow\n", ""
    if access is not Access.SYNC_READ:
        plain = access in (Access.READ, Access.WRITE, Access.COPY)
        warp = (warp_check if plain else atomic_check)(access, size)
        needs += (warp,)
        joined = "[%mask, %inside], "
        together = f"""  %settled = call i1 @{warp.name}(ptr %shadow, ptr %addresses, i32 %mask, i32 %warp)
  br i1 %settled, label %translate, label %slow
"""
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, ptr %values,
    i64 %components) noinline {{
entry:
  %empty = icmp eq i32 %mask, 0
  br i1 %empty, label %none, label %some
none:
  ret i32 0
some:
  %stop = call i1 @check_refresh(ptr %ctx)
  br i1 %stop, label %none, label %go
go:
{load_slot("limit", Slot.SHARED_BYTES)}
{load_slot("host", Slot.SHARED_HOST)}
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}
  %v = load <32 x i64>, ptr %addresses, align 8
  %last = sub i64 %limit, {size}
  %enough = icmp sge i64 %last, 0
{splat("lastv", "%last")}
  %within = icmp ule <32 x i64> %v, %lastv
  %low = and <32 x i64> %v, splat (i64 {size - 1})
  %aligned = icmp eq <32 x i64> %low, zeroinitializer
  %good = and <32 x i1> %within, %aligned
  %bits = bitcast <32 x i1> %good to i32
  %usable = select i1 %enough, i32 %bits, i32 0
  %unusable = xor i32 %usable, -1
  %missing = and i32 %unusable, %mask
  %fine = icmp eq i32 %missing, 0
  br i1 %fine, label %inside, label %outside
outside:
{bounds_failure(size, IN_SHARED)}inside:
  call void @{traffic.name}(ptr %ctx, ptr %addresses, i32 %mask)
{together}slow:
  %result = call i32 @{groups.name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, ptr %values,
    i64 %components)
  br label %translate
translate:
  %done = phi i32 {joined}[%result, %slow]
{splat("hostv", "%host")}
  %moved.there = add <32 x i64> %v, %hostv
  %chosen = bitcast i32 %mask to <32 x i1>
  %final = select <32 x i1> %chosen, <32 x i64> %moved.there, <32 x i64> %v
  store <32 x i64> %final, ptr %addresses, align 8
  ret i32 %done
}}
"""
    return Routine(name, text, needs)
