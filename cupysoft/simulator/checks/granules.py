"""How many bytes the checks remember as one: the narrowest access that the kernel makes to a memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..ptx import SIZES

__all__ = ["cell_shift", "granule_shift"]

_WIDEST = 16
_PARTS = {"v2": 2, "v4": 4, "v8": 8}
_ON_CHIP = ("param", "local", "shared", "shared::cta", "const")


class _Instruction(Protocol):
    @property
    def opcode(self) -> str: ...
    @property
    def modifiers(self) -> tuple[str, ...]: ...
    @property
    def text(self) -> str: ...


def cell_shift(instructions: Iterable[_Instruction]) -> int:
    """Logarithm of the bytes that one shadow cell of shared memory covers."""
    return _narrowest(instructions, ("global", "const", "param", "local"))


def granule_shift(instructions: Iterable[_Instruction]) -> int:
    """Logarithm of the bytes that one granule of global memory has."""
    return _narrowest(instructions, _ON_CHIP)


def _narrowest(instructions: Iterable[_Instruction], elsewhere: tuple[str, ...]) -> int:
    narrowest = _WIDEST
    for each in instructions:
        if each.opcode == "cp" and each.text.count(",") > 1:
            narrowest = min(narrowest, int(each.text.split(",")[2].strip(" ;"), 0))
        if each.opcode in ("ld", "st", "atom", "red", "ldu") and not any(s in each.modifiers for s in elsewhere):
            narrowest = min(narrowest, _access_bytes(each))
    return narrowest.bit_length() - 1


def _access_bytes(instruction: _Instruction) -> int:
    """Bytes of an access; the parts of an atomic vector are atomic one by one."""
    size = next((SIZES[each] for each in reversed(instruction.modifiers) if each in SIZES), 4)
    return size * next((_PARTS[each] for each in instruction.modifiers if each in _PARTS), 1)
