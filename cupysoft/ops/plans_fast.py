"""Plans of what is asked for with ``precision="fast"``: plain float32, for rows that lie in memory as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_float32 import holds_plainly
from cupysoft.ops.plans_view import VECTOR_BYTES, access_type, by_columns, view_of
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.plan import KernelRef, Plan, Step

__all__ = ["fast"]

_SOURCE = "softmax/fast.cu"
# As in plans.py: elements that a thread holds, warps of the largest block, and threads of a block of single warps.
_HELD = 16
_WARPS = 16
_THREADS = 128
# Longer rows are cut into parts, which the exact kernels do.
_LONGEST = 65536


def fast(function: str, layout: Layout, dtype: np.dtype[Any], alignment: Sequence[int]) -> Plan | None:
    """Plan softmax, log_softmax or logsumexp in float32; None where the exact kernels serve as well.

    Parameters
    ----------
    function : str
        ``"Softmax"``, ``"LogSoftmax"`` or ``"LogSumExp"``.
    layout, dtype, alignment
        As for `cupysoft.ops.plans.softmax`.
    """
    if dtype.itemsize > 4 or not layout.rows or by_columns(layout) or layout.columns > _LONGEST:
        return None
    vector = VECTOR_BYTES // dtype.itemsize
    vectors = -(-layout.columns // vector)
    most = _HELD // vector
    lanes = min(32, _power_of_two(vectors))
    access = access_type(layout, dtype, alignment, (0,) if function == "LogSumExp" else (0, 1), lanes=lanes)
    if not holds_plainly(layout, access):
        return None
    view = view_of(layout, 2)
    what = f"Fast::{function}, {element_type(dtype)}"
    grid, block = layout.rows, _THREADS
    if vectors <= 32 * most:
        grid = -(-layout.rows * lanes // _THREADS)
        name = f"fast_warp<{what}, {lanes}, {_power_of_two(-(-vectors // lanes))}, {access}, {view.type}>"
    elif vectors <= 32 * most * _WARPS:
        block = 32 * _power_of_two(-(-vectors // (32 * most)))
        name = f"fast_block<{what}, {block // 32}, {most}, {access}, {view.type}>"
    else:
        block = 32 * _WARPS
        name = f"fast_walk<{what}, {access}, {view.type}>"
    step = Step(KernelRef(_SOURCE, name), (grid, 1, 1), (block, 1, 1), 0, ("x", view.value, "out"))
    return Plan((step,))


def _power_of_two(count: int) -> int:
    """The smallest power of two that is not below `count`, and at least 1."""
    return 1 << max(count - 1, 0).bit_length()
