"""Rows that are cut into parts, of which each has a block of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_operation import ROWS_FLOAT32, Operation, listed
from cupysoft.ops.plans_view import view_of
from cupysoft.runtime.plan import Argument, Extent, KernelRef, Plan, Scratch, Step

__all__ = ["THREADS", "Family", "in_parts"]

THREADS = 128
"""Threads of the merging kernels, and of those in which a warp or a thread has a row."""

_PARTS = 4
# Words of the state of a part: its maximum, its sum in two words, and how often it has its maximum.
_STATE_WORDS = 4
_FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class Family:
    """What distinguishes rows and columns where a row is cut into parts."""

    name: str
    source: str
    access: tuple[str, ...]
    tiles: int
    block: Extent
    limit: int
    #: Whether float32 works out the parts of rows of 16 bits, which wait in shared memory (split32.cuh).
    float32: bool = False


def in_parts(operation: Operation, layout: Layout, family: Family) -> Plan:
    """States of parts, merged in a fixed order; then results, element by element or row by row."""
    view = view_of(layout, 2)
    part_size = family.limit // _PARTS
    parts = -(-layout.columns // part_size)
    grid = (family.tiles * parts, 1, 1)
    cut = (np.int64(part_size), np.int64(parts))
    # Where the state of a part lies: (rows, parts) by rows, (parts, rows) by columns.
    steps = (np.int64(parts), np.int64(1)) if family.name == "softmax" else (np.int64(1), np.int64(layout.rows))

    def kernel(name: str, *more: str) -> KernelRef:
        arguments = listed(operation.type, *family.access, view.type, *more)
        source, kind = (ROWS_FLOAT32, "_floats") if family.float32 else (family.source, "")
        return KernelRef(source, f"{family.name}_{name}{kind}<{arguments}>")

    scratch = [Scratch("states", _FLOAT64, _STATE_WORDS * layout.rows * parts)]
    waiting = part_size * operation.dtype.itemsize if family.float32 else 0
    split = Step(kernel("split"), grid, family.block, waiting, ("x", view.value, *cut, "states"))
    per_row = (layout.rows, 1, 1), (THREADS, 1, 1), 0
    if not operation.elements:
        name = f"split_finish<{listed(operation.type, view.type, *operation.members)}>"
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
