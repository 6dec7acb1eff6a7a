"""Checks of shared memory where lanes of a warp meet: each address in turn, with all the lanes that want it."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .clock import times
from .layout import CELLS_OFFSET, IN_SHARED, PENDING_TIME, SEVERAL_LANES, SEVERAL_WARPS, TOUCHED, Access, ShadowField
from .passing import EVERY_BYTE, suffix
from .pending import PEND
from .shadow import cell_check
from .text import FAIL, Routine, load_slot, splat
from .tiles import parted_warp
from .traffic import CTTZ
from .values import SAME_VALUES

__all__ = ["group_check"]


def _glance(access: Access) -> str:
    """Lines that settle the usual cell at once: nobody else was there since the last barrier, or all only read."""
    if access not in (Access.READ, Access.WRITE):
        return "  br label %think\n"
    head = f"""  %w = load i32, ptr %cell
  %r.at = getelementptr i32, ptr %cell, i64 1
  %r = load i32, ptr %r.at
  %w.time = lshr i32 %w, 12
  %r.time = lshr i32 %r, 12
  %w.early = icmp ult i32 %w.time, %start
  %r.early = icmp ult i32 %r.time, %start
  %r.code = and i32 %r, 4095
  %r.equal = icmp eq i32 %r.code, %code
  %stamp = or i32 %now12, %code
  %w.flag = and i32 %w, {TOUCHED}
  %w.bare = icmp eq i32 %w.flag, 0
"""
    if access is Access.READ:
        return f"""{head}  %written = icmp uge i32 %w.time, %first
  %calm = and i1 %written, %w.early
  %r.many = icmp eq i32 %r.code, {SEVERAL_WARPS}
  %r.settled = or i1 %r.early, %r.equal
  %r.fine = or i1 %r.settled, %r.many
  %usual0 = and i1 %calm, %r.fine
  %usual = and i1 %usual0, %w.bare
  %kept = select i1 %r.settled, i32 %stamp, i32 %r
  br i1 %usual, label %settle, label %think
settle:
  store i32 %kept, ptr %r.at
  br label %more
"""
    return f"""{head}  %w.code = and i32 %w, 4095
  %w.equal = icmp eq i32 %w.code, %code
  %single = icmp ult i32 %code, {SEVERAL_LANES}
  %w.now = icmp ne i32 %w.time, {PENDING_TIME}
  %w.self = and i1 %w.equal, %single
  %w.own = and i1 %w.self, %w.now
  %r.own = and i1 %r.equal, %single
  %w.fine = or i1 %w.early, %w.own
  %r.fine = or i1 %r.early, %r.own
  %usual0 = and i1 %w.fine, %r.fine
  %usual = and i1 %usual0, %w.bare
  br i1 %usual, label %settle, label %think
settle:
  store i32 %stamp, ptr %cell
  br label %more
"""


def _taken(access: Access) -> str:
    """Lines that set ``%group``, the lanes that are looked at: a read alone, where each lane knows of others."""
    if access is not Access.READ:
        return "  %group = and i32 %together.lanes, -1\n"
    return """  %itself = shl i32 1, %lane
  %group = select i1 %tiled, i32 %itself, i32 %together.lanes
"""


def group_check(access: Access, size: int, needed: int = EVERY_BYTE) -> Routine:
    """``i32 (ctx, offsets, mask, warp, where, values, components)``: the cells of each address, with all its lanes.

    Of these only those of the `needed` bytes must have been written.
    """
    name = f"check_groups_{access.name.lower()}_{size}{suffix(needed)}"
    cell = cell_check(access)
    # Lanes that store different values to one place race with each other; with nobody else would the cells tell.
    compared = "%together" if access in (Access.WRITE, Access.COPY) else "false"
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %offsets, i32 %mask, i32 %warp, i32 %where, ptr %values,
    i64 %components) noinline {{
entry:
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}
  %shift.at = getelementptr i64, ptr %shadow, i64 {ShadowField.SHIFT.value}
  %shift = load i64, ptr %shift.at
  %many = lshr i64 {size}, %shift
  %v = load <32 x i64>, ptr %offsets, align 8
  %thread0 = shl i32 %warp, 5
  %several = add i32 %warp, {SEVERAL_LANES}
{times()}{parted_warp()}  br label %next
next:
  %rest = phi i32 [%mask, %entry], [%left, %advance]
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %at = getelementptr i64, ptr %offsets, i32 %lane
  %one = load i64, ptr %at
{splat("all", "%one")}
  %same = icmp eq <32 x i64> %v, %all
  %bits = bitcast <32 x i1> %same to i32
  %together.lanes = and i32 %bits, %mask
{_taken(access)}  %others = xor i32 %group, -1
  %left = and i32 %rest, %others
  %lower = sub i32 %group, 1
  %twice = and i32 %group, %lower
  %together = icmp ne i32 %twice, 0
  %thread = add i32 %thread0, %lane
  %code = select i1 %together, i32 %several, i32 %thread
  %place = lshr i64 %one, %shift
  br i1 {compared}, label %compare, label %cells
compare:
  %equal = call i1 @check_same_values(ptr %values, i64 %components, i32 %group)
  br i1 %equal, label %cells, label %clash
clash:
  %second = call i32 @llvm.cttz.i32(i32 %twice, i1 true)
  %second.thread32 = add i32 %thread0, %second
  %second.thread = zext i32 %second.thread32 to i64
  br label %fail
cells:
  %step = phi i64 [0, %next], [0, %compare], [%step1, %more]
  %index = add i64 %place, %step
  %offset = mul i64 %index, 8
  %far = add i64 %offset, {CELLS_OFFSET}
  %cell = getelementptr i8, ptr %shadow, i64 %far
{_glance(access)}think:
  %outcome = call i64 @{cell.name}(ptr %shadow, i64 %index, i32 %code, i32 %warp)
  %clean = icmp eq i64 %outcome, 0
  br i1 %clean, label %more, label %race
more:
  %step1 = add i64 %step, 1
  %again = icmp ult i64 %step1, %many
  br i1 %again, label %cells, label %advance
advance:
  %over = icmp eq i32 %left, 0
  br i1 %over, label %exit, label %next
race:
  %outcome.kind = lshr i64 %outcome, 32
  %unwritten = icmp eq i64 %outcome.kind, {ErrorKind.UNINITIALISED.value}
  %waits = and i1 %unwritten, {"false" if access is Access.SYNC_READ else "true"}
  br i1 %waits, label %wait, label %certain
wait:
  %byte = shl i64 %step, %shift
  %needed = lshr i64 {needed}, %byte
  %matters = trunc i64 %needed to i1
  br i1 %matters, label %pend, label %more
pend:
  %pend.thread = zext i32 %thread to i64
  call void @check_pend(ptr %ctx, i32 %where, i64 %pend.thread, i64 %one, i64 {size})
  br label %more
certain:
  %outcome.other = and i64 %outcome, 4294967295
  br label %fail
fail:
  %kind = phi i64 [{ErrorKind.WRITE_AFTER_WRITE.value}, %clash], [%outcome.kind, %certain]
  %other = phi i64 [%second.thread, %clash], [%outcome.other, %certain]
  %thread64 = zext i32 %thread to i64
  call void @check_fail(ptr %ctx, i64 %kind, i32 %where, i64 %thread64, i64 %one, i64 {size}, i64 %other,
    i64 {IN_SHARED})
  %remaining = xor i32 %group, %mask
  ret i32 %remaining
exit:
  ret i32 %mask
}}
"""
    return Routine(name, text, (CTTZ, FAIL, PEND, cell, SAME_VALUES))
