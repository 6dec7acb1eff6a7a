"""Stamps of global memory: whose access one tells of, and whether that is ordered before another one."""

from __future__ import annotations

from ..context import Slot
from .clock import REFRESH
from .layout import (
    BLOCK_MASK,
    MOST_TIME,
    OTHER_BLOCKS,
    OTHER_LANES,
    OTHER_WARPS,
    STAMP_BLOCK,
    STAMP_TIME,
    THREAD_MASK,
    WARP_MASK,
    Common,
    ShadowField,
)
from .text import Routine, load_slot
from .tiles import lane_limit

__all__ = ["JOIN", "OPEN", "OWN_STAMP"]

_WARP_SHIFT = 5

#: ``i64 (ctx, warp)``: the stamp of an access by lane 0 of a warp now; 0 when the time has run out.
OWN_STAMP = Routine(
    "check_own_stamp",
    f"""define internal i64 @check_own_stamp(ptr %ctx, i32 %warp) noinline {{
entry:
  %stop = call i1 @check_refresh(ptr %ctx)
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}{load_slot("block", Slot.BLOCK)}  %now = load i64, ptr %shadow
  %first.at = getelementptr i64, ptr %shadow, i64 {ShadowField.FIRST.value}
  %first = load i64, ptr %first.at
  %since = sub i64 %now, %first
  %time = add i64 %since, 1
  %fits = icmp ult i64 %time, {MOST_TIME}
  %high = shl i64 %time, {STAMP_TIME}
  %middle = shl i64 %block, {STAMP_BLOCK}
  %warp64 = zext i32 %warp to i64
  %low = shl i64 %warp64, {_WARP_SHIFT}
  %both = or i64 %high, %middle
  %stamp = or i64 %both, %low
  %result = select i1 %fits, i64 %stamp, i64 0
  ret i64 %result
}}
""",
    (REFRESH,),
)


def _field(name: str, field: ShadowField, index: str = "", kind: str = "i64") -> str:
    """Lines that load a field of the shadow's head."""
    at, lines = str(field.value), ""
    if index:
        at, lines = f"%{name}.field", f"  %{name}.field = add i64 {index}, {field.value}\n"
    return f"{lines}  %{name}.at = getelementptr i64, ptr %shadow, i64 {at}\n  %{name} = load {kind}, ptr %{name}.at\n"


#: Lines that take a stamp ``%s`` of the own block apart and tell what the warp knows of its time.
_OWN = f"""  %stamp.time = lshr i64 %s, {STAMP_TIME}
{_field("first", ShadowField.FIRST)}{_field("start", ShadowField.START)}{_field("parted", ShadowField.PARTED, "%w")}
  %began = add i64 %stamp.time, %first
  %time = sub i64 %began, 1
  %early = icmp slt i64 %time, %start
  %apart = icmp slt i64 %time, %parted
  %thread.bits = and i64 %s, {THREAD_MASK}
  %its = lshr i64 %thread.bits, {_WARP_SHIFT}
  %row = mul i64 %w, 32
  %place = add i64 %row, %its
{_field("known", ShadowField.KNOWN, "%place")}  %ordered.warp = icmp slt i64 %time, %known
  %me32 = trunc i64 %me to i32
  %lane = and i32 %me32, 31
  %s32 = trunc i64 %s to i32
  %its.lane = and i32 %s32, 31
  %vague.bit = and i64 %s, {OTHER_LANES}
  %vague = icmp ne i64 %vague.bit, 0
{lane_limit("%lane", "%its.lane", "%vague")}  %tile.limit = load i64, ptr %tile.at
  %thread.differs = and i64 %x, {THREAD_MASK}
  %self = icmp eq i64 %thread.differs, 0
  %warp.differs = and i64 %x, {WARP_MASK}
  %mine = icmp eq i64 %warp.differs, 0
  %ordered.lane0 = icmp slt i64 %time, %tile.limit
  %ordered.lane = and i1 %ordered.lane0, %mine
  %ordered = or i1 %ordered.warp, %ordered.lane
"""

