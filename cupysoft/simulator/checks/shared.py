"""Checks of shared memory: bounds, alignment, races, and reads of what nobody wrote."""

from __future__ import annotations

from ..context import Slot
from .atomic_cells import atomic_check
from .banks import shared_traffic
from .bounds import bounds_failure, offsets_test
from .clock import REFRESH
from .groups import group_check
from .layout import IN_SHARED, Access
from .lookups import lookup_check
from .passing import EVERY_BYTE, suffix
from .text import FAIL, Routine, load_slot, splat
from .traffic import CTTZ
from .warp_cells import warp_check

__all__ = ["shared_check"]


def shared_check(access: Access, size: int, needed: int = EVERY_BYTE) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, values, components)``: the lanes that may go on.

    Offsets of those lanes become host addresses in place. `needed` bytes must have been written.
    """
    name = f"check_shared_{access.name.lower()}_{size}{suffix(needed)}"
    groups, traffic = group_check(access, size, needed), shared_traffic(access, size)
    needs: tuple[Routine, ...] = (CTTZ, FAIL, REFRESH, groups, traffic)
    together, joined = "  br label %slow\n", ""
    if access is not Access.SYNC_READ:
        plain = access in (Access.READ, Access.WRITE, Access.COPY)
        warp = (warp_check if plain else atomic_check)(access, size)
        needs += (warp,)
        joined = "[%mask, %inside], "
        together = f"""  %settled = call i1 @{warp.name}(ptr %shadow, ptr %addresses, i32 %mask, i32 %warp)
  br i1 %settled, label %translate, label %{"lookup" if access is Access.READ else "slow"}
"""
        if access is Access.READ:
            lookup = lookup_check(size)
            needs += (lookup,)
            joined += "[%mask, %lookup], "
            together += f"""lookup:
  %looked.up = call i1 @{lookup.name}(ptr %shadow, ptr %addresses, i32 %mask, i32 %warp)
  br i1 %looked.up, label %translate, label %slow
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
{offsets_test("%limit", size)}  br i1 %fine, label %inside, label %outside
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
