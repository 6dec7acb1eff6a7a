"""What the machine code tells the listener, `..order`: fences, and accesses that hand on what was done before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..context import Slot
from ..ptx import Instruction
from ..seam import Access
from .clock import NARROW_SHIFT, REFRESH, SIZE_SHIFT, TELL, TICK, Event
from .layout import MARK_SHIFT, MARKS, Common, ShadowField
from .text import Routine, load_slot, splat
from .traffic import CTTZ

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["SYNCHRONISING", "acquire", "add", "fenced", "orders", "publish"]

#: Accesses that other threads may make at the same time without a race: they are there to talk to each other.
SYNCHRONISING = ("volatile", "relaxed", "acquire", "release", "mmio")
_RELEASES = ("release", "acq_rel", "sc")


def orders(instruction: Instruction) -> bool:
    """Tell whether an instruction can hand on what its thread did before."""
    if instruction.opcode in ("membar", "fence"):
        return not instruction.has("proxy", "mbarrier_init")
    return instruction.opcode in ("ld", "st", "atom", "red") and instruction.has("acquire", *_RELEASES)


def add(e: Emitter, routine: Routine) -> None:
    """Put a routine and what it calls into the module."""
    for each in routine.closure():
        if each.text.startswith("declare"):
            e.module.declare(each.text.rstrip())
        else:
            e.module.function(each.name, each.text)


def fenced(e: Emitter) -> None:
    """Tell of a fence."""
    narrow = e.instruction.has("cta", "cluster")
    _call(e, _TELL_NOW, (Event.BLOCK_FENCE if narrow else Event.FENCE).value, e.active_bits(), "null")


def publish(e: Emitter, access: Access, addresses: str, mask: str) -> None:
    """Tell of an atomic access or store that is about to be made."""
    releases = e.instruction.has(*_RELEASES)
    _call(e, _TELL_NOW, (Event.RELEASE if releases else Event.PUBLISH) | _details(e, access), mask, addresses)


def acquire(e: Emitter, access: Access, addresses: str, mask: str) -> None:
    """Tell of an atomic access or load that has been made, where something may have been released."""
    _call(e, _LOOK, Event.ACQUIRE | _details(e, access), mask, addresses)


def _details(e: Emitter, access: Access) -> int:
    """Say with an event how many bytes are accessed, and whether it is about the block alone."""
    narrow = e.instruction.has("cta", "cluster") or access.space == "shared"
    return access.size << SIZE_SHIFT | narrow << NARROW_SHIFT


def _call(e: Emitter, routine: Routine, event: int, mask: str, addresses: str) -> None:
    add(e, routine)
    e.code.effect(f"call void @{routine.name}(ptr %ctx, i32 {event}, i32 %warp, i32 {mask}, ptr {addresses})")


#: ``void (ctx, event, warp, mask, addresses)``: tell of what a warp does, when all that came before has been told.
_TELL_NOW = Routine(
    "check_tell_now",
    """define internal void @check_tell_now(ptr %ctx, i32 %event, i32 %warp, i32 %mask, ptr %addresses) noinline {
entry:
  %idle = icmp eq i32 %mask, 0
  br i1 %idle, label %done, label %tell
tell:
  %stop = call i1 @check_refresh(ptr %ctx)
  call void @check_tell(ptr %ctx, i32 %event, i32 %warp, i32 %mask, ptr %addresses)
  %shadow.at = getelementptr i64, ptr %ctx, i64 SHADOW
  %shadow = load ptr, ptr %shadow.at
  call void @check_tick(ptr %shadow)
  br label %done
done:
  ret void
}
""".replace("SHADOW", str(Slot.SHADOW_SHARED.value)),
    (REFRESH, TELL, TICK),
)

#: The same of an access that found something, unless nothing can have been released there since the last look.
_LOOK = Routine(
    "check_look",
    f"""define internal void @check_look(ptr %ctx, i32 %event, i32 %warp, i32 %mask, ptr %addresses) noinline {{
entry:
  %idle = icmp eq i32 %mask, 0
  br i1 %idle, label %done, label %look
look:
{load_slot("shadow", Slot.SHADOW_SHARED, "ptr")}
  %common.at = getelementptr i64, ptr %shadow, i64 {ShadowField.COMMON.value}
  %common = load ptr, ptr %common.at
  %count.at = getelementptr i8, ptr %common, i64 {Common.COUNT.value}
  %count = load i64, ptr %count.at
  %none = icmp eq i64 %count, 0
  br i1 %none, label %done, label %some
some:
  %head = call i32 @llvm.cttz.i32(i32 %mask, i1 true)
  %head.at = getelementptr i64, ptr %addresses, i32 %head
  %head.address = load i64, ptr %head.at
  %v = load <32 x i64>, ptr %addresses, align 8
{splat("heads", "%head.address")}  %same = icmp eq <32 x i64> %v, %heads
  %same.bits = bitcast <32 x i1> %same to i32
  %outside = xor i32 %mask, -1
  %one.bits = or i32 %same.bits, %outside
  %one = icmp eq i32 %one.bits, -1
  %field = add i32 %warp, {ShadowField.POLLED.value}
  %polled.at = getelementptr i64, ptr %shadow, i32 %field
  %polled = load i64, ptr %polled.at
  %count.field = add i32 %warp, {ShadowField.POLLED_COUNT.value}
  %seen.at = getelementptr i64, ptr %shadow, i32 %count.field
  %seen = load i64, ptr %seen.at
  %again = icmp eq i64 %polled, %head.address
  %nothing.new = icmp eq i64 %seen, %count
  %idle.poll0 = and i1 %again, %nothing.new
  %idle.poll = and i1 %idle.poll0, %one
  br i1 %idle.poll, label %done, label %marks
marks:
  %left = phi i32 [%mask, %some], [%fewer, %next]
  %over = icmp eq i32 %left, 0
  br i1 %over, label %done, label %next
next:
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  %lower = sub i32 %left, 1
  %fewer = and i32 %left, %lower
  %at = getelementptr i64, ptr %addresses, i32 %lane
  %address = load i64, ptr %at
  %word = lshr i64 %address, {MARK_SHIFT}
  %slot = and i64 %word, {MARKS - 1}
  %place = add i64 %slot, {Common.MARKS.value}
  %mark.at = getelementptr i8, ptr %common, i64 %place
  %mark = load i8, ptr %mark.at
  %marked = icmp ne i8 %mark, 0
  br i1 %marked, label %tell, label %marks
tell:
  store i64 %head.address, ptr %polled.at
  store i64 %count, ptr %seen.at
  call void @check_tell_now(ptr %ctx, i32 %event, i32 %warp, i32 %mask, ptr %addresses)
  br label %done
done:
  ret void
}}
""",
    (CTTZ, _TELL_NOW),
)
