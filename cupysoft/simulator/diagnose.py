"""Turns the error record of a context into an exception that names everything one needs to find the fault."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import (
    DeadlockError,
    InitcheckError,
    MemcheckError,
    RacecheckError,
    SimulatorError,
    SynccheckError,
    TrapError,
)
from .arguments import Region
from .checks.layout import (
    BLOCK_MASK,
    IN_GLOBAL,
    IN_LOCAL,
    IN_SHARED,
    OTHER_BLOCKS,
    OTHER_LANES,
    OTHER_WARPS,
    SEVERAL_LANES,
    SEVERAL_WARPS,
    STAMP_BLOCK,
    THREAD_MASK,
)
from .compiled import CompiledKernel, Where
from .context import ErrorKind, Slot
from .memory import AddressMap
from .printf import string_at
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
    ErrorKind.OUT_OF_BOUNDS: MemcheckError,
    ErrorKind.MISALIGNED: MemcheckError,
    ErrorKind.READ_ONLY: MemcheckError,
    ErrorKind.WRITE_AFTER_WRITE: RacecheckError,
    ErrorKind.READ_AFTER_WRITE: RacecheckError,
    ErrorKind.WRITE_AFTER_READ: RacecheckError,
    ErrorKind.COPY_PENDING: RacecheckError,
    ErrorKind.UNINITIALISED: InitcheckError,
}


@dataclass(frozen=True)
class Site:
    """A launch, as far as messages need it."""

    label: str
    kernel: CompiledKernel
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic: int
    memory: AddressMap
    checked: bool
    drawn: str = ""


def error_from(site: Site, record: Workspace) -> SimulatorError:
    """The exception for the error that a workspace holds."""
    kind = ErrorKind(record[Slot.ERROR_KIND])
    index = record[Slot.ERROR_INSTRUCTION]
    where = site.kernel.instructions[index] if index < len(site.kernel.instructions) else None
    what = _describe(site, record, kind, where)
    block = _coordinates(record[Slot.ERROR_BLOCK], site.grid)
    thread = _coordinates(record[Slot.ERROR_THREAD], site.block)
    lines = [f"{site.label}: {what}", f"  in block {block}, thread {thread}"]
    if where is not None:
        lines.append(f"  PTX instruction: {where.text}")
        if where.location is not None:
            file, line = where.location
            # The name of a text that was never a file has been completed by the compiler; only its end says something.
            lines.append(f"  CUDA source: {file if Path(file).exists() else Path(file).name}, line {line}")
    if site.drawn:
        lines.append(f"  drawn by {site.drawn}")
    return _CLASSES[kind]("\n".join(lines))


def _describe(site: Site, record: Workspace, kind: ErrorKind, where: Where | None) -> str:
    address, size = record[Slot.ERROR_ADDRESS], record[Slot.ERROR_SIZE]
    other = _other(site, record)
    missing = _lanes(address)
    place = _place(site, record[Slot.ERROR_DETAIL], address)
    match kind:
        case ErrorKind.TRAP:
            return "the kernel executed trap" + _without_grid(site, record)
        case ErrorKind.ASSERT:
            return f"assertion `{string_at(address, site.memory if site.checked else None)}` failed"
        case ErrorKind.DEADLOCK:
            return "no thread of the block can go on: barriers are waited for that can never be complete"
        case ErrorKind.ENDLESS:
            return "threads spin for ever: no thread of the grid does anything new (one of them is named below)"
        case ErrorKind.MISSING_LANES:
            return f"{missing} never come to a warp instruction whose member mask names them"
        case ErrorKind.MISSING_THREADS:
            return "a block barrier is missed by a thread that has exited (named below)"
        case ErrorKind.DIVIDED_WARP:
            return "lanes of one warp wait at different block barriers; all of them must come to the same one"
        case ErrorKind.NOT_A_MEMBER:
            return f"{missing} execute a warp instruction whose member mask does not name them"
        case ErrorKind.EXITED_LANES:
            return f"the member mask of a warp instruction names {missing}, which have exited"
        case ErrorKind.PARTIAL_WARP:
            return f"a matrix instruction needs all 32 lanes of the warp, and {missing} are not there"
        case ErrorKind.UNINITIALISED:
            return f"read of {size} bytes that nobody wrote, from {place}"
        case ErrorKind.WRITE_AFTER_WRITE:
            return f"race: {size} bytes of {place} are also written by {other}, in no order"
        case ErrorKind.READ_AFTER_WRITE:
            return f"race: read of {size} bytes of {place} that {other} wrote, in no order"
        case ErrorKind.WRITE_AFTER_READ:
            return f"race: write of {size} bytes of {place} that {other} read, in no order"
        case ErrorKind.COPY_PENDING:
            return (
                f"race: {_verb(where)} of {size} bytes of {place}, which an asynchronous copy of {other} writes"
                " that has not been waited for"
            )
        case ErrorKind.MISALIGNED:
            return f"misaligned {_verb(where)} of {size} bytes: {place}"
        case ErrorKind.READ_ONLY:
            return f"{_verb(where)} of {size} bytes to read-only memory: {place}"
        case ErrorKind.OUT_OF_BOUNDS:
            return f"out-of-bounds {_verb(where)} of {size} bytes: {place}"
        case _:
            return f"error {kind.name}"


def _without_grid(site: Site, record: Workspace) -> str:
    """What a trap is probably about in a kernel that asks for the grid's barrier and has none."""
    asked = any("%envreg" in each.text for each in site.kernel.instructions)
    if not asked or record[Slot.GRID_WORKSPACE]:
        return ""
    return "; the barrier of a whole grid needs a cooperative launch: pass enable_cooperative_groups=True"


