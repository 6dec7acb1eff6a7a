"""printf of a kernel: the records that the threads left become text, in the order of blocks and threads."""

from __future__ import annotations

import ctypes
import re
import struct
import sys
from collections.abc import Iterator, Sequence

from .memory import AddressMap
from .workspace import Workspace

__all__ = ["show"]

#: Head of a record: bytes of all of it, block, thread, address of the format, then the arguments as they lie in memory.
_HEAD = struct.Struct("<qqqq")
_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\*|\d+)?(?:\.(?P<precision>\*|\d+))?"
    r"(?P<length>hh|h|ll|l|L|q|j|z|t)?(?P<kind>[%diouxXeEfFgGaAcspn])"
)
_LONG = ("l", "ll", "q", "j", "z", "t")


def show(workspaces: Sequence[Workspace], memory: AddressMap | None) -> None:
    """Write what the threads of a launch printed to ``sys.stdout``.

    Parameters
    ----------
    workspaces : sequence of Workspace
        Their records.
    memory : AddressMap or None
        What addresses mean in a checked launch; None where they are host addresses.
    """
    records = [record for space in workspaces for record in _records(space.printed())]
    if not records:
        return
    records.sort(key=lambda record: record[:2])
    texts = [_formatted(_string(address, memory), values, memory) for _, _, address, values in records]
    sys.stdout.write("".join(texts))


def _records(raw: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    start = 0
    while start + _HEAD.size <= len(raw):
        size, block, thread, address = _HEAD.unpack_from(raw, start)
        if size < _HEAD.size or start + size > len(raw):
            return
        yield block, thread, address, raw[start + _HEAD.size : start + size]
        start += size


def _string(address: int, memory: AddressMap | None) -> str:
    """The text at an address of the kernel's."""
    if address == 0:
        return "(null)"
    if memory is not None:
        found = memory.of(address)
        if found is None:
            return "(invalid pointer)"
        region, byte = found
        raw = ctypes.string_at(region.address + byte, max(0, region.size - byte))
        return raw.split(b"\0")[0].decode("utf-8", "replace")
    return ctypes.string_at(address).decode("utf-8", "replace")


class _Arguments:
    """Reads variable arguments as the compiler lays them out: each at a multiple of its size."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, code: str) -> int | float:
        size = struct.calcsize(code)
        start = -(-self._at // size) * size
        self._at = start + size
        field = self._raw[start : self._at].ljust(size, b"\0")
        value: int | float = struct.unpack("<" + code, field)[0]
        return value


def _formatted(pattern: str, raw: bytes, memory: AddressMap | None) -> str:
    """Do what C's printf does."""
    arguments = _Arguments(raw)

    def convert(match: re.Match[str]) -> str:
        kind = match["kind"]
        if kind == "%":
            return "%"
        width = str(arguments.take("i")) if match["width"] == "*" else match["width"] or ""
        precision = str(arguments.take("i")) if match["precision"] == "*" else match["precision"]
        head = "%" + match["flags"] + width + ("" if precision is None else f".{precision}")
        if kind in "eEfFgG":
            return (head + kind) % arguments.take("d")
        if kind in "aA":
            text = float(arguments.take("d")).hex()
            return text.upper() if kind == "A" else text
        if kind == "s":
            return (head + "s") % _string(int(arguments.take("Q")), memory)
        if kind == "p":
            return ("%" + match["flags"].replace("0", "") + width + "s") % hex(int(arguments.take("Q")))
        if kind == "c":
            return (head + "s") % chr(int(arguments.take("i")) & 255)
        if kind == "n":
            arguments.take("Q")
            return ""
        signed = kind in "di"
        code = ("q" if signed else "Q") if match["length"] in _LONG else ("i" if signed else "I")
        return (head + ("d" if kind in "diu" else kind)) % int(arguments.take(code))

    return _CONVERSION.sub(convert, pattern)
