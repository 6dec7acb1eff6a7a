"""Basic blocks of machine code, which of them lie on the common path, and the loops that back edges make.

The common path is told conservatively. Every block that control can reach counts, both sides of a branch too, but for:

- blocks of whose instructions more than three quarters come from inside an ``if (rarely(...)) { ... }`` of the kernels'
  sources, or from the other branch of an ``if (usually(...)) { ... } else { ... }``, and what can be reached through
  them alone;
- blocks that call a subroutine, and the subroutine: the assembler's slow paths of division and root, for operands
  beside the normal numbers;
- what votes and shuffles do where the lanes of a warp have parted.

What every way through the kernel passes is not rare, and that the common path goes from the entry to an end is checked
by whoever counts (`cupysoft.runtime.issue_slots`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from cupysoft.runtime.disassembly import Instruction, Place
from cupysoft.runtime.sources import kernels_folder

__all__ = ["Block", "Flow", "Loop", "inside", "rare_lines"]

_ENDS = ("BRA", "EXIT", "RET", "BRX", "JMP")
#: Of a rare block the compiler tells another origin for what is worked out on the common path as well.
_MOST = 0.75
#: What steers and what only marks says nothing of where a block comes from.
_NEUTRAL = ("BRA", "BSSY", "BSYNC", "NOP", "WARPSYNC", "YIELD", "EXIT")


@dataclass(frozen=True)
class Block:
    """Instructions that are executed one after the other.

    Attributes
    ----------
    start : int
        Index of the first.
    instructions : tuple of Instruction
    following : tuple of int
        Starts of the blocks that may come next.
    rare : bool
        Whether the common path leaves it out.
    """

    start: int
    instructions: tuple[Instruction, ...]
    following: tuple[int, ...]
    rare: bool


@dataclass(frozen=True)
class Loop:
    """A natural loop: the block that begins it, and all from which control comes back there.

    Attributes
    ----------
    head : int
        Start of its first block.
    blocks : frozenset of int
        Starts of its blocks on the common path.
    innermost : bool
        Whether no other loop is inside.
    """

    head: int
    blocks: frozenset[int]
    innermost: bool


class Flow:
    """The control flow of one kernel.

    Parameters
    ----------
    code : sequence of Instruction
        As `cupysoft.runtime.disassembly.disassembled` gives it.
    needed : callable, optional
        Tells instructions that the common path has to reach: what alone leads to them is not rare.
    """

    def __init__(self, code: Sequence[Instruction], needed: Callable[[Instruction], bool] | None = None) -> None:
        leaders = {0}
        for each in code:
            if each.target is not None:
                leaders.add(each.target)
            if each.name in (*_ENDS, "CALL"):
                leaders.add(each.index + 1)
        starts = sorted(start for start in leaders if start < len(code))
        ends = [*starts[1:], len(code)]
        self.blocks = {start: _block(tuple(code[start:end])) for start, end in zip(starts, ends, strict=True)}
        # What every way to an end goes through is not rare, whatever it is made of.
        targets = {
            block.start
            for block in self.blocks.values()
            if needed is not None and not block.rare and any(map(needed, block.instructions))
        }
        for block in [each for each in self.blocks.values() if each.rare]:
            reached = self._reached(0, frozenset({block.start}), rare=True)
            if not self._ends(reached) or targets - reached:
                self.blocks[block.start] = replace(block, rare=False)

    @cached_property
    def common(self) -> frozenset[int]:
        """Starts of the blocks on the common path."""
        return self._reached(0, frozenset())

    @property
    def complete(self) -> bool:
        """Whether the common path goes from the entry to an end."""
        return self._ends(self.common)

    @cached_property
    def loops(self) -> tuple[Loop, ...]:
        """Loops on the common path, in the order of their heads."""
        bodies: dict[int, set[int]] = {}
        for start in sorted(self.common):
            for head in self.blocks[start].following:
                if head in self.common and self._dominates(head, start):
                    bodies.setdefault(head, {head}).update(self._body(head, start))
        return tuple(
            Loop(head, frozenset(body), not any(other != head and other in body for other in bodies))
            for head, body in sorted(bodies.items())
        )

    def _ends(self, starts: frozenset[int]) -> bool:
        return any(each.name == "EXIT" for start in starts for each in self.blocks[start].instructions)

    def _reached(self, start: int, without: frozenset[int], rare: bool = False) -> frozenset[int]:
        """Blocks that control reaches from `start` on the common path, or also on rare ones, around some."""
        found: set[int] = set()
        waiting = [start]
        while waiting:
            block = self.blocks.get(waiting.pop())
            if block is None or block.start in found or block.start in without or (block.rare and not rare):
                continue
            found.add(block.start)
            waiting += block.following
        return frozenset(found)

    def _dominates(self, head: int, start: int) -> bool:
        """Whether there is no way from the entry to `start` but through `head`."""
        return head == start or start not in self._reached(0, frozenset({head}))

    def _body(self, head: int, tail: int) -> set[int]:
        """Blocks from which `tail` is reached without going through `head`."""
        before: dict[int, set[int]] = {}
        for start in self.common:
            for each in self.blocks[start].following:
                before.setdefault(each, set()).add(start)
        body, waiting = {head}, [tail]
        while waiting:
            each = waiting.pop()
            if each not in body:
                body.add(each)
                waiting += before.get(each, ())
        return body


def _block(code: tuple[Instruction, ...]) -> Block:
    last = code[-1]
    # The assembler also jumps by calls that nobody returns from; from a subroutine control comes back.
    # Where lanes have parted (BRA.DIV) a vote or a shuffle takes another way, which on the common path nobody goes.
    aside = last.target is None or last.subroutine or last.opcode.startswith("BRA.DIV")
    following = [] if aside or last.target is None else [last.target]
    if last.guard or last.subroutine or last.name not in (*_ENDS, "CALL"):
        following.append(last.index + 1)
    calls = any(each.subroutine for each in code)
    telling = [each for each in code if each.places and each.name not in _NEUTRAL]
    inside_rare = sum(any(place in rare_lines() for place in each.places) for each in telling)
    rare = inside_rare > _MOST * len(telling)
    return Block(code[0].index, code, tuple(following), calls or rare)


@cache
def rare_lines() -> frozenset[Place]:
    """The lines inside of ``if (rarely(...)) { ... }`` and the like in the kernels' sources."""
    folder = kernels_folder()
    return frozenset(
        (path.relative_to(folder).as_posix(), number)
        for path in sorted(folder.rglob("*.cu*"))
        for number in inside(path.read_text(encoding="utf-8").splitlines())
    )


def inside(lines: Sequence[str]) -> set[int]:
    """Numbers of the lines between the braces; the line of the condition itself is not among them."""
    found = set()
    for first, line in enumerate(lines):
        if re.search(r"\bif\s*\(rarely\(.*\{\s*$", line):
            found |= _to_brace(lines, first)
        elif re.search(r"\bif\s*\(usually\(.*\{\s*$", line):
            otherwise = max(_to_brace(lines, first), default=first + 1)  # the number of a line is the index of the next
            if re.search(r"\}\s*else\s*\{\s*$", lines[otherwise]):
                found |= _to_brace(lines, otherwise)
    return found


def _to_brace(lines: Sequence[str], first: int) -> set[int]:
    """Numbers of the lines after the one at an index that opens a brace, and before the one that closes it."""
    depth = 1
    for number in range(first + 1, len(lines)):
        for character in lines[number]:
            depth += (character == "{") - (character == "}")
            if depth == 0:  # what follows the brace, such as an else, is not inside
                return set(range(first + 2, number + 1))
    return set(range(first + 2, len(lines) + 1))
