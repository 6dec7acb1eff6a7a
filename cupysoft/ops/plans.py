"""Which kernels compute an operation: from layout, dtype and alignment to a plan.

A plan follows from the length of a row, the dtype, and the strides. The number of rows decides only how many blocks are
launched, and the content of arrays decides nothing: so results do not depend on the batch, and nothing is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_float32 import holds_plainly
from cupysoft.ops.plans_kept import LONGEST, UNASKED
from cupysoft.ops.plans_operation import ROWS, Operation
from cupysoft.ops.plans_parts import THREADS, Family, in_parts
from cupysoft.ops.plans_settle import Open
from cupysoft.ops.plans_view import VECTOR_BYTES, access_type, by_columns, view_of
from cupysoft.ops.plans_weighted import general_logsumexp
from cupysoft.runtime.plan import Argument, Plan, Step

__all__ = ["logsumexp", "softmax"]

_COLUMNS = "softmax/columns.cu"

# Warps of the largest block that stages a row in registers, and of the blocks that stream (STREAM_WARPS in rows.cu).
_WARPS = 16
# Rows longer than this are cut into parts; a part is a quarter of it. A block streams a part in a few microseconds,
# long beside the time to start it, and a single row of a million elements still occupies 64 multiprocessors.
_SPLIT_ROWS = LONGEST
# The same by columns, where a block has 32 rows at once and 16 threads for each.
_SPLIT_COLUMNS = 4096
# Threads along a column in the kernels for long columns (STREAM_SIZE in columns.cu).
_COLUMN_SIZE = 16


def softmax(
    layout: Layout,
    dtype: np.dtype[Any],
    alignment: Sequence[int],
    *,
    log: bool,
    in_place: bool = False,
    first_tier: int = 1,
    float32: bool = False,
    integers: bool = False,
    shared: int = UNASKED,
) -> Plan:
    """Plan softmax, or log_softmax.

    Parameters
    ----------
    layout : Layout
        Rows and columns; strides of x and out.
    dtype : numpy.dtype
        float16, bfloat16, float32 or float64, in native byte order.
    alignment : sequence of int
        For x and out, a power of two that divides the address of the first element.
    log : bool
        Whether the logarithm is wanted.
    in_place : bool
        Whether `out` will be `x` itself.
    first_tier : int
        For tests: 2 or 3 to have every row decided by that tier (kernels/softmax/settled.cuh).
    float32 : bool
        Whether float32 shall do what it can in the place of float64, for the same bits (kernels/softmax/rows32.cu).
    integers : bool
        Whether integers shall, where x is float32 (kernels/numerics/by_integers.cuh).
    shared : int
        Bytes of shared memory that a block can have.

    Returns
    -------
    Plan
        Roles ``"x"`` and ``"out"``.
    """
    left_open = Open(in_place, first_tier)
    float32 = float32 and not log and dtype.itemsize <= 4
    integers = integers and not log and dtype == np.float32
    operation = Operation("LogSoftmax" if log else "Softmax", dtype, True, left_open, float32, shared, integers)
    return _settled(operation, layout, alignment)


def logsumexp(
    layout: Layout,
    dtype: np.dtype[Any],
    alignment: Sequence[int],
    *,
    weighted: bool = False,
    signed: bool = False,
    first_tier: int = 1,
) -> Plan:
    """Plan logsumexp.

    Parameters
    ----------
    layout : Layout
        Rows and columns; strides of x, [b], out, [sign]. out and sign have stride 0 along reduced axes.
    dtype : numpy.dtype
        As for `softmax`, or complex64 or complex128: of x and of b.
    alignment : sequence of int
        As for `softmax`, in the order of the layout's strides.
    weighted : bool
        Whether there is a b.
    signed : bool
        Whether the sign of the sum is wanted.
    first_tier : int
        As for `softmax`, where there is neither.

    Returns
    -------
    Plan
        Roles ``"x"``, ``"out"``, with weights ``"b"``, with sign ``"sign"``.
    """
    if weighted or signed or dtype.kind == "c":
        return general_logsumexp(layout, dtype, weighted=weighted, signed=signed, first_tier=first_tier)
    return _settled(Operation("LogSumExp", dtype, False, Open(tier=first_tier)), layout, alignment)


def _settled(operation: Operation, layout: Layout, alignment: Sequence[int]) -> Plan:
    """Plan an operation whose rows in doubt are left open, and the step that settles them."""
    plan = _planned(operation, layout, alignment)
    return operation.left_open.settled(plan, operation.name, layout, operation.dtype) if plan.steps else plan


def _planned(operation: Operation, layout: Layout, alignment: Sequence[int]) -> Plan:
    if layout.rows == 0:
        return Plan(())
    return _by_columns(operation, layout) if by_columns(layout) else _by_rows(operation, layout, alignment)


def _by_rows(operation: Operation, layout: Layout, alignment: Sequence[int]) -> Plan:
    """Choose by the length of a row: first what holds it in registers, then shared memory, streams, parts."""
    vector = VECTOR_BYTES // operation.dtype.itemsize
    vectors = -(-layout.columns // vector)
    most = operation.held // vector
    lanes = min(32, _power_of_two(vectors))
    arrays = (0, 1) if operation.elements else (0,)
    access = access_type(layout, operation.dtype, alignment, arrays, lanes=lanes)
    view = view_of(layout, 2)
    plainly = holds_plainly(layout, access)
    arguments: tuple[Argument, ...] = ("x", view.value, *operation.outputs)
    if vectors <= 32 * most:
        chunks = _power_of_two(-(-vectors // lanes))
        kernel = operation.held_rows("softmax_warp", lanes, chunks, access, view, plainly)
        return Plan((Step(kernel, (-(-layout.rows * lanes // THREADS), 1, 1), (THREADS, 1, 1), 0, arguments),))
    if vectors <= 32 * most * _WARPS:
        warps = _power_of_two(-(-vectors // (32 * most)))
        kernel = operation.held_rows("softmax_block", warps, most, access, view, plainly)
        return Plan((Step(kernel, (layout.rows, 1, 1), (32 * warps, 1, 1), 0, arguments),))
    if step := operation.kept_rows(layout, vectors, access, view):
        return Plan((step,))
    block = (32 * _WARPS, 1, 1)
    by_float32 = operation.float32 and plainly and operation.dtype.itemsize == 2
    if layout.columns <= _SPLIT_ROWS and not by_float32:
        kernel = operation.direct("softmax_stream", ROWS, (access,), view)
        return Plan((Step(kernel, (layout.rows, 1, 1), block, 0, arguments),))
    family = Family("softmax", ROWS, (access,), layout.rows, block, _SPLIT_ROWS, float32=by_float32)
    return in_parts(operation, layout, family)


def _by_columns(operation: Operation, layout: Layout) -> Plan:
    """The same choice where neighbouring lanes take neighbouring rows."""
    view = view_of(layout, 2)
    arguments: tuple[Argument, ...] = ("x", view.value, *operation.outputs)
    if layout.columns <= operation.held:
        kernel = operation.direct("columns_thread", _COLUMNS, (_power_of_two(layout.columns),), view)
        return Plan((Step(kernel, (-(-layout.rows // THREADS), 1, 1), (THREADS, 1, 1), 0, arguments),))
    tiles = -(-layout.rows // 32)
    if layout.columns <= operation.held * _COLUMN_SIZE:
        size = _power_of_two(-(-layout.columns // operation.held))
        kernel = operation.direct("columns_block", _COLUMNS, (size, operation.held), view)
        return Plan((Step(kernel, (tiles, 1, 1), (32, size, 1), 0, arguments),))
    block = (32, _COLUMN_SIZE, 1)
    if layout.columns <= _SPLIT_COLUMNS:
        kernel = operation.direct("columns_stream", _COLUMNS, (), view)
        return Plan((Step(kernel, (tiles, 1, 1), block, 0, arguments),))
    return in_parts(operation, layout, Family("columns", _COLUMNS, (), tiles, block, _SPLIT_COLUMNS))


def _power_of_two(count: int) -> int:
    """The smallest power of two that is not below `count`, and at least 1."""
    return 1 << max(count - 1, 0).bit_length()
