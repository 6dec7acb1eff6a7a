"""Which variable of shared memory an access is meant for: the one that its address was computed from.

Variables lie beside each other, so what goes beyond the end of one is inside the next. Where an address comes from one
variable alone, whatever the path, the access must stay in it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence

from ..context import ErrorKind
from ..ptx import Address, Instruction, Operand, Register, Symbol, Vector
from ..usage import definitions, registers_of
from .layout import IN_SHARED
from .text import FAIL, Routine, splat
from .traffic import CTTZ

__all__ = ["EXTENT", "Meant"]

#: Not one variable: several, or nobody knows.
_ANY = ""
#: What of an address makes an address into the same variable.
_STEPS = frozenset(("mov", "add", "sub", "mad", "cvta", "cvt", "selp", "and", "or", "xor", "min", "max", "lop3"))


class Meant:
    """The variables that registers of a kernel hold addresses of; `shared` are all there are."""

    def __init__(self, instructions: Sequence[Instruction], shared: Container[str]) -> None:
        self._shared = shared
        self._variables: dict[str, str] = {}
        readers: dict[str, list[Instruction]] = {}
        waiting = []
        for instruction in instructions:
            for operand in _leaves(instruction.operands[1:]):
                if isinstance(operand, Register):
                    readers.setdefault(operand.name, []).append(instruction)
                elif self._origin(operand) is not None:
                    waiting.append(instruction)
        while waiting:
            instruction = waiting.pop()
            found = self._result(instruction)
            if found is None:
                continue
            for register in definitions(instruction):
                before = self._variables.get(register.name)
                if before not in (found, _ANY):
                    self._variables[register.name] = found if before is None else _ANY
                    waiting += readers.get(register.name, ())

    def of(self, instruction: Instruction) -> str | None:
        """Return the one variable that an access is meant for; the first address of the instruction is looked at."""
        place = next((each for each in instruction.operands if isinstance(each, Address)), None)
        return None if place is None else self._origin(place.base) or None

    def _result(self, instruction: Instruction) -> str | None:
        """Return where the result of an instruction points to; None where it is no address."""
        given = list(_leaves(instruction.operands[1:]))
        found = {origin for operand in given if (origin := self._origin(operand)) is not None}
        if not found or instruction.opcode in ("ld", "ldu", "atom", "setp", "set"):
            return None
        difference = instruction.opcode == "sub" and self._origin(instruction.operands[2]) is not None
        if len(found) > 1 or difference or instruction.opcode not in _STEPS:
            return _ANY
        return found.pop()

    def _origin(self, operand: Operand) -> str | None:
        if isinstance(operand, Symbol):
            return operand.name if operand.name in self._shared else None
        return self._variables.get(operand.name) if isinstance(operand, Register) else None


def _leaves(operands: Sequence[Operand]) -> Iterator[Operand]:
    for operand in operands:
        if isinstance(operand, Symbol):
            yield operand
        elif isinstance(operand, Vector):
            yield from _leaves(operand.items)
        else:
            yield from registers_of(operand)


#: ``i1 (ctx, addresses, mask, warp, where, offset, last)``: true after filling the error record, where a lane does not
#: begin within `last` bytes of an offset.
EXTENT = Routine(
    "check_extent",
    f"""define internal i1 @check_extent(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, i64 %offset,
    i64 %last, i64 %size) noinline {{
entry:
  %v = load <32 x i64>, ptr %addresses, align 8
{splat("offsets", "%offset")}{splat("lasts", "%last")}  %far = sub <32 x i64> %v, %offsets
  %beyond = icmp ugt <32 x i64> %far, %lasts
  %beyond.bits = bitcast <32 x i1> %beyond to i32
  %wrong = and i32 %beyond.bits, %mask
  %fine = icmp eq i32 %wrong, 0
  br i1 %fine, label %good, label %bad
good:
  ret i1 false
bad:
  %lane = call i32 @llvm.cttz.i32(i32 %wrong, i1 true)
  %at = getelementptr i64, ptr %addresses, i32 %lane
  %address = load i64, ptr %at
  %first = shl i32 %warp, 5
  %thread32 = or i32 %first, %lane
  %thread = zext i32 %thread32 to i64
  call void @check_fail(ptr %ctx, i64 {ErrorKind.OUT_OF_BOUNDS.value}, i32 %where, i64 %thread, i64 %address,
    i64 %size, i64 %offset, i64 {IN_SHARED})
  ret i1 true
}}
""",
    (CTTZ, FAIL),
)
