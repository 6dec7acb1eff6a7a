"""An operation of ``kernels/softmax/operations.cuh`` on one dtype, and the kernels that there are for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_float32 import holds_plainly
from cupysoft.ops.plans_kept import LONGEST, UNASKED, kept
from cupysoft.ops.plans_settle import Open
from cupysoft.ops.plans_view import View
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.plan import Argument, KernelRef, Step

__all__ = ["ROWS", "ROWS_FLOAT32", "Operation", "listed"]

ROWS = "softmax/rows.cu"
ROWS_FLOAT32 = "softmax/rows32.cu"

# A thread holds 16 elements in registers at most, 8 of float64: with their exponentials in float64 that is 32
# registers, what 512 threads a block leave room for without spills.
_HELD = 16
_HELD_FLOAT64 = 8


@dataclass(frozen=True)
class Operation:
    """An operation of kernels/softmax/operations.cuh on one dtype.

    `elements`: a result for each element; `left_open`: what becomes of rows in doubt;
    `float32`: whether there are kernels for it that work in float32, and these are wanted;
    `integers`: whether rows that are held are to be worked out in integers;
    `shared`: bytes of shared memory that a block can have.
    """

    name: str
    dtype: np.dtype[Any]
    elements: bool
    left_open: Open
    float32: bool = False
    shared: int = UNASKED
    integers: bool = False

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
        short = kernel == "softmax_warp" and (size < 32 or chunks == 1)
        if not self.float32 or not plainly or short:
            return self.direct(kernel, ROWS, (size, chunks, access), view, self.integers and plainly and not short)
        sizes = (chunks,) if kernel == "softmax_warp" else (size, chunks)
        return self.direct(f"{kernel}_floats", ROWS_FLOAT32, (*sizes, access), view)

    def kept_rows(self, layout: Layout, vectors: int, access: str, view: View) -> Step | None:
        """The step for rows that a block keeps in shared memory, if there is room for them."""
        plainly = holds_plainly(layout, access)
        float32 = self.float32 and plainly
        table = float32 or (self.name == "Softmax" and self.dtype.itemsize == 4)
        shared = self.shared if plainly else UNASKED
        found = kept(vectors, self.dtype.itemsize, shared, terms=table and plainly, table=table, access=access)
        if layout.columns > LONGEST or not self.elements or found is None:
            return None
        name, source = ("softmax_shared_floats", ROWS_FLOAT32) if float32 else ("softmax_shared", ROWS)
        by_integers = self.integers and plainly
        kernel = self.direct(name, source, (found.warps, str(found.terms).lower(), access), view, by_integers)
        arguments: tuple[Argument, ...] = ("x", view.value, *self.outputs)
        return Step(kernel, (layout.rows, 1, 1), (32 * found.warps, 1, 1), found.shared, arguments)

    def direct(
        self, kernel: str, source: str, arguments: Sequence[object], view: View, by_integers: bool = False
    ) -> KernelRef:
        """The kernel that goes from x to the outputs."""
        operation = f"{self.name}<float, ByIntegers>" if by_integers else self.type
        return KernelRef(source, f"{kernel}<{listed(operation, *arguments, view.type, *self.members)}>")


def listed(*arguments: object) -> str:
    """Template arguments as text."""
    return ", ".join(map(str, arguments))
