"""Which architectures work out the softmax of short types in float32 alone, and which in float64, for the same bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from cupysoft.arrays import Layout

__all__ = ["holds_plainly", "prefers_float32"]

# The first whose warps reduce integers, and pack pairs of 16 bits, by one instruction.
_OLDEST = 80
# Where float64 runs at half the rate of float32, which is all that float32 needs at the bandwidth of these devices.
_FAST_FLOAT64 = (90,)
# Where it is fast enough for rows of which one in eight or more is in doubt, so that float64 works it out again.
_FAST_FLOAT64_OF_LONG_ROWS = (90, 100)
_LONG = 8192


def prefers_float32(dtype: np.dtype[Any], arch: str, columns: int = 1) -> bool:
    """Whether float32 is faster, by the count of instructions of both (tests/kernels/test_issue_slots.py).

    Parameters
    ----------
    dtype : numpy.dtype
        Of the elements.
    arch : str
        Architecture, such as ``"sm_90"`` or ``"90"``.
    columns : int
        Length of a row.
    """
    # What names no architecture is refused when it comes to compiling.
    number = int("0" + re.sub(r"\D", "", arch))
    fast = _FAST_FLOAT64_OF_LONG_ROWS if columns > _LONG else _FAST_FLOAT64
    return number >= _OLDEST and (dtype.itemsize == 2 or (dtype.itemsize == 4 and number not in fast))


def holds_plainly(layout: Layout, access: str) -> bool:
    """Whether rows lie so that their addresses leave registers to a kernel that needs them all."""
    return len(layout.batch) <= 2 and len(layout.reduced) <= 1 and access != "Elements"
