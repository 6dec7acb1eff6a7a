"""Which registers an instruction reads and writes."""

from __future__ import annotations

from collections.abc import Iterator

from .ptx import Address, Instruction, Negated, Operand, Pair, Register, Vector

__all__ = ["ARRIVAL", "CARRY", "concerns_carry", "definitions", "registers_of", "uses"]

#: Opcodes whose first operand is no destination.
_NO_DESTINATION = frozenset(
    ("st", "red", "bar", "barrier", "bra", "brx", "exit", "ret", "membar", "fence", "prefetch", "prefetchu", "call")
    + ("trap", "brkpt", "nanosleep", "cp", "discard", "applypriority", "pmevent", "setmaxnreg", "griddepcontrol")
)
#: Instructions that read the carry.
_CARRIED = frozenset(("addc", "subc", "madc"))
#: The condition code register, which PTX never names: the carry (of a difference: that nothing was borrowed).
CARRY = Register("%cc.cf")
#: What `flow.analyse` adds to the modifiers of the half of a ``bar.red`` that has no destination.
ARRIVAL = "arrival"


def concerns_carry(instruction: Instruction) -> bool:
    """Tell whether an instruction reads or leaves a carry."""
    return _leaves_carry(instruction) or instruction.opcode in _CARRIED


def definitions(instruction: Instruction) -> Iterator[Register]:
    """Return the registers that an instruction writes."""
    if instruction.opcode == "mbarrier" and not isinstance(instruction.operands[0], Register):
        return
    if instruction.opcode not in _NO_DESTINATION or instruction.has("result") or _counts(instruction):
        yield from _destinations(instruction.operands[0] if instruction.operands else None)
    elif instruction.opcode == "call" and instruction.operands and isinstance(instruction.operands[0], Vector):
        yield from _destinations(instruction.operands[0])
    if _leaves_carry(instruction):
        yield CARRY


def _leaves_carry(instruction: Instruction) -> bool:
    return instruction.has("cc")


def _counts(instruction: Instruction) -> bool:
    """Tell whether an instruction is a whole ``bar.red``, which writes its first operand."""
    return instruction.opcode in ("bar", "barrier") and instruction.has("red") and not instruction.has(ARRIVAL)


def uses(instruction: Instruction) -> Iterator[Register]:
    """Return the registers that an instruction reads.

    A guarded instruction leaves its destination as it was in some lanes, so it reads it.
    """
    if instruction.predicate is not None:
        yield instruction.predicate
        yield from definitions(instruction)
    if instruction.opcode in _CARRIED:
        yield CARRY
    operands = instruction.operands
    if any(True for _ in definitions(instruction)) and not isinstance(operands[0], Address):
        operands = operands[1:]
    for operand in operands:
        yield from registers_of(operand)


def _destinations(operand: Operand | None) -> Iterator[Register]:
    match operand:
        case Register():
            yield operand
        case Vector(items):
            for item in items:
                yield from _destinations(item)
        case Pair(first, second):
            yield from _destinations(first)
            yield from _destinations(second)


def registers_of(operand: Operand) -> Iterator[Register]:
    """Return the registers that an operand reads."""
    match operand:
        case Register():
            yield operand
        case Negated(register):
            yield register
        case Address(base, _):
            if isinstance(base, Register):
                yield base
        case Vector(items):
            for item in items:
                yield from registers_of(item)
        case Pair(first, second):
            yield from registers_of(first)
            yield from registers_of(second)
