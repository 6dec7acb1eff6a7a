"""What the checks remember of global memory: for each granule the last write and the last read, with their time.

A granule has as many bytes as the narrowest access that the kernel makes to global memory. The rules:

- two accesses conflict when different threads make them, at least one writes, and they are not both atomic (volatile,
  relaxed, acquire and release accesses count as atomic; one that is atomic for its block alone conflicts with atomic
  ones that other blocks made before);
- in one block they are ordered as in shared memory: by barriers, of the block, of a part of it, of the warp;
- between blocks they are ordered by what one warp has fenced and then told by an atomic access, and another one has
  found there (`order` keeps the books);
- of several reads, and of several atomic accesses, the last one is named; flags tell that others were there which are
  in no order with it. Those of other blocks count only where the later warp knows of no other block.
"""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .layout import (
    BLOCK_MASK,
    IN_GLOBAL,
    OTHER_BLOCKS,
    THREAD_MASK,
    WAS_ATOMIC,
    Access,
    ShadowField,
)
from .stamps import JOIN, OPEN
from .text import FAIL, Routine, load_slot
from .values import SAME_VALUES

__all__ = ["lane_race"]


def _outcome(label: str, kind: ErrorKind, stamp: str) -> str:
    """Lines of a block that returns a race and the stamp that it is with."""
    return f"""{label}:
  %{label}.0 = insertvalue {{i64, i64}} poison, i64 {kind.value}, 0
  %{label}.1 = insertvalue {{i64, i64}} %{label}.0, i64 {stamp}, 1
  ret {{i64, i64}} %{label}.1
"""


def _foreign() -> str:
    """Lines that set ``%a.matters``: the stamp of the atomic accesses tells of another block."""
    return f"""  %a.x = xor i64 %a, %me
  %a.block = and i64 %a.x, {BLOCK_MASK}
  %a.elsewhere = icmp ne i64 %a.block, 0
  %a.others.bit = and i64 %a, {OTHER_BLOCKS}
  %a.others = icmp ne i64 %a.others.bit, 0
  %rows.field = add i32 %warp, {ShadowField.ACQUIRED.value}
  %rows.at = getelementptr i64, ptr %shadow, i32 %rows.field
  %rows = load ptr, ptr %rows.at
  %stranger = icmp eq ptr %rows, null
  %a.unknown = and i1 %a.others, %stranger
  %a.matters = or i1 %a.elsewhere, %a.unknown"""


def _place_check(access: Access) -> Routine:
    """``{kind, stamp} (shadow, place, reads, own stamp, warp, extra)``: kind 0 when all is well and noted.

    `extra` are flags that the stamp of a read gets.
    """
    name = f"check_place_{access.name.lower()}"
    first = ErrorKind.READ_AFTER_WRITE if access.reads else ErrorKind.WRITE_AFTER_WRITE
    plain = "true" if access in (Access.READ, Access.WRITE) else "false"
    keep = {
        Access.READ: """  %joined0 = call i64 @check_join(ptr %shadow, i64 %r, i64 %me, i32 %warp)
  %joined = or i64 %joined0, %extra
  store i64 %joined, ptr %read
""",
        Access.WRITE: "  store i64 %me, ptr %written\n",
        Access.SYNC_READ: "",
    }.get(
        access,
        f"""  %joined = call i64 @check_join(ptr %shadow, i64 %a, i64 %me, i32 %warp)
  store i64 %joined, ptr %atomic
  %flagged = or i64 %w.flagged, {WAS_ATOMIC}
  store i64 %flagged, ptr %written
""",
    )
    text = f"""define internal {{i64, i64}} @{name}(ptr %shadow, ptr %written, i64 %reads, i64 %me, i32 %warp,
    i64 %extra) noinline {{
entry:
  %w.flagged = load i64, ptr %written
  %w = and i64 %w.flagged, {~WAS_ATOMIC}
  %read = getelementptr i8, ptr %written, i64 %reads
  %r = load i64, ptr %read
  %atomic = getelementptr i8, ptr %read, i64 %reads
  %a.old = load i64, ptr %atomic
  %atomic.bit = and i64 %w.flagged, {WAS_ATOMIC}
  %was.atomic = icmp ne i64 %atomic.bit, 0
  %a = select i1 %was.atomic, i64 %a.old, i64 0
  %w.open = call i1 @check_open(ptr %shadow, i64 %w, i64 %me, i32 %warp)
  br i1 %w.open, label %after.write, label %calm
{_outcome("after.write", first, "%w")}calm:
  %a.open = call i1 @check_open(ptr %shadow, i64 %a, i64 %me, i32 %warp)
{_foreign() if access is Access.BLOCK_ATOMIC else f"  %a.matters = or i1 {plain}, false"}
  %a.race = and i1 %a.open, %a.matters
  br i1 %a.race, label %after.atomic, label %calmer
{_outcome("after.atomic", first, "%a")}calmer:
  br i1 {"true" if access.writes else "false"}, label %reading, label %keep
reading:
  %r.open = call i1 @check_open(ptr %shadow, i64 %r, i64 %me, i32 %warp)
  br i1 %r.open, label %after.read, label %keep
{_outcome("after.read", ErrorKind.WRITE_AFTER_READ, "%r")}keep:
{keep}  ret {{i64, i64}} zeroinitializer
}}
"""
    return Routine(name, text, (OPEN, JOIN))


