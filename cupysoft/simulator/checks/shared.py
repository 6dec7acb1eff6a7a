"""Checks of shared memory: bounds, alignment, races, and reads of what nobody wrote."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .layout import CELLS_OFFSET, IN_SHARED, SEVERAL_LANES, Access, ShadowField
from .shadow import PEND, REFRESH, cell_check
from .text import FAIL, Routine, intrinsic, load_slot
from .traffic import CTPOP, CTTZ, lanes, shared_traffic

__all__ = ["bounds_failure", "shared_check"]

_GATHER = intrinsic("llvm.masked.gather.v32i64.v32p0", "<32 x i64>", "<32 x ptr>", "<32 x i1>", "<32 x i64>")
_SCATTER = intrinsic("llvm.masked.scatter.v32i64.v32p0", "void", "<32 x i64>", "<32 x ptr>", "<32 x i1>")


def bounds_failure(size: int, memory: int) -> str:
    """Lines for lanes ``%missing`` whose ``%offset.vector`` leaves memory or is misaligned; they end the function."""
    return f"""  %bad.lane = call i32 @llvm.cttz.i32(i32 %missing, i1 true)
  %bad.at = getelementptr i64, ptr %addresses, i32 %bad.lane
  %bad.address = load i64, ptr %bad.at
  %bad.low = and i64 %bad.address, {size - 1}
  %bad.odd = icmp ne i64 %bad.low, 0
  %bad.kind = select i1 %bad.odd, i64 {ErrorKind.MISALIGNED.value}, i64 {ErrorKind.OUT_OF_BOUNDS.value}
  %bad.first = shl i32 %warp, 5
  %bad.thread32 = add i32 %bad.first, %bad.lane
  %bad.thread = zext i32 %bad.thread32 to i64
  call void @check_fail(ptr %ctx, i64 %bad.kind, i32 %where, i64 %bad.thread, i64 %bad.address, i64 {size},
    i64 -1, i64 {memory})
  %remaining = xor i32 %missing, %mask
  ret i32 %remaining
"""


#: ``i1 (values, components, group)``: whether the lanes of a group store the same 64-bit components.
_SAME_VALUES = Routine(
    "check_same_values",
    """define internal i1 @check_same_values(ptr %values, i64 %components, i32 %group) noinline {
entry:
  %lane = call i32 @llvm.cttz.i32(i32 %group, i1 true)
  %outside = xor i32 %group, -1
  %unknown = icmp eq i64 %components, 0
  br i1 %unknown, label %trust, label %begin
trust:
  ret i1 true
begin:
  br label %next
next:
  %index = phi i64 [0, %begin], [%index1, %next]
  %unequal = phi i32 [0, %begin], [%unequal1, %next]
  %row = getelementptr [32 x i64], ptr %values, i64 %index
  %v = load <32 x i64>, ptr %row, align 8
  %at = getelementptr i64, ptr %row, i32 %lane
  %one = load i64, ptr %at
  %first = insertelement <32 x i64> poison, i64 %one, i32 0
  %all = shufflevector <32 x i64> %first, <32 x i64> poison, <32 x i32> zeroinitializer
  %same = icmp eq <32 x i64> %v, %all
  %bits = bitcast <32 x i1> %same to i32
  %fine = or i32 %bits, %outside
  %differ = xor i32 %fine, -1
  %unequal1 = or i32 %unequal, %differ
  %index1 = add i64 %index, 1
  %more = icmp ult i64 %index1, %components
  br i1 %more, label %next, label %exit
exit:
  %result = icmp eq i32 %unequal1, 0
  ret i1 %result
}
""",
    (CTTZ,),
)


def _groups(access: Access, size: int) -> Routine:
    """``i32 (ctx, offsets, mask, warp, where, values, components)``: the cells of each address, with all its lanes."""
    name = f"check_groups_{access.name.lower()}_{size}"
    cell = cell_check(access)
    # Lanes that store different values to one place race with each other; with nobody else would the cells tell.
    compared = "%together" if access is Access.WRITE else "false"
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
  br label %next
next:
  %rest = phi i32 [%mask, %entry], [%left, %advance]
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %at = getelementptr i64, ptr %offsets, i32 %lane
  %one = load i64, ptr %at
  %first = insertelement <32 x i64> poison, i64 %one, i32 0
  %all = shufflevector <32 x i64> %first, <32 x i64> poison, <32 x i32> zeroinitializer
  %same = icmp eq <32 x i64> %v, %all
  %bits = bitcast <32 x i1> %same to i32
  %group = and i32 %bits, %mask
  %others = xor i32 %group, -1
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
  %outcome = call i64 @{cell.name}(ptr %shadow, ptr %cell, i32 %code, i32 %warp)
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
  br i1 %waits, label %pend, label %certain
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
    return Routine(name, text, (CTTZ, FAIL, PEND, cell, _SAME_VALUES))


def _quick(access: Access) -> str:
    """Lines that judge 32 writes kept in cells: ``%wok``; and that make the new cells: ``%keep`` or ``%moved``."""
    order = """  %early = icmp ult <32 x i32> %wt, %startv
  %wown = icmp eq <32 x i32> %ww, %self
  %order = or <32 x i1> %early, %wown
