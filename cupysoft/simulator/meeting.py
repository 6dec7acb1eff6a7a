"""Meetings of a warp: shuffles, votes and warp barriers wait for the lanes they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .code import LANES
from .flow import members_of
from .lanes import store_buffer
from .layout import StateOffset
from .literals import integer
from .pcs import AT_BARRIER, BLOCK_BITS, MEETING, load_counters, store_counters
from .ptx import Immediate
from .strips import Uniform

if TYPE_CHECKING:
    from .emitter import Emitter, Value

__all__ = ["lacking_lanes", "masks_of", "meet"]


def meet(e: Emitter, number: int) -> None:
    """Begin block `number` only when every living lane of the member mask is there, with the same mask.

    Lanes that came before and waited join in. Each lane has a mask of its own: tiles of a warp, or lanes
    in different rounds of a loop, may be at one instruction together, and groups that are complete go on
    without the others. Those who are still missing are awaited, unless nobody else of the warp can go on; then the
    checks hear of it. At a warp barrier, lanes that wait at another one with the same mask
    have come.
    """
    code = e.code
    barrier = e.instruction.opcode in ("bar", "barrier")
    waiting = MEETING | number | (AT_BARRIER if barrier else 0)
    masks = masks_of(e)
    waited = e.map("icmp eq <W x i32> {0}, {1}", load_counters(e), e.constant("i32", waiting))
    name = f"%meeting.{number}"
    code.effect(f"{name} = or i32 {e.active_name}, {e.bits(waited)}")
    e.active_name = name
    live = code.line("load i32, ptr %live.place")
    forced = code.line("load i32, ptr %forced.place")
    freed = code.line(f"and i32 {forced}, {name}")
    nobody = code.line(f"icmp eq i32 {freed}, 0")
    code.effect(f"br i1 {nobody}, label %gather{number}, label %through{number}")

    code.label(f"gather{number}")
    code.effect(f"store i32 {name}, ptr %active.slot")
    lacking = lacking_lanes(e, masks, live)
    whole = code.line(f"icmp eq i32 {lacking}, 0")
    code.effect(f"br i1 {whole}, label %met{number}, label %lacking{number}")
    code.label(f"lacking{number}")
    if barrier:
        _await_barrier(e, masks, waiting)
    else:
        _go_on(e, number, lacking, waiting)

    code.label(f"through{number}")
    _separate(e, number, forced, freed)
    absent = _missed(e, masks, freed, live)
    if barrier:
        together = code.line("load i32, ptr %together.place")
        absent = code.line(f"and i32 {absent}, {code.line(f'xor i32 {together}, -1')}")
    met = code.line(f"icmp eq i32 {absent}, 0")
    code.effect(f"br i1 {met}, label %met{number}, label %miss{number}")
    code.label(f"miss{number}")
    e.checks.missing(e, absent)
    code.effect(f"br label %met{number}")
    code.label(f"met{number}")
    e.begin_block()
    e.active_name = code.line("load i32, ptr %active.slot")


def masks_of(e: Emitter) -> Value:
    """Return the member mask that each lane brings."""
    mask = members_of(e.instruction)
    return e.constant("i32", integer(mask.text)) if isinstance(mask, Immediate) else e.read(mask, "b32")


def lacking_lanes(e: Emitter, masks: Value, live: str) -> str:
    """Return the active lanes that miss a living one of their mask: it is elsewhere, or here with another mask."""
    code = e.code
    if isinstance(masks, Uniform):
        elsewhere = code.line(f"and i32 {live}, {code.line(f'xor i32 {e.active_name}, -1')}")
        missed = code.line(f"and i32 {elsewhere}, {masks.scalar}")
        alone = code.line(f"icmp eq i32 {missed}, 0")
        return code.line(f"select i1 {alone}, i32 0, i32 {e.active_name}")
    table = store_buffer(e, "members", masks, "i32")
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    helper = e.runtime("lacking_lanes", _LACKING)
    return code.line(f"call i32 {helper}(ptr {table}, i32 {e.active_name}, i32 {live})")


def _go_on(e: Emitter, number: int, lacking: str, waiting: int) -> None:
    """Let the groups go that are complete, if there are any; the lanes that lack others wait."""
    code = e.code
    complete = code.line(f"and i32 {e.active_name}, {code.line(f'xor i32 {lacking}, -1')}")
    nobody = code.line(f"icmp eq i32 {complete}, 0")
    code.effect(f"br i1 {nobody}, label %lack{number}, label %part{number}")
    code.label(f"part{number}")
    store_counters(e, e.select(e.mask(lacking), e.constant("i32", waiting), load_counters(e), "i32"))
    code.flush()
    code.effect(f"store i32 {complete}, ptr %active.slot")
    code.effect(f"br label %met{number}")
    code.label(f"lack{number}")
    code.effect(f"store i32 {waiting}, ptr %target.slot")
    code.effect("br label %park")


def _separate(e: Emitter, number: int, forced: str, freed: str) -> None:
    """Go on with the lanes that were let go; others that came here meanwhile have a meeting of their own."""
    code = e.code
    code.effect(f"store i32 {code.line(f'xor i32 {forced}, {freed}')}, ptr %forced.place")
    code.effect(f"store i32 {freed}, ptr %active.slot")
    back = code.line(f"and i32 {e.active_name}, {code.line(f'xor i32 {freed}, -1')}")
    store_counters(e, e.select(e.mask(back), e.constant("i32", number), load_counters(e), "i32"))
    alone = code.line(f"icmp eq i32 {back}, 0")
    rest = code.line("load i32, ptr %rest.slot")
    code.effect(f"store i32 {code.line(f'select i1 {alone}, i32 {rest}, i32 {number}')}, ptr %rest.slot")
    e.active_name = freed


def _missed(e: Emitter, masks: Value, freed: str, live: str) -> str:
    """Return the living lanes outside of `freed` that the masks of those name."""
    named = e.select(e.mask(freed), masks, e.constant("i32", 0), "i32")
    e.code.flush()
    e.module.declare(f"declare i32 @llvm.vector.reduce.or.v{e.W}i32(<{e.W} x i32>)")
    members = "0"
    for strip in named:
        part = e.code.line(f"call i32 @llvm.vector.reduce.or.v{e.W}i32(<{e.W} x i32> {strip})")
        members = e.code.line(f"or i32 {members}, {part}")
    outside = e.code.line(f"and i32 {live}, {e.code.line(f'xor i32 {freed}, -1')}")
    return e.code.line(f"and i32 {members}, {outside}")


def _await_barrier(e: Emitter, masks: Value, waiting: int) -> None:
    """Make the active lanes wait with their masks, and look who has come with the same one to any warp barrier."""
    code = e.code
    active = e.mask(e.active_name)
    store_counters(e, e.select(active, e.constant("i32", waiting), load_counters(e), "i32"))
    kept = load_counters(e, StateOffset.MASKS)
    store_counters(e, e.select(active, masks, kept, "i32"), StateOffset.MASKS)
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    helper = e.runtime("release_warp_barriers", _RELEASE)
    code.effect(f"call void {helper}(ptr %state, i32 {e.active_name})")
    code.effect("br label %dispatch")


_SHIFT = AT_BARRIER.bit_length() - 1
_KIND = (MEETING | AT_BARRIER) >> _SHIFT
_VECTOR = f"<{LANES} x i32>"

#: ``i32 (masks, active, live)``: the lanes of groups of one mask that lack a living lane which the mask names.
_LACKING = f"""define internal i32 @lacking_lanes(ptr noalias %table, i32 %active, i32 %live) noinline {{
entry:
  %masks = load {_VECTOR}, ptr %table, align 4
  br label %next
next:
  %left = phi i32 [ %active, %entry ], [ %rest, %next ]
  %found = phi i32 [ 0, %entry ], [ %found.next, %next ]
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  %mask.at = getelementptr i32, ptr %table, i32 %lane
  %mask = load i32, ptr %mask.at
  %one = insertelement {_VECTOR} poison, i32 %mask, i32 0
  %all = shufflevector {_VECTOR} %one, {_VECTOR} poison, {_VECTOR} zeroinitializer
  %same = icmp eq {_VECTOR} %masks, %all
  %bits = bitcast <{LANES} x i1> %same to i32
  %group = and i32 %bits, %active
  %others = xor i32 %group, -1
  %named = and i32 %mask, %live
  %missing = and i32 %named, %others
  %whole = icmp eq i32 %missing, 0
  %lacks = select i1 %whole, i32 0, i32 %group
  %found.next = or i32 %found, %lacks
  %rest = and i32 %left, %others
  %over = icmp eq i32 %rest, 0
  br i1 %over, label %done, label %next
done:
  ret i32 %found.next
}}"""

#: ``void (state, lanes)``: for each different mask of `lanes`, let all go who wait with it if nobody living is missing.
_RELEASE = f"""define internal void @release_warp_barriers(ptr %state, i32 %lanes) noinline {{
entry:
  %masks.place = getelementptr i8, ptr %state, i64 {StateOffset.MASKS}
  %live.at = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  %forced.at = getelementptr i8, ptr %state, i64 {StateOffset.FORCED}
  %together.at = getelementptr i8, ptr %state, i64 {StateOffset.TOGETHER}
  %masks = load {_VECTOR}, ptr %masks.place, align 64
  %live = load i32, ptr %live.at
  br label %next
next:
  %left = phi i32 [ %lanes, %entry ], [ %rest, %again ]
  %counters = load {_VECTOR}, ptr %state, align 64
  %kinds = lshr {_VECTOR} %counters, splat (i32 {_SHIFT})
  %at.barrier = icmp eq {_VECTOR} %kinds, splat (i32 {_KIND})
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  %mask.at = getelementptr i32, ptr %masks.place, i32 %lane
  %mask = load i32, ptr %mask.at
  %one = insertelement {_VECTOR} poison, i32 %mask, i32 0
  %all = shufflevector {_VECTOR} %one, {_VECTOR} poison, {_VECTOR} zeroinitializer
  %same = icmp eq {_VECTOR} %masks, %all
  %group = and <{LANES} x i1> %same, %at.barrier
  %bits = bitcast <{LANES} x i1> %group to i32
  %others = xor i32 %bits, -1
  %named = and i32 %mask, %live
  %missing = and i32 %named, %others
  %rest = and i32 %left, %others
  %complete = icmp eq i32 %missing, 0
  br i1 %complete, label %release, label %again
release:
  %places = and {_VECTOR} %counters, splat (i32 {BLOCK_BITS})
  %moved = select <{LANES} x i1> %group, {_VECTOR} %places, {_VECTOR} %counters
  store {_VECTOR} %moved, ptr %state, align 64
  %forced = load i32, ptr %forced.at
  %forced.more = or i32 %forced, %bits
  store i32 %forced.more, ptr %forced.at
  %together = load i32, ptr %together.at
  %together.more = or i32 %together, %bits
  store i32 %together.more, ptr %together.at
  br label %again
again:
  %over = icmp eq i32 %rest, 0
  br i1 %over, label %done, label %next
done:
  ret void
}}"""
