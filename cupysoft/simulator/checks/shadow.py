"""What the checks remember of shared memory: for each cell the last write, reads and atomics, with their time.

A cell covers as many bytes as the narrowest access that the kernel makes to memory that may be shared. The rules, with
`layout.ShadowField` for what time means:

- two accesses conflict when different threads make them, at least one writes, and they are not both atomic;
- they are ordered when a block barrier lies between them, or, in one warp, a warp barrier of both lanes, or when a
  barrier for a part of the block, or what one warp fenced and told another one (`..order`), leads from one to the
  other;
- an asynchronous copy is a write of a time to come, which is ordered with nothing, until it has been waited for;
- the reads since the last barrier are kept as one thread, as several lanes of one warp, or as several warps. Reads that
  are ordered before a newer read of the same warp may be forgotten: whatever conflicts with them from another warp
  conflicts with the newer one too. The same goes for atomic accesses, which have a stamp beside those of the cell, so
  that the plain write before them is not forgotten. A plain write takes the place of both.
"""

from __future__ import annotations

from ..context import ErrorKind
from .clock import since, times
from .layout import CELLS_OFFSET, PENDING_TIME, SEVERAL_LANES, SEVERAL_WARPS, TOUCHED, Access, ShadowField
from .text import Routine
from .tiles import lane_limit

__all__ = ["cell_check"]

#: Lines for how a stamp stands to an access: of its code, of its warp, before what the warp knows of the other one, or
#: what the lane knows of the other lane.
#: Of several warps the warp is taken to know, when it has learnt of others since by a barrier for a part of the block.
_RELATION = f"""  %time = lshr i32 %stamp, 12
  %who = and i32 %stamp, {TOUCHED - 1}
  %equal = icmp eq i32 %who, %code
  %single = icmp ult i32 %who, {SEVERAL_LANES}
  %crowd = icmp eq i32 %who, {SEVERAL_WARPS}
  %warp.of = lshr i32 %who, 5
  %warp.several = sub i32 %who, {SEVERAL_LANES}
  %its = select i1 %single, i32 %warp.of, i32 %warp.several
  %mine = icmp eq i32 %its, %warp
  %row = mul i32 %warp, 32
  %place = add i32 %row, %its
  %known.field = add i32 %place, {ShadowField.KNOWN.value}
  %parted.field = add i32 %warp, {ShadowField.PARTED.value}
  %field = select i1 %crowd, i32 %parted.field, i32 %known.field
  %limit.at = getelementptr i64, ptr %shadow, i32 %field
  %base.at = getelementptr i64, ptr %shadow, i64 {ShadowField.BASE.value}
  %base = load i64, ptr %base.at
{since("limit", 0)}  %ordered.warp = icmp ult i32 %time, %limit
  %lane = and i32 %code, 31
  %lane.its = and i32 %who, 31
  %crowded = icmp uge i32 %code, {SEVERAL_LANES}
  %crowd.or.warp = xor i1 %single, true
  %vague = or i1 %crowded, %crowd.or.warp
{lane_limit("%lane", "%lane.its", "%vague")}{since("tile", 0)}  %ordered.tile0 = icmp ult i32 %time, %tile
  %ordered.tile = and i1 %ordered.tile0, %mine
  %ordered = or i1 %ordered.warp, %ordered.tile
  %settled = icmp ult i32 %time, %start
"""

#: ``i1 (shadow, stamp, code, warp, start)``: whether an earlier access is not ordered before this one.
_UNORDERED = Routine(
    "check_unordered",
    f"""define internal i1 @check_unordered(ptr %shadow, i32 %stamp, i32 %code, i32 %warp, i32 %start) noinline {{
{_RELATION}  %early = or i1 %settled, %ordered
  %thread = icmp ult i32 %code, {SEVERAL_LANES}
  %now = icmp ne i32 %time, {PENDING_TIME}
  %alone = and i1 %equal, %thread
  %self = and i1 %alone, %now
  %fine = or i1 %early, %self
  %result = xor i1 %fine, true
  ret i1 %result
}}
""",
)

#: ``i32 (shadow, stamp, code, warp, start)``: the code that stands for the accesses of ``stamp`` and this one.
_MERGE = Routine(
    "check_merge",
    f"""define internal i32 @check_merge(ptr %shadow, i32 %stamp, i32 %code, i32 %warp, i32 %start) noinline {{
{_RELATION}  %early = or i1 %settled, %ordered
  %alone = or i1 %early, %equal
  %lanes = add i32 %warp, {SEVERAL_LANES}
  %among = select i1 %mine, i32 %lanes, i32 {SEVERAL_WARPS}
  %result = select i1 %alone, i32 %code, i32 %among
  ret i32 %result
}}
""",
)


