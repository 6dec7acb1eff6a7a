"""Rows that are left open because a result of theirs was in doubt: the step that settles them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.ops.plans_view import general_view_of
from cupysoft.ops.plans_weighted import type_number
from cupysoft.runtime.plan import Argument, KernelRef, Plan, Scratch, Step

__all__ = ["Open", "Options"]

_SETTLE = "softmax/settle.cu"
# Threads of its blocks, and rows that one looks at (SETTLE_WARPS in settled.cuh, SETTLE_ROWS in settle.cu).
_THREADS = 128
_ROWS = 16
# Kind in settled.cuh.
_KINDS = ("Softmax", "LogSoftmax", "LogSumExp")


class Options(enum.IntFlag):
    """What a kernel is told about rows in doubt (Options in operations.cuh)."""

    ALL_OPEN = 1
    IN_PLACE = 2
    ONLY_TEST = 4
    ONLY_WRITE = 8


@dataclass(frozen=True)
class Open:
    """How rows in doubt are left open, and settled.

    Attributes
    ----------
    in_place : bool
        Whether out is x, so that nothing of a row may be written before all of it is decided.
    tier : int
        The first tier that counts: 1, or for tests 2 or 3, which then decide every row.
    """

    in_place: bool = False
    tier: int = 1

    @property
    def options(self) -> Options:
        """What every kernel is told."""
        place = Options.IN_PLACE if self.in_place else Options(0)
        return place | (Options.ALL_OPEN if self.tier > 1 else Options(0))

    @property
    def walks(self) -> tuple[Options, ...]:
        """What the kernel that gives the results of rows in parts is told, each time that it runs."""
        if not self.in_place:
            return (self.options,)
        return self.options | Options.ONLY_TEST, self.options | Options.ONLY_WRITE

    def arguments(self, options: Options) -> tuple[Argument, ...]:
        """Where results go, where it is noted that a row is open, and what to do."""
        return "out", "open", np.int32(options)

    def settled(self, plan: Plan, name: str, layout: Layout, dtype: np.dtype[Any]) -> Plan:
        """Add the last step to the plan of an operation of that name."""
        view = general_view_of(layout, 2)
        kernel = KernelRef(_SETTLE, f"settle<{view.type}>")
        told = np.int32(type_number(dtype)), np.int32(_KINDS.index(name)), np.int32(self.tier)
        grid = (-(-layout.rows // _ROWS), 1, 1)
        step = Step(kernel, grid, (_THREADS, 1, 1), 0, ("x", view.value, "out", "open", *told))
        return Plan((*plan.steps, step), (*plan.scratch, Scratch("open", np.dtype(np.int32), layout.rows)))
