"""What the checks remember of shared memory: for each cell the last write and the last reads, with their time.

A cell covers as many bytes as the narrowest access that the kernel makes to memory that may be shared. The rules, with
`layout.ShadowField` for what time means:

- two accesses conflict when different threads make them, at least one writes, and they are not both atomic;
- they are ordered when a block barrier lies between them, or, in one warp, a warp barrier;
- the reads since the last barrier are kept as one thread, as several lanes of one warp, or as several warps. Reads that
  are ordered before a newer read of the same warp may be forgotten: whatever conflicts with them from another warp
  conflicts with the newer one too.
"""

from __future__ import annotations

from ..context import ErrorKind
from .layout import SEVERAL_LANES, SEVERAL_WARPS, Access, ShadowField
from .text import Routine

__all__ = ["cell_check"]

#: ``i1 (stamp, code, warp, start, warp time)``: whether an earlier access is not ordered before this one.
_UNORDERED = Routine(
    "check_unordered",
    f"""define internal i1 @check_unordered(i32 %stamp, i32 %code, i32 %warp, i32 %start, i32 %synced) noinline {{
  %time = lshr i32 %stamp, 12
  %who = and i32 %stamp, 2047
  %late = icmp uge i32 %time, %start
  %equal = icmp eq i32 %who, %code
  %thread = icmp ult i32 %code, {SEVERAL_LANES}
  %self = and i1 %equal, %thread
  %others = xor i1 %self, true
  %single = icmp ult i32 %who, {SEVERAL_LANES}
  %warp.of = lshr i32 %who, 5
  %warp.several = sub i32 %who, {SEVERAL_LANES}
  %its = select i1 %single, i32 %warp.of, i32 %warp.several
  %mine = icmp eq i32 %its, %warp
  %fresh = icmp uge i32 %time, %synced
  %foreign = xor i1 %mine, true
  %open = or i1 %foreign, %fresh
  %both = and i1 %late, %others
  %result = and i1 %both, %open
  ret i1 %result
}}
""",
)

