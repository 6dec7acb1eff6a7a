"""Memory beside global memory in which the checks keep who wrote, read and changed each granule last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .arguments import Region
from .checks.layout import AllocationField
from .memory import AddressMap

__all__ = ["remember"]

_STAMP_BYTES = 8
#: Stamps that one launch may have, in bytes. Arrays that would need more are not looked at for races.
_MOST_BYTES = 1 << 31


def remember(memory: AddressMap, shift: int) -> list[npt.NDArray[Any]]:
    """Give everything that a launch may write stamps, and tell the table; return what must live as long as the launch.

    Parameters
    ----------
    memory : AddressMap
        What the launch can reach.
    shift : int
        A granule has 1 << shift bytes.
    """
    kept: list[npt.NDArray[Any]] = []
    left = _MOST_BYTES
    for group in _overlapping(memory):
        if not any(region.writable for _, region in group):
            continue
        first = min(region.address for _, region in group) >> shift
        last = max(region.address + region.size - 1 for _, region in group) >> shift
        granules = last - first + 1
        left -= 3 * granules * _STAMP_BYTES
        if left < 0:
            break
        stamps = np.zeros(3 * granules, np.uint64)
        kept.append(stamps)
        begin = stamps.__array_interface__["data"][0]
        for number, _ in group:
            memory.table[number, AllocationField.CELLS] = begin - first * _STAMP_BYTES
            memory.table[number, AllocationField.READS] = granules * _STAMP_BYTES
    return kept


def _overlapping(memory: AddressMap) -> list[list[tuple[int, Region]]]:
    """Regions with their numbers, those together that share memory; the smallest groups first."""
    known = [(number, each) for number, each in enumerate(memory.regions) if each is not None and each.size]
    groups: list[list[tuple[int, Region]]] = []
    end = -1
    for number, region in sorted(known, key=lambda pair: pair[1].address):
        if region.address >= end:
            groups.append([])
        groups[-1].append((number, region))
        end = max(end, region.address + region.size)
    return sorted(groups, key=lambda group: sum(region.size for _, region in group))
