"""Registers that some path reads before any instruction has written them, and what is computed from them.

Compilers leave such registers where the value does not matter: an operand that a selection drops, a product that is
masked out. So it is no fault to read one, but to let it decide anything: what is stored, an address, a branch. Each of
these registers gets a companion, a predicate that is true in the lanes where nothing was written; few kernels have any.
"""

from __future__ import annotations

from collections.abc import Iterator

from .flow import Flow, definitions, registers_of
from .ptx import Function, Instruction, Register, Vector

__all__ = ["companion", "deciding", "follow", "sources"]

#: These may drop bits of an operand: a result counts as unwritten where all operands are.
_BITWISE = frozenset(("and", "or", "xor", "not", "cnot", "lop3", "shl", "shr", "shf", "bfe", "bfi", "prmt", "bmsk"))
#: What comes from memory, or from other lanes, counts as written.
_FRESH = frozenset(("ld", "ldu", "atom", "shfl", "vote", "match", "redux", "elect", "activemask", "mma", "call"))
_FRESH_MATRIX = frozenset(("ldmatrix", "movmatrix"))
#: These let their operands decide something.
_DECIDE = frozenset(("st", "red", "atom", "cp", "bar", "barrier", "ld", "ldu", "ldmatrix", "stmatrix", "brx"))
_GUARDED = frozenset(("st", "red", "atom", "cp", "bar", "barrier", "bra", "exit", "ret", "trap"))


def companion(name: str) -> Register:
    """The predicate that tells in which lanes a register was not written."""
    return Register(f"{name}#unwritten")


def sources(instruction: Instruction) -> tuple[list[Register], bool]:
    """Registers that the result of an instruction depends on, and whether it takes all of them to spoil it."""
    if instruction.opcode in _FRESH | _FRESH_MATRIX:
        return [], False
    operands = instruction.operands[1:]
    packed = instruction.opcode == "mov" and bool(operands) and isinstance(operands[0], Vector)
    found = [register for operand in operands for register in registers_of(operand)]
    combined = instruction.opcode in ("setp", "set") and len(operands) > 2
    return found, packed or combined or instruction.opcode in _BITWISE


def deciding(instruction: Instruction) -> Iterator[Register]:
    """Registers that decide what an instruction does to anything but registers."""
    if instruction.predicate is not None and instruction.opcode in _GUARDED:
        yield instruction.predicate
    if instruction.opcode in _DECIDE:
        first = 1 if instruction.opcode in ("ld", "ldu", "atom", "ldmatrix") else 0
        for operand in instruction.operands[first:]:
            yield from registers_of(operand)


def follow(kernel: Function, flow: Flow) -> frozenset[str]:
    """Give companions to the registers that may be read before they are written, and to all that they reach."""
    found = set(flow.blocks[0].live_in) if flow.blocks else set()
    code = [each for block in flow.blocks for each in block.instructions]
    grown = bool(found)
    while grown:
        grown = False
        for instruction in code:
            read = [*sources(instruction)[0], *([instruction.predicate] if instruction.predicate else [])]
            if any(register.name in found for register in read):
                new = {register.name for register in definitions(instruction)} - found
                found |= new
                grown = grown or bool(new)
    for name in found:
        kernel.registers[companion(name).name] = "pred"
    for block in flow.blocks:
        block.live_in = _with_companions(block.live_in, found)
        block.live_out = _with_companions(block.live_out, found)
    flow.crossing |= _with_companions(frozenset(flow.crossing), found)
    return frozenset(found)


def _with_companions(names: frozenset[str], followed: set[str]) -> frozenset[str]:
    return names | {companion(name).name for name in names & followed}
