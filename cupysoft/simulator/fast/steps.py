"""Which registers rise by one step from lane to lane, wherever all lanes of a warp run together."""

from __future__ import annotations

from collections.abc import Iterator

from ..affine import LARGEST_STEP
from ..flow import Block, Flow
from ..literals import integer
from ..opcodes import lookup
from ..ptx import SIZES, Address, Immediate, Instruction, Operand, Register, Special, type_of
from ..usage import definitions

__all__ = ["reaches", "repeatable", "steps"]

#: Families of instructions that only compute.
_COMPUTE = frozenset(
    ("approximate", "bits", "bytes8", "comparison", "conversion", "fields", "floating", "half", "integer", "narrow")
    + ("vector", "video")
)
#: What else may run twice: the second run, under masks, begins where the first did.
_HARMLESS = frozenset(("ld", "ldu", "mov", "cvta", "isspacep", "prefetch", "prefetchu", "bra", "brx", "exit", "ret"))
_ONCE = frozenset(("addc", "subc", "madc", "trap", "nanosleep", "bar", "barrier"))
_INTEGERS = frozenset(("u32", "s32", "b32", "u64", "s64", "b64"))


def repeatable(instruction: Instruction) -> bool:
    """Tell whether a block may be begun anew after it ran the instruction, and nobody sees a difference."""
    if instruction.has("cc", "volatile") or instruction.opcode in _ONCE:
        return False
    if instruction.opcode in _HARMLESS:
        return True
    return lookup(instruction).__module__.rpartition(".")[2] in _COMPUTE


def reaches(block: Block) -> dict[str, tuple[int, int]]:
    """Return the least and the greatest offset of the addresses that a block makes from each register."""
    found: dict[str, tuple[int, int]] = {}
    for instruction in block.instructions:
        for operand in instruction.operands:
            if isinstance(operand, Address) and isinstance(operand.base, Register):
                low, high = found.get(operand.base.name, (operand.offset, operand.offset))
                found[operand.base.name] = min(low, operand.offset), max(high, operand.offset)
    return found


def steps(flow: Flow, uniform: set[str], apart: set[str], linear: bool) -> dict[str, int]:
    """Return the registers, other than `uniform` ones and those `apart`, that rise from lane to lane, and by how much.

    What is written by several instructions has to rise alike after each of them. Nothing is known at first, and what
    contradicts itself is given up, until nothing changes.
    """
    known: dict[str, int | None] = dict.fromkeys(apart)
    written = [each for each in _definitions(flow) if each[0] not in uniform]
    while True:
        before = dict(known)
        unsettled = set()
        for name, instruction, first in written:
            step = _step(instruction, first, known, uniform, linear)
            if step == _UNKNOWN:
                unsettled.add(name)
            else:
                step = step if step and abs(step) <= LARGEST_STEP else None
                known[name] = step if known.get(name, step) == step else None
        if known == before:
            if not unsettled:
                return {name: step for name, step in known.items() if step is not None}
            known.update(dict.fromkeys(unsettled))


#: Of a register that no instruction was found yet to write.
_UNKNOWN = 1 << 62


def _definitions(flow: Flow) -> Iterator[tuple[str, Instruction, bool]]:
    """Give every register that an instruction writes, and whether all before it in its block is repeatable."""
    for block in flow.blocks:
        first = True
        for instruction in block.instructions:
            for register in definitions(instruction):
                yield register.name, instruction, first
            first = first and repeatable(instruction)


def _step(i: Instruction, first: bool, known: dict[str, int | None], uniform: set[str], linear: bool) -> int | None:
    """Return the step of what an instruction writes, None where it has none."""
    if i.predicate is not None or i.has("cc", "sat") or i.opcode not in _RULES:
        return None

    def of(operand: Operand) -> int | None:
        match operand:
            case Register(name):
                return 0 if name in uniform else known.get(name, _UNKNOWN)
            case Immediate():
                return 0
            case Special(name):
                return 1 if name == "%laneid" or (name == "%tid.x" and linear) else None
        return None

    parts = [of(operand) for operand in i.operands[1:]]
    if None in parts:
        return None
    if _UNKNOWN in parts:
        return _UNKNOWN
    return _RULES[i.opcode](i, first, [part for part in parts if part is not None])


def _moved(i: Instruction, first: bool, parts: list[int]) -> int | None:
    return parts[0] if i.modifiers and i.modifiers[-1] in _INTEGERS else None


def _converted(i: Instruction, first: bool, parts: list[int]) -> int | None:
    kinds = [modifier for modifier in i.modifiers if modifier in SIZES]
    if len(kinds) != 2 or not _INTEGERS.issuperset(kinds):
        return None
    return parts[0] if first or SIZES[kinds[0]] <= SIZES[kinds[1]] else None


def _added(i: Instruction, first: bool, parts: list[int]) -> int | None:
    if type_of(i) not in _INTEGERS:
        return None
    return parts[0] + parts[1] if i.opcode == "add" else parts[0] - parts[1]


def _multiplied(i: Instruction, first: bool, parts: list[int]) -> int | None:
    if type_of(i) not in _INTEGERS or i.has("hi") or (i.has("wide") and not first):
        return None
    factors = [integer(each.text) if isinstance(each, Immediate) else None for each in i.operands[1:3]]
    if factors[1] is not None:
        product = parts[0] * factors[1]
    elif factors[0] is not None:
        product = factors[0] * parts[1]
    elif parts[0] == parts[1] == 0:
        product = 0
    else:
        return None
    return product + (parts[2] if i.opcode == "mad" else 0)


def _shifted(i: Instruction, first: bool, parts: list[int]) -> int | None:
    places = i.operands[2]
    if not isinstance(places, Immediate) or not 0 <= integer(places.text) < 8 * SIZES[type_of(i)]:
        return None
    return parts[0] << integer(places.text)


_RULES = {
    "mov": _moved,
    "cvta": _moved,
    "cvt": _converted,
    "add": _added,
    "sub": _added,
    "mul": _multiplied,
    "mad": _multiplied,
    "shl": _shifted,
}
