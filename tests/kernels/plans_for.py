"""Plans for contiguous arrays, and running them on a simulated device with the results of the reference."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

import cupysoft
from cupysoft.arrays import Axis, Layout
from cupysoft.ops import plans, plans_sliced
from cupysoft.runtime.plan import Plan
from cupysoft.testing import reference, ulp_distance

__all__ = ["BFLOAT16", "DTYPES", "OPERATIONS", "assert_true", "contiguous", "families", "plan_of"]

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = (np.dtype("f2"), BFLOAT16, np.dtype("f4"), np.dtype("f8"))
OPERATIONS = ("softmax", "log_softmax", "logsumexp", "state")

Array = npt.NDArray[Any]


def contiguous(rows: int, columns: int, *, columns_first: bool = False, reduces: bool = False) -> Layout:
    """Lay out a (rows, columns) array, or a (columns, rows) one, and its result."""
    row, column = (1, rows) if columns_first else (columns, 1)
    to_row, to_column = (1, 0) if reduces else (row, column)
    batch = (Axis(rows, (row, to_row)),) if rows != 1 else ()
    return Layout(batch, (Axis(columns, (column, to_column)),) if columns != 1 else ())


def plan_of(operation: str, layout: Layout, dtype: Any, alignment: tuple[int, int] = (16, 16)) -> Plan:
    """Plan one operation."""
    dtype = np.dtype(dtype)
    if operation == "logsumexp":
        return plans.logsumexp(layout, dtype, alignment)
    if operation == "state":
        return plans_sliced.fold(layout, dtype)
    return plans.softmax(layout, dtype, alignment, log=operation == "log_softmax")


def families(plan: Plan) -> tuple[str, ...]:
    """Names of the kernels of a plan, without template arguments."""
    return tuple(step.kernel.name.split("<")[0] for step in plan.steps)


def assert_true(x: Array, axis: Any, functions: tuple[str, ...] = OPERATIONS[:3]) -> None:
    """Compute on the current device; compare with the rigorous reference."""
    for function in functions:
        ours = getattr(cupysoft, function)(x, axis=axis)
        true = getattr(reference, function)(x, axis=axis)
        assert ours.dtype == x.dtype
        assert np.max(ulp_distance(ours, true), initial=0) == 0, function