def lane_race(access: Access, shift: int) -> Routine:
    """``i1 (ctx, addresses, lane, mask, warp, where, cells, reads, size, own, values, components, extra)``.

    True after filling the error record: the access of one lane to ``size`` bytes at a host address races. ``own`` is
    the stamp of the warp. Lanes that store the same values to one place do not race with each other.
    """
    name = f"check_lane_race_{access.name.lower()}"
    place = _place_check(access)
    text = f"""define internal i1 @{name}(ptr %ctx, ptr %addresses, i32 %lane, i32 %mask, i32 %warp, i32 %where,
    i64 %cells, i64 %reads, i64 %size, i64 %own, ptr %values, i64 %components, i64 %extra) noinline {{
entry:
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}  %at = getelementptr i64, ptr %addresses, i32 %lane
  %host = load i64, ptr %at
  %lane64 = zext i32 %lane to i64
  %me = or i64 %own, %lane64
  %granule = lshr i64 %host, {shift}
  %room = add i64 %size, {(1 << shift) - 1}
  %count = lshr i64 %room, {shift}
  %offset = mul i64 %granule, 8
  %begin = add i64 %offset, %cells
  br label %next
next:
  %index = phi i64 [0, %entry], [%index1, %more]
  %over = icmp uge i64 %index, %count
  br i1 %over, label %fine, label %look
look:
  %step = mul i64 %index, 8
  %address = add i64 %begin, %step
  %place = inttoptr i64 %address to ptr
  %found = call {{i64, i64}} @{place.name}(ptr %shadow, ptr %place, i64 %reads, i64 %me, i32 %warp, i64 %extra)
  %kind = extractvalue {{i64, i64}} %found, 0
  %other = extractvalue {{i64, i64}} %found, 1
  %clean = icmp eq i64 %kind, 0
  br i1 %clean, label %more, label %doubt
more:
  %index1 = add i64 %index, 1
  br label %next
doubt:
  %differs = xor i64 %other, %me
  %elsewhere = and i64 %differs, {~31}
  %here = icmp eq i64 %elsewhere, 0
  %is.write = icmp eq i64 %kind, {ErrorKind.WRITE_AFTER_WRITE.value if access is Access.WRITE else -1}
  %may = and i1 %here, %is.write
  br i1 %may, label %neighbour, label %race
neighbour:
  %its.lane64 = and i64 %other, 31
  %its.lane = trunc i64 %its.lane64 to i32
  %its.bit = shl i32 1, %its.lane
  %bit = shl i32 1, %lane
  %its.part = and i32 %its.bit, %mask
  %takes.part = icmp ne i32 %its.part, 0
  %its.at = getelementptr i64, ptr %addresses, i64 %its.lane64
  %its.address = load i64, ptr %its.at
  %together = icmp eq i64 %its.address, %host
  %meets = and i1 %takes.part, %together
  br i1 %meets, label %compare, label %race
compare:
  %pair = or i32 %its.bit, %bit
  %equal = call i1 @check_same_values(ptr %values, i64 %components, i32 %pair)
  br i1 %equal, label %agree, label %race
agree:
  store i64 %me, ptr %place
  br label %more
race:
  %thread = and i64 %me, {THREAD_MASK}
  call void @check_fail(ptr %ctx, i64 %kind, i32 %where, i64 %thread, i64 %host, i64 %size, i64 %other,
    i64 {IN_GLOBAL})
  ret i1 true
fine:
  ret i1 false
}}
"""
    return Routine(name, text, (place, FAIL, SAME_VALUES))
