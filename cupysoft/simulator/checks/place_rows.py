"""The race check of global memory for a whole warp at once: what `places` says, 32 granules side by side."""

from __future__ import annotations

from ..context import Slot
from .cell_lines import GATHER, SCATTER
from .layout import (
    OTHER_LANES,
    WAS_ATOMIC,
    Access,
)
from .places import lane_race
from .row_lines import calm, row_times, verdict
from .stamps import OWN_STAMP
from .text import Routine, intrinsic, load_slot, splat
from .tiles import parted_warp
from .traffic import CTTZ, lanes

__all__ = ["global_race"]

_WORDS = "<32 x i64>"
_LOAD = intrinsic("llvm.masked.load.v32i64.p0", _WORDS, "ptr", "i32", "<32 x i1>", _WORDS)
_STORE = intrinsic("llvm.masked.store.v32i64.p0", "void", _WORDS, "ptr", "i32", "<32 x i1>")


def global_race(access: Access, size: int, shift: int) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, cells, reads, values, components)``: the lanes that may go on.

    The addresses are those of the host, in one array, whose granules have 1 << `shift` bytes.
    """
    lane = lane_race(access, shift)
    name = f"check_race_{access.name.lower()}_{size}"
    together: tuple[Routine, ...] = ()
    way = "  br label %apart\n"
    if access in (Access.READ, Access.WRITE):
        rows = _rows(access, size, shift)
        together = (rows,)
        way = f"""  %settled = call i32 @{rows.name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i64 %cells,
    i64 %reads, i64 %own)
  br label %look
look:
  %left = and i32 %settled, %mask
  %done = icmp eq i32 %left, 0
  br i1 %done, label %all, label %apart
"""
    todo = "%left" if together else "%mask"
    crowd = ""
    if access is Access.READ:
        # All lanes read one place: one stamp tells it.
        crowd = f"""  %v = load {_WORDS}, ptr %addresses, align 8
  %head = call i32 @llvm.cttz.i32(i32 %mask, i1 true)
  %head.at = getelementptr i64, ptr %addresses, i32 %head
  %head.address = load i64, ptr %head.at
{splat("heads", "%head.address")}  %same = icmp eq {_WORDS} %v, %heads
  %same.bits = bitcast <32 x i1> %same to i32
  %outside = xor i32 %mask, -1
  %one = or i32 %same.bits, %outside
  %same.place = icmp eq i32 %one, -1
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}{parted_warp()}  %together = xor i1 %tiled, true
  %broadcast = and i1 %same.place, %together
  %rest.of = sub i32 %mask, 1
  %rest = and i32 %rest.of, %mask
  %crowd = icmp ne i32 %rest, 0
  %both = and i1 %broadcast, %crowd
  br i1 %both, label %shared, label %rows
shared:
  %raced.all = call i1 @{lane.name}(ptr %ctx, ptr %addresses, i32 %head, i32 %mask, i32 %warp, i32 %where,
    i64 %cells, i64 %reads, i64 {size}, i64 %own, ptr null, i64 0, i64 {OTHER_LANES})
  %result.all = select i1 %raced.all, i32 0, i32 %mask
  ret i32 %result.all
rows:
"""
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where,
    i64 %cells, i64 %reads, ptr %values, i64 %components) noinline {{
entry:
  %own = call i64 @check_own_stamp(ptr %ctx, i32 %warp)
  %known = icmp ne i64 %own, 0
  br i1 %known, label %begin, label %all
all:
  ret i32 %mask
begin:
{crowd}{way}apart:
  br label %next
next:
  %todo = phi i32 [{todo}, %apart], [%fewer, %take]
  %fine = phi i32 [%mask, %apart], [%fine1, %take]
  %over = icmp eq i32 %todo, 0
  br i1 %over, label %exit, label %take
take:
  %lane = call i32 @llvm.cttz.i32(i32 %todo, i1 true)
  %lower = sub i32 %todo, 1
  %fewer = and i32 %todo, %lower
  %raced = call i1 @{lane.name}(ptr %ctx, ptr %addresses, i32 %lane, i32 %mask, i32 %warp, i32 %where,
    i64 %cells, i64 %reads, i64 {size}, i64 %own, ptr %values, i64 %components, i64 0)
  %bit = shl i32 1, %lane
  %without = xor i32 %bit, -1
  %less = and i32 %fine, %without
  %fine1 = select i1 %raced, i32 %less, i32 %fine
  br label %next
exit:
  ret i32 %fine
}}
"""
    return Routine(name, text, (CTTZ, OWN_STAMP, lane, *together))


