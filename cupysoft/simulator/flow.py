"""Basic blocks of a kernel and the registers that live across them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..errors import SimulatorError
from .ptx import Function, Immediate, Instruction, Label, Operand, Symbol
from .usage import ARRIVAL, CARRY, concerns_carry, definitions, uses

__all__ = [
    "Block",
    "Flow",
    "analyse",
    "is_block_barrier",
    "is_meeting",
    "members_of",
    "target_of",
]

_ENDS = frozenset(("bra", "brx", "exit", "ret", "trap", "nanosleep"))
_ACCESSES = frozenset(("ld", "ldu", "st", "atom", "red", "cp", "ldmatrix", "stmatrix"))
_WARP = frozenset(("shfl", "vote", "match", "redux", "elect"))
#: Opcodes that every lane of the warp executes together; they have no operand for the lanes that take part.
_WHOLE_WARP = frozenset(("mma", "ldmatrix", "stmatrix", "movmatrix"))


@dataclass(slots=True)
class Block:
    """A run of instructions with one entry and one exit.

    `first` is the number of its first instruction. `meeting` says that the first
    instruction needs lanes that other paths may bring. `live_out` are the registers that
    the blocks after it read.
    """

    first: int
    instructions: list[Instruction]
    successors: tuple[int, ...] = ()
    live_in: frozenset[str] = frozenset()
    live_out: frozenset[str] = frozenset()

    @property
    def meeting(self) -> bool:
        """Whether the block waits for lanes before it runs."""
        return bool(self.instructions) and is_meeting(self.instructions[0])


@dataclass(slots=True)
class Flow:
    """The blocks of a kernel in the order of the PTX, and where its labels are.

    The block number ``len(blocks)`` stands for the end of the thread.
    """

    blocks: list[Block]
    labels: dict[str, int]
    crossing: set[str] = field(default_factory=set)


def analyse(kernel: Function, fine: bool = False) -> Flow:
    """Cut `kernel` into basic blocks and find what lives across them; `fine` ones begin at accesses to memory, too."""
    code, labels = _separated(kernel)
    if any(map(concerns_carry, code)):
        kernel.registers[CARRY.name] = "pred"
    starts = _starts(code, labels, set(_accesses(code)) if fine else set())
    number = {start: index for index, start in enumerate(starts)}
    number[len(code)] = len(starts)
    blocks = [Block(start, code[start:end]) for start, end in zip(starts, [*starts[1:], len(code)], strict=True)]
    flow = Flow(blocks, {name: number[index] for name, index in labels.items()})
    for index, block in enumerate(blocks):
        block.successors = tuple(_successors(block, index, flow.labels, kernel.branch_targets))
    _liveness(flow)
    return flow


def is_meeting(instruction: Instruction) -> bool:
    """Tell whether lanes of a warp exchange something, or wait for each other, here."""
    if instruction.opcode in ("bar", "barrier"):
        return instruction.has("warp")
    return instruction.opcode in _WARP | _WHOLE_WARP and instruction.has("sync")


def members_of(instruction: Instruction) -> Operand:
    """Return the mask of the lanes that meet at an instruction."""
    return Immediate("0xffffffff") if instruction.opcode in _WHOLE_WARP else instruction.operands[-1]


def is_block_barrier(instruction: Instruction) -> bool:
    """Tell whether the instruction waits for other warps of the block."""
    return instruction.opcode in ("bar", "barrier") and not instruction.has("warp", "arrive", "result", "cluster")


def _separated(kernel: Function) -> tuple[list[Instruction], dict[str, int]]:
    """Put a branch around guarded instructions that need their lanes to arrive together.

    ``bar.red`` is cut in two: the arrival, and the reading of the result.
    """
    code: list[Instruction] = []
    moved: list[int] = []
    labels: dict[str, int] = {}
    for instruction in kernel.instructions:
        moved.append(len(code))
        if instruction.predicate is not None and _needs_branch(instruction):
            name = f"#after{len(moved)}"
            skip = replace(
                instruction, opcode="bra", modifiers=(), operands=(Label(name),), negated=not instruction.negated
            )
            code += [skip, replace(instruction, predicate=None, negated=False)]
            labels[name] = len(code)
        else:
            code.append(instruction)
        if is_block_barrier(instruction) and instruction.has("red"):
            bare = replace(code[-1], operands=(code[-1].operands[0],))
            code[-1] = replace(code[-1], operands=code[-1].operands[1:], modifiers=(*instruction.modifiers, ARRIVAL))
            modifiers = ("result", *(each for each in instruction.modifiers if each != "red"))
            number = code[-1].operands[0]
            code.append(replace(bare, modifiers=modifiers, operands=(bare.operands[0], number)))
            if f"#after{len(moved)}" in labels:
                labels[f"#after{len(moved)}"] = len(code)
    moved.append(len(code))
    labels.update((name, moved[index]) for name, index in kernel.labels.items())
    return code, labels


def _needs_branch(instruction: Instruction) -> bool:
    if instruction.opcode in ("call", "trap", "nanosleep", "brx", "brkpt"):
        return True
    return instruction.opcode in ("bar", "barrier") or is_meeting(instruction)


def _accesses(code: list[Instruction]) -> Iterator[int]:
    """Return the accesses to memory that other threads may touch."""
    for index, instruction in enumerate(code):
        if instruction.opcode in _ACCESSES and not instruction.has("param", "const", "local"):
            yield index


def _starts(code: list[Instruction], labels: dict[str, int], wanted: set[int]) -> list[int]:
    """Return the numbers of the instructions that begin a block: those `wanted`, and those that must.

    Meetings of the same lanes that follow each other need only one: who met stays together.
    """
    starts = {0, *wanted, *(index for index in labels.values() if index < len(code))}
    for index, instruction in enumerate(code[:-1]):
        if instruction.opcode in _ENDS or is_block_barrier(instruction):
            starts.add(index + 1)
    mask: Operand | None = None
    for index, instruction in enumerate(code):
        if index in starts:
            mask = None
        barrier = instruction.opcode in ("bar", "barrier")
        if is_meeting(instruction) and (barrier or mask != members_of(instruction)):
            starts.add(index)
            # Lanes pass a warp barrier together but maybe in different places, which tells nothing of what follows.
            mask = None if barrier else members_of(instruction)
        if mask is not None and mask in list(definitions(instruction)):
            mask = None
    return sorted(starts)


def _successors(block: Block, index: int, labels: dict[str, int], tables: dict[str, tuple[str, ...]]) -> Iterator[int]:
    last = block.instructions[-1]
    if last.opcode == "bra":
        yield target_of(last, labels)
    elif last.opcode == "brx":
        table = last.operands[1]
        assert isinstance(table, Symbol | Label)
        yield from (labels[name] for name in tables[table.name])
    falls = last.opcode not in ("bra", "brx", "exit", "ret", "trap")
    if falls or (last.opcode in ("bra", "exit", "ret") and last.predicate is not None):
        yield index + 1


def target_of(branch: Instruction, labels: dict[str, int]) -> int:
    """Return the block that a branch goes to."""
    target = branch.operands[0]
    if not isinstance(target, Label | Symbol) or target.name not in labels:
        raise SimulatorError(f"PTX line {branch.line}: {branch.text!r} goes to no label")
    return labels[target.name]


def _liveness(flow: Flow) -> None:
    """Find what each block reads before it writes, and spread it backwards to a fixed point."""
    names: dict[str, int] = {}
    reads, writes = [], []
    for block in flow.blocks:
        read = written = 0
        for instruction in block.instructions:
            for register in uses(instruction):
                bit = 1 << names.setdefault(register.name, len(names))
                read |= bit & ~written
            if instruction.predicate is None:
                for register in definitions(instruction):
                    written |= 1 << names.setdefault(register.name, len(names))
        reads.append(read)
        writes.append(written)
    live_in, live_out = [0] * (len(reads) + 1), [0] * len(reads)
    changed = True
    while changed:
        changed = False
        for index in range(len(reads) - 1, -1, -1):
            out = 0
            for successor in flow.blocks[index].successors:
                out |= live_in[successor]
            entry = reads[index] | (out & ~writes[index])
            changed = changed or entry != live_in[index]
            live_in[index], live_out[index] = entry, out
    order = list(names)
    for index, block in enumerate(flow.blocks):
        block.live_in = frozenset(_names(live_in[index], order))
        block.live_out = frozenset(_names(live_out[index], order))
        flow.crossing |= block.live_in | block.live_out


def _names(bits: int, order: list[str]) -> Iterator[str]:
    while bits:
        low = bits & -bits
        yield order[low.bit_length() - 1]
        bits ^= low
