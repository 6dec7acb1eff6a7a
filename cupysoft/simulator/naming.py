"""Names for reports: threads, lanes, places in memory, lines of source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from .context import Slot
from .memory import AddressMap
from .ptx import Lines
from .workspace import Workspace

__all__ = [
    "Site",
    "coordinates",
    "lanes",
    "lines_of",
    "other_thread",
    "own_line",
    "place",
    "ranges",
    "source_lines",
    "space",
]


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
    called: Callable[[], Sequence[str]] = tuple


def space(memory: int) -> str:
    """What compute-sanitizer calls a memory; the number is that of ``Slot.ERROR_DETAIL``."""
    return {IN_SHARED: "__shared__", IN_LOCAL: "__local__"}.get(memory, "__global__")


def place(site: Site, memory: int, address: int, meant: int = -1) -> str:
    """Name a place in memory: in an array, a shared variable, the thread's local memory.

    `meant` is the offset of the shared variable that the access was to stay in, where that is known.
    """
    if memory == IN_SHARED:
        total = site.kernel.shared_bytes + site.dynamic
        for name, (offset, size) in site.kernel.shared.items():
            if size and offset == meant:
                return f"byte {address - offset} of {_plain(name)!r} ({size} bytes, shared memory)" + _beside(
                    address - offset, size
                )
        return _on_chip(address, site.kernel.shared, site.kernel.shared_bytes, total, "shared memory")
    if memory == IN_LOCAL:
        local = site.kernel.local_bytes
        return _on_chip(address, site.kernel.local, local, local, "the thread's local memory")
    found = site.memory.at_host(address) if memory == IN_GLOBAL else site.memory.of(address)
    if found is not None:
        return _in_array(site, *found)
    if 0 <= address < 4096:
        return f"address {address:#x}, a null pointer,"
    return f"address {address & (1 << 64) - 1:#x}, which belongs to no array of this launch,"


def _on_chip(address: int, names: dict[str, tuple[int, int]], static: int, total: int, noun: str) -> str:
    for name, (offset, size) in names.items():
        if offset <= address < offset + size:
            return f"byte {address - offset} of {_plain(name)!r} ({size} bytes, {noun})"
    if static <= address and total > static:
        dynamic = total - static
        return f"byte {address - static} of dynamic {noun} ({dynamic} bytes)" + _beside(address - static, dynamic)
    return f"byte {address} of {noun} ({total} bytes)"


def _beside(byte: int, size: int) -> str:
    """How far a place lies before or behind something of `size` bytes."""
    if byte < 0:
        return f", {-byte} bytes before its first,"
    return f", {byte - size} bytes behind its end," if byte >= size else ""


def _in_array(site: Site, region: Region, byte: int) -> str:
    inside = byte - region.start
    whole = region.itemsize and inside % region.itemsize == 0
    element = f"element {inside // region.itemsize}" if whole else f"byte {inside}"
    return f"{element} of {_label(site, region)} ({region.size} bytes){_beside(byte, region.size)}"


def _label(site: Site, region: Region) -> str:
    """What reports call an array, with the name of the parameter where the source shows it."""
    position = re.fullmatch(r"argument (\d+)", region.label)
    if position is None:
        return _plain(region.label)
    names = site.called()
    known = len(names) == len(site.kernel.parameters)
    return f"{region.label} {names[int(position[1])]!r}" if known else region.label


def _plain(name: str) -> str:
    """The last part of a mangled name: ``_ZZ6kernelPfE4tile`` is ``tile``, and ``_ZN5space5tableE`` is ``table``."""
    if nested := re.fullmatch(r"_ZNK?(.*)E", name):
        return _last(nested[1]) or name
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


def _last(parts: str) -> str:
    """The last of names that follow each other, each behind its length; nothing where there is more than names."""
    name = ""
    while parts:
        digits = re.match(r"\d+", parts)
        if digits is None:
            return ""
        end = digits.end() + int(digits[0])
        name, parts = parts[digits.end() : end], parts[end:]
    return name


def coordinates(linear: int, extents: tuple[int, int, int]) -> tuple[int, int, int]:
    """A thread of a block, or a block of a grid, as CUDA counts them."""
    x, y, _ = extents
    return linear % x, linear // x % y, linear // (x * y)


def other_thread(site: Site, record: Workspace) -> str:
    """Name the other thread of a race."""
    code = record[Slot.ERROR_OTHER]
    if record[Slot.ERROR_DETAIL] == IN_GLOBAL:
        return _of_stamp(site, record, code)
    if 0 <= code < SEVERAL_LANES:
        return f"thread {coordinates(code, site.block)}"
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
            return f"another thread of the {'block' if stamp & OTHER_WARPS else 'warp'}"
    return f"thread {coordinates(thread, site.block)} of block {coordinates(block, site.grid)}"


def lanes(mask: int) -> str:
    """Name the lanes of a mask."""
    numbers = [lane for lane in range(32) if mask >> lane & 1]
    listed = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"lane{'s' if len(numbers) != 1 else ''} {listed}"


def ranges(numbers: Sequence[int]) -> str:
    """Write ascending numbers, those that follow each other as a range."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    written = [str(first) if first == last else f"{first} to {last}" for first, last in runs]
    return ", ".join(written[:6]) + (", ..." if len(written) > 6 else "")


def source_lines(where: Where) -> list[str]:
    """Where an instruction comes from, and below that the calls, from the innermost outwards."""
    return [_line(*each) for each in _sources(where)]


def own_line(where: Where) -> str:
    """Where an instruction comes from in the file of the kernel itself, or nothing."""
    source = _own(where)
    return _line(*source) if source else ""


def _sources(where: Where) -> list[Lines]:
    if where.location is None:
        return []
    file, line = where.location
    return [(file, (line,)), *where.callers]


def _own(where: Where) -> Lines | None:
    """The innermost line in the file where the outermost one is: what headers call there is theirs."""
    sources = _sources(where)
    return next((each for each in sources if each[0] == sources[-1][0]), None)


def _line(file: str, lines: tuple[int, ...]) -> str:
    # The name of a text that was never a file has been completed by the compiler; only its end says something.
    return f"{file if Path(file).exists() else Path(file).name}, line {' or '.join(map(str, lines))}"


def lines_of(instructions: Iterable[Where], opcodes: tuple[str, ...], elsewhere: tuple[str, ...]) -> list[int]:
    """Lines of source with one of these opcodes, but not in a space that is named `elsewhere`.

    An asynchronous copy names both of its spaces.
    """
    found = {
        line
        for each in instructions
        if each.opcode in opcodes
        and ("shared" in each.modifiers if each.opcode == "cp" else not set(elsewhere) & set(each.modifiers))
        for line in (_own(each) or ("", ()))[1]
    }
    return sorted(found)
