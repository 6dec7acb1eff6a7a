"""Reads declarations of variables and of parameters."""

from __future__ import annotations

import re
from collections.abc import Callable

from .literals import integer
from .operands import split
from .ptx import SIZES, Parameter, Relocation, Variable

__all__ = ["parameters", "variable"]

_VARIABLE = re.compile(
    r"(?:\.(?:visible|extern|weak|common)\s+)*\.(?P<space>global|const|shared|local|param)\s*"
    r"(?P<attributes>(?:\.(?:align\s+\d+|attribute\([^)]*\)|v2|v4|managed|unified)\s*)*)"
    r"\.(?P<type>\w+)\s+(?P<name>[\w$%]+)\s*(?P<counts>(?:\[\s*\d*\s*\])*)\s*(?:=\s*(?P<initial>.*))?",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"\.(?:param|reg)\s+(?P<attributes>(?:\.align\s+\d+\s+)?)\.(?P<type>\w+)\s+"
    r"(?P<pointer>(?:\.ptr\b\s*(?:\.(?:global|shared|const|local)\s*)?(?:\.align\s+\d+\s*)?)?)"
    r"(?P<name>[\w$%]+)(?P<counts>(?:\[\s*\d*\s*\])?)"
)

_ADDRESS = re.compile(
    r"(?:(?P<generic>generic)\((?P<inner>[\w$%]+)\)|(?P<plain>[A-Za-z_$%][\w$]*))\s*(?:\+\s*(?P<addend>\d+))?"
)


def variable(text: str, rename: Callable[[str], str] = str) -> Variable:
    """Read the declaration of a variable, with its initial contents."""
    match = _VARIABLE.fullmatch(text)
    if not match:
        raise ValueError("unknown form of a variable")
    element = SIZES[match["type"]]
    for width in re.findall(r"\.v([24])", match["attributes"]):
        element *= int(width)
    align = re.search(r"align\s+(\d+)", match["attributes"])
    size = element
    for count in re.findall(r"\[\s*(\d*)\s*\]", match["counts"]):
        size *= int(count or 0)
    initial, relocations = _initial(match["initial"] or "", match["type"])
    if match["initial"] and not size:
        size = len(initial)
    return Variable(
        rename(match["name"]),
        match["space"],
        size,
        int(align[1]) if align else element,
        initial.ljust(size, b"\0") if initial else b"",
        relocations,
    )


def parameters(text: str | None) -> tuple[Parameter, ...]:
    """Read a list of parameters and lay them out as a kernel's parameter memory."""
    found: list[Parameter] = []
    end = 0
    for part in split(text or ""):
        match = _PARAMETER.match(part)
        if not match:
            raise ValueError(f"unknown form of a parameter: {part!r}")
        count = re.search(r"\d+", match["counts"])
        size = SIZES[match["type"]] * (int(count[0]) if count else 1)
        given = re.search(r"\d+", match["attributes"])
        align = int(given[0]) if given else SIZES[match["type"]]
        end = -(-end // align) * align
        found.append(Parameter(match["name"], match["type"], end, size, align, bool(match["pointer"])))
        end += size
    return tuple(found)


def _initial(text: str, type_: str) -> tuple[bytes, tuple[Relocation, ...]]:
    """Return the bytes of an initialiser, and where in them addresses belong."""
    text = re.sub(r"[{}]", " ", text).strip()
    contents, relocations = bytearray(), []
    size = SIZES[type_]
    for item in split(text):
        position = len(contents)
        if symbol := _ADDRESS.fullmatch(item):
            name, addend = symbol["inner"] or symbol["plain"], int(symbol["addend"] or 0)
            relocations.append(Relocation(position, size, name, addend, bool(symbol["generic"])))
            contents += bytes(size)
        else:
            contents += _number(item, type_, size)
    return bytes(contents), tuple(relocations)


def _number(text: str, type_: str, size: int) -> bytes:
    exact = re.fullmatch(r"(-?)0[fFdD]([\da-fA-F]+)", text)
    if exact and type_ not in ("b8", "u8", "s8"):
        value = int(exact[2], 16)
        return (value ^ (1 << (8 * size - 1)) if exact[1] else value).to_bytes(size, "little")
    return (integer(text) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
