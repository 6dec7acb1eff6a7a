"""Checks of global memory: which array an address belongs to, whether the access stays inside it, and races."""

from __future__ import annotations

from ..context import Slot
from .array_lanes import lane_check, load_entry
from .clock import MEMSET
from .layout import WINDOW_SHIFT, Access
from .passing import EVERY_BYTE, suffix
from .place_rows import global_race
from .text import Routine, load_slot, splat
from .traffic import CTPOP, CTTZ, global_traffic, lanes, walk

__all__ = ["array_check"]


def array_check(access: Access, size: int, shift: int, needed: int = EVERY_BYTE) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, values, components)``: the lanes that may go on.

    Addresses of those lanes become host addresses in place. The quick way is for a warp that stays inside one array.
    `needed` bytes must have been written.
    """
    name = f"check_array_{access.name.lower()}_{size}{suffix(needed)}"
    slow, race = lane_check(access, shift), global_race(access, size, shift)
    traffic = global_traffic(access, size)
    allowed = "%may = icmp ne i64 %writable, 0" if access.writes else "%may = icmp eq i64 0, 0"
    plain = access is Access.WRITE
    # Of memory that nobody has written yet the lanes are looked at one by one, unless they write a row.
    marks = (
        f"""mark:
  %whole = icmp eq i32 %mask, -1
{splat("onev", "%one")}  %row = add <32 x i64> %onev, {lanes("i64", size)}
  %in.row = icmp eq <32 x i64> %v, %row
  %in.row.bits = bitcast <32 x i1> %in.row to i32
  %straight = icmp eq i32 %in.row.bits, -1
  %easy = and i1 %whole, %straight
  br i1 %easy, label %note, label %slow
note:
  %first = sub i64 %one, %virtual
  %flags.number = add i64 %written, %first
  %flags = inttoptr i64 %flags.number to ptr
  call void @llvm.memset.p0.i64(ptr %flags, i8 1, i64 {32 * size}, i1 false)
  br label %quick
"""
        if plain
        else ""
    )
    ready = "br i1 %old, label %quick, label %mark" if plain else "br label %quick"
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where,
    ptr %values, i64 %components) noinline {{
entry:
  %empty = icmp eq i32 %mask, 0
  br i1 %empty, label %none, label %some
none:
  ret i32 0
some:
{load_slot("table", Slot.ALLOCATIONS, "ptr")}
{load_slot("count", Slot.ALLOCATION_COUNT)}  call void @{traffic.name}(ptr %ctx, ptr %addresses, i32 %mask)
  %v = load <32 x i64>, ptr %addresses, align 8
  %lane = call i32 @llvm.cttz.i32(i32 %mask, i1 true)
  %at = getelementptr i64, ptr %addresses, i32 %lane
  %one = load i64, ptr %at
  %number = lshr i64 %one, {WINDOW_SHIFT}
  %listed = icmp ult i64 %number, %count
  br i1 %listed, label %look, label %slow
look:
{load_entry()}  {allowed}
  %room = icmp uge i64 %size, {size}
  %old = icmp eq i64 %written, 0
  %may.old = {"or i1 %may, false" if plain else "and i1 %may, %old"}
  %go = and i1 %may.old, %room
  br i1 %go, label %test, label %slow
test:
  %last = sub i64 %size, {size}
{splat("lastv", "%last")}
{splat("basev", "%virtual")}
  %offset = sub <32 x i64> %v, %basev
  %within = icmp ule <32 x i64> %offset, %lastv
  %low = and <32 x i64> %v, splat (i64 {size - 1})
  %aligned = icmp eq <32 x i64> %low, zeroinitializer
  %good = and <32 x i1> %within, %aligned
  %bits = bitcast <32 x i1> %good to i32
  %missing0 = xor i32 %bits, -1
  %missing = and i32 %missing0, %mask
  %fine = icmp eq i32 %missing, 0
  br i1 %fine, label %ready, label %slow
ready:
  {ready}
{marks}quick:
{splat("deltav", "%delta")}
  %host = add <32 x i64> %v, %deltav
  %lanes = bitcast i32 %mask to <32 x i1>
  %kept = select <32 x i1> %lanes, <32 x i64> %host, <32 x i64> %v
  store <32 x i64> %kept, ptr %addresses, align 8
  %threads32 = call i32 @llvm.ctpop.i32(i32 %mask)
  %threads = zext i32 %threads32 to i64
  %bytes = mul i64 %threads, {size}
{walk(access)}  %remembered = icmp ne i64 %cells, 0
  br i1 %remembered, label %race, label %settled
settled:
  ret i32 %mask
race:
  %passed = call i32 @{race.name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, i64 %cells, i64 %reads,
    ptr %values, i64 %components)
  ret i32 %passed
slow:
  %result = call i32 @{slow.name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, i64 {size},
    i64 {size}, i64 {needed}, ptr %values, i64 %components)
  ret i32 %result
}}
"""
    return Routine(name, text, (CTTZ, CTPOP, MEMSET, slow, race, traffic))
