"""Meetings of a warp: shuffles, votes and warp barriers wait for the lanes they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .control import first_lane
from .literals import integer
from .pcs import AT_BARRIER, MEETING, load_counters
from .ptx import Immediate

if TYPE_CHECKING:
    from .emitter import Emitter

__all__ = ["meet"]


def meet(e: Emitter, number: int) -> None:
    """Begin block `number` only when every living lane of the member mask is there.

    Lanes that came before and waited join in. Those who are still missing are awaited,
    unless nobody else of the warp can go on. A warp barrier is complete then if the missing
    ones wait at another warp barrier; else the checks hear of it.
    """
    code = e.code
    barrier = e.instruction.opcode in ("bar", "barrier")
    waiting = MEETING | number | (AT_BARRIER if barrier else 0)
    waited = e.map("icmp eq <W x i32> {0}, {1}", load_counters(e), e.constant("i32", waiting))
    arrived, name = e.active_name, f"%meeting.{number}"
    code.effect(f"{name} = or i32 {arrived}, {e.bits(waited)}")
    code.effect(f"store i32 {name}, ptr %active.slot")
    e.active_name = name
    mask = e.instruction.operands[-1]
    if isinstance(mask, Immediate):
        members = str(integer(mask.text) & 0xFFFFFFFF)
    else:
        members = first_lane(e, e.read(mask, "b32"), "i32")
    live = code.line("load i32, ptr %live.place")
    wanted = code.line(f"and i32 {members}, {live}")
    absent = code.line(f"and i32 {wanted}, {code.line(f'xor i32 {name}, -1')}")
    whole = code.line(f"icmp eq i32 {absent}, 0")
    code.effect(f"br i1 {whole}, label %met{number}, label %lack{number}")
    code.label(f"lack{number}")
    forced = code.line("load i32, ptr %forced.place")
    through = code.line(f"icmp ne i32 {code.line(f'and i32 {forced}, {name}')}, 0")
    code.effect(f"store i32 {waiting}, ptr %target.slot")
    code.effect(f"br i1 {through}, label %through{number}, label %park")
    code.label(f"through{number}")
    rest = code.line(f"and i32 {forced}, {code.line(f'xor i32 {name}, -1')}")
    code.effect(f"store i32 {rest}, ptr %forced.place")
    if barrier:
        elsewhere = code.line("load i32, ptr %together.place")
        absent = code.line(f"and i32 {absent}, {code.line(f'xor i32 {elsewhere}, -1')}")
        nobody = code.line(f"icmp eq i32 {absent}, 0")
        code.effect(f"br i1 {nobody}, label %met{number}, label %miss{number}")
        code.label(f"miss{number}")
    e.checks.missing(e, absent)
    code.effect(f"br label %met{number}")
    code.label(f"met{number}")
    e.begin_block()
