"""Registers that some path reads before any instruction has written them, and what is computed from them.

What a shuffle brings from a lane that takes no part is like them.

Compilers leave such registers where the value does not matter: an operand that a selection drops, a product that is
masked out. So it is no fault to read one, but to let it decide anything: what is stored, an address, a branch. Each of
these registers gets a companion, a predicate that is true in the lanes where nothing was written; few kernels have any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .flow import Flow
from .literals import integer
from .ptx import Function, Immediate, Instruction, Operand, Register, Vector
from .usage import definitions, registers_of

__all__ = ["companion", "deciding", "follow", "names_all", "sources"]

#: Beyond that many registers none is followed: it would take longer than all the rest.
_MOST = 256
#: These may drop bits of an operand: a result counts as unwritten where all operands are.
_BITWISE = frozenset(("and", "or", "xor", "not", "cnot", "lop3", "shl", "shr", "shf", "bfe", "bfi", "prmt", "bmsk"))
#: What comes from memory, or from several lanes, counts as written.
_FRESH = frozenset(("ld", "ldu", "atom", "vote", "match", "redux", "elect", "activemask", "mma", "call"))
_FRESH_MATRIX = frozenset(("ldmatrix", "movmatrix"))
#: These let their operands decide something.
_DECIDE = frozenset(("st", "red", "atom", "cp", "bar", "barrier", "ld", "ldu", "ldmatrix", "stmatrix", "brx"))
_GUARDED = frozenset(("st", "red", "atom", "cp", "bar", "barrier", "bra", "exit", "ret", "trap"))


def companion(name: str) -> Register:
    """The predicate that tells in which lanes a register was not written."""
    return Register(f"{name}#unwritten")


def names_all(mask: Operand) -> bool:
    """Tell whether a member mask is known to name all lanes."""
    return isinstance(mask, Immediate) and integer(mask.text) & 0xFFFFFFFF == 0xFFFFFFFF


def _brings_nothing(instruction: Instruction, ragged: bool) -> bool:
    """Tell whether an instruction may bring a lane nothing: a shuffle, some of whose lanes may not be there."""
    return instruction.opcode == "shfl" and (ragged or not names_all(instruction.operands[-1]))


def sources(instruction: Instruction) -> tuple[list[Register], bool]:
    """Registers that the result of an instruction depends on, and whether it takes all of them to spoil it."""
    if instruction.opcode in _FRESH | _FRESH_MATRIX:
        return [], False
    operands = instruction.operands[1:2] if instruction.opcode == "shfl" else instruction.operands[1:]
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


def follow(kernel: Function, flow: Flow, ragged: bool) -> frozenset[str]:
    """Give companions to the registers that may hold nothing somewhere, or what was made of nothing.

    `ragged`: the last warp of a block may have fewer than 32 lanes.
    """
    found = _reached(flow, lambda each: _brings_nothing(each, ragged))
    if len(found) > _MOST:
        found = _reached(flow, lambda each: False)
    if len(found) > _MOST:
        return frozenset()
    for name in found:
        kernel.registers[companion(name).name] = "pred"
    for block in flow.blocks:
        block.live_in = _with_companions(block.live_in, found)
        block.live_out = _with_companions(block.live_out, found)
    flow.crossing |= _with_companions(frozenset(flow.crossing), found)
    return frozenset(found)


def _reached(flow: Flow, brings: Callable[[Instruction], bool]) -> set[str]:
    """Registers that may be unwritten after some instruction: what each block passes on, to a fixed point.

    `brings` tells whether an instruction may itself bring nothing.
    """
    entries: dict[int, set[str]] = {0: set(flow.blocks[0].live_in)}
    waiting = {number for number, block in enumerate(flow.blocks) if any(map(brings, block.instructions))}
    if entries[0]:
        waiting.add(0)
    found = set(entries[0])
    while waiting:
        number = min(waiting)
        waiting.discard(number)
        block = flow.blocks[number]
        here = entries.setdefault(number, set()) & block.live_in
        for instruction in block.instructions:
            _pass(instruction, here, brings(instruction))
            found |= here
        for successor in block.successors:
            if successor < len(flow.blocks) and not here <= entries.setdefault(successor, set()):
                entries[successor] |= here
                waiting.add(successor)
    return found


def _pass(instruction: Instruction, here: set[str], nothing: bool) -> None:
    """Take one instruction's results into, or out of, the registers that may be unwritten."""
    targets = {register.name for register in definitions(instruction)}
    if not targets:
        return
    registers, together = sources(instruction)
    read = {register.name for register in registers}
    spoilt = bool(read) and read <= here if together else bool(read & here)
    if spoilt or nothing or (instruction.predicate is not None and instruction.predicate.name in here):
        here |= targets
    elif instruction.predicate is None:
        here -= targets


def _with_companions(names: frozenset[str], followed: set[str]) -> frozenset[str]:
    return names | {companion(name).name for name in names & followed}
