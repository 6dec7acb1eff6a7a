"""Turns the error record of a context into an exception that names everything one needs to find the fault.

The words are compute-sanitizer's, so that who knows its reports can read these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import (
    DeadlockError,
    InitcheckError,
    MemcheckError,
    RacecheckError,
    SimulatorError,
    SynccheckError,
    TrapError,
)
from .checks.layout import IN_SHARED
from .compiled import Where
from .context import BARRIER_IDS, ErrorKind, Slot
from .naming import Site, coordinates, lanes, lines_of, other_thread, place, source_lines, space
from .printf import string_at
from .waits import who_waits
from .workspace import Workspace

__all__ = ["Site", "error_from"]

_CLASSES: dict[ErrorKind, type[SimulatorError]] = {
    ErrorKind.TRAP: TrapError,
    ErrorKind.ASSERT: TrapError,
    ErrorKind.DEADLOCK: DeadlockError,
    ErrorKind.ENDLESS: DeadlockError,
    ErrorKind.MISSING_LANES: SynccheckError,
    ErrorKind.MISSING_THREADS: SynccheckError,
    ErrorKind.DIVIDED_WARP: SynccheckError,
    ErrorKind.NOT_A_MEMBER: SynccheckError,
    ErrorKind.EXITED_LANES: SynccheckError,
    ErrorKind.PARTIAL_WARP: SynccheckError,
    ErrorKind.BARRIER_NUMBER: SynccheckError,
    ErrorKind.BARRIER_COUNT: SynccheckError,
    ErrorKind.OUT_OF_BOUNDS: MemcheckError,
    ErrorKind.MISALIGNED: MemcheckError,
    ErrorKind.READ_ONLY: MemcheckError,
    ErrorKind.WRITE_AFTER_WRITE: RacecheckError,
    ErrorKind.READ_AFTER_WRITE: RacecheckError,
    ErrorKind.WRITE_AFTER_READ: RacecheckError,
    ErrorKind.COPY_PENDING: RacecheckError,
    ErrorKind.IN_STEP: RacecheckError,
    ErrorKind.UNINITIALISED: InitcheckError,
    ErrorKind.UNWRITTEN_REGISTER: InitcheckError,
}

_VERBS = {"ld": "read", "ldu": "read", "st": "write", "atom": "atomic", "red": "atomic", "cp": "copy"}
_BARRIER = "Barrier error detected. "
#: More lines of source than this say nothing about the one that is meant.
_MOST_LINES = 4


def error_from(site: Site, record: Workspace, others: Sequence[Workspace] = ()) -> SimulatorError:
    """The exception for the error that a workspace holds; of a deadlock between blocks `others` tell more."""
    kind = ErrorKind(record[Slot.ERROR_KIND])
    index = record[Slot.ERROR_INSTRUCTION]
    where = site.kernel.instructions[index] if index < len(site.kernel.instructions) else None
    block = coordinates(record[Slot.ERROR_BLOCK], site.grid)
    thread = coordinates(record[Slot.ERROR_THREAD], site.block)
    lines = [f"{site.label}: {_describe(site, record, kind, where)}", f"  by thread {thread} in block {block}"]
    if where is not None:
        lines.append(f"  PTX instruction: {where.text}")
        for depth, source in enumerate(source_lines(where)):
            lines.append(f"    called from {source}" if depth else f"  CUDA source: {source}")
    if kind in (ErrorKind.DEADLOCK, ErrorKind.ENDLESS):
        lines += who_waits(site, [record] if kind is ErrorKind.DEADLOCK else others)
    if site.drawn:
        lines.append(f"  drawn by {site.drawn}")
    return _CLASSES[kind]("\n".join(lines))


def _describe(site: Site, record: Workspace, kind: ErrorKind, where: Where | None) -> str:
    address = record[Slot.ERROR_ADDRESS]
    missing = lanes(address)
    match kind:
        case ErrorKind.TRAP if where is not None and re.match(r"(@\S+\s+)?call\b", where.text):
            return "the kernel called through a pointer to no function that it can mean; recursion is not supported"
        case ErrorKind.TRAP:
            return "the kernel executed trap" + _without_grid(site, record)
        case ErrorKind.ASSERT:
            return f"assertion `{string_at(address, site.memory if site.checked else None)}` failed"
        case ErrorKind.DEADLOCK:
            return "Deadlock detected. No thread of the block can go on: barriers that can never be complete"
        case ErrorKind.ENDLESS:
            return "Deadlock detected. Threads spin for ever: no thread of the grid does anything new"
        case ErrorKind.MISSING_LANES:
            verb, them = ("comes", "it") if address.bit_count() == 1 else ("come", "them")
            return _BARRIER + f"Divergent thread(s) in warp: {missing} never {verb} to an instruction that names {them}"
        case ErrorKind.MISSING_THREADS:
            return _BARRIER + "Divergent thread(s) in block: this one has exited and misses a block barrier"
        case ErrorKind.DIVIDED_WARP:
            return _BARRIER + "Divergent thread(s) in warp: its lanes wait at different block barriers"
        case ErrorKind.NOT_A_MEMBER:
            verb, them = ("executes", "it") if address.bit_count() == 1 else ("execute", "them")
            return _BARRIER + f"Invalid arguments: {missing} {verb} an instruction whose mask does not name {them}"
        case ErrorKind.EXITED_LANES:
            gone = "has exited" if address.bit_count() == 1 else "have exited"
            return _BARRIER + f"Divergent thread(s) in warp: the mask of an instruction names {missing}, which {gone}"
        case ErrorKind.PARTIAL_WARP:
            absent = "is" if address.bit_count() == 1 else "are"
            return (
                _BARRIER + "Divergent thread(s) in warp: a matrix instruction needs all 32 lanes, and"
                f" {missing} {absent} not there"
            )
        case ErrorKind.BARRIER_NUMBER:
            return _BARRIER + f"Invalid arguments: there is no barrier {address}, only 0 to {BARRIER_IDS - 1}"
        case ErrorKind.BARRIER_COUNT:
            return _BARRIER + f"Invalid arguments: a barrier for {address} threads, which are not whole warps of 32"
        case ErrorKind.UNWRITTEN_REGISTER:
            return (
                "Uninitialized register read: nothing was written to what this instruction stores, goes to or goes by,"
                " or a shuffle brought it from a lane that takes no part"
            )
        case _:
            return _of_memory(site, record, kind, where)


def _meant(record: Workspace, kind: ErrorKind) -> int:
    """Offset of the shared variable that an access left, if that is what is told."""
    return record[Slot.ERROR_OTHER] if kind is ErrorKind.OUT_OF_BOUNDS else -1


def _of_memory(site: Site, record: Workspace, kind: ErrorKind, where: Where | None) -> str:
    """Describe a fault of one access to memory."""
    memory, size = record[Slot.ERROR_DETAIL], record[Slot.ERROR_SIZE]
    what, here = space(memory), place(site, memory, record[Slot.ERROR_ADDRESS], _meant(record, kind))
    invalid = f"Invalid {what} {_verb(where)} of size {size} bytes: {here} is "
    match kind:
        case ErrorKind.OUT_OF_BOUNDS:
            return invalid + "out of bounds"
        case ErrorKind.MISALIGNED:
            return invalid + "misaligned"
        case ErrorKind.READ_ONLY:
            return invalid + "read-only"
        case ErrorKind.UNINITIALISED:
            return f"Uninitialized {what} memory read of size {size} bytes: {here}"
    other = other_thread(site, record)
    race = f"Race reported between {_verb(where).capitalize()} access of size {size} bytes and"
    if kind is ErrorKind.COPY_PENDING:
        return f"{race} Write access by an asynchronous copy of {other}, which has not been waited for: {here}"
    if kind is ErrorKind.IN_STEP:
        return (
            f"{race} Write access by {other}{_candidates(site, memory, reads=False)}: {here}; both are volatile, which"
            " does not order the lanes of a warp, as __syncwarp() would"
        )
    reads = kind is ErrorKind.WRITE_AFTER_READ
    return f"{race} {'Read' if reads else 'Write'} access by {other}{_candidates(site, memory, reads)}: {here}"


def _candidates(site: Site, memory: int, reads: bool) -> str:
    """Where the other access of a race can be, if that is a few lines of source."""
    opcodes: tuple[str, ...] = ("ld", "ldu", "ldmatrix") if reads else ("st", "stmatrix", "atom", "red")
    if reads is not (memory == IN_SHARED):
        opcodes += ("cp",)  # an asynchronous copy reads global memory and writes shared memory
    elsewhere = (
        ("global", "const", "local", "param") if memory == IN_SHARED else ("shared", "shared::cta", "local", "param")
    )
    lines = lines_of(site.kernel.instructions, opcodes, elsewhere)
    if not 0 < len(lines) <= _MOST_LINES:
        return ""
    return f" (line {' or '.join(map(str, lines))})"


def _without_grid(site: Site, record: Workspace) -> str:
    """What a trap is probably about in a kernel that asks for the grid's barrier and has none."""
    asked = any("%envreg" in each.text for each in site.kernel.instructions)
    if not asked or record[Slot.GRID_WORKSPACE]:
        return ""
    return "; the barrier of a whole grid needs a cooperative launch: pass enable_cooperative_groups=True"


def _verb(where: Where | None) -> str:
    return "unknown" if where is None else _VERBS.get(where.opcode.removesuffix("matrix"), where.opcode)
