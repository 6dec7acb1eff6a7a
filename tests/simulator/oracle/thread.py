"""One thread of the oracle: its registers, its memory, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.simulator.oracle.reader import Function, Statement

__all__ = ["LOCAL", "SHARED", "Arrival", "Frame", "Memory", "Operand", "Step", "Thread", "Write", "operand"]

#: Generic addresses of the first byte of shared and of a thread's local memory.
SHARED, LOCAL = 1 << 60, 1 << 61


@dataclass
class Memory:
    """Bytes by generic address: `segments` maps the bits from 40 up to an array's bytes."""

    segments: dict[int, memoryview] = field(default_factory=dict)

    def add(self, content: memoryview) -> int:
        """Give an array an address."""
        number = len(self.segments) + 1
        self.segments[number] = content
        return number << 40

    def at(self, address: int, size: int) -> memoryview:
        """Return bytes; those outside of all arrays raise IndexError, misaligned ones ValueError."""
        number, offset = address >> 40, address & (1 << 40) - 1
        if address % size:
            raise ValueError(f"{size} bytes at {address:#x} are not aligned")
        if number not in self.segments or offset + size > len(self.segments[number]):
            raise IndexError(f"no array has {size} bytes at {address:#x}")
        return self.segments[number][offset : offset + size]


@dataclass
class Frame:
    """A call: its function, the next statement, parameters by name, and what its results are called by the caller."""

    function: Function
    place: int = 0
    parameters: dict[str, bytearray] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)


@dataclass
class Thread:
    """One thread."""

    number: int
    special: dict[str, int]
    memory: Memory
    symbols: dict[str, int]
    frames: list[Frame]
    registers: dict[str, int] = field(default_factory=dict)
    carry: int = 0
    arrival: Arrival | None = None
    exited: bool = False


@dataclass(frozen=True)
class Arrival:
    """A thread waits at a statement for others: a warp instruction's mask, or a barrier's number and count."""

    statement: Statement
    mask: int = 0
    barrier: int = -1
    count: int = 0


#: What a statement does. It returns None to go on behind it, another place, or what the thread waits for.
Step: TypeAlias = Callable[[Thread], "int | Arrival | None"]
Operand: TypeAlias = Callable[[Thread], int]
#: What puts a result into a register.
Write: TypeAlias = Callable[[Thread, int], None]


def operand(text: str, width: int) -> Operand:
    """Return what reads a register, a literal, a special register or the address of a variable."""
    mask = (1 << width) - 1
    if match := re.fullmatch(r"0[fFdD]([0-9A-Fa-f]{8}(?:[0-9A-Fa-f]{8})?)", text):
        pattern = int(match[1], 16)
        return lambda thread: pattern
    if re.fullmatch(r"-?(0[xX][0-9A-Fa-f]+|\d+)", text):
        number = int(text, 0) & mask
        return lambda thread: number
    if "/" in text:
        if text[0] == "!":
            name = text[1:]
            return lambda thread: 1 - thread.registers[name]
        return lambda thread: thread.registers[text] & mask
    if text[0] == "%":
        return lambda thread: thread.special[text] & mask
    name, _, offset = text.partition("+")
    return lambda thread: (thread.symbols[name] + int(offset or 0)) & mask
