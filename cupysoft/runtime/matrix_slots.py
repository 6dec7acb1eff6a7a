"""What a kernel of attention issues for a tile of keys, pipe by pipe, counted in its machine code.

Counted is one round of the loop over the keys on its common path. Loops inside it go as often as makes its products
complete: how many multiplications a tile takes is known, and so is which instructions belong to which product.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from cupysoft.errors import ReportError
from cupysoft.runtime.disassembly import Instruction, Place
from cupysoft.runtime.issue_slots import pipe_of
from cupysoft.runtime.machine_blocks import Flow, Loop
from cupysoft.runtime.sources import kernels_folder

__all__ = ["TileLoop", "multiplications", "tile_loop"]

#: Multiplications of a matrix instruction, by how its opcode begins.
_MULTIPLICATIONS = {
    "HMMA.16816": 16 * 8 * 16,
    "HMMA.1688": 16 * 8 * 8,
    "DMMA.16x8x16": 16 * 8 * 16,
    "DMMA.16x8x8": 16 * 8 * 8,
    "DMMA.16x8x4": 16 * 8 * 4,
    "DMMA.8x8x4": 8 * 8 * 4,
    "DMMA.884": 8 * 8 * 4,
}
_PASS = 128  # bytes that shared memory gives or takes in a clock
_WARP = 32


@dataclass(frozen=True)
class TileLoop:
    """One round of the loop over the keys, of one warp.

    Attributes
    ----------
    matrices : mapping
        Opcode to matrix instructions.
    issued : mapping
        Pipe to instructions; ``"matrix"`` beside those of `cupysoft.runtime.issue_slots.PIPES`.
    passes : int
        Clocks of shared memory.
    """

    matrices: Mapping[str, int]
    issued: Mapping[str, int]
    passes: int

    @property
    def slots(self) -> int:
        """Issue slots."""
        return sum(self.issued.values())

    @property
    def share(self) -> float:
        """Share of the matrix instructions in them."""
        return self.issued["matrix"] / self.slots

    @property
    def multiplications(self) -> int:
        """What the matrix instructions multiply."""
        return sum(count * multiplications(opcode) for opcode, count in self.matrices.items())


def multiplications(opcode: str) -> int:
    """Multiplications of an instruction; 0 of one that is not for matrices."""
    return next((count for start, count in _MULTIPLICATIONS.items() if re.match(rf"{start}\b", opcode)), 0)


def tile_loop(code: Sequence[Instruction], wanted: Mapping[str, int], header: str) -> TileLoop:
    """Count what a kernel issues for a tile of keys.

    Parameters
    ----------
    code : sequence of Instruction
        The kernel.
    wanted : mapping
        Name of a device function to the multiplications that it is to do for a tile.
    header : str
        The file in the folder of kernels where these functions are.

    Returns
    -------
    TileLoop

    Raises
    ------
    ReportError
        If no loop has instructions of all functions, or loops cannot make up what is wanted.
    """
    flow = Flow(code, lambda each: multiplications(each.opcode) > 0)
    lines = {name: _lines(header, name) for name in wanted}

    def product(each: Instruction) -> str | None:
        if not multiplications(each.opcode):
            return None
        return next((name for name, inside in lines.items() if inside & set(each.places)), None)

    def of_loop(loop: Loop) -> Counter[str | None]:
        return Counter(product(each) for start in loop.blocks for each in flow.blocks[start].instructions)

    around = [loop for loop in flow.loops if all(of_loop(loop)[name] for name in wanted)]
    if not around:
        raise ReportError(f"tile_loop: no loop of the kernel has matrix instructions of {' and '.join(wanted)}")
    main = min(around, key=lambda loop: len(loop.blocks))
    inner = [loop for loop in flow.loops if loop.blocks < main.blocks]
    rounds = dict.fromkeys(main.blocks, 1)
    for name, count in wanted.items():
        looped = frozenset(start for loop in inner if of_loop(loop)[name] for start in loop.blocks)
        done = {
            within: sum(
                multiplications(each.opcode)
                for start in main.blocks
                for each in flow.blocks[start].instructions
                if product(each) == name and (start in looped) == within
            )
            for within in (False, True)
        }
        left = count - done[False]
        times = left // done[True] if done[True] else 1
        if left != times * done[True]:
            raise ReportError(
                f"tile_loop: {name} is to multiply {count} times; found {done[False]} and {done[True]} in loops"
            )
        rounds |= dict.fromkeys(looped, times)
    return _counted([(each, rounds[start]) for start in main.blocks for each in flow.blocks[start].instructions])


def _counted(code: Sequence[tuple[Instruction, int]]) -> TileLoop:
    matrices: Counter[str] = Counter()
    issued: Counter[str] = Counter()
    passes = 0
    for each, times in code:
        if multiplications(each.opcode):
            matrices[each.opcode] += times
            issued["matrix"] += times
        else:
            issued[pipe_of(each.opcode)] += times
        passes += _passes(each.opcode) * times
    return TileLoop(dict(matrices), dict(issued), passes)


def _passes(opcode: str) -> int:
    """Clocks of shared memory that an access takes, without conflicts; a warp of whole vectors."""
    name, _, rest = opcode.partition(".")
    if name == "LDSM":  # tiles of 8 rows of 16 bytes
        return int(rest.rpartition(".")[2])
    if name not in ("LDS", "STS", "LDGSTS"):
        return 0
    bits = next((int(part) for part in rest.split(".") if part in ("64", "128")), 32)
    return max(1, _WARP * bits // 8 // _PASS)


@cache
def _lines(header: str, function: str) -> frozenset[Place]:
    """The lines of a device function, from its name to its last brace."""
    lines = (kernels_folder() / header).read_text(encoding="utf-8").splitlines()
    first = next((i for i, line in enumerate(lines) if re.search(rf"void {function}\(", line)), None)
    if first is None:
        raise ReportError(f"tile_loop: there is no function {function} in {header}")
    last = next(i for i, line in enumerate(lines[first:], first) if line.startswith("}"))
    return frozenset((header, number) for number in range(first + 1, last + 2))