def _rows(access: Access, size: int, shift: int) -> Routine:
    """``i32 (ctx, addresses, mask, warp, cells, reads, own)``: the lanes that must be looked at one by one."""
    name = f"check_rows_{access.name.lower()}_{size}"
    count = max(1, size >> shift)
    read = access is Access.READ
    # Lanes of one instruction that want one granule: whose stamp is there speaks for itself only.
    again = f"""  %back = call {_WORDS} @{GATHER.name}(<32 x ptr> align 8 %targets, <32 x i1> %active,
    {_WORDS} zeroinitializer)
  %lost = icmp ne {_WORDS} %back, %new
  %lost.bits = bitcast <32 x i1> %lost to i32
  %met = and i32 %lost.bits, %mask
"""
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i64 %cells, i64 %reads,
    i64 %own) noinline {{
entry:
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}{parted_warp()}  br i1 %tiled, label %one.by.one, label %rows
rows:
{row_times()}  %v = load {_WORDS}, ptr %addresses, align 8
  %active = bitcast i32 %mask to <32 x i1>
  %head = call i32 @llvm.cttz.i32(i32 %mask, i1 true)
  %head.at = getelementptr i64, ptr %addresses, i32 %head
  %head.address = load i64, ptr %head.at
  %head64 = zext i32 %head to i64
  %before = mul i64 %head64, {size}
  %begin = sub i64 %head.address, %before
{splat("beginv", "%begin")}  %line = add {_WORDS} %beginv, {lanes("i64", size)}
  %straight = icmp eq {_WORDS} %v, %line
  %straight.bits = bitcast <32 x i1> %straight to i32
  %outside = xor i32 %mask, -1
  %in.line = or i32 %straight.bits, %outside
  %row = icmp eq i32 %in.line, -1
  %whole = icmp eq i32 %mask, -1
  %wide = or i1 %whole, {"true" if count == 1 else "false"}
  %in.row = and i1 %row, %wide
  %first.granule = ashr i64 %begin, {shift}
  %first.offset = mul i64 %first.granule, 8
  %first.place = add i64 %first.offset, %cells
  %granules = lshr {_WORDS} %v, splat (i64 {shift})
  %offsets = shl {_WORDS} %granules, splat (i64 3)
{splat("cellsv", "%cells")}  %places = add {_WORDS} %offsets, %cellsv
{splat("ownv", "%own")}  br label %next
next:
  %k = phi i64 [0, %rows], [%k1, %stored]
  %more = icmp ult i64 %k, {count}
  br i1 %more, label %load, label %done
done:
  ret i32 0
load:
  %far = mul i64 %k, 256
  %from = add i64 %first.place, %far
  %w.at = inttoptr i64 %from to ptr
  %step = mul i64 %k, 8
{splat("stepv", "%step")}  %w.places = add {_WORDS} %places, %stepv
  %w.targets = inttoptr {_WORDS} %w.places to <32 x ptr>
  br i1 %in.row, label %straight.load, label %gather.load
straight.load:
  %r.at = getelementptr i8, ptr %w.at, i64 %reads
  %w.row = call {_WORDS} @{_LOAD.name}(ptr %w.at, i32 8, <32 x i1> %active, {_WORDS} zeroinitializer)
  %r.row = call {_WORDS} @{_LOAD.name}(ptr %r.at, i32 8, <32 x i1> %active, {_WORDS} zeroinitializer)
  %k32 = mul i64 %k, 32
{splat("k32v", "%k32")}  %element = add {_WORDS} %k32v, {lanes("i64")}
  %owner = lshr {_WORDS} %element, splat (i64 {count.bit_length() - 1})
  br label %judge
gather.load:
  %r.targets = getelementptr i8, <32 x ptr> %w.targets, i64 %reads
  %w.set = call {_WORDS} @{GATHER.name}(<32 x ptr> align 8 %w.targets, <32 x i1> %active, {_WORDS} zeroinitializer)
  %r.set = call {_WORDS} @{GATHER.name}(<32 x ptr> align 8 %r.targets, <32 x i1> %active, {_WORDS} zeroinitializer)
  br label %judge
judge:
  %w = phi {_WORDS} [%w.row, %straight.load], [%w.set, %gather.load]
  %r = phi {_WORDS} [%r.row, %straight.load], [%r.set, %gather.load]
  %lane.of = phi {_WORDS} [%owner, %straight.load], [{lanes("i64")}, %gather.load]
  %me = or {_WORDS} %ownv, %lane.of
{calm("w")}{calm("r")}  %w.atomic.bits = and {_WORDS} %w, splat (i64 {WAS_ATOMIC})
  %w.plain = icmp eq {_WORDS} %w.atomic.bits, zeroinitializer
  %w.fine = and <32 x i1> %w.calm, %w.plain
{verdict(read)}store:
  %new = phi {_WORDS} {"[%me, %reads.too], [%merged, %merge]" if read else "[%me, %judge]"}
  br i1 %in.row, label %straight.store, label %scatter
straight.store:
  %target = getelementptr i8, ptr %w.at, i64 {"%reads" if read else "0"}
  call void @{_STORE.name}({_WORDS} %new, ptr %target, i32 8, <32 x i1> %active)
  br label %stored
scatter:
  %targets = getelementptr i8, <32 x ptr> %w.targets, i64 {"%reads" if read else "0"}
  call void @{SCATTER.name}({_WORDS} %new, <32 x ptr> align 8 %targets, <32 x i1> %active)
{again}  %nobody = icmp eq i32 %met, 0
  br i1 %nobody, label %stored, label %meet
meet:
  {"ret i32 %met" if count == 1 else "ret i32 -1"}
stored:
  %k1 = add i64 %k, 1
  br label %next
one.by.one:
  ret i32 -1
}}
"""
    return Routine(name, text, (CTTZ, GATHER, SCATTER, _LOAD, _STORE))
