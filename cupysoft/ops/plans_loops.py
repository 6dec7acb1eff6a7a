"""Kernels for a CPU: which of kernels/softmax/loops.cu computes an operation, from layout and dtype to a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_settle import Options
from cupysoft.ops.plans_view import by_columns, view_of
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.limits import limits_of
from cupysoft.runtime.plan import KernelRef, Plan, Step

__all__ = ["loops"]

_LOOPS = "softmax/loops.cu"
_LANES = 32
# Columns that an int counts with room to spare.
_LONGEST = 1 << 30
# Rows of fewer columns leave lanes of a warp idle: then each lane has a row of its own.
_SHORT = 64


def loops(
    name: str, layout: Layout, dtype: np.dtype[Any], arch: str, *, in_place: bool = False, all_open: bool = False
) -> Plan | None:
    """Plan an operation for the CPU; rows in doubt are left open, and nothing settles them.

    Parameters
    ----------
    name : {"Softmax", "LogSoftmax", "LogSumExp"}
        The operation.
    layout : Layout
        Rows and columns; strides of x and out.
    dtype : numpy.dtype
        float16, bfloat16, float32 or float64, in native byte order.
    arch : str
        Architecture whose limits hold.
    in_place : bool
        Whether `out` will be `x` itself.
    all_open : bool
        For tests: leave every row open.

    Returns
    -------
    Plan or None
        Roles ``"x"``, ``"out"`` and ``"open"``, an int32 for each row; None where rows are too long for these kernels.
    """
    lane_a_row = by_columns(layout) or layout.columns < _SHORT
    if layout.columns > _LONGEST:
        return None
    lanes = _LANES if lane_a_row else 1
    shared = layout.columns * lanes * (16 if dtype.itemsize == 8 else 8)
    kept = name == "Softmax" and shared <= limits_of(arch).shared
    arrays = (0,) if name == "LogSumExp" else (0, 1)
    contiguous = len(layout.reduced) == 1 and all(layout.reduced[0].strides[array] == 1 for array in arrays)
    view = view_of(layout, 2)
    element = element_type(dtype)
    owner = "LaneRow" if lane_a_row else "WarpRow"
    flags = (str(flag).lower() for flag in (kept, contiguous))
    arguments = ", ".join((f"{name}<{element}>", owner, *flags, view.type, f"{element}*", "int*", "int"))
    options = (Options.IN_PLACE if in_place else Options(0)) | (Options.ALL_OPEN if all_open else Options(0))
    kernel = KernelRef(_LOOPS, f"softmax_loops<{arguments}>")
    outputs = "out", "open", np.int32(options)
    grid = (-(-layout.rows // lanes), 1, 1)
    return Plan((Step(kernel, grid, (_LANES, 1, 1), shared * kept, ("x", view.value, *outputs)),))
