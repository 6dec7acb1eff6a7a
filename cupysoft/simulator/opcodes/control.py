"""Control flow inside a block: calls of the device's runtime, and what has no effect here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ptx import Instruction
from . import opcode

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []


@opcode("brkpt", "nop")
def nothing(e: Emitter, instruction: Instruction) -> None:
    """``brkpt``: no debugger is there."""
