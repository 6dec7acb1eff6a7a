"""Which registers differ from lane to lane while the lanes of a warp stay together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..flow import Flow
from ..opcodes import lookup
from ..ptx import Address, Instruction, Operand, Pair, Register, Special, Vector
from ..usage import definitions, uses

__all__ = ["varying"]

_OWN = ("%tid.x", "%tid.y", "%tid.z", "%laneid")
#: The same where the lanes of a warp lie along the x axis.
_OWN_IN_A_ROW = ("%tid.x", "%laneid")
#: Families whose results no rule below knows.
_FOREIGN = ("warp", "atomic", "barrier", "control", "matrix", "asynchronous")


def varying(flow: Flow, known: Iterable[str], linear: bool) -> set[str]:
    """Return the registers that may differ between lanes, `known` ones among them.

    Every other one holds the same in all lanes, provided that these ran every instruction together. `linear`: the
    lanes of every warp lie along the x axis of the block.
    """
    own = _OWN_IN_A_ROW if linear else _OWN
    found = set(known)
    readers: dict[str, list[Instruction]] = {}
    queue: list[Instruction] = []
    for block in flow.blocks:
        for instruction in block.instructions:
            if next(definitions(instruction), None) is None:
                continue
            queue.append(instruction)
            for register in uses(instruction):
                readers.setdefault(register.name, []).append(instruction)
    for name in known:
        queue += readers.get(name, ())
    while queue:
        instruction = queue.pop()
        if not _differs(instruction, found, own):
            continue
        for register in definitions(instruction):
            if register.name not in found:
                found.add(register.name)
                queue += readers.get(register.name, ())
    return found


def _differs(instruction: Instruction, varying: set[str], own: tuple[str, ...]) -> bool:
    """Tell whether an instruction may write different values into different lanes."""
    if instruction.predicate is not None and instruction.predicate.name in varying:
        return True
    family = lookup(instruction).__module__.rpartition(".")[2]
    if instruction.opcode in ("vote", "redux") or (instruction.opcode == "match" and instruction.has("all")):
        # One answer for all whom the mask names.
        mask = instruction.operands[-1]
        return any(register.name in varying for register in _of(mask))
    if family in _FOREIGN and instruction.opcode != "activemask":
        return True
    if instruction.has("local"):
        return True  # each thread has a memory of its own, and its own address of it
    for each in _leaves(instruction.operands):
        if isinstance(each, Special) and (each.name in own or each.name.startswith("%lanemask")):
            return True
    return any(register.name in varying for register in uses(instruction))


def _of(operand: Operand) -> Iterator[Register]:
    """Return the register that a mask operand is, if it is one."""
    if isinstance(operand, Register):
        yield operand


def _leaves(operands: Iterable[Operand]) -> Iterator[Operand]:
    for operand in operands:
        match operand:
            case Vector(items):
                yield from _leaves(items)
            case Pair(first, second):
                yield from _leaves((first, second))
            case Address(base, _):
                yield base
            case _:
                yield operand
