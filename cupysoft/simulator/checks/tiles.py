"""Meetings of a part of a warp: they order the lanes that take part, and nobody else.

A kernel that only ever meets with whole warps keeps one time for each warp. From the first meeting of fewer lanes on,
until the whole warp meets again, each lane has a clock of its own, with the time before which it knows of what every
other lane of its warp did.
"""

from __future__ import annotations

from ..context import Slot
from .clock import REFRESH, TICK, WARP_SYNC
from .layout import ShadowField
from .text import Routine, intrinsic, load_slot
from .traffic import CTTZ

__all__ = ["TILE_SYNC", "lane_limit", "parted_warp"]

_MASKS = "<32 x i32>"
_ROW = "<32 x i64>"
_LATER = intrinsic("llvm.smax.v32i64", _ROW, _ROW, _ROW)


def _rows(warp: str) -> str:
    """Lines that set ``%clocks`` to the clocks of a warp's lanes."""
    return f"""  %clocks.first = mul i32 {warp}, {32 * 32}
  %clocks.field = add i32 %clocks.first, {ShadowField.LANES.value}
  %clocks = getelementptr i64, ptr %shadow, i32 %clocks.field
"""


def lane_limit(lane: str, its: str, several: str) -> str:
    """Lines that set ``%tile.at``: there is the time before which a lane of ``%warp`` knows what another one did.

    Of several lanes, and to several, all that was done before the last meeting of some lanes counts as known.
    """
    return f"""{_rows("%warp")}  %tile.row = mul i32 {lane}, 32
  %tile.place = add i32 %tile.row, {its}
  %tile.clock = getelementptr i64, ptr %clocks, i32 %tile.place
  %tile.field = add i32 %warp, {ShadowField.SPLIT.value}
  %tile.split = getelementptr i64, ptr %shadow, i32 %tile.field
  %tile.at = select i1 {several}, ptr %tile.split, ptr %tile.clock
"""


def parted_warp() -> str:
    """Lines that set ``%tiled``: the last meeting in ``%warp`` was one of some lanes only."""
    return f"""  %split.field = add i32 %warp, {ShadowField.SPLIT.value}
  %split.at = getelementptr i64, ptr %shadow, i32 %split.field
  %split.time = load i64, ptr %split.at
  %met.field = add i32 %warp, {ShadowField.WARPS.value}
  %met.at = getelementptr i64, ptr %shadow, i32 %met.field
  %met.time = load i64, ptr %met.at
  %begun.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  %begun.time = load i64, ptr %begun.at
  %after.warp = icmp sgt i64 %split.time, %met.time
  %after.block = icmp sgt i64 %split.time, %begun.time
  %tiled = and i1 %after.warp, %after.block
"""


#: ``i1 (ctx, warp, masks, active, live)``: lanes of a warp have met, those of one mask with each other. True as
#: `REFRESH`. A warp barrier may have let go lanes of one mask that stand elsewhere; they come here by themselves.
TILE_SYNC = Routine(
    "check_tile_sync",
    f"""define internal i1 @check_tile_sync(ptr %ctx, i32 %warp, ptr %masks, i32 %active, i32 %live) noinline {{
entry:
  %stop = call i1 @check_refresh(ptr %ctx)
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}{_rows("%warp")}  %v = load {_MASKS}, ptr %masks, align 4
  %nobody = icmp eq i32 %active, 0
  br i1 %nobody, label %done, label %tile
tile:
  %left = phi i32 [%active, %entry], [%rest, %next]
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  %mask.at = getelementptr i32, ptr %masks, i32 %lane
  %mask = load i32, ptr %mask.at
  %mask.one = insertelement {_MASKS} poison, i32 %mask, i32 0
  %mask.all = shufflevector {_MASKS} %mask.one, {_MASKS} poison, {_MASKS} zeroinitializer
  %same = icmp eq {_MASKS} %v, %mask.all
  %same.bits = bitcast <32 x i1> %same to i32
  %alike = and i32 %same.bits, %left
  %others = xor i32 %alike, -1
  %rest = and i32 %left, %others
  %unnamed = xor i32 %mask, -1
  %missing = and i32 %live, %unnamed
  %whole = icmp eq i32 %missing, 0
  br i1 %whole, label %all, label %some
all:
  %again = call i1 @check_warp_sync(ptr %ctx, i32 %warp)
  br label %next
some:
  call void @check_tick(ptr %shadow)
  %now = load i64, ptr %shadow
  %split.field = add i32 %warp, {ShadowField.SPLIT.value}
  %split.at = getelementptr i64, ptr %shadow, i32 %split.field
  store i64 %now, ptr %split.at
  %own = shl i32 1, %lane
  %named = or i32 %mask, %own
  br label %gather
gather:
  %from = phi i32 [%named, %some], [%from.rest, %gather]
  %sum = phi {_ROW} [zeroinitializer, %some], [%sum.next, %gather]
  %member = call i32 @llvm.cttz.i32(i32 %from, i1 true)
  %member.row = mul i32 %member, 32
  %member.at = getelementptr i64, ptr %clocks, i32 %member.row
  %knows = load {_ROW}, ptr %member.at, align 8
  %sum.next = call {_ROW} @{_LATER.name}({_ROW} %sum, {_ROW} %knows)
  %from.lower = sub i32 %from, 1
  %from.rest = and i32 %from, %from.lower
  %gathered = icmp eq i32 %from.rest, 0
  br i1 %gathered, label %spread, label %gather
spread:
  %now.one = insertelement {_ROW} poison, i64 %now, i32 0
  %now.all = shufflevector {_ROW} %now.one, {_ROW} poison, <32 x i32> zeroinitializer
  %members = bitcast i32 %named to <32 x i1>
  %row = select <32 x i1> %members, {_ROW} %now.all, {_ROW} %sum.next
  br label %give
give:
  %to = phi i32 [%alike, %spread], [%to.rest, %give]
  %taker = call i32 @llvm.cttz.i32(i32 %to, i1 true)
  %taker.row = mul i32 %taker, 32
  %taker.at = getelementptr i64, ptr %clocks, i32 %taker.row
  store {_ROW} %row, ptr %taker.at, align 8
  %to.lower = sub i32 %to, 1
  %to.rest = and i32 %to, %to.lower
  %given = icmp eq i32 %to.rest, 0
  br i1 %given, label %next, label %give
next:
  %over = icmp eq i32 %rest, 0
  br i1 %over, label %done, label %tile
done:
  ret i1 %stop
}}
""",
    (CTTZ, _LATER, REFRESH, TICK, WARP_SYNC),
)
