"""Kernels for a CPU: which of kernels/softmax/loops.cu computes an operation, from layout and dtype to a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_settle import Options
from cupysoft.ops.plans_view import View, by_columns, view_of
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.limits import limits_of
from cupysoft.runtime.plan import KernelRef, Plan, Scratch, Step

__all__ = ["loops"]

_LOOPS = "softmax/loops.cu"
_LANES = 32
# Columns that an int counts with room to spare.
_LONGEST = 1 << 30
# Rows of so many columns are cut into parts where there are few of them, so that all threads have work; the length of a
# part, and how many there are at most. What is lost in sums (docs/exactness.md) follows from these numbers.
_IN_PARTS = 1 << 17
_FEW = 64
_PART = 1 << 16
_MOST_PARTS = 1 << 10
# At least what a part gives to its row, in 8 bytes each (Part in loops.cu).
_WORDS_OF_PART = 8
# Rows of fewer columns leave lanes of a warp idle: then each lane has a row of its own.
_SHORT = 64


def loops(
    name: str,
    layout: Layout,
    dtype: np.dtype[Any],
    arch: str,
    *,
    in_place: bool = False,
    all_open: bool = False,
    wide: bool = False,
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
    wide : bool
        Compute types of at most 32 bits as float64 is computed, in two words: then rows are hardly ever in doubt.

    Returns
    -------
    Plan or None
        Roles ``"x"``, ``"out"`` and ``"open"``, an int32 for each row; None where rows are too long for these kernels.
    """
    lane_a_row = by_columns(layout) or layout.columns < _SHORT
    if layout.columns > _LONGEST:
        return None
    options = (Options.IN_PLACE if in_place else Options(0)) | (Options.ALL_OPEN if all_open else Options(0))
    arrays = (0,) if name == "LogSumExp" else (0, 1)
    contiguous = len(layout.reduced) == 1 and all(layout.reduced[0].strides[array] == 1 for array in arrays)
    operation = _operation(name, dtype, wide)
    if not lane_a_row and layout.columns >= _IN_PARTS and layout.rows <= _FEW:
        return _in_parts(operation, layout, dtype, contiguous, options)
    lanes = _LANES if lane_a_row else 1
    shared = layout.columns * lanes * (16 if dtype.itemsize == 8 or wide else 8)
    kept = name == "Softmax" and shared <= limits_of(arch).shared
    view = view_of(layout, 2)
    owner = "LaneRow" if lane_a_row else "WarpRow"
    kernel = _kernel("softmax_loops", operation, dtype, view, owner, kept, contiguous)
    grid = (-(-layout.rows // lanes), 1, 1)
    args = "x", view.value, "out", "open", np.int32(options)
    return Plan((Step(kernel, grid, (_LANES, 1, 1), shared * kept, args),))


def _operation(name: str, dtype: np.dtype[Any], wide: bool) -> str:
    """Name an operation with its arithmetic."""
    element = element_type(dtype)
    counts = str(name != "Softmax").lower()
    return f"{name}<{element}, Arithmetic64<{element}, {counts}, true>>" if wide else f"{name}<{element}>"


def _kernel(variant: str, operation: str, dtype: np.dtype[Any], view: View, *arguments: str | bool) -> KernelRef:
    """Name an instantiation."""
    element = element_type(dtype)
    given = (str(each).lower() if isinstance(each, bool) else each for each in arguments)
    outputs = f"{element}*", "int*", "int"
    return KernelRef(_LOOPS, f"{variant}<{', '.join((operation, *given, view.type, *outputs))}>")


def _in_parts(operation: str, layout: Layout, dtype: np.dtype[Any], contiguous: bool, options: Options) -> Plan:
    """Plan few and long rows: the states of their parts, then the results of their parts."""
    length = max(_PART, -(-layout.columns // _MOST_PARTS))
    count = -(-layout.columns // length)
    view = view_of(layout, 2)
    outputs = "out", "open"
    block = (_LANES, 1, 1)

    per_row = operation.startswith("LogSumExp")

    def results(options: Options) -> Step:
        kernel = _kernel("softmax_loops_results", operation, dtype, view, contiguous)
        grid = (1 if per_row else count, layout.rows, 1)
        args = "x", view.value, np.int32(length), np.int32(count), "parts", *outputs, np.int32(options)
        return Step(kernel, grid, block, 0, args)

    kernel = _kernel("softmax_loops_part", operation, dtype, view, contiguous)
    args = "x", view.value, np.int32(length), "parts", *outputs, np.int32(options)
    states = Step(kernel, (count, layout.rows, 1), block, 0, args)
    twice = options & Options.IN_PLACE and not per_row
    turns = (Options.ONLY_TEST, Options.ONLY_WRITE) if twice else (Options(0),)
    scratch = Scratch("parts", np.dtype(np.int64), layout.rows * count * _WORDS_OF_PART)
    return Plan((states, *(results(options | turn) for turn in turns)), (scratch,))