def _returns(label: str, kind: ErrorKind, stamp: str) -> str:
    """Lines of a block that returns an error and the thread it is with."""
    return f"""{label}:
  %{label}.who = and i32 {stamp}, 2047
  %{label}.low = zext i32 %{label}.who to i64
  %{label}.time = lshr i32 {stamp}, 12
  %{label}.pending = icmp eq i32 %{label}.time, {PENDING_TIME}
  %{label}.kind = select i1 %{label}.pending, i64 {ErrorKind.COPY_PENDING.value << 32}, i64 {kind.value << 32}
  %{label}.both = or i64 %{label}.low, %{label}.kind
  ret i64 %{label}.both
"""


def _kept(access: Access) -> str:
    """Lines that keep the access in the cell."""
    if access is Access.READ:
        return """  %code2 = call i32 @check_merge(ptr %shadow, i32 %r, i32 %code, i32 %warp, i32 %start)
  %stamp = or i32 %now12, %code2
  store i32 %stamp, ptr %read.at
"""
    if access in (Access.WRITE, Access.COPY):
        time = "%now12" if access is Access.WRITE else str((PENDING_TIME << 12) - (1 << 32))
        return f"  %stamp = or i32 %code, {time}\n  store i32 %stamp, ptr %cell\n"
    if access is Access.SYNC_READ:
        return ""
    # Memory that had nothing in it has something now, and nobody is held against that.
    return f"""  %code2 = call i32 @check_merge(ptr %shadow, i32 %a, i32 %code, i32 %warp, i32 %start)
  %stamp = or i32 %now12, %code2
  store i32 %stamp, ptr %atomic.at
  %first12 = shl i32 %first, 12
  %known = select i1 %unwritten, i32 %first12, i32 %w
  %flagged = or i32 %known, {TOUCHED}
  store i32 %flagged, ptr %cell
"""


def _atomic_race(access: Access, kind: ErrorKind) -> str:
    """Lines that hold a plain access against the atomic ones; a read that comes after them all clears the flag."""
    if access not in (Access.READ, Access.WRITE, Access.COPY):
        return "  br label %keep\n"
    clear = "  br label %keep\n"
    if access is Access.READ:
        clear = f"""  %a.time = lshr i32 %a, 12
  %a.early = icmp ult i32 %a.time, %start
  br i1 %a.early, label %settle, label %keep
settle:
  %calm = and i32 %w, {~TOUCHED}
  store i32 %calm, ptr %cell
  br label %keep
"""
    return f"""  br i1 %touched, label %atomics, label %keep
atomics:
  %a.open = call i1 @check_unordered(ptr %shadow, i32 %a, i32 %code, i32 %warp, i32 %start)
  br i1 %a.open, label %atomic.race, label %after.atomics
{_returns("atomic.race", kind, "%a")}after.atomics:
{clear}"""


def cell_check(access: Access) -> Routine:
    """``i64 (shadow, index, code, warp)``: 0, or an `ErrorKind` in the upper half and the other's code in the lower.

    A read of memory that nobody wrote is reported too, but kept: whoever writes later races with it.
    """
    name = f"check_cell_{access.name.lower()}"
    first = ErrorKind.READ_AFTER_WRITE if access.reads else ErrorKind.WRITE_AFTER_WRITE
    text = f"""define internal i64 @{name}(ptr %shadow, i64 %index, i32 %code, i32 %warp) noinline {{
entry:
{times()}  %cells.begin = getelementptr i8, ptr %shadow, i64 {CELLS_OFFSET}
  %cell = getelementptr i64, ptr %cells.begin, i64 %index
  %w = load i32, ptr %cell
  %read.at = getelementptr i32, ptr %cell, i64 1
  %r = load i32, ptr %read.at
  %atomics.at = getelementptr i64, ptr %shadow, i64 {ShadowField.ATOMICS.value}
  %atomics.far = load i64, ptr %atomics.at
  %atomics.begin = getelementptr i8, ptr %shadow, i64 %atomics.far
  %atomic.at = getelementptr i32, ptr %atomics.begin, i64 %index
  %a.flag = and i32 %w, {TOUCHED}
  %touched = icmp ne i32 %a.flag, 0
  %a.stamp = load i32, ptr %atomic.at
  %a = select i1 %touched, i32 %a.stamp, i32 0
  %time = lshr i32 %w, 12
  %unwritten = icmp ult i32 %time, %first
  %bare = and i1 %unwritten, {"true" if access.reads else "false"}
  %w.open = call i1 @check_unordered(ptr %shadow, i32 %w, i32 %code, i32 %warp, i32 %start)
  br i1 %w.open, label %write.race, label %reads
{_returns("write.race", first, "%w")}reads:
  %r.open = call i1 @check_unordered(ptr %shadow, i32 %r, i32 %code, i32 %warp, i32 %start)
  %r.race = and i1 %r.open, {"true" if access.writes else "false"}
  br i1 %r.race, label %read.race, label %others
{_returns("read.race", ErrorKind.WRITE_AFTER_READ, "%r")}others:
{_atomic_race(access, first)}keep:
{_kept(access)}  %outcome = select i1 %bare, i64 {ErrorKind.UNINITIALISED.value << 32}, i64 0
  ret i64 %outcome
}}
"""
    return Routine(name, text, (_UNORDERED, _MERGE))
