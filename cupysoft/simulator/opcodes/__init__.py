"""The table of instructions: one small function for each opcode, a family in each file.

A function gets the emitter and the instruction and writes LLVM code for the 32 lanes of a
warp. It may compute garbage in lanes that are not active, but must not trap there: a
division by zero is guarded by a select.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from ...errors import UnknownInstructionError
from ..ptx import type_of
from .modifiers import strange_modifier

if TYPE_CHECKING:
    from ..emitter import Emitter
    from ..ptx import Instruction

__all__ = ["Translator", "lookup", "opcode", "unknown", "write"]

Translator: TypeAlias = "Callable[[Emitter, Instruction], None]"

_TABLE: dict[tuple[str, str], Translator] = {}
_FAMILIES = (
    "integer",
    "bits",
    "fields",
    "comparison",
    "video",
    "floating",
    "half",
    "conversion",
    "approximate",
    "control",
    "memory",
    "asynchronous",
    "warp",
    "reduction",
    "matrix",
    "atomic",
    "barrier",
)
_TEXTURES = ("tex", "tld4", "txq", "suld", "sust", "sured", "suq", "istypep")


def opcode(*names: str, kind: str = "") -> Callable[[Translator], Translator]:
    """Register a function as the translator of the opcodes `names`.

    One name may have a translator for each `kind` of the instruction's last type:
    ``integer``, ``float`` (32 and 64 bits) and ``half`` (both 16-bit formats).
    """

    def register(function: Translator) -> Translator:
        for name in names:
            if (name, kind) in _TABLE:
                raise ValueError(f"opcode {name} is registered twice")
            _TABLE[name, kind] = function
        return function

    return register


def lookup(instruction: Instruction) -> Translator:
    """Return the translator of `instruction`, or raise UnknownInstructionError."""
    _load()
    name = instruction.opcode
    found = _TABLE.get((name, "")) or _TABLE.get((name, _kind(type_of(instruction))))
    if found is None:
        raise unknown(instruction, "textures and surfaces are not simulated" if name in _TEXTURES else "")
    return found


def write(e: Emitter, instruction: Instruction) -> None:
    """Write the code of an instruction, or raise UnknownInstructionError where its form fits none that is known."""
    translator = lookup(instruction)
    strange = strange_modifier(instruction)
    if strange:
        raise unknown(instruction, f"a modifier .{strange} is not simulated")
    try:
        translator(e, instruction)
    except (AssertionError, AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise unknown(instruction, "it has a form of its own") from error


@cache
def _load() -> None:
    for family in _FAMILIES:
        import_module(f"{__name__}.{family}")


def _kind(type_: str) -> str:
    if "f16" in type_:
        return "half"
    return "float" if type_.startswith("f") else "integer"


def unknown(instruction: Instruction, why: str = "") -> UnknownInstructionError:
    """Return the error for an instruction, or a form of it, that is not in the table."""
    where = f"PTX line {instruction.line}"
    if instruction.location:
        where += f", {instruction.location[0]}:{instruction.location[1]}"
    if instruction.callers:
        file, lines = instruction.callers[-1]
        where += f", called from {file}:{' or '.join(map(str, lines))}"
    text = f"the simulator does not know the instruction {instruction.text!r} ({where})"
    return UnknownInstructionError(f"{text}: {why}" if why else text)
