"""Which architectures work out softmax in float64, which in float32 alone and which in integers, for the same bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from cupysoft.arrays import Layout

__all__ = ["holds_plainly", "prefers_float32", "prefers_integers"]

# The first whose warps reduce integers, and pack pairs of 16 bits, by one instruction.
_OLDEST = 80
# Where float64 runs at half the rate of float32, which with a table of exponentials is all that rows of float32 need at
# the bandwidth of these devices.
_FAST_FLOAT64 = (80, 90, 100)
# Where memory leaves twice as many issue slots for an element as integers of 64 bits take.
_MANY_SLOTS = (86, 89, 120, 121)


def prefers_float32(dtype: np.dtype[Any], arch: str) -> bool:
    """Whether float32 is faster, by the count of instructions of all ways (tests/kernels/test_issue_slots.py).

    Parameters
    ----------
    dtype : numpy.dtype
        Of the elements.
    arch : str
        Architecture, such as ``"sm_90"`` or ``"90"``.
    """
    number = _number(arch)
    others = (*_FAST_FLOAT64, *_MANY_SLOTS)
    return number >= _OLDEST and (dtype.itemsize == 2 or (dtype.itemsize == 4 and number not in others))


def prefers_integers(dtype: np.dtype[Any], arch: str) -> bool:
    """Whether integers are: they leave far fewer results in doubt than float32 alone."""
    return dtype == np.float32 and _number(arch) in _MANY_SLOTS


def _number(arch: str) -> int:
    # What names no architecture is refused when it comes to compiling.
    return int("0" + re.sub(r"\D", "", arch))


def holds_plainly(layout: Layout, access: str) -> bool:
    """Whether rows lie so that their addresses leave registers to a kernel that needs them all."""
    return len(layout.batch) <= 2 and len(layout.reduced) <= 1 and access != "Elements"
