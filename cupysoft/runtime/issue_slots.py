"""How many instructions a kernel issues for an element, pipe by pipe, counted in its machine code.

An instruction takes an issue slot whether or not its predicate lets it act, so all are counted: arithmetic, addresses,
predicates, branches, barriers. A kernel that keeps its rows in registers is straight-line code and counts as a whole,
prologue and reductions included; one that walks its rows counts the innermost loops that read elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cupysoft.errors import ReportError
from cupysoft.runtime.disassembly import Instruction, Place
from cupysoft.runtime.machine_blocks import Flow

__all__ = ["PIPES", "Section", "pipe_of", "sections"]

#: The kinds of instruction that are told apart.
PIPES = (
    "float32",
    "float64",
    "float16",
    "integer",
    "conversion",
    "wide conversion",
    "special",
    "load/store",
    "control",
)

_VECTOR = 16  # bytes that a row is read, written and kept by

_FLOAT32 = {"FADD", "FMUL", "FFMA", "FADD2", "FMUL2", "FFMA2", "FSWZADD"}
_FLOAT64 = {"DADD", "DMUL", "DFMA", "DSETP", "DMNMX"}
_FLOAT16 = {"HADD2", "HMUL2", "HFMA2", "HMNMX2", "HSETP2", "HSET2"}
_CONVERSION = {"F2FP", "I2FP", "F2IP", "I2I", "I2IP"}
_SPECIAL = {"MUFU", "F2F", "F2I", "I2F", "FRND", "POPC", "FLO", "BREV", "REDUX", "CREDUX"}
_MEMORY = {"LD", "ST", "ATOM", "RED", "SHFL", "LDC", "S2R", "CS2R", "S2UR", "LDSM", "STSM", "CCTL", "MATCH"}
_CONTROL = {
    *("BRA", "BRX", "JMP", "CALL", "RET", "EXIT", "BSSY", "BSYNC", "BREAK", "BMOV", "BAR", "NOP", "WARPSYNC", "YIELD"),
    *("DEPBAR", "LDGDEPBAR", "MEMBAR", "ERRBAR", "NANOSLEEP", "KILL", "BPT", "WARPGROUP", "ACQBULK", "UCGABAR_ARV"),
}


def pipe_of(opcode: str) -> str:
    """The pipe of an opcode, one of `PIPES`.

    Comparisons, minima, selections, logic, shifts, moves and the uniform datapath count as ``"integer"``, as does
    whatever is not known here: no other pipe that is common to all architectures is slower.
    """
    name = opcode.partition(".")[0]
    if name in ("F2F", "F2I", "I2F") and any(each in opcode for each in ("F64", "S64", "U64")):
        return "wide conversion"
    for pipe, names in (
        ("float32", _FLOAT32),
        ("float64", _FLOAT64),
        ("float16", _FLOAT16),
        ("conversion", _CONVERSION),
        ("special", _SPECIAL),
        ("control", _CONTROL),
        ("load/store", _MEMORY),
    ):
        if name in names:
            return pipe
    if name.startswith(("LDG", "LDS", "LDL", "STG", "STS", "STL", "ATOM")):
        return "load/store"
    return "integer"


@dataclass(frozen=True)
class Section:
    """A part of a kernel that is executed once for some elements of a thread.

    Attributes
    ----------
    what : str
        ``"kernel"``, or ``"loop"``.
    elements : int
        How many elements a thread handles each time.
    bytes : int
        How many bytes of global memory it reads and writes each time.
    issued : mapping
        Pipe to instructions on the common path.
    rare : int
        Instructions that the common path leaves out, of the whole kernel.
    """

    what: str
    elements: int
    bytes: int
    issued: Mapping[str, int]
    rare: int = 0

    def an_element(self, pipe: str | None = None) -> float:
        """Instructions issued for an element, on one pipe or on all together."""
        return (sum(self.issued.values()) if pipe is None else self.issued.get(pipe, 0)) / self.elements


def sections(code: Sequence[Instruction], itemsize: int) -> tuple[Section, ...]:
    """What of a kernel is executed for its elements.

    How many elements that is follows from the bytes that the section writes to global memory, or else reads there, or
    else reads or writes in shared memory by 16 bytes, whichever is less: rows wait there in nothing less, and terms
    take more room than elements.

    Parameters
    ----------
    code : sequence of Instruction
        A kernel whose elements move in vectors of 16 bytes.
    itemsize : int
        Bytes of an element.

    Returns
    -------
    tuple of Section
        One for the whole kernel if no loop reads elements, else one for each innermost loop that does. Of loops that
        read at the same source line (unrolled, and what is left over) the one with most elements stands for both.

    Raises
    ------
    ReportError
        If the common path does not reach the end of the kernel.
    """
    flow = Flow(code)
    on_path = [flow.blocks[start].instructions for start in sorted(flow.common)]
    if not flow.complete:
        raise ReportError("sections: what is marked as rare leaves no common path through the kernel")
    rare = len(code) - sum(map(len, on_path)) - _padding(flow)
    found: dict[tuple[Place, ...] | int, Section] = {}
    for loop in flow.loops:
        inside = [each for start in sorted(loop.blocks) for each in flow.blocks[start].instructions]
        section = _section("loop", inside, itemsize, rare)
        if loop.innermost and section.elements:
            key = next((each.places for each in inside if each.name in ("LDG", "LDS") and each.places), loop.head)
            if key not in found or found[key].elements < section.elements:
                found[key] = section
    if found:
        return tuple(found.values())
    whole = _section("kernel", [each for block in on_path for each in block], itemsize, rare)
    return (whole,) if whole.elements else ()


def _section(what: str, code: Sequence[Instruction], itemsize: int, rare: int) -> Section:
    accesses: dict[str, Counter[int]] = {}
    for each in code:
        size = _bytes(each.opcode)
        if each.name in ("LDG", "STG") or (each.name in ("LDS", "STS") and size == _VECTOR):
            accesses.setdefault(each.name, Counter())[size] += 1
    # Elements move by the widest accesses; narrower ones are of what belongs to a whole row.
    moved = {name: max(counts) * counts[max(counts)] for name, counts in accesses.items()}
    # What is written is elements only; what is read may be a table besides. Terms take more room than elements.
    waiting = min((moved[name] for name in ("LDS", "STS") if name in moved), default=0)
    elements = next((moved[name] for name in ("STG", "LDG") if name in moved), waiting) // itemsize
    walks = ("LDG" in moved) + ("STG" in moved)
    return Section(what, elements, walks * elements * itemsize, Counter(pipe_of(each.opcode) for each in code), rare)


def _bytes(opcode: str) -> int:
    parts = opcode.split(".")
    for name, size in (("128", 16), ("64", 8), ("U16", 2), ("S16", 2), ("U8", 1), ("S8", 1)):
        if name in parts:
            return size
    return 4


def _padding(flow: Flow) -> int:
    """What stands behind the code: a branch to itself, and nothing up to a multiple of the fetch width."""
    return sum(
        len(block.instructions)
        for block in flow.blocks.values()
        if all(each.name in ("NOP", "BRA") for each in block.instructions)
        and block.start not in flow.common
        and (block.following in ((block.start,), ()) or block.instructions[0].name == "NOP")
    )
