"""Checks of global memory: which array an address belongs to, and whether the access stays inside it."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .layout import ALLOCATION_FIELDS, WINDOW_SHIFT, Access, AllocationField
from .text import FAIL, Routine, load_slot, splat
from .traffic import CTPOP, CTTZ, global_traffic, walk

__all__ = ["array_check", "lane_check"]


def _load_entry(prefix: str = "") -> str:
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
{_load_entry()}  %host = add i64 %virtual, %delta
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


#: ``i1 (flags, bytes, reads, writes)``: false where a byte that is read was not written; else notes what is written.
_WRITTEN = Routine(
    "check_written",
    """define internal i1 @check_written(ptr %flags, i64 %bytes, i1 %reads, i1 %writes) noinline {
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
  %wrong = and i1 %unset, %reads
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


def lane_check(access: Access) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, size, unit)``: the same check a lane at a time.

    It writes the error record. An address must be a multiple of ``unit``.
    """
    name = f"check_lanes_{access.name.lower()}"
    refused = "%writable.not" if access.writes else "false"
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where,
    i64 %bytes, i64 %unit) noinline {{
entry:
{load_slot("table", Slot.ALLOCATIONS, "ptr")}{load_slot("count", Slot.ALLOCATION_COUNT)}
  %first32 = shl i32 %warp, 5
  br label %next
next:
  %rest = phi i32 [%mask, %entry], [%left, %good], [%left, %bad]
  %fine = phi i32 [%mask, %entry], [%fine, %good], [%fine2, %bad]
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
{_load_entry()}  %offset = sub i64 %address, %virtual
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
  %known = call i1 @check_written(ptr %flags, i64 %bytes, i1 {_flag(access.reads)}, i1 {_flag(access.writes)})
  br i1 %known, label %good, label %bad
good:
  %host = add i64 %address, %delta
  store i64 %host, ptr %at
{walk(access)}  br label %next
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
    return Routine(name, text, (CTTZ, FAIL, _FIND_HOST, _WRITTEN))


def _flag(value: bool) -> str:
    return "true" if value else "false"


def array_check(access: Access, size: int) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where)``: the lanes that may go on.

    Addresses of those lanes become host addresses in place. The quick way is for a warp that stays inside one array.
    """
    name = f"check_array_{access.name.lower()}_{size}"
    slow = lane_check(access)
    traffic = global_traffic(access, size)
    allowed = "%may = icmp ne i64 %writable, 0" if access.writes else "%may = icmp eq i64 0, 0"
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where) noinline {{
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
{_load_entry()}  {allowed}
  %room = icmp uge i64 %size, {size}
  %old = icmp eq i64 %written, 0
  %may.old = and i1 %may, %old
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
  br i1 %fine, label %quick, label %slow
quick:
{splat("deltav", "%delta")}
  %host = add <32 x i64> %v, %deltav
  %lanes = bitcast i32 %mask to <32 x i1>
  %kept = select <32 x i1> %lanes, <32 x i64> %host, <32 x i64> %v
  store <32 x i64> %kept, ptr %addresses, align 8
  %threads32 = call i32 @llvm.ctpop.i32(i32 %mask)
  %threads = zext i32 %threads32 to i64
  %bytes = mul i64 %threads, {size}
{walk(access)}  ret i32 %mask
slow:
  %result = call i32 @{slow.name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, i64 {size},
    i64 {size})
  ret i32 %result
}}
"""
    return Routine(name, text, (CTTZ, CTPOP, slow, traffic))
