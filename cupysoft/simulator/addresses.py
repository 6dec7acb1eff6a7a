"""Address operands: symbols, state spaces, generic addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from ..errors import SimulatorError
from .context import Slot
from .literals import integer
from .ptx import SIZES, Address, Immediate, Instruction, Operand, Register, Symbol
from .seam import thread_base

if TYPE_CHECKING:
    from .emitter import Emitter, Value

__all__ = ["Space", "address", "space_of", "symbol_address", "window"]

Space = Literal["global", "const", "param", "shared", "local", "generic"]
_SPACES = ("global", "const", "param", "shared", "local")


def space_of(instruction: Instruction) -> Space:
    """Return the state space that an instruction names, ``generic`` where it names none."""
    for modifier in instruction.modifiers:
        name = modifier.split("::")[0]
        if name in _SPACES:
            return cast("Space", name)
    return "generic"


def address(e: Emitter, operand: Operand) -> Value:
    """Return the address that an operand like ``[base + offset]`` names, ``<W x i64>``."""
    if not isinstance(operand, Address):
        raise SimulatorError(f"{operand} is no address in {e.instruction.text!r}")
    base, offset = operand.base, operand.offset
    match base:
        case Symbol(name, more):
            return symbol_address(e, name, offset + more)
        case Immediate(text):
            return e.constant("i64", integer(text) + offset)
        case Register(name):
            wide = SIZES[e.layout.registers[name]] == 8
            value = e.read(base, "u64" if wide else "u32")
            found = None if wide else e.near(name, value, offset)
            if found is not None:
                return found
            if offset:
                # An address of 32 bits wraps at 32 bits: the register alone may lie below the variable.
                type_ = "i64" if wide else "i32"
                value = e.map(f"add <W x {type_}> {{0}}, {{1}}", value, e.constant(type_, offset))
            return value if wide else e.map("zext <W x i32> {0} to <W x i64>", value)


def symbol_address(e: Emitter, name: str, offset: int) -> Value:
    """Return the address of a variable in its own space, the same in every lane."""
    layout = e.layout
    for places in (layout.shared, layout.local):
        if name in places:
            return e.constant("i64", places[name] + offset)
    if name in layout.symbols:
        table = e.hoisted(Slot.SYMBOLS, "ptr")
        place = e.code.scalar(f"getelementptr i64, ptr {table}, i64 {layout.symbols[name]}")
        start = e.code.scalar(f"load i64, ptr {place}")
        return e.splat("i64", e.code.scalar(f"add i64 {start}, {offset}"))
    if name in layout.parameters:
        start = e.hoisted(Slot.PARAMETERS)
        return e.splat("i64", e.code.scalar(f"add i64 {start}, {layout.parameters[name].offset + offset}"))
    raise SimulatorError(f"PTX line {e.instruction.line}: {e.instruction.text!r} names {name}, which is not declared")


def window(e: Emitter, space: str) -> Value | None:
    """Return the generic address of offset 0 of a space; None where both are the same."""
    if space == "shared":
        return e.splat("i64", e.hoisted(Slot.SHARED_WINDOW))
    if space == "local":
        return thread_base(e, Slot.LOCAL_WINDOW, Slot.LOCAL_WINDOW_STRIDE)
    return None
