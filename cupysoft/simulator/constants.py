"""Known operands: the compiler puts the constants of a shuffle into registers that never change."""

from __future__ import annotations

from dataclasses import replace

from .flow import is_meeting
from .ptx import Function, Immediate, Instruction, Operand, Register
from .usage import definitions

__all__ = ["with_known_operands"]


def with_known_operands(kernel: Function) -> None:
    """Write literals in place of constant registers into the instructions that profit.

    These are the exchanges within a warp, whose pattern and members are then known, and
    barriers. Their operands are integers, so that a literal means the same as its bits.
    """
    known = _constants(kernel)
    if known:
        kernel.instructions = [
            _known(each, known) if is_meeting(each) or each.opcode in ("bar", "barrier") else each
            for each in kernel.instructions
        ]


def _constants(kernel: Function) -> dict[str, Immediate]:
    """Return the registers that one unguarded ``mov`` of an integer literal writes, and nothing else."""
    known: dict[str, Immediate] = {}
    seen: set[str] = set()
    for instruction in kernel.instructions:
        for register in definitions(instruction):
            if register.name in seen:
                known.pop(register.name, None)
            elif _moves_integer(instruction):
                source = instruction.operands[1]
                assert isinstance(source, Immediate)
                known[register.name] = source
            seen.add(register.name)
    return known


def _moves_integer(instruction: Instruction) -> bool:
    if instruction.opcode != "mov" or instruction.predicate is not None:
        return False
    source = instruction.operands[1]
    integer = isinstance(source, Immediate) and source.text.lstrip("-")[:2].lower() not in ("0f", "0d")
    return integer and instruction.modifiers[-1] in ("b32", "u32", "s32")


def _known(instruction: Instruction, known: dict[str, Immediate]) -> Instruction:
    first = 1 if any(True for _ in definitions(instruction)) else 0
    operands: list[Operand] = list(instruction.operands)
    for place in range(first, len(operands)):
        operand = operands[place]
        if isinstance(operand, Register):
            operands[place] = known.get(operand.name, operand)
    return replace(instruction, operands=tuple(operands))
