"""Volatile accesses that count on the lanes of a warp to move in step.

Volatile accesses race with nothing in PTX's memory model, but neither are those of two lanes ordered: lanes may run
apart. Where a lane reads in shared memory what another one stored, by an instruction by which it stored something
itself, elsewhere, and the warp has not met since, the program takes them for one. Who polls waits for what it wants: a
load in a loop without a store is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..context import ErrorKind, Slot
from ..flow import Block
from ..ptx import Instruction
from .layout import IN_SHARED, STEP_FIELDS, ShadowField
from .ordering import add
from .text import FAIL, Routine, intrinsic, load_slot, splat
from .traffic import CTTZ

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["Lockstep"]

_WORDS = "<32 x i64>"
_LATER = intrinsic("llvm.smax.i64", "i64", "i64", "i64")
#: Where it is written when the warp, or some of its lanes, or the block met last: fields, and whether for each warp.
_MEETINGS = (
    (ShadowField.START, False),
    (ShadowField.WARPS, True),
    (ShadowField.SPLIT, True),
    (ShadowField.PARTED, True),
)


def _last_meeting() -> str:
    """Lines that set ``%met`` to the time of a warp's last meeting of any kind, and ``%row`` to what it stored last."""
    lines, latest = [load_slot("shadow", Slot.SHADOW_SHARED, "ptr")], "0"
    for number, (field, of_warp) in enumerate(_MEETINGS):
        lines.append(
            f"  %field{number} = add i32 {'%warp' if of_warp else '0'}, {field.value}\n"
            f"  %time{number}.at = getelementptr i64, ptr %shadow, i32 %field{number}\n"
            f"  %time{number} = load i64, ptr %time{number}.at\n"
            f"  %latest{number} = call i64 @{_LATER.name}(i64 {latest}, i64 %time{number})\n"
        )
        latest = f"%latest{number}"
    lines.append(
        f"  %met = add i64 {latest}, 0\n"
        f"  %row.first = mul i32 %warp, {STEP_FIELDS}\n"
        f"  %row.field = add i32 %row.first, {ShadowField.STEPS.value}\n"
        "  %row = getelementptr i64, ptr %shadow, i32 %row.field\n"
        "  %row.met = getelementptr i64, ptr %row, i64 1\n"
        "  %row.places = getelementptr i64, ptr %row, i64 2\n"
    )
    return "".join(lines)


#: ``void (ctx, addresses, mask, warp)``: lanes store at these places, by one volatile instruction.
_STORED = Routine(
    "check_step_stored",
    f"""define internal void @check_step_stored(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp) noinline {{
{_last_meeting()}  %lanes = zext i32 %mask to i64
  store i64 %lanes, ptr %row
  store i64 %met, ptr %row.met
  %v = load {_WORDS}, ptr %addresses, align 8
  store {_WORDS} %v, ptr %row.places, align 8
  ret void
}}
""",
    (_LATER,),
)

#: ``i1 (ctx, addresses, mask, warp, where, size)``: lanes load from these places; whether that was reported.
_LOADED = Routine(
    "check_step_loaded",
    f"""define internal i1 @check_step_loaded(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where,
    i64 %size) noinline {{
entry:
{_last_meeting()}{load_slot("host", Slot.SHARED_HOST)}{load_slot("limit", Slot.SHARED_BYTES)}
  %when = load i64, ptr %row.met
  %now = icmp eq i64 %when, %met
  %storing64 = load i64, ptr %row
  %storing = trunc i64 %storing64 to i32
  %both = and i32 %storing, %mask
  %nobody = icmp eq i32 %both, 0
  %v = load {_WORDS}, ptr %addresses, align 8
  %own = load {_WORDS}, ptr %row.places, align 8
  %live = xor i1 %nobody, true
  %go = and i1 %now, %live
  br i1 %go, label %next, label %fine
next:
  %rest = phi i32 [%storing, %entry], [%left, %again]
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %lower = sub i32 %rest, 1
  %left = and i32 %rest, %lower
  %place.at = getelementptr i64, ptr %row.places, i32 %lane
  %place = load i64, ptr %place.at
{splat("places", "%place")}  %reads = icmp eq {_WORDS} %v, %places
  %elsewhere = icmp ne {_WORDS} %own, %places
  %finds = and <32 x i1> %reads, %elsewhere
  %bits = bitcast <32 x i1> %finds to i32
  %counts = and i32 %bits, %both
  %offset = sub i64 %place, %host
  %here = icmp ult i64 %offset, %limit
  %some = icmp ne i32 %counts, 0
  %wrong = and i1 %here, %some
  br i1 %wrong, label %report, label %again
again:
  %over = icmp eq i32 %left, 0
  br i1 %over, label %fine, label %next
fine:
  ret i1 false
report:
  %reader = call i32 @llvm.cttz.i32(i32 %counts, i1 true)
  %first = shl i32 %warp, 5
  %thread = add i32 %first, %reader
  %thread64 = zext i32 %thread to i64
  %other = add i32 %first, %lane
  %other64 = zext i32 %other to i64
  call void @check_fail(ptr %ctx, i64 {ErrorKind.IN_STEP.value}, i32 %where, i64 %thread64, i64 %offset, i64 %size,
    i64 %other64, i64 {IN_SHARED})
  ret i1 true
}}
""",
    (_LATER, CTTZ, FAIL),
)


class Lockstep:
    """The volatile accesses of a kernel that are looked at."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        volatile = [
            (number, place, each)
            for number, block in enumerate(blocks)
            for place, each in enumerate(block.instructions)
            if each.has("volatile") and not each.has("global", "local")
        ]
        loads = [found for found in volatile if found[2].opcode == "ld" and not _polls(blocks, *found[:2])]
        stores = [found for found in volatile if found[2].opcode == "st"]
        both = loads + stores if loads and stores else []
        self._looked_at = {id(instruction) for _, _, instruction in both}

    def check(self, e: Emitter, place: str, mask: str, size: int) -> None:
        """Look at an access that the other checks have passed; `place` has the host addresses of its lanes."""
        instruction = e.instruction
        if id(instruction) not in self._looked_at:
            return
        given = f"ptr %ctx, ptr {place}, i32 {mask}, i32 %warp"
        if instruction.opcode == "st":
            add(e, _STORED)
            e.code.effect(f"call void @{_STORED.name}({given})")
            return
        add(e, _LOADED)
        e.fail_if(e.code.line(f"call i1 @{_LOADED.name}({given}, i32 {e.index}, i64 {size})"))


def _polls(blocks: Sequence[Block], number: int, place: int) -> bool:
    """Whether control can come back to an instruction without passing a store."""
    if _stores(blocks[number].instructions[place:]):
        return False
    seen: set[int] = set()
    waiting = list(blocks[number].successors)
    while waiting:
        block = waiting.pop()
        if block >= len(blocks) or block in seen:
            continue
        seen.add(block)
        if block == number:
            if not _stores(blocks[block].instructions[:place]):
                return True
        elif not _stores(blocks[block].instructions):
            waiting += blocks[block].successors
    return False


def _stores(instructions: Sequence[Instruction]) -> bool:
    return any(each.opcode == "st" for each in instructions)
