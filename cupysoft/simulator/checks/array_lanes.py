"""Checks of global memory a lane at a time: they find the array of each address, and write the error record."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .layout import ALLOCATION_FIELDS, WINDOW_SHIFT, Access, AllocationField
from .places import lane_race
from .stamps import OWN_STAMP
from .text import FAIL, Routine, load_slot
from .traffic import CTTZ, walk

__all__ = ["lane_check", "load_entry"]


def load_entry(prefix: str = "") -> str:
    """Lines that load the fields of allocation ``%number`` from ``%table``."""
    return "".join(
        f"  %{prefix}{field.name.lower()}.at = getelementptr [{ALLOCATION_FIELDS} x i64], ptr %table, i64 %number,"
        f" i64 {field.value}\n"
        f"  %{prefix}{field.name.lower()} = load i64, ptr %{prefix}{field.name.lower()}.at\n"
        for field in AllocationField
    )


#: ``i64 (ctx, address)``: number of the allocation that holds a plain host address, 0 when none does.
_FIND_HOST = Routine(
    "check_find_host",
    f"""define internal i64 @check_find_host(ptr %ctx, i64 %address) noinline cold {{
entry:
{load_slot("table", Slot.ALLOCATIONS, "ptr")}{load_slot("count", Slot.ALLOCATION_COUNT)}  br label %next
next:
  %number = phi i64 [0, %entry], [%number1, %other]
  %more = icmp ult i64 %number, %count
  br i1 %more, label %look, label %none
look:
{load_entry()}  %host = add i64 %virtual, %delta
  %offset = sub i64 %address, %host
  %inside = icmp ult i64 %offset, %size
  br i1 %inside, label %found, label %other
other:
  %number1 = add i64 %number, 1
  br label %next
found:
  ret i64 %number
none:
  ret i64 0
}}
""",
)


#: ``i1 (flags, bytes, needed, writes)``: false where a byte that is needed was not written; else notes what is written.
_WRITTEN = Routine(
    "check_written",
    """define internal i1 @check_written(ptr %flags, i64 %bytes, i64 %needed, i1 %writes) noinline {
entry:
  br label %next
next:
  %index = phi i64 [0, %entry], [%index1, %more]
  %over = icmp eq i64 %index, %bytes
  br i1 %over, label %good, label %byte
byte:
  %at = getelementptr i8, ptr %flags, i64 %index
  %flag = load i8, ptr %at
  %unset = icmp eq i8 %flag, 0
  %needed.here = lshr i64 %needed, %index
  %matters = trunc i64 %needed.here to i1
  %wrong = and i1 %unset, %matters
  br i1 %wrong, label %bad, label %fine
fine:
  br i1 %writes, label %note, label %more
note:
  store i8 1, ptr %at
  br label %more
more:
  %index1 = add i64 %index, 1
  br label %next
good:
  ret i1 true
bad:
  ret i1 false
}
""",
)


def lane_check(access: Access, shift: int) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, size, unit, needed, values, components)``: the lanes that may go on.

    It writes the error record. An address must be a multiple of ``unit``. Of what is read, the bytes of the mask
    ``needed`` must have been written.
    """
    name = f"check_lanes_{access.name.lower()}"
    race = lane_race(access, shift)
    refused = "%writable.not" if access.writes else "false"
    needed = "%needed" if access.reads else "0"
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where,
    i64 %bytes, i64 %unit, i64 %needed, ptr %values, i64 %components) noinline {{
entry:
{load_slot("table", Slot.ALLOCATIONS, "ptr")}{load_slot("count", Slot.ALLOCATION_COUNT)}
  %first32 = shl i32 %warp, 5
  %own = call i64 @check_own_stamp(ptr %ctx, i32 %warp)
  %has.stamp = icmp ne i64 %own, 0
  br label %next
next:
  %rest = phi i32 [%mask, %entry], [%left, %good], [%left, %race], [%left, %bad]
  %fine = phi i32 [%mask, %entry], [%fine, %good], [%fine.after, %race], [%fine2, %bad]
  %over = icmp eq i32 %rest, 0
  br i1 %over, label %exit, label %take
take:
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %bit = shl i32 1, %lane
  %left = xor i32 %rest, %bit
  %at = getelementptr i64, ptr %addresses, i32 %lane
  %given = load i64, ptr %at
  %window = lshr i64 %given, {WINDOW_SHIFT}
  %listed = icmp ult i64 %window, %count
  br i1 %listed, label %virtual.address, label %host.address
virtual.address:
  %size.of = getelementptr [{ALLOCATION_FIELDS} x i64], ptr %table, i64 %window, i64 {AllocationField.VIRTUAL.value}
  %begin = load i64, ptr %size.of
  %used = icmp ne i64 %begin, 0
  br i1 %used, label %test, label %host.address
host.address:
  %found = call i64 @check_find_host(ptr %ctx, i64 %given)
  %host.entry = getelementptr [{ALLOCATION_FIELDS} x i64], ptr %table, i64 %found
  %host.begin = load i64, ptr %host.entry
  %host.delta.at = getelementptr i64, ptr %host.entry, i64 {AllocationField.DELTA.value}
  %host.delta = load i64, ptr %host.delta.at
  %translated = sub i64 %given, %host.delta
  br label %test
test:
  %number = phi i64 [%window, %virtual.address], [%found, %host.address]
  %address = phi i64 [%given, %virtual.address], [%translated, %host.address]
{load_entry()}  %offset = sub i64 %address, %virtual
  %end = add i64 %offset, %bytes
  %before = icmp ult i64 %offset, %size
  %behind = icmp ule i64 %end, %size
  %within = and i1 %before, %behind
  %low = sub i64 %unit, 1
  %odd = and i64 %address, %low
  %aligned = icmp eq i64 %odd, 0
  %writable.not = icmp eq i64 %writable, 0
  %allowed = xor i1 {refused}, true
  %both = and i1 %within, %aligned
  %all = and i1 %both, %allowed
  %fresh = icmp ne i64 %written, 0
  br i1 %all, label %allowed.here, label %faulty
allowed.here:
  br i1 %fresh, label %look, label %good
look:
  %flags.number = add i64 %written, %offset
  %flags = inttoptr i64 %flags.number to ptr
  %known = call i1 @check_written(ptr %flags, i64 %bytes, i64 {needed}, i1 {"true" if access.writes else "false"})
  br i1 %known, label %good, label %bad
good:
  %host = add i64 %address, %delta
  store i64 %host, ptr %at
{walk(access)}  %remembered = icmp ne i64 %cells, 0
  %looked.at = and i1 %remembered, %has.stamp
  br i1 %looked.at, label %race, label %next
race:
  %raced = call i1 @{race.name}(ptr %ctx, ptr %addresses, i32 %lane, i32 %mask, i32 %warp, i32 %where, i64 %cells,
    i64 %reads, i64 %bytes, i64 %own, ptr %values, i64 %components, i64 0)
  %unraced = xor i32 %bit, -1
  %fine.less = and i32 %fine, %unraced
  %fine.after = select i1 %raced, i32 %fine.less, i32 %fine
  br label %next
faulty:
  %kind0 = select i1 %aligned, i64 {ErrorKind.READ_ONLY.value}, i64 {ErrorKind.MISALIGNED.value}
  %kind1 = select i1 %within, i64 %kind0, i64 {ErrorKind.OUT_OF_BOUNDS.value}
  br label %bad
bad:
  %kind = phi i64 [%kind1, %faulty], [{ErrorKind.UNINITIALISED.value}, %look]
  %thread32 = add i32 %first32, %lane
  %thread = zext i32 %thread32 to i64
  call void @check_fail(ptr %ctx, i64 %kind, i32 %where, i64 %thread, i64 %address, i64 %bytes, i64 -1, i64 %number)
  %cleared = xor i32 %bit, -1
  %fine2 = and i32 %fine, %cleared
  br label %next
exit:
  ret i32 %fine
}}
"""
    return Routine(name, text, (CTTZ, FAIL, OWN_STAMP, race, _FIND_HOST, _WRITTEN))