#: ``i32 (stamp, code, warp, start, warp time)``: the code that stands for the accesses of ``stamp`` and this one.
_MERGE = Routine(
    "check_merge",
    f"""define internal i32 @check_merge(i32 %stamp, i32 %code, i32 %warp, i32 %start, i32 %synced) noinline {{
  %time = lshr i32 %stamp, 12
  %who = and i32 %stamp, 2047
  %early = icmp ult i32 %time, %start
  %equal = icmp eq i32 %who, %code
  %alone = or i1 %early, %equal
  %single = icmp ult i32 %who, {SEVERAL_LANES}
  %warp.of = lshr i32 %who, 5
  %warp.several = sub i32 %who, {SEVERAL_LANES}
  %its = select i1 %single, i32 %warp.of, i32 %warp.several
  %mine = icmp eq i32 %its, %warp
  %ordered = icmp ult i32 %time, %synced
  %lanes = add i32 %warp, {SEVERAL_LANES}
  %inwarp = select i1 %ordered, i32 %code, i32 %lanes
  %among = select i1 %mine, i32 %inwarp, i32 {SEVERAL_WARPS}
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
  %{label}.both = or i64 %{label}.low, {kind.value << 32}
  ret i64 %{label}.both
"""


def _fresh(access: Access) -> str:
    """The block for a cell that nobody wrote: the access is kept, for whoever writes later races with it."""
    place, flag = ("%read.at", 0) if access is Access.READ else ("%cell", 2048)
    keep = ""
    if access in (Access.READ, Access.ATOMIC):
        old = "%r" if access is Access.READ else "%w"
        keep = f"""  %f.code = call i32 @check_merge(i32 {old}, i32 %code, i32 %warp, i32 %start, i32 %synced)
  %f.stamp = or i32 %now12, %f.code
  %f.flagged = or i32 %f.stamp, {flag}
  store i32 %f.flagged, ptr {place}
"""
    return f"fresh:\n{keep}  ret i64 {ErrorKind.UNINITIALISED.value << 32}\n"


def _reads(access: Access) -> str:
    """The block that keeps a read, or an atomic access in its place."""
    if access is Access.READ:
        return """keep:
  %code2 = call i32 @check_merge(i32 %r, i32 %code, i32 %warp, i32 %start, i32 %synced)
  %stamp = or i32 %now12, %code2
  store i32 %stamp, ptr %read.at
  ret i64 0
"""
    if access is Access.SYNC_READ:
        return "keep:\n  ret i64 0\n"
    if access is Access.WRITE:
        return "keep:\n  %stamp = or i32 %now12, %code\n  store i32 %stamp, ptr %cell\n  ret i64 0\n"
    # An atomic access after the thread's own plain write: that write is what others conflict with, so it stays.
    return """keep:
  %late = icmp uge i32 %time, %start
  %plain = xor i1 %w.atomic, true
  %who = and i32 %w, 2047
  %self = icmp eq i32 %who, %code
  %own0 = and i1 %late, %plain
  %own = and i1 %own0, %self
  %code2 = call i32 @check_merge(i32 %w, i32 %code, i32 %warp, i32 %start, i32 %synced)
  %stamp0 = or i32 %now12, %code2
  %stamp1 = or i32 %stamp0, 2048
  %stamp = select i1 %own, i32 %w, i32 %stamp1
  store i32 %stamp, ptr %cell
  ret i64 0
"""


def cell_check(access: Access) -> Routine:
    """``i64 (shadow, cell, code, warp)``: 0, or an `ErrorKind` in the upper half and the other's code in the lower."""
    name = f"check_cell_{access.name.lower()}"
    atomic = access in (Access.ATOMIC, Access.SYNC_READ, Access.SYNC_WRITE)
    first = ErrorKind.READ_AFTER_WRITE if access.reads else ErrorKind.WRITE_AFTER_WRITE
    text = f"""define internal i64 @{name}(ptr %shadow, ptr %cell, i32 %code, i32 %warp) noinline {{
entry:
  %now64 = load i64, ptr %shadow
  %now = trunc i64 %now64 to i32
  %now12 = shl i32 %now, 12
  %first.at = getelementptr i64, ptr %shadow, i64 {ShadowField.FIRST.value}
  %first = load i32, ptr %first.at
  %start.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  %start = load i32, ptr %start.at
  %field = add i32 %warp, {ShadowField.WARPS.value}
  %synced.at = getelementptr i64, ptr %shadow, i32 %field
  %synced = load i32, ptr %synced.at
  %w = load i32, ptr %cell
  %read.at = getelementptr i32, ptr %cell, i64 1
  %r = load i32, ptr %read.at
  %time = lshr i32 %w, 12
  %w.flag = and i32 %w, 2048
  %w.atomic = icmp ne i32 %w.flag, 0
  %unwritten = icmp ult i32 %time, %first
  br i1 {"%unwritten" if access.reads else "false"}, label %fresh, label %written
{_fresh(access)}written:
  %w.open = call i1 @check_unordered(i32 %w, i32 %code, i32 %warp, i32 %start, i32 %synced)
  %w.plain = xor i1 %w.atomic, true
  %w.race = and i1 %w.open, {"%w.plain" if atomic else "true"}
  br i1 %w.race, label %write.race, label %reads
{_returns("write.race", first, "%w")}reads:
  %r.open = call i1 @check_unordered(i32 %r, i32 %code, i32 %warp, i32 %start, i32 %synced)
  %r.race = and i1 %r.open, {"true" if access.writes else "false"}
  br i1 %r.race, label %read.race, label %keep
{_returns("read.race", ErrorKind.WRITE_AFTER_READ, "%r")}{_reads(access)}}}
"""
    return Routine(name, text, (_UNORDERED, _MERGE))
