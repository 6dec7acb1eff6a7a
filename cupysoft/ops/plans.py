"""Which kernels compute an operation: from layout, dtype and alignment to a plan.

A plan follows from the length of a row, the dtype, and the strides. The number of rows decides only how many blocks are
launched, and the content of arrays decides nothing: so results do not depend on the batch, and nothing is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_float32 import holds_plainly
from cupysoft.ops.plans_kept import LONGEST, UNASKED, kept
from cupysoft.ops.plans_settle import Open
from cupysoft.ops.plans_view import VECTOR_BYTES, View, access_type, by_columns, view_of
from cupysoft.ops.plans_weighted import element_type, general_logsumexp
from cupysoft.runtime.plan import Argument, Extent, KernelRef, Plan, Scratch, Step

__all__ = ["logsumexp", "softmax"]

_ROWS = "softmax/rows.cu"
_ROWS_FLOAT32 = "softmax/rows32.cu"
_COLUMNS = "softmax/columns.cu"

# A thread holds 16 elements in registers at most, 8 of float64: with their exponentials in float64 that is 32
# registers, what 512 threads a block leave room for without spills.
_HELD = 16
_HELD_FLOAT64 = 8
# Warps of the largest block that stages a row in registers, and of the blocks that stream (STREAM_WARPS in rows.cu).
_WARPS = 16
# Rows longer than this are cut into parts; a part is a quarter of it. A block streams a part in a few microseconds,
# long beside the time to start it, and a single row of a million elements still occupies 64 multiprocessors.
_SPLIT_ROWS = LONGEST
# The same by columns, where a block has 32 rows at once and 16 threads for each.
_SPLIT_COLUMNS = 4096
_PARTS = 4
# Words of the state of a part: its maximum, its sum in two words, and how often it has its maximum.
_STATE_WORDS = 4
_FLOAT64 = np.dtype(np.float64)
# Threads of softmax_warp and columns_thread, and of the merging kernels.
_THREADS = 128
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
    shared : int
        Bytes of shared memory that a block can have.

    Returns
    -------
    Plan
        Roles ``"x"`` and ``"out"``.
    """
    left_open = Open(in_place, first_tier)
    float32 = float32 and not log and dtype.itemsize <= 4
    operation = _Operation("LogSoftmax" if log else "Softmax", dtype, True, left_open, float32, shared)
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
    return _settled(_Operation("LogSumExp", dtype, False, Open(tier=first_tier)), layout, alignment)


@dataclass(frozen=True)
class _Operation:
    """An operation of kernels/softmax/operations.cuh on one dtype.

    `elements`: a result for each element; `left_open`: what becomes of rows in doubt;
    `float32`: whether there are kernels for it that work in float32, and these are wanted;
    `shared`: bytes of shared memory that a block can have.
    """

    name: str
    dtype: np.dtype[Any]
    elements: bool
    left_open: Open
    float32: bool = False
    shared: int = UNASKED

    @property
    def type(self) -> str:
        """The C++ type."""
        return f"{self.name}<{element_type(self.dtype)}>"

    @property
    def arithmetic(self) -> str:
        """The C++ type of its arithmetic, by its default."""
        return f"{self.type}::Arithmetic"

    @property
    def held(self) -> int:
        """Elements that a thread may hold."""
        return _HELD_FLOAT64 if self.dtype.itemsize == 8 else _HELD

    @property
    def members(self) -> tuple[str, ...]:
        """The C++ types of what it is made of."""
        return f"{element_type(self.dtype)}*", "int*", "int"

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """What it is made of: roles of what it writes, and what it is told."""
        return self.left_open.arguments(self.left_open.options)

    def held_rows(self, kernel: str, size: int, chunks: int, access: str, view: View, plainly: bool) -> KernelRef:
        """The kernel for rows that so many lanes, or warps, hold in so many rounds."""
        if not self.float32 or not plainly or (kernel == "softmax_warp" and (size < 32 or chunks == 1)):
            return self.direct(kernel, _ROWS, (size, chunks, access), view)
        sizes = (chunks,) if kernel == "softmax_warp" else (size, chunks)
        return self.direct(f"{kernel}_floats", _ROWS_FLOAT32, (*sizes, access), view)

    def kept_rows(self, layout: Layout, vectors: int, access: str, view: View) -> Step | None:
        """The step for rows that a block keeps in shared memory, if there is room for them."""
        plainly = holds_plainly(layout, access)
        float32 = self.float32 and plainly
        terms = plainly and self.name == "Softmax" and (float32 or self.dtype.itemsize == 4)
        shared = self.shared if plainly else UNASKED
        found = kept(vectors, self.dtype.itemsize, shared, terms=terms, table=float32, access=access)
        if layout.columns > LONGEST or not self.elements or found is None:
            return None
        name, source = ("softmax_shared_floats", _ROWS_FLOAT32) if float32 else ("softmax_shared", _ROWS)
        kernel = self.direct(name, source, (found.warps, str(found.terms).lower(), access), view)
        arguments: tuple[Argument, ...] = ("x", view.value, *self.outputs)
        return Step(kernel, (layout.rows, 1, 1), (32 * found.warps, 1, 1), found.shared, arguments)

    def direct(self, kernel: str, source: str, arguments: Sequence[object], view: View) -> KernelRef:
        """The kernel that goes from x to the outputs."""
        return KernelRef(source, f"{kernel}<{_list(self.type, *arguments, view.type, *self.members)}>")


def _list(*arguments: object) -> str:
    return ", ".join(map(str, arguments))


def _settled(operation: _Operation, layout: Layout, alignment: Sequence[int]) -> Plan:
    """Plan an operation whose rows in doubt are left open, and the step that settles them."""
    plan = _planned(operation, layout, alignment)
    return operation.left_open.settled(plan, operation.name, layout, operation.dtype) if plan.steps else plan


