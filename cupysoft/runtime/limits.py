"""What an architecture allows a launch to ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Limits", "limits_of", "number_of"]

# Shared memory that a block can have, in bytes, by compute capability: the CUDA C++ Programming Guide's table of
# technical specifications. From sm_80 on the system keeps 1 KiB of each block's, which is already taken off.
_SHARED = {
    75: 64 << 10,
    80: 163 << 10,
    86: 99 << 10,
    87: 163 << 10,
    88: 99 << 10,
    89: 99 << 10,
    90: 227 << 10,
    100: 227 << 10,
    101: 227 << 10,
    103: 227 << 10,
    107: 227 << 10,
    110: 227 << 10,
    120: 99 << 10,
    121: 99 << 10,
}
_SHARED_AT_LEAST = 48 << 10  # what every device has, and a launch gets without asking


@dataclass(frozen=True)
class Limits:
    """Greatest grid, block and shared memory of a launch.

    Parameters
    ----------
    shared : int
        Bytes of static and dynamic shared memory of a block.
    threads : int
        Threads in a block.
    grid, block : tuple of three ints
        Greatest extents.
    """

    shared: int
    threads: int = 1024
    grid: tuple[int, int, int] = ((1 << 31) - 1, 65535, 65535)
    block: tuple[int, int, int] = (1024, 1024, 64)


def limits_of(arch: str) -> Limits:
    """Limits of an architecture such as ``"sm_90a"``; of an unknown one those that every device keeps."""
    return Limits(_SHARED.get(number_of(arch), _SHARED_AT_LEAST))


def number_of(arch: str) -> int:
    """Compute capability of an architecture, 90 for ``"sm_90a"``; 0 for what is none."""
    number = re.match(r"sm_(\d+)", arch)
    return int(number[1]) if number else 0
