"""Who waits where, for a report of a deadlock: threads of unfinished blocks by the instruction that holds them."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .compiled import Where
from .context import BARRIER_FIELDS, BarrierField, Slot
from .layout import StateOffset
from .naming import Site, coordinates, own_line, ranges
from .pcs import BLOCK_BITS, EXITED, ID_SHIFT, MEETING, WAITING
from .workspace import Workspace

__all__ = ["who_waits"]

#: What one thread does, and several.
_Verb: TypeAlias = "tuple[str, str]"

_EXITED = ("has exited", "have exited")
_LANES = 32
#: Lines that a report has for this; the other blocks are counted.
_MOST = 12


def who_waits(site: Site, spaces: Sequence[Workspace]) -> list[str]:
    """Lines that tell, block by block, which threads are where and what for; blocks that are done are left out."""
    lines: list[str] = []
    told: dict[tuple[str, ...], list[int]] = {}
    for space in sorted(spaces, key=lambda each: each[Slot.BLOCK]):
        places = _places(site, space)
        if any(what != _EXITED for what in places):
            text = tuple(f"{_named(threads)} {what[len(threads) > 1]}" for what, threads in places.items())
            told.setdefault(text, []).append(space[Slot.BLOCK])
    for text, blocks in told.items():
        if len(lines) >= _MOST:
            lines.append("  (and other blocks)")
            break
        first = f"block {coordinates(blocks[0], site.grid)}"
        more = f" and {len(blocks) - 1} more like it" if len(blocks) > 1 else ""
        lines += [f"  {first}{more}:", *(f"    {each}" for each in text[:_MOST])]
    return lines


def _named(threads: list[int]) -> str:
    warps = sorted({thread // _LANES for thread in threads})
    return f"thread{'s' * (len(threads) > 1)} {ranges(threads)} (warp{'s' * (len(warps) > 1)} {ranges(warps)})"


def _places(site: Site, space: Workspace) -> dict[_Verb, list[int]]:
    """Linear threads of a block by what they do."""
    found: dict[_Verb, list[int]] = defaultdict(list)
    count = site.block[0] * site.block[1] * site.block[2]
    for warp, counters in enumerate(_counters(space)):
        for lane, counter in enumerate(counters.tolist()):
            if warp * _LANES + lane < count:
                found[_what(site, space, counter)].append(warp * _LANES + lane)
    return found


def _counters(space: Workspace) -> Iterator[npt.NDArray[np.uint32]]:
    for warp in range(space[Slot.WARPS]):
        place = space[Slot.STATES] + warp * space[Slot.STATE_STRIDE] + StateOffset.COUNTERS
        yield np.frombuffer(memoryview((ctypes.c_char * (4 * _LANES)).from_address(place)), np.uint32)


def _what(site: Site, space: Workspace, counter: int) -> _Verb:
    """What a lane with this program counter does."""
    if counter == EXITED:
        return _EXITED
    starts, block = site.kernel.starts, counter & BLOCK_BITS
    if counter & WAITING:
        # The counter names the block behind the barrier, which is the last instruction before that.
        end = starts[block] if block < len(starts) else len(site.kernel.instructions)
        number = counter >> ID_SHIFT & 15
        return _verb("wait", f"at barrier {number}{_needs(space, number)}, {_at(site.kernel.instructions[end - 1])}")
    if counter & MEETING:
        return _verb("wait", f"for lanes of the warp, {_at(site.kernel.instructions[starts[block]])}")
    if block >= len(starts):
        return "is about to exit", "are about to exit"
    where = site.kernel.instructions[starts[block]]
    return _verb("run", f"at {own_line(where) or where.text}")


def _verb(verb: str, rest: str) -> _Verb:
    return f"{verb}s {rest}", f"{verb} {rest}"


def _needs(space: Workspace, number: int) -> str:
    """How many threads a barrier is for and how many have come, where it counts them."""
    record = Slot.BARRIERS + BARRIER_FIELDS * number
    expected, arrived = (space.at(record + field) for field in (BarrierField.EXPECTED, BarrierField.ARRIVED))
    if not expected:
        return ""
    return f" for {expected} threads" + (f", at which {arrived} have arrived" if arrived else "")


def _at(where: Where) -> str:
    line = own_line(where)
    return f"{where.text}{f' ({line})' if line else ''}"