#: ``i1 (shadow, stamp, own stamp, warp)``: whether an earlier access is in no order with this one.
OPEN = Routine(
    "check_open",
    f"""define internal i1 @check_open(ptr %shadow, i64 %s, i64 %me, i32 %warp) noinline {{
entry:
  %none = icmp eq i64 %s, 0
  br i1 %none, label %closed, label %some
some:
  %w = zext i32 %warp to i64
  %x = xor i64 %s, %me
  %block.differs = and i64 %x, {BLOCK_MASK}
  %same = icmp eq i64 %block.differs, 0
{_field("rows", ShadowField.ACQUIRED, "%w", "ptr")}{_field("common", ShadowField.COMMON, "", "ptr")}
  %blind.at = getelementptr i8, ptr %common, i64 {Common.BLIND.value}
  %blind.byte = load i8, ptr %blind.at
  %sees = icmp eq i8 %blind.byte, 0
  %stranger = icmp eq ptr %rows, null
  br i1 %same, label %own, label %foreign
foreign:
  br i1 %sees, label %seen, label %closed
seen:
  br i1 %stranger, label %open, label %look
look:
{_field("width", ShadowField.GRID_WARPS)}  %block.bits = and i64 %s, {BLOCK_MASK}
  %block = lshr i64 %block.bits, {STAMP_BLOCK}
  %begin = mul i64 %block, %width
  %foreign.bits = and i64 %s, {WARP_MASK}
  %foreign.warp = lshr i64 %foreign.bits, {_WARP_SHIFT}
  %index = add i64 %begin, %foreign.warp
  %told.at = getelementptr i32, ptr %rows, i64 %index
  %told = load i32, ptr %told.at
  %told64 = zext i32 %told to i64
  %foreign.time = lshr i64 %s, {STAMP_TIME}
  %late = icmp uge i64 %foreign.time, %told64
  ret i1 %late
own:
  %blocks.bit = and i64 %s, {OTHER_BLOCKS}
  %blocks = icmp ne i64 %blocks.bit, 0
  %crowd0 = and i1 %blocks, %stranger
  %crowd = and i1 %crowd0, %sees
  br i1 %crowd, label %open, label %block.alone
block.alone:
{_OWN}  br i1 %early, label %closed, label %warps
warps:
  %warps.bit = and i64 %s, {OTHER_WARPS}
  %several.warps = icmp ne i64 %warps.bit, 0
  %warps.open = xor i1 %apart, true
  br i1 %several.warps, label %many, label %one
many:
  ret i1 %warps.open
one:
  br i1 %ordered, label %closed, label %lanes
lanes:
  %lanes.bit = and i64 %s, {OTHER_LANES}
  %several.lanes = icmp ne i64 %lanes.bit, 0
  %not.self = xor i1 %self, true
  %result = or i1 %several.lanes, %not.self
  ret i1 %result
closed:
  ret i1 false
open:
  ret i1 true
}}
""",
)

#: ``i64 (shadow, stamp, own stamp, warp)``: the stamp of this access, with what it must tell of an earlier one.
JOIN = Routine(
    "check_join",
    f"""define internal i64 @check_join(ptr %shadow, i64 %s, i64 %me, i32 %warp) noinline {{
entry:
  %none = icmp eq i64 %s, 0
  br i1 %none, label %plain, label %some
plain:
  ret i64 %me
some:
  %w = zext i32 %warp to i64
  %x = xor i64 %s, %me
  %blocks = and i64 %s, {OTHER_BLOCKS}
  %block.differs = and i64 %x, {BLOCK_MASK}
  %same = icmp eq i64 %block.differs, 0
  br i1 %same, label %own, label %foreign
foreign:
  %open = call i1 @check_open(ptr %shadow, i64 %s, i64 %me, i32 %warp)
  %new = select i1 %open, i64 {OTHER_BLOCKS}, i64 %blocks
  %foreign.result = or i64 %me, %new
  ret i64 %foreign.result
own:
{_OWN}  %warps.before = and i64 %s, {OTHER_WARPS}
  %warps = select i1 %apart, i64 0, i64 %warps.before
  %lanes = and i64 %s, {OTHER_LANES}
  %all = or i64 %warps, %lanes
  %and.lanes = or i64 %all, {OTHER_LANES}
  %in.warp = select i1 %self, i64 %all, i64 %and.lanes
  %late = select i1 %mine, i64 %in.warp, i64 {OTHER_WARPS}
  %unsettled = select i1 %ordered, i64 %warps, i64 %late
  %flags0 = select i1 %early, i64 0, i64 %unsettled
  %flags = or i64 %flags0, %blocks
  %result = or i64 %me, %flags
  ret i64 %result
}}
""",
    (OPEN,),
)
