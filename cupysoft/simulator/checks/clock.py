"""The clock of the race check: barriers move it on, and a new block begins with memory that nobody has written."""

from __future__ import annotations

from enum import IntEnum

from ..context import Slot
from .layout import CELLS_OFFSET, PENDING_TIME, TIME_LIMIT, TOUCHED, ShadowField
from .pending import expire
from .text import Routine, intrinsic, load_slot

__all__ = [
    "MEMSET",
    "NARROW_SHIFT",
    "SIZE_SHIFT",
    "Event",
    "REFRESH",
    "TELL",
    "TICK",
    "WARP_SYNC",
    "since",
    "times",
]

#: Bits of an event.
NARROW_SHIFT = 4
SIZE_SHIFT = 8


class Event(IntEnum):
    """What the listener hears of; of accesses also how many bytes, and whether for the block alone.

    With it comes a mask of lanes, or of warps where a part of the block has passed a barrier.
    """

    FENCE = 0  # of the whole device
    BLOCK_FENCE = 1
    PUBLISH = 2  # an atomic access or store is about to tell others what was fenced
    RELEASE = 3  # the same, and all that was done before
    ACQUIRE = 4  # an atomic access or load has found what was there
    BARRIER = 5  # the whole block has passed a barrier
    ARRIVE = 6  # a warp has come to a barrier for a part of the block
    OPEN = 7  # and some have passed it


#: ``void (ctx, event, warp, mask, addresses)``: call the listener if there is one.
TELL = Routine(
    "check_tell",
    f"""define internal void @check_tell(ptr %ctx, i32 %event, i32 %warp, i32 %mask, ptr %addresses) noinline {{
entry:
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}
  %listener.at = getelementptr i64, ptr %shadow, i64 {ShadowField.LISTENER.value}
  %listener = load ptr, ptr %listener.at
  %deaf = icmp eq ptr %listener, null
  br i1 %deaf, label %done, label %call
call:
  call void %listener(ptr %ctx, i32 %event, i32 %warp, i32 %mask, ptr %addresses)
  br label %done
done:
  ret void
}}
""",
)

MEMSET = intrinsic("llvm.memset.p0.i64", "void", "ptr", "i8", "i64", "i1")


def times() -> str:
    """Lines that load, in 32 bits, what stamps are held against; ``%now12`` is the time in its place in a stamp.

    ``%first`` is the begin of the block, ``%start`` its last barrier, ``%synced`` the last one of warp ``%warp``.
    """
    fields = {"now": (ShadowField.NOW, 2), "first": (ShadowField.FIRST, 1), "start": (ShadowField.START, 2)}
    loads = "".join(
        f"  %{name}.at = getelementptr i64, ptr %shadow, i64 {field.value}\n{since(name, least)}"
        for name, (field, least) in fields.items()
    )
    return f"""  %base.at = getelementptr i64, ptr %shadow, i64 {ShadowField.BASE.value}
  %base = load i64, ptr %base.at
{loads}  %field = add i32 %warp, {ShadowField.WARPS.value}
  %synced.at = getelementptr i64, ptr %shadow, i32 %field
{since("synced", 0)}  %now12 = shl i32 %now, 12
"""


def since(name: str, least: int) -> str:
    """Lines that load a time at ``%<name>.at`` as stamps of shared memory hold it."""
    return f"""  %{name}.whole = load i64, ptr %{name}.at
  %{name}.since = sub i64 %{name}.whole, %base
  %{name}.late = icmp sgt i64 %{name}.since, {least}
  %{name}.kept = select i1 %{name}.late, i64 %{name}.since, i64 {least}
  %{name} = trunc i64 %{name}.kept to i32
"""


#: ``void (shadow)``: move the time on; where it would not fit a stamp any longer, number the times anew.
TICK = Routine(
    "check_tick",
    f"""define internal void @check_tick(ptr %shadow) noinline {{
entry:
  %now = load i64, ptr %shadow
  %next = add i64 %now, 1
  store i64 %next, ptr %shadow
  %base.at = getelementptr i64, ptr %shadow, i64 {ShadowField.BASE.value}
  %base = load i64, ptr %base.at
  %since = sub i64 %next, %base
  %full = icmp uge i64 %since, {TIME_LIMIT}
  br i1 %full, label %renumber, label %done
renumber:
  %first.at = getelementptr i64, ptr %shadow, i64 {ShadowField.FIRST.value}
{since("first", 1)}  %first32 = or i32 %first, 0
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
  %code = and i32 %wrote, {TOUCHED - 1}
  %early = or i32 %code, 4096
  %settled = select i1 %known, i32 %early, i32 0
  %pending = icmp eq i32 %time, {PENDING_TIME}
  %kept = select i1 %pending, i32 %wrote, i32 %settled
  %both = zext i32 %kept to i64
  store i64 %both, ptr %cell
  %index1 = add i64 %index, 1
  %more = icmp ult i64 %index1, %cells
  br i1 %more, label %each, label %end
end:
  %base.next = sub i64 %next, 2
  store i64 %base.next, ptr %base.at
  br label %done
done:
  ret void
}}
""",
)

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
{expire()}  ret i1 true
move:
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}  store i64 %epoch, ptr %seen.at
  store i64 %block, ptr %shown.at
  %unsettled.at = getelementptr i64, ptr %shadow, i64 {ShadowField.UNSETTLED.value}
  %unsettled = load i64, ptr %unsettled.at
  %tells0 = icmp ne i64 %unsettled, 0
  %tells = and i1 %tells0, %here
  br i1 %tells, label %tell, label %tick
tell:
  call void @check_tell(ptr %ctx, i32 {Event.BARRIER.value}, i32 0, i32 0, ptr null)
  br label %tick
tick:
  call void @check_tick(ptr %shadow)
  %now = load i64, ptr %shadow
  %start.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  store i64 %now, ptr %start.at
  br i1 %here, label %done, label %begin
begin:
  %first.at = getelementptr i64, ptr %shadow, i64 {ShadowField.FIRST.value}
  store i64 %now, ptr %first.at
  call void @check_tick(ptr %shadow)
  %later = load i64, ptr %shadow
  store i64 %later, ptr %start.at
  store i64 0, ptr %unsettled.at
  %acquired = getelementptr i64, ptr %shadow, i64 {ShadowField.ACQUIRED.value}
  call void @llvm.memset.p0.i64(ptr %acquired, i8 0, i64 {8 * (ShadowField.KNOWN - ShadowField.ACQUIRED)}, i1 false)
{load_slot("local", Slot.SHADOW_LOCAL, "ptr")}{load_slot("stride", Slot.LOCAL_STRIDE)}{load_slot("warps", Slot.WARPS)}
  %threads = mul i64 %warps, 32
  %bytes = mul i64 %threads, %stride
  call void @llvm.memset.p0.i64(ptr %local, i8 0, i64 %bytes, i1 false)
  br label %done
done:
  ret i1 false
}}
""",
    (TELL, TICK, MEMSET),
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
  %diagonal = mul i32 %warp, 33
  %known.field = add i32 %diagonal, {ShadowField.KNOWN.value}
  %known.at = getelementptr i64, ptr %shadow, i32 %known.field
  store i64 %now, ptr %known.at
  ret i1 %stop
}}
""",
    (REFRESH, TICK),
)
