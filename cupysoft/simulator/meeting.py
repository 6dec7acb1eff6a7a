"""Meetings of a warp: shuffles, votes and warp barriers wait for the lanes they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .control import first_lane
from .literals import integer
from .pcs import AT_BARRIER, MEETING, load_counters, store_counters
from .ptx import Immediate

if TYPE_CHECKING:
    from .emitter import Emitter

__all__ = ["meet"]


def meet(e: Emitter, number: int) -> None:
    """Begin block `number` only when every living lane of the member mask is there.

    Lanes that came before and waited join in. Each lane has a mask of its own: tiles of a warp
    may be at one instruction together, and those that are complete go on without the others.
    Those who are still missing are awaited, unless nobody else of the warp can go on. A warp
    barrier is complete then if the missing ones wait at another warp barrier; else the checks
    hear of it.
    """
    code = e.code
    barrier = e.instruction.opcode in ("bar", "barrier")
    waiting = MEETING | number | (AT_BARRIER if barrier else 0)
    waited = e.map("icmp eq <W x i32> {0}, {1}", load_counters(e), e.constant("i32", waiting))
    arrived, name = e.active_name, f"%meeting.{number}"
    code.effect(f"{name} = or i32 {arrived}, {e.bits(waited)}")
    code.effect(f"store i32 {name}, ptr %active.slot")
    e.active_name = name
    live = code.line("load i32, ptr %live.place")
    others = code.line(f"xor i32 {name}, -1")
    elsewhere = code.line(f"and i32 {live}, {others}")
    forced = code.line("load i32, ptr %forced.place")
    code.effect(f"store i32 {code.line(f'and i32 {forced}, {others}')}, ptr %forced.place")
    absent = _absent(e, number, elsewhere, waiting)
    through = code.line(f"icmp ne i32 {code.line(f'and i32 {forced}, {name}')}, 0")
    code.effect(f"store i32 {waiting}, ptr %target.slot")
    code.effect(f"br i1 {through}, label %through{number}, label %park")
    code.label(f"through{number}")
    if barrier:
        together = code.line("load i32, ptr %together.place")
        absent = code.line(f"and i32 {absent}, {code.line(f'xor i32 {together}, -1')}")
        nobody = code.line(f"icmp eq i32 {absent}, 0")
        code.effect(f"br i1 {nobody}, label %met{number}, label %miss{number}")
        code.label(f"miss{number}")
    e.checks.missing(e, absent)
    code.effect(f"br label %met{number}")
    code.label(f"met{number}")
    e.begin_block()
    e.active_name = code.line("load i32, ptr %active.slot")


def _absent(e: Emitter, number: int, elsewhere: str, waiting: int) -> str:
    """Let the lanes go whose masks name nobody who is `elsewhere`; return whom the others miss if there are none."""
    code = e.code
    mask = e.instruction.operands[-1]
    if isinstance(mask, Immediate):
        absent = code.line(f"and i32 {integer(mask.text) & 0xFFFFFFFF}, {elsewhere}")
        whole = code.line(f"icmp eq i32 {absent}, 0")
        code.effect(f"br i1 {whole}, label %met{number}, label %lack{number}")
        code.label(f"lack{number}")
        return absent
    masks = e.read(mask, "b32")
    missed = e.map("and <W x i32> {0}, {1}", masks, e.splat("i32", elsewhere))
    lacking = e.bits(e.map("icmp ne <W x i32> {0}, {1}", missed, e.constant("i32", 0)))
    lacking = code.line(f"and i32 {lacking}, {e.active_name}")
    whole = code.line(f"icmp eq i32 {lacking}, 0")
    code.effect(f"br i1 {whole}, label %met{number}, label %lacking{number}")
    code.label(f"lacking{number}")
    complete = code.line(f"and i32 {e.active_name}, {code.line(f'xor i32 {lacking}, -1')}")
    nobody = code.line(f"icmp eq i32 {complete}, 0")
    code.effect(f"br i1 {nobody}, label %lack{number}, label %part{number}")
    code.label(f"part{number}")
    stay = e.select(e.mask(lacking), e.constant("i32", waiting), load_counters(e), "i32")
    store_counters(e, stay)
    code.flush()
    code.effect(f"store i32 {complete}, ptr %active.slot")
    code.effect(f"br label %met{number}")
    code.label(f"lack{number}")
    return first_lane(e, missed, "i32")
