"""What a kernel takes of a processor: registers, spills, stack and shared memory, read from the assembler's report."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Resources", "resources"]

_ENTRY = re.compile(r"Compiling entry function '([^']+)' for '(\w+)'")
_NUMBERS = {
    "registers": re.compile(r"Used (\d+) registers"),
    "barriers": re.compile(r"used (\d+) barriers"),
    "stack": re.compile(r"(\d+) bytes stack frame"),
    "spill_stores": re.compile(r"(\d+) bytes spill stores"),
    "spill_loads": re.compile(r"(\d+) bytes spill loads"),
    "shared": re.compile(r"(\d+)(?:\+\d+)? bytes smem"),
}


@dataclass(frozen=True)
class Resources:
    """What one kernel takes, as the assembler reports it.

    Parameters
    ----------
    registers : int
        Registers of a thread.
    barriers : int
        Block barriers.
    stack, spill_stores, spill_loads : int
        Bytes of a thread's stack, and bytes of registers that are stored to and loaded from local memory.
    shared : int
        Bytes of static shared memory of a block.
    """

    registers: int
    barriers: int
    stack: int
    spill_stores: int
    spill_loads: int
    shared: int

    @property
    def spills(self) -> bool:
        """Whether registers did not suffice."""
        return self.spill_stores > 0 or self.spill_loads > 0


def resources(log: str) -> dict[str, Resources]:
    """Resources of every kernel in the log of a compilation to a cubin, by lowered name.

    The functions that a kernel calls and that are not inlined count with the kernel.
    """
    found = {}
    starts = [*_ENTRY.finditer(log)]
    ends = [*(match.start() for match in starts[1:]), len(log)]
    for match, end in zip(starts, ends, strict=True):
        part = log[match.end() : end]
        numbers = {name: sum(map(int, pattern.findall(part))) for name, pattern in _NUMBERS.items()}
        found[match[1]] = Resources(**numbers)
    return found
