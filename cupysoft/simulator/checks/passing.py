"""Vector loads that take along what nobody needs: the padding of a structure, the last of four numbers.

Of such a load only what is needed must have been written, and its first byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ptx import SIZES, Instruction, Register, Vector, type_of
from ..usage import uses

__all__ = ["EVERY_BYTE", "Passing", "suffix"]

#: All bytes of an access, as a mask.
EVERY_BYTE = -1


def suffix(needed: int) -> str:
    """What the name of a check of such loads ends with."""
    return "" if needed == EVERY_BYTE else f"_{needed:x}"


class Passing:
    """What the vector loads of a kernel need; what nothing uses but vector stores, if at all, is not needed."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._needed: set[str] = set()
        if any(each.opcode == "ld" and _items(each, 0) for each in instructions):
            for each in instructions:
                passed = {item.name for item in _items(each, 1) if isinstance(item, Register)}
                kept = passed if each.opcode == "st" else set()
                self._needed |= {register.name for register in uses(each)} - kept

    def bytes_of(self, instruction: Instruction) -> int:
        """The bytes of a load that must have been written, as a mask."""
        items = _items(instruction, 0) if instruction.opcode == "ld" else ()
        needed = [isinstance(item, Register) and item.name in self._needed for item in items]
        if all(needed):
            return EVERY_BYTE
        size = SIZES[type_of(instruction)]
        part = (1 << size) - 1
        return 1 | sum(part << size * place for place, wanted in enumerate(needed) if wanted)


def _items(instruction: Instruction, place: int) -> tuple[object, ...]:
    """The parts of an operand that is a vector."""
    if place >= len(instruction.operands):
        return ()
    operand = instruction.operands[place]
    return operand.items if isinstance(operand, Vector) and len(operand.items) > 1 else ()
