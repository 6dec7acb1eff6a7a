"""printf of a kernel: the records that the threads left become text, in the order of blocks and threads."""

from __future__ import annotations

import ctypes
import math
import re
import struct
import sys
from collections.abc import Iterator, Sequence

from .memory import AddressMap
from .workspace import Workspace

__all__ = ["show", "string_at"]

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
    texts = [_formatted(string_at(address, memory), values, memory) for _, _, address, values in records]
    sys.stdout.write("".join(texts))


def _records(raw: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    start = 0
    while start + _HEAD.size <= len(raw):
        size, block, thread, address = _HEAD.unpack_from(raw, start)
        if size < _HEAD.size or start + size > len(raw):
            return
        yield block, thread, address, raw[start + _HEAD.size : start + size]
        start += size


def string_at(address: int, memory: AddressMap | None) -> str:
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
        if kind in "eEfFgGaA":
            return _real(match["flags"] + width, precision, kind, float(arguments.take("d")))
        if kind == "s":
            return (head + "s") % string_at(int(arguments.take("Q")), memory)
        if kind == "p":
            place = int(arguments.take("Q"))
            return ("%" + match["flags"].replace("0", "") + width + "s") % (hex(place) if place else "(nil)")
        if kind == "c":
            return (head + "s") % chr(int(arguments.take("i")) & 255)
        if kind == "n":
            arguments.take("Q")
            return ""
        code = "q" if match["length"] in _LONG else "i"
        return _integer(match["flags"], width, precision, match["length"], kind, int(arguments.take(code)))

    return _CONVERSION.sub(convert, pattern)


def _real(head: str, precision: str | None, kind: str, value: float) -> str:
    """Write a floating-point number."""
    if not math.isfinite(value):
        head = head.replace("0", "", 1) if head.startswith("0") else head
        return ("%" + head + ("F" if kind.isupper() else "f")) % value
    if kind not in "aA":
        return ("%" + head + ("" if precision is None else f".{precision}") + kind) % value
    mantissa, exponent = value.hex().split("p")
    text = f"{mantissa.rstrip('0').rstrip('.')}p{exponent}" if "." in mantissa else value.hex()
    return ("%" + head + "s") % (text.upper() if kind == "A" else text)


def _integer(flags: str, width: str, precision: str | None, length: str | None, kind: str, value: int) -> str:
    """Write an integer, of the length that the conversion names."""
    bits = {"hh": 8, "h": 16}.get(length or "", 64 if length in _LONG else 32)
    value &= (1 << bits) - 1
    if kind in "di":
        value -= (value >> (bits - 1)) << bits
    else:
        flags = flags.replace("+", "").replace(" ", "")
    if "#" in flags and (kind == "o" or not value):
        flags = flags.replace("#", "")
        if kind == "o" and value:
            precision = str(max(int(precision or 1), len(f"{value:o}") + 1))
    if precision is not None:
        flags = flags.replace("0", "")  # the precision says how many digits there are
    dotted = "" if precision is None else f".{precision}"
    return ("%" + flags + width + dotted + ("d" if kind in "diu" else kind)) % value
