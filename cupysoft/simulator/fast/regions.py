"""Where the lanes of a warp may part, and which blocks can run under masks until they meet again."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from ..flow import Flow, is_meeting
from ..layout import Layout
from ..ptx import Instruction
from ..usage import definitions
from .steps import steps
from .uniformity import varying

__all__ = ["Plan", "Region", "plan"]

#: What needs the whole warp, or ends a thread.
_APART = frozenset(("bar", "barrier", "exit", "ret", "brx", "trap", "nanosleep"))


@dataclass(slots=True)
class Region:
    """Blocks that run under masks, in their order, and the block where all lanes meet again.

    The lanes that are to run a block wait for it; the lowest block that lanes wait for runs next.

    Attributes
    ----------
    doubled : bool
        Whether the blocks exist without masks too, for all lanes together, which come under masks only where they
        part. So it is with loops.
    kept : frozenset of str
        Registers that the blocks write for later ones.
    """

    blocks: list[int]
    join: int
    doubled: bool = False
    kept: frozenset[str] = frozenset()


@dataclass(slots=True)
class Plan:
    """How each block of a kernel runs in the fast version.

    Attributes
    ----------
    uniform : set of str
        Registers that are scalars where all lanes run.
    steps : dict
        Registers that rise from lane to lane there, and by how much.
    alike : set of str
        Those of `uniform` that are the same in all lanes under masks, too.
    regions : dict
        The region of each block that is in one.
    entries : set of int
        Blocks, outside of regions, at which the masked version may hand over.
    """

    uniform: set[str]
    steps: dict[str, int]
    alike: set[str]
    regions: dict[int, Region] = field(default_factory=dict)
    entries: set[int] = field(default_factory=set)


def plan(flow: Flow, layout: Layout, linear: bool, apart: AbstractSet[str] = frozenset()) -> Plan:
    """Decide which registers are scalars and which blocks run under masks; `apart` are those that may not rise.

    A register that is written under a mask alone and read in another block differs from lane to lane, which may
    make more branches part the lanes, until nothing changes.
    """
    join = _joins(flow)
    known: set[str] = set()
    while True:
        differing = varying(flow, known, linear)
        regions = _regions(flow, join, differing)
        written = {name for region in regions.values() if not region.doubled for name in region.kept}
        if written <= differing:
            break
        known = differing | written
    everyone = set(layout.registers)
    masked = varying(flow, differing.union(*(region.kept for region in regions.values())), linear)
    rising = steps(flow, everyone - differing, written | apart, linear)
    entries = _entries(flow, regions, join, differing)
    return Plan(everyone - differing, rising, everyone - masked, regions, entries)


#: Instructions of a region that is translated twice.
_LONGEST = 400


def _described(flow: Flow, region: Region) -> Region:
    """Fill in what the blocks of a region say."""
    inside = set(region.blocks)
    loops = any(each in inside and each <= number for number in inside for each in flow.blocks[number].successors)
    length = sum(len(flow.blocks[number].instructions) for number in inside)
    kept = frozenset(name for number in inside for name in _kept(flow, number))
    return Region(region.blocks, region.join, loops and length <= _LONGEST, kept)


def _kept(flow: Flow, number: int) -> Iterable[str]:
    """Registers that a block writes for later ones."""
    block = flow.blocks[number]
    for instruction in block.instructions:
        for register in definitions(instruction):
            if register.name in block.live_out:
                yield register.name


def parts(flow: Flow, number: int, differing: set[str]) -> bool:
    """Tell whether lanes may leave a block in two directions."""
    last = flow.blocks[number].instructions[-1]
    return last.opcode in ("bra", "exit", "ret") and last.predicate is not None and last.predicate.name in differing


def _successors(flow: Flow, number: int) -> tuple[int, ...]:
    block = flow.blocks[number]
    ends = block.instructions[-1].opcode in ("exit", "ret", "trap")
    return (*block.successors, len(flow.blocks)) if ends else block.successors


def _joins(flow: Flow) -> list[int | None]:
    """Return the nearest block behind each block that every way to the end passes; the end is one too."""
    count = len(flow.blocks)
    everything = (1 << (count + 1)) - 1
    behind = [everything] * count + [1 << count]
    changed = True
    while changed:
        changed = False
        for number in range(count - 1, -1, -1):
            common = everything
            for successor in _successors(flow, number):
                common &= behind[successor]
            common |= 1 << number
            changed = changed or common != behind[number]
            behind[number] = common
    sizes = [bits.bit_count() for bits in behind]
    nearest: list[int | None] = []
    for number in range(count):
        others = (each for each in range(count + 1) if each != number and behind[number] >> each & 1)
        nearest.append(next((each for each in others if sizes[each] == sizes[number] - 1), None))
    return nearest


def _regions(flow: Flow, join: list[int | None], differing: set[str]) -> dict[int, Region]:
    """Return the regions of all branches that may part the lanes; those that overlap become one."""
    found: dict[int, Region] = {}
    for number in range(len(flow.blocks)):
        if number in found or not parts(flow, number, differing):
            continue
        region = _closed(flow, join, set(_successors(flow, number)), join[number], found)
        if region is not None:
            region = _described(flow, region)
            for block in region.blocks:
                found[block] = region
    return found


def _closed(
    flow: Flow, join: list[int | None], blocks: set[int], end: int | None, others: dict[int, Region]
) -> Region | None:
    """Return the blocks up to `end`, with the regions that they touch; None where one cannot be masked."""
    while True:
        if end is None or end == len(flow.blocks):
            return None
        blocks = _reached(flow, blocks, end)
        if any(_unfit(instruction) for number in blocks for instruction in flow.blocks[number].instructions):
            return None
        regions = [others[number] for number in blocks if number in others]
        touched = {each for region in regions for each in (*region.blocks, region.join)}
        more = touched - blocks - {end}
        if not more:
            return Region(sorted(blocks), end)
        blocks |= more
        while end is not None and end in blocks:
            end = join[end] if end < len(flow.blocks) else None


def _reached(flow: Flow, starts: Iterable[int], end: int) -> set[int]:
    found: set[int] = set()
    queue = [each for each in starts if each != end]
    while queue:
        number = queue.pop()
        if number in found or number == len(flow.blocks):
            continue
        found.add(number)
        queue += [each for each in _successors(flow, number) if each != end]
    return found


def _unfit(instruction: Instruction) -> bool:
    return instruction.opcode in _APART or is_meeting(instruction) or instruction.has("aligned")


def _entries(flow: Flow, regions: dict[int, Region], join: list[int | None], differing: set[str]) -> set[int]:
    """Return where a warp may come back to the fast version: where it waited, and where ways meet."""
    found = {0}
    ways = [0] * (len(flow.blocks) + 1)
    for number, block in enumerate(flow.blocks):
        for successor in block.successors:
            ways[successor] += 1
        if block.instructions[-1].opcode in ("bar", "barrier", "nanosleep"):
            found.add(number + 1)
        where = join[number]
        if where is not None and parts(flow, number, differing):
            found.add(where)
    found |= {number for number, count in enumerate(ways) if count > 1}
    found |= {region.join for region in regions.values()}
    masked = {number for number, region in regions.items() if not region.doubled}
    return {number for number in found if number < len(flow.blocks)} - masked
