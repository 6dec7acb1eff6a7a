"""Places for the ``.param`` variables of inlined calls: registers, or local memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from .ptx import SIZES, Address, Function, Immediate, Instruction, Operand, Register, Symbol, Vector, type_of

__all__ = ["placed_parameters"]

_Piece = tuple[int, int]


def placed_parameters(kernel: Function) -> None:
    """Replace every access to a ``.param`` variable of `kernel` by a move or a local access."""
    names = {name for name, variable in kernel.variables.items() if variable.space == "param"}
    if not names:
        return
    pieces: dict[str, set[_Piece]] = {name: set() for name in names}
    in_memory = set()
    for instruction in kernel.instructions:
        for name, piece in _mentions(instruction, names):
            if piece is None:
                in_memory.add(name)
            else:
                pieces[name].add(piece)
    in_memory |= {name for name, found in pieces.items() if _overlapping(found)}
    for name in names:
        variable = kernel.variables.pop(name)
        if name in in_memory:
            kernel.variables[name] = replace(variable, space="local")
        else:
            kernel.registers.update((_register(name, offset), f"b{8 * size}") for offset, size in pieces[name])
    _rewrite(kernel, names, in_memory)


def _accessed(instruction: Instruction, names: set[str]) -> tuple[str, int] | None:
    """Return the variable and the offset that a load or store of a parameter goes to."""
    if instruction.opcode not in ("ld", "st"):
        return None
    place = instruction.operands[1 if instruction.opcode == "ld" else 0]
    if isinstance(place, Address) and isinstance(place.base, Symbol) and place.base.name in names:
        return place.base.name, place.offset + place.base.offset
    return None


def _mentions(instruction: Instruction, names: set[str]) -> Iterator[tuple[str, _Piece | None]]:
    """Return the variables that an instruction names, each with the bytes it touches, if that is known."""
    accessed = _accessed(instruction, names)
    if accessed is not None:
        size = SIZES[type_of(instruction)]
        for number, _ in enumerate(_items(instruction)):
            yield accessed[0], (accessed[1] + number * size, size)
        return
    for operand in instruction.operands:
        for symbol in _symbols(operand):
            if symbol.name in names and instruction.opcode != "call":
                yield symbol.name, None


def _symbols(operand: Operand) -> Iterator[Symbol]:
    if isinstance(operand, Symbol):
        yield operand
    elif isinstance(operand, Address) and isinstance(operand.base, Symbol):
        yield operand.base
    elif isinstance(operand, Vector):
        for item in operand.items:
            yield from _symbols(item)


def _items(instruction: Instruction) -> tuple[Operand, ...]:
    """Return the registers that a load fills or a store empties."""
    operand = instruction.operands[0 if instruction.opcode == "ld" else 1]
    return operand.items if isinstance(operand, Vector) else (operand,)


def _overlapping(pieces: set[_Piece]) -> bool:
    end = 0
    for offset, size in sorted(pieces):
        if offset < end:
            return True
        end = offset + size
    return False


def _register(name: str, offset: int) -> str:
    return f"{name}+{offset}"


def _rewrite(kernel: Function, names: set[str], in_memory: set[str]) -> None:
    """Write the new instructions, and move the labels along."""
    code: list[Instruction] = []
    moved = []
    for instruction in kernel.instructions:
        moved.append(len(code))
        accessed = _accessed(instruction, names)
        if accessed is None:
            code.append(_call(instruction, names, kernel) if instruction.opcode == "call" else instruction)
        elif accessed[0] in in_memory:
            modifiers = tuple("local" if each.startswith("param") else each for each in instruction.modifiers)
            code.append(replace(instruction, modifiers=modifiers))
        else:
            code += _moves(instruction, *accessed)
    moved.append(len(code))
    kernel.instructions = code
    kernel.labels = {name: moved[index] for name, index in kernel.labels.items()}


def _moves(instruction: Instruction, name: str, offset: int) -> Iterator[Instruction]:
    type_ = type_of(instruction)
    for number, item in enumerate(_items(instruction)):
        register = Register(_register(name, offset + number * SIZES[type_]))
        operands = (item, register) if instruction.opcode == "ld" else (register, item)
        yield replace(instruction, opcode="mov", modifiers=(type_,), operands=operands)


def _call(call: Instruction, names: set[str], kernel: Function) -> Instruction:
    """Let a call of the device's runtime name registers; what was never stored is zero."""
    operands: list[Operand] = []
    for operand in call.operands:
        if isinstance(operand, Vector):
            items: list[Operand] = []
            for item in operand.items:
                known = isinstance(item, Symbol) and item.name in names
                register = _register(item.name, 0) if known and isinstance(item, Symbol) else ""
                items.append(Register(register) if register in kernel.registers else Immediate("0"))
            operands.append(Vector(tuple(items)))
        else:
            operands.append(operand)
    return replace(call, operands=tuple(operands))