def _planned(operation: _Operation, layout: Layout, alignment: Sequence[int]) -> Plan:
    if layout.rows == 0:
        return Plan(())
    return _by_columns(operation, layout) if by_columns(layout) else _by_rows(operation, layout, alignment)


def _by_rows(operation: _Operation, layout: Layout, alignment: Sequence[int]) -> Plan:
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
        return Plan((Step(kernel, (-(-layout.rows * lanes // _THREADS), 1, 1), (_THREADS, 1, 1), 0, arguments),))
    if vectors <= 32 * most * _WARPS:
        warps = _power_of_two(-(-vectors // (32 * most)))
        kernel = operation.held_rows("softmax_block", warps, most, access, view, plainly)
        return Plan((Step(kernel, (layout.rows, 1, 1), (32 * warps, 1, 1), 0, arguments),))
    if step := operation.kept_rows(layout, vectors, access, view):
        return Plan((step,))
    block = (32 * _WARPS, 1, 1)
    by_float32 = operation.float32 and plainly and operation.dtype.itemsize == 2
    if layout.columns <= _SPLIT_ROWS and not by_float32:
        kernel = operation.direct("softmax_stream", _ROWS, (access,), view)
        return Plan((Step(kernel, (layout.rows, 1, 1), block, 0, arguments),))
    family = _Family("softmax", _ROWS, (access,), layout.rows, block, _SPLIT_ROWS, float32=by_float32)
    return _in_parts(operation, layout, family)


def _by_columns(operation: _Operation, layout: Layout) -> Plan:
    """The same choice where neighbouring lanes take neighbouring rows."""
    view = view_of(layout, 2)
    arguments: tuple[Argument, ...] = ("x", view.value, *operation.outputs)
    if layout.columns <= operation.held:
        kernel = operation.direct("columns_thread", _COLUMNS, (_power_of_two(layout.columns),), view)
        return Plan((Step(kernel, (-(-layout.rows // _THREADS), 1, 1), (_THREADS, 1, 1), 0, arguments),))
    tiles = -(-layout.rows // 32)
    if layout.columns <= operation.held * _COLUMN_SIZE:
        size = _power_of_two(-(-layout.columns // operation.held))
        kernel = operation.direct("columns_block", _COLUMNS, (size, operation.held), view)
        return Plan((Step(kernel, (tiles, 1, 1), (32, size, 1), 0, arguments),))
    block = (32, _COLUMN_SIZE, 1)
    if layout.columns <= _SPLIT_COLUMNS:
        kernel = operation.direct("columns_stream", _COLUMNS, (), view)
        return Plan((Step(kernel, (tiles, 1, 1), block, 0, arguments),))
    return _in_parts(operation, layout, _Family("columns", _COLUMNS, (), tiles, block, _SPLIT_COLUMNS))


@dataclass(frozen=True)
class _Family:
    """What distinguishes rows and columns where a row is cut into parts."""

    name: str
    source: str
    access: tuple[str, ...]
    tiles: int
    block: Extent
    limit: int
    #: Whether float32 works out the parts of rows of 16 bits, which wait in shared memory (split32.cuh).
    float32: bool = False


def _in_parts(operation: _Operation, layout: Layout, family: _Family) -> Plan:
    """States of parts, merged in a fixed order; then results, element by element or row by row."""
    view = view_of(layout, 2)
    part_size = family.limit // _PARTS
    parts = -(-layout.columns // part_size)
    grid = (family.tiles * parts, 1, 1)
    cut = (np.int64(part_size), np.int64(parts))
    # Where the state of a part lies: (rows, parts) by rows, (parts, rows) by columns.
    steps = (np.int64(parts), np.int64(1)) if family.name == "softmax" else (np.int64(1), np.int64(layout.rows))

    def kernel(name: str, *more: str) -> KernelRef:
        arguments = _list(operation.type, *family.access, view.type, *more)
        source, kind = (_ROWS_FLOAT32, "_floats") if family.float32 else (family.source, "")
        return KernelRef(source, f"{family.name}_{name}{kind}<{arguments}>")

    scratch = [Scratch("states", _FLOAT64, _STATE_WORDS * layout.rows * parts)]
    waiting = part_size * operation.dtype.itemsize if family.float32 else 0
    split = Step(kernel("split"), grid, family.block, waiting, ("x", view.value, *cut, "states"))
    per_row = (layout.rows, 1, 1), (_THREADS, 1, 1), 0
    if not operation.elements:
        name = f"split_finish<{_list(operation.type, view.type, *operation.members)}>"
        arguments: tuple[Argument, ...] = ("states", view.value, np.int64(parts), *steps, *operation.outputs)
        return Plan((split, Step(KernelRef(family.source, name), *per_row, arguments)), tuple(scratch))
    scratch.append(Scratch("merged", _FLOAT64, _STATE_WORDS * layout.rows))
    name = f"split_merge<{operation.arithmetic}>"
    arguments = ("states", np.int64(layout.rows), np.int64(parts), *steps, "merged", "open")
    merge = Step(KernelRef(family.source, name), *per_row, arguments)
    apply = [
        Step(
            kernel("apply", *operation.members),
            grid,
            family.block,
            0,
            ("x", view.value, *cut, "merged", *operation.left_open.arguments(options)),
        )
        for options in operation.left_open.walks
    ]
    return Plan((split, merge, *apply), tuple(scratch))


def _power_of_two(count: int) -> int:
    """The smallest power of two that is not below `count`, and at least 1."""
    return 1 << max(count - 1, 0).bit_length()
