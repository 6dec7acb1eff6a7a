"""Plain loads that only begin a loop around a compare-and-swap of the same place.

CUDA's manual makes any atomic operation that way: what the load finds is a guess, which the compare-and-swap confirms
or corrects. So it is taken for the relaxed load that it should be, and does not race with atomic accesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..literals import integer
from ..ptx import Address, Immediate, Instruction, Operand, Register
from ..usage import definitions, registers_of, uses

__all__ = ["Guesses"]

_Place = tuple[str, int]


class Guesses:
    """The places that the compare-and-swaps of a kernel change."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._origins: dict[str, Instruction | None] = {}
        for each in instructions:
            for register in definitions(each):
                # Of a register that is written twice nothing is known.
                self._origins[register.name] = None if register.name in self._origins else each
        swaps = [each for each in instructions if each.opcode == "atom" and each.has("cas")]
        self._places = {self._place(each.operands[1]) for each in swaps}
        self._compared = _sources(instructions, swaps) if swaps else frozenset()

    def __contains__(self, instruction: Instruction) -> bool:
        """Tell whether an instruction loads, from such a place, what is compared there."""
        if instruction.opcode != "ld" or not self._places:
            return False
        found = {register.name for register in definitions(instruction)}
        return bool(found & self._compared) and self._place(instruction.operands[1]) in self._places

    def _place(self, operand: Operand) -> _Place:
        """Follow an address back through conversions and constant steps."""
        assert isinstance(operand, Address)
        base, offset = operand.base, operand.offset
        while isinstance(base, Register):
            origin = self._origins.get(base.name)
            if origin is None or origin.predicate is not None:
                break
            source = origin.operands[1] if len(origin.operands) > 1 else None
            if not isinstance(source, Register):
                break
            if origin.opcode == "add" and isinstance(step := origin.operands[2], Immediate):
                offset += integer(step.text)
            elif origin.opcode not in ("cvta", "mov"):
                break
            base = source
        return str(base), offset


def _sources(instructions: Sequence[Instruction], swaps: Sequence[Instruction]) -> frozenset[str]:
    """Registers that the compared values of compare-and-swaps are made of, without memory in between."""
    makers: dict[str, list[Instruction]] = {}
    for each in instructions:
        for register in definitions(each):
            makers.setdefault(register.name, []).append(each)
    found: set[str] = set()
    waiting = [each.name for swap in swaps for each in registers_of(swap.operands[2])]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for maker in makers.get(name, ()):
                if maker.opcode not in ("ld", "atom"):
                    waiting += [each.name for each in uses(maker)]
    return frozenset(found)