def _verb(where: Where | None) -> str:
    if where is None:
        return "access"
    verbs = {"ld": "read", "st": "write", "atom": "atomic access", "red": "atomic access", "cp": "copy"}
    return verbs.get(where.opcode.removesuffix("matrix"), "access")


def _place(site: Site, memory: int, address: int) -> str:
    """Name the memory: an array, a shared variable, the thread's local memory."""
    if memory == IN_SHARED:
        total = site.kernel.shared_bytes + site.dynamic
        return _on_chip(address, site.kernel.shared, site.kernel.shared_bytes, total, "shared memory")
    if memory == IN_LOCAL:
        local = site.kernel.local_bytes
        return _on_chip(address, site.kernel.local, local, local, "the thread's local memory")
    found = site.memory.at_host(address) if memory == IN_GLOBAL else site.memory.of(address)
    if found is not None:
        return _in_array(*found)
    if 0 <= address < 4096:
        return f"address {address:#x}, a null pointer"
    return f"address {address & (1 << 64) - 1:#x}, which belongs to no array of this launch"


def _on_chip(address: int, names: dict[str, tuple[int, int]], static: int, total: int, noun: str) -> str:
    for name, (offset, size) in names.items():
        if offset <= address < offset + size:
            return f"byte {address - offset} of {_plain(name)!r} ({size} bytes, {noun})"
    if static <= address < total:
        return f"byte {address - static} of dynamic {noun} ({total - static} bytes)"
    return f"byte {address} of {noun} ({total} bytes)"


def _in_array(region: Region, byte: int) -> str:
    inside = byte - region.start
    element = f"element {inside // region.itemsize}" if inside % region.itemsize == 0 else f"byte {inside}"
    if byte < 0:
        where = f", {-byte} bytes before its first"
    elif byte >= region.size:
        where = f", {byte - region.size} bytes behind its end"
    else:
        where = ""
    return f"{element} of {region.label} ({region.size} bytes){where}"


def _plain(name: str) -> str:
    """The last part of a mangled name of a variable in a function: ``_ZZ6kernelPfE4tile`` is ``tile``."""
    if not name.startswith("_ZZ"):
        return name
    for start in range(len(name) - 1, 2, -1):
        digits = name[start:]
        length = len(digits) - len(digits.lstrip("0123456789"))
        if 0 < length < len(digits) and int(digits[:length]) == len(digits) - length:
            return digits[length:]
    # The compiler appends a number to a name that it would otherwise give twice.
    shorter = re.sub(r"_(\$_)?\d+$", "", name)
    return name if shorter == name else _plain(shorter)


def _coordinates(linear: int, extents: tuple[int, int, int]) -> tuple[int, int, int]:
    x, y, _ = extents
    return linear % x, linear // x % y, linear // (x * y)


def _other(site: Site, record: Workspace) -> str:
    """Name the other thread of a race."""
    code = record[Slot.ERROR_OTHER]
    if record[Slot.ERROR_DETAIL] == IN_GLOBAL:
        return _of_stamp(site, record, code)
    if 0 <= code < SEVERAL_LANES:
        return f"thread {_coordinates(code, site.block)}"
    if SEVERAL_LANES <= code < SEVERAL_WARPS:
        return f"several threads of warp {code - SEVERAL_LANES}"
    return "threads of several warps"


def _of_stamp(site: Site, record: Workspace, stamp: int) -> str:
    """Name the thread that left a stamp, or those it stands for where it is the one that races with them."""
    block, thread = (stamp & BLOCK_MASK) >> STAMP_BLOCK, stamp & THREAD_MASK
    if (block, thread) == (record[Slot.ERROR_BLOCK], record[Slot.ERROR_THREAD]):
        if stamp & OTHER_BLOCKS:
            return "a thread of another block"
        if stamp & (OTHER_WARPS | OTHER_LANES):
            return f"another thread of {'the block' if stamp & OTHER_WARPS else 'the warp'}"
    return f"thread {_coordinates(thread, site.block)} of block {_coordinates(block, site.grid)}"


def _lanes(mask: int) -> str:
    numbers = [lane for lane in range(32) if mask >> lane & 1]
    listed = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"lane{'s' if len(numbers) != 1 else ''} {listed}"