"""
    if access is Access.READ:
        return f"""{order}  %known = icmp uge <32 x i32> %wt, %firstv
  %wok = and <32 x i1> %known, %order
  %keep = and <32 x i64> %cells, splat (i64 4294967295)
  %moved = shl <32 x i64> %stamp64, splat (i64 32)
"""
    return f"""{order}  %wok = and <32 x i1> %order, %order
  %keep = and <32 x i64> %cells, splat (i64 -4294967296)
  %moved = and <32 x i64> %stamp64, %stamp64
"""


def shared_check(access: Access, size: int) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, values, components)``: the lanes that may go on.

    Offsets of those lanes become host addresses in place.
    """
    name = f"check_shared_{access.name.lower()}_{size}"
    groups, traffic = _groups(access, size), shared_traffic(access, size)
    plain = access in (Access.READ, Access.WRITE)
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, ptr %values,
    i64 %components) noinline {{
entry:
  %empty = icmp eq i32 %mask, 0
  br i1 %empty, label %none, label %some
none:
  ret i32 0
some:
  %stop = call i1 @check_refresh(ptr %ctx)
  br i1 %stop, label %none, label %go
go:
{load_slot("limit", Slot.SHARED_BYTES)}
{load_slot("host", Slot.SHARED_HOST)}
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}
  %v = load <32 x i64>, ptr %addresses, align 8
  %last = sub i64 %limit, {size}
  %enough = icmp sge i64 %last, 0
  %last1 = insertelement <32 x i64> poison, i64 %last, i32 0
  %lastv = shufflevector <32 x i64> %last1, <32 x i64> poison, <32 x i32> zeroinitializer
  %within = icmp ule <32 x i64> %v, %lastv
  %low = and <32 x i64> %v, splat (i64 {size - 1})
  %aligned = icmp eq <32 x i64> %low, zeroinitializer
  %good = and <32 x i1> %within, %aligned
  %bits = bitcast <32 x i1> %good to i32
  %usable = select i1 %enough, i32 %bits, i32 0
  %unusable = xor i32 %usable, -1
  %missing = and i32 %unusable, %mask
  %fine = icmp eq i32 %missing, 0
  br i1 %fine, label %inside, label %outside
outside:
{bounds_failure(size, IN_SHARED)}inside:
  %apart = call i1 @{traffic.name}(ptr %ctx, ptr %addresses, i32 %mask)
  %shift.at = getelementptr i64, ptr %shadow, i64 {ShadowField.SHIFT.value}
  %shift = load i64, ptr %shift.at
  %many = lshr i64 {size}, %shift
  %single = icmp eq i64 %many, 1
  %simple = and i1 %apart, %single
  br i1 {"%simple" if plain else "false"}, label %vector, label %slow
vector:
  %active = bitcast i32 %mask to <32 x i1>
  %shift1 = insertelement <32 x i64> poison, i64 %shift, i32 0
  %shiftv = shufflevector <32 x i64> %shift1, <32 x i64> poison, <32 x i32> zeroinitializer
  %index = lshr <32 x i64> %v, %shiftv
  %begin = getelementptr i8, ptr %shadow, i64 {CELLS_OFFSET}
  %places = getelementptr i64, ptr %begin, <32 x i64> %index
  %cells = call <32 x i64> @llvm.masked.gather.v32i64.v32p0(<32 x ptr> align 8 %places,
    <32 x i1> %active, <32 x i64> zeroinitializer)
  %now = load i32, ptr %shadow
  %first.at = getelementptr i64, ptr %shadow, i64 {ShadowField.FIRST.value}
  %first = load i32, ptr %first.at
  %start.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  %start = load i32, ptr %start.at
  %first1 = insertelement <32 x i32> poison, i32 %first, i32 0
  %firstv = shufflevector <32 x i32> %first1, <32 x i32> poison, <32 x i32> zeroinitializer
  %start1 = insertelement <32 x i32> poison, i32 %start, i32 0
  %startv = shufflevector <32 x i32> %start1, <32 x i32> poison, <32 x i32> zeroinitializer
  %thread = shl i32 %warp, 5
  %thread1 = insertelement <32 x i32> poison, i32 %thread, i32 0
  %threadv = shufflevector <32 x i32> %thread1, <32 x i32> poison, <32 x i32> zeroinitializer
  %self = or <32 x i32> %threadv, {lanes("i32")}
  %w = trunc <32 x i64> %cells to <32 x i32>
  %upper = lshr <32 x i64> %cells, splat (i64 32)
  %r = trunc <32 x i64> %upper to <32 x i32>
  %wt = lshr <32 x i32> %w, splat (i32 12)
  %ww = and <32 x i32> %w, splat (i32 4095)
  %rt = lshr <32 x i32> %r, splat (i32 12)
  %rw = and <32 x i32> %r, splat (i32 4095)
  %rearly = icmp ult <32 x i32> %rt, %startv
  %rown = icmp eq <32 x i32> %rw, %self
  %rok = or <32 x i1> %rearly, %rown
  %stamp0 = shl i32 %now, 12
  %stamp1 = insertelement <32 x i32> poison, i32 %stamp0, i32 0
  %stampv = shufflevector <32 x i32> %stamp1, <32 x i32> poison, <32 x i32> zeroinitializer
  %stamp = or <32 x i32> %stampv, %self
  %stamp64 = zext <32 x i32> %stamp to <32 x i64>
{_quick(access)}  %ok = and <32 x i1> %wok, %rok
  %okbits = bitcast <32 x i1> %ok to i32
  %doubt0 = xor i32 %okbits, -1
  %doubt = and i32 %doubt0, %mask
  %clear = icmp eq i32 %doubt, 0
  br i1 %clear, label %commit, label %slow
commit:
  %new = or <32 x i64> %keep, %moved
  call void @llvm.masked.scatter.v32i64.v32p0(<32 x i64> %new, <32 x ptr> align 8 %places, <32 x i1> %active)
  br label %translate
slow:
  %result = call i32 @{groups.name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, ptr %values,
    i64 %components)
  br label %translate
translate:
  %done = phi i32 [%mask, %commit], [%result, %slow]
  %host1 = insertelement <32 x i64> poison, i64 %host, i32 0
  %hostv = shufflevector <32 x i64> %host1, <32 x i64> poison, <32 x i32> zeroinitializer
  %moved.there = add <32 x i64> %v, %hostv
  %chosen = bitcast i32 %mask to <32 x i1>
  %final = select <32 x i1> %chosen, <32 x i64> %moved.there, <32 x i64> %v
  store <32 x i64> %final, ptr %addresses, align 8
  ret i32 %done
}}
"""
    return Routine(name, text, (CTTZ, CTPOP, FAIL, REFRESH, _GATHER, _SCATTER, groups, traffic))
