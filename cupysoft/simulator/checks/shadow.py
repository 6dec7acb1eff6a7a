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

from ..context import ErrorKind, Slot
from .layout import CELLS_OFFSET, IN_SHARED, SEVERAL_LANES, SEVERAL_WARPS, TIME_LIMIT, Access, ShadowField
from .text import Routine, intrinsic, load_slot

__all__ = ["PEND", "PENDING", "REFRESH", "WARP_SYNC", "cell_check"]

_MEMSET = intrinsic("llvm.memset.p0.i64", "void", "ptr", "i8", "i64", "i1")

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

#: ``void (shadow)``: move the time on; where it would not fit a stamp any longer, number the times anew.
_TICK = Routine(
    "check_tick",
    f"""define internal void @check_tick(ptr %shadow) noinline {{
entry:
  %now = load i64, ptr %shadow
  %next = add i64 %now, 1
  store i64 %next, ptr %shadow
  %full = icmp uge i64 %next, {TIME_LIMIT}
  br i1 %full, label %renumber, label %done
renumber:
  %first.at = getelementptr i64, ptr %shadow, i64 {ShadowField.FIRST.value}
  %first = load i64, ptr %first.at
  %first32 = trunc i64 %first to i32
  %cells.at = getelementptr i64, ptr %shadow, i64 {ShadowField.CELLS.value}
  %cells = load i64, ptr %cells.at
  br label %each
each:
  %index = phi i64 [0, %renumber], [%index1, %each]
  %offset = mul i64 %index, 8
  %place = add i64 %offset, {CELLS_OFFSET}
  %cell = getelementptr i8, ptr %shadow, i64 %place
  %wrote = load i32, ptr %cell
  %time = lshr i32 %wrote, 12
  %known = icmp uge i32 %time, %first32
  %code = and i32 %wrote, 4095
  %early = or i32 %code, 4096
  %kept = select i1 %known, i32 %early, i32 0
  %both = zext i32 %kept to i64
  store i64 %both, ptr %cell
  %index1 = add i64 %index, 1
  %more = icmp ult i64 %index1, %cells
  br i1 %more, label %each, label %end
end:
  store i64 1, ptr %first.at
  %start.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  store i64 2, ptr %start.at
  store i64 2, ptr %shadow
  %warps = getelementptr i64, ptr %shadow, i64 {ShadowField.WARPS.value}
  call void @llvm.memset.p0.i64(ptr %warps, i8 0, i64 256, i1 false)
  br label %done
done:
  ret void
}}
""",
    (_MEMSET,),
)

#: Where a read of unwritten shared memory waits for its verdict, and the fields of the error record that it becomes.
PENDING = {
    Slot.CHECK_2: Slot.ERROR_KIND,
    Slot.CHECK_3: Slot.ERROR_INSTRUCTION,
    Slot.CHECK_4: Slot.ERROR_THREAD,
    Slot.CHECK_5: Slot.ERROR_ADDRESS,
    Slot.CHECK_6: Slot.ERROR_BLOCK,
    Slot.CHECK_7: Slot.ERROR_SIZE,
}

#: ``void (ctx, where, thread, address, size)``: note a read of shared memory that nobody wrote in this block.
#: It is an error only when the next barrier comes: a write before that makes it a race, which says more.
PEND = Routine(
    "check_pend",
    f"""define internal void @check_pend(ptr %ctx, i32 %where, i64 %thread, i64 %address, i64 %size) noinline cold {{
{load_slot("kind", Slot.CHECK_2)}{load_slot("block", Slot.BLOCK)}
  %free = icmp eq i64 %kind, 0
  br i1 %free, label %write, label %done
write:
  %where64 = zext i32 %where to i64
  store i64 {ErrorKind.UNINITIALISED.value}, ptr %kind.at
  %at3 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_3.value}
  store i64 %where64, ptr %at3
  %at4 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_4.value}
  store i64 %thread, ptr %at4
  %at5 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_5.value}
  store i64 %address, ptr %at5
  %at6 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_6.value}
  store i64 %block, ptr %at6
  %at7 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_7.value}
  store i64 %size, ptr %at7
  br label %done
done:
  ret void
}}
""",
)


def _expire() -> str:
    """Lines that make the pending read the error."""
    lines = []
    for source, target in PENDING.items():
        lines.append(load_slot(source.name.lower(), source))
        lines.append(f"  %to{target.value} = getelementptr i64, ptr %ctx, i64 {target.value}\n")
        lines.append(f"  store i64 %{source.name.lower()}, ptr %to{target.value}\n")
    lines.append(f"  %detail = getelementptr i64, ptr %ctx, i64 {Slot.ERROR_DETAIL.value}\n")
    lines.append(f"  store i64 {IN_SHARED}, ptr %detail\n")
    return "".join(lines)


#: ``i1 (ctx)``: notice a new block and the block barriers that were passed since the last look. True after filling the
#: error record, when a read of unwritten memory was pending.
REFRESH = Routine(
    "check_refresh",
    f"""define internal i1 @check_refresh(ptr %ctx) noinline {{
entry:
{load_slot("epoch", Slot.EPOCH)}
{load_slot("block", Slot.BLOCK)}
{load_slot("seen", Slot.CHECK_0)}
{load_slot("shown", Slot.CHECK_1)}
  %old = icmp eq i64 %seen, %epoch
  %here = icmp eq i64 %shown, %block
  %nothing = and i1 %old, %here
  br i1 %nothing, label %done, label %look
look:
{load_slot("pending", Slot.CHECK_2)}
  %settled = icmp eq i64 %pending, 0
  br i1 %settled, label %move, label %expire
expire:
{_expire()}  ret i1 true
move:
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}  store i64 %epoch, ptr %seen.at
  store i64 %block, ptr %shown.at
  call void @check_tick(ptr %shadow)
  %now = load i64, ptr %shadow
  %start.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  store i64 %now, ptr %start.at
  br i1 %here, label %done, label %begin
begin:
  %first.at = getelementptr i64, ptr %shadow, i64 {ShadowField.FIRST.value}
  store i64 %now, ptr %first.at
{load_slot("local", Slot.SHADOW_LOCAL, "ptr")}{load_slot("stride", Slot.LOCAL_STRIDE)}{load_slot("warps", Slot.WARPS)}
  %threads = mul i64 %warps, 32
  %bytes = mul i64 %threads, %stride
  call void @llvm.memset.p0.i64(ptr %local, i8 0, i64 %bytes, i1 false)
  br label %done
done:
  ret i1 false
}}
""",
    (_TICK, _MEMSET),
)

#: ``i1 (ctx, warp)``: the lanes of a warp were ordered. True as `REFRESH`.
WARP_SYNC = Routine(
    "check_warp_sync",
    f"""define internal i1 @check_warp_sync(ptr %ctx, i32 %warp) noinline {{
  %stop = call i1 @check_refresh(ptr %ctx)
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}  call void @check_tick(ptr %shadow)
  %now = load i64, ptr %shadow
  %field = add i32 %warp, {ShadowField.WARPS.value}
  %at = getelementptr i64, ptr %shadow, i32 %field
  store i64 %now, ptr %at
  ret i1 %stop
}}
""",
    (REFRESH, _TICK),
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
