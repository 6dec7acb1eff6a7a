"""What the text of a PTX tells about its kernels: their parameters, and the shared memory they declare."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Parameter", "parameters", "static_shared"]

_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*(?:\(([^)]*)\))?")
_PARAM = re.compile(
    r"\.param\s+(?:\.align\s+(?P<align>\d+)\s+)?\.(?P<type>[usbf]\d+)"
    r"(?P<pointer>(?:\s+\.ptr(?:\s+\.(?:global|shared|const|local))?(?:\s+\.align\s+\d+)?)?)"
    r"\s+(?P<name>[\w$]+)(?:\[(?P<count>\d+)\])?"
)
_SHARED = re.compile(
    r"^\s*(?P<extern>\.extern\s+)?(?:\.visible\s+|\.weak\s+)?\.shared\s+(?:\.align\s+(?P<align>\d+)\s+)?"
    r"\.[usbf](?P<bits>\d+)\s+[\w$]+(?:\[(?P<count>\d+)\])?\s*[;=]",
    re.M,
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel.

    Parameters
    ----------
    type : str
        PTX type: ``"u64"`` for a pointer or a 64-bit integer, ``"f32"``, or ``"b8"`` for a structure.
    size : int
        Bytes.
    align : int
        Alignment in bytes.
    offset : int
        Where it lies in the parameter block.
    """

    type: str
    size: int
    align: int
    offset: int

    @property
    def floating(self) -> bool:
        """Whether it is a floating-point number."""
        return self.type.startswith("f")

    @property
    def structure(self) -> bool:
        """Whether it is passed as plain bytes, as structures and 16-bit floating-point numbers are."""
        return self.type == "b8"


def parameters(ptx: str) -> dict[str, tuple[Parameter, ...]]:
    """Parameters of every kernel in a PTX text, by the kernel's lowered name."""
    return {entry[1]: _listed(entry[2] or "") for entry in _ENTRY.finditer(ptx)}


def static_shared(ptx: str) -> int:
    """Bytes of shared memory that the kernels of a PTX text declare, padding included."""
    total = 0
    for match in _SHARED.finditer(ptx):
        if not match["extern"]:
            width = int(match["bits"]) // 8
            align = int(match["align"] or width)
            total = -(-total // align) * align + width * int(match["count"] or 1)
    return total


def _listed(text: str) -> tuple[Parameter, ...]:
    found: list[Parameter] = []
    end = 0
    for match in _PARAM.finditer(text):
        width = int(match["type"][1:]) // 8
        align = int(match["align"] or width)
        size = width * int(match["count"] or 1)
        offset = -(-end // align) * align
        found.append(Parameter(match["type"], size, align, offset))
        end = offset + size
    return tuple(found)
