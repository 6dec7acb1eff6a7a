"""Program counters: a lane's counter is the number of a block, or one of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .layout import StateOffset

if TYPE_CHECKING:
    from .emitter import Emitter, Value

__all__ = [
    "AT_BARRIER",
    "BLOCK_BITS",
    "EXITED",
    "ID_SHIFT",
    "MEETING",
    "PENALTY",
    "WAITING",
    "load_counters",
    "lowest_of",
    "store_counters",
]

#: Added to the counter of a lane that is not favoured, only to rank it.
PENALTY = 1 << 28
#: A lane that waits for others of its warp: this bit and the block.
MEETING = 1 << 29
#: Set beside it where the lane waits at a warp barrier, which lanes may reach from different places.
AT_BARRIER = 1 << 27
#: The bits that number a block.
BLOCK_BITS = (1 << 20) - 1
#: A lane that waits at a block barrier: this bit, the barrier's number and the next block.
WAITING = 1 << 30
#: Where the barrier's number stands.
ID_SHIFT = 20
#: A lane that is gone.
EXITED = 0x7FFFFFFF


def load_counters(e: Emitter, offset: int = StateOffset.COUNTERS) -> Value:
    """Load the counters of all lanes, or other numbers, from the warp's state."""
    e.code.flush()
    parts = []
    for strip in range(e.strips):
        place = e.code.strip(strip, f"getelementptr i8, ptr %state, i64 {offset + 4 * strip * e.W}")
        parts.append(e.code.strip(strip, f"load <{e.W} x i32>, ptr {place}, align 64"))
    return tuple(parts)


def store_counters(e: Emitter, counters: Value, offset: int = StateOffset.COUNTERS) -> None:
    """Store the counters of all lanes, or other numbers that a warp's state has at `offset`."""
    for strip in range(e.strips):
        place = e.code.strip(strip, f"getelementptr i8, ptr %state, i64 {offset + 4 * strip * e.W}")
        e.code.strip_effect(strip, f"store <{e.W} x i32> {counters[strip]}, ptr {place}, align 64")


def lowest_of(e: Emitter, value: Value) -> str:
    """Return the lowest of the lanes' unsigned integers as a scalar."""
    lowest = ""
    for strip in range(e.strips):
        part = e.code.line(f"call i32 @llvm.vector.reduce.umin.v{e.W}i32(<{e.W} x i32> {value[strip]})")
        if strip:
            lower = e.code.line(f"icmp ult i32 {part}, {lowest}")
            part = e.code.line(f"select i1 {lower}, i32 {part}, i32 {lowest}")
        lowest = part
    return lowest
