"""The clock of the race check: barriers move it on, and a new block begins with memory that nobody has written."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .layout import CELLS_OFFSET, IN_SHARED, PENDING_TIME, TIME_LIMIT, TOUCHED, ShadowField
from .text import Routine, intrinsic, load_slot

__all__ = ["PEND", "PENDING", "REFRESH", "WARP_SYNC", "times"]

_MEMSET = intrinsic("llvm.memset.p0.i64", "void", "ptr", "i8", "i64", "i1")


def times() -> str:
    """Lines that load, in 32 bits, what stamps are held against; ``%now12`` is the time in its place in a stamp.

    ``%first`` is the begin of the block, ``%start`` its last barrier, ``%synced`` the last one of warp ``%warp``.
    """
    fields = {"now": ShadowField.NOW, "first": ShadowField.FIRST, "start": ShadowField.START}
    loads = "".join(
        f"  %{name}.at = getelementptr i64, ptr %shadow, i64 {field.value}\n  %{name} = load i32, ptr %{name}.at\n"
        for name, field in fields.items()
    )
    return f"""{loads}  %field = add i32 %warp, {ShadowField.WARPS.value}
  %synced.at = getelementptr i64, ptr %shadow, i32 %field
  %synced = load i32, ptr %synced.at
  %now12 = shl i32 %now, 12
"""


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
  call void @check_tick(ptr %shadow)
  %later = load i64, ptr %shadow
  store i64 %later, ptr %start.at
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
