"""Loads that take along what nobody needs: the padding of a structure, the last of four numbers.

Of such a load only what is needed must have been written, and its first byte. Of a vector nobody needs the elements
that are not used, or stored again by a vector store alone. Of a number that is only stored again nobody needs more than
the first byte, where the kernel stores narrower ones: the others may be padding, which follows a member of a structure.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ptx import SIZES, Instruction, Operand, Register, Vector, type_of
from ..usage import registers_of, uses

__all__ = ["EVERY_BYTE", "Passing", "suffix"]

#: All bytes of an access, as a mask.
EVERY_BYTE = -1


def suffix(needed: int) -> str:
    """What the name of a check of such loads ends with."""
    return "" if needed == EVERY_BYTE else f"_{needed:x}"


class Passing:
    """What the loads of a kernel need."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._worked_on: set[str] = set()
        self._stored_alone: set[str] = set()
        stores = [each for each in instructions if each.opcode == "st"]
        self._narrowest = min((SIZES[type_of(each)] for each in stores), default=max(SIZES.values()))
        if any(each.opcode == "ld" and self._may_pass(each) for each in instructions):
            for each in instructions:
                items = _items(each, 1) if each.opcode == "st" else ()
                stored = {item.name for item in items if isinstance(item, Register)}
                self._worked_on |= {register.name for register in uses(each)} - stored
                if each.opcode == "st":
                    self._worked_on |= {register.name for register in registers_of(each.operands[0])}
                if len(items) == 1:
                    self._stored_alone |= stored

    def _may_pass(self, load: Instruction) -> bool:
        return len(_items(load, 0)) > 1 or SIZES[type_of(load)] > self._narrowest

    def bytes_of(self, instruction: Instruction) -> int:
        """The bytes of a load that must have been written, as a mask."""
        if instruction.opcode != "ld" or not self._may_pass(instruction):
            return EVERY_BYTE
        items, size = _items(instruction, 0), SIZES[type_of(instruction)]
        whole = (1 << size) - 1
        parts = [self._needed(item, size, alone=len(items) == 1) for item in items]
        if all(part == whole for part in parts):
            return EVERY_BYTE
        return 1 | sum(part << size * place for place, part in enumerate(parts))

    def _needed(self, item: Operand, size: int, alone: bool) -> int:
        """The bytes that are needed of one number; `alone`: of a load of one."""
        name = item.name if isinstance(item, Register) else ""
        if name in self._worked_on:
            return (1 << size) - 1
        if alone or name in self._stored_alone:
            return 1 if size > self._narrowest else (1 << size) - 1
        return 0


def _items(instruction: Instruction, place: int) -> tuple[Operand, ...]:
    """The parts of an operand that is a vector, or the operand."""
    if place >= len(instruction.operands):
        return ()
    operand = instruction.operands[place]
    return operand.items if isinstance(operand, Vector) else (operand,)
