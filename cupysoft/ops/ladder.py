"""The plans of the teaching kernels in ``kernels/ladder``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cupysoft.runtime.plan import KernelRef, Plan, Step

__all__ = ["RUNGS", "Rung", "ladder_plan", "tail_plan"]

_SOURCE = "ladder/ladder.cu"
_THREADS = 128


@dataclass(frozen=True)
class Rung:
    """One way to compute a softmax.

    Attributes
    ----------
    kernel : str
        Name of the kernel.
    title : str
        What it is called in a table.
    arrays : tuple of str
        Roles of its arrays, in the order of its parameters: ``x``, ``scratch`` and ``y`` of shape (rows, columns),
        ``m`` and ``l`` of shape (rows,), all float32.
    """

    kernel: str
    title: str
    arrays: tuple[str, ...]

    @property
    def needs_tail(self) -> bool:
        """Whether it delivers (m, l), which the pointwise tail turns into a softmax."""
        return "y" not in self.arrays


RUNGS = (
    Rung("ladder_naive", "naive", ("x", "scratch", "y")),
    Rung("ladder_three", "safe, three walks", ("x", "y")),
    Rung("ladder_two", "safe, two walks", ("x", "m", "l")),
    Rung("ladder_online", "online", ("x", "m", "l")),
    Rung("ladder_misprint", "online, misprinted", ("x", "m", "l")),
)


def ladder_plan(rung: Rung, rows: int, columns: int) -> Plan:
    """Plan one rung on an (rows, columns) array, a thread a row; there must be at least one column."""
    return _plan(rung.kernel, rung.arrays, rows, rows, columns)


def tail_plan(rows: int, columns: int) -> Plan:
    """Plan ``y = exp(x - m) / l``, a thread an element."""
    return _plan("ladder_tail", ("x", "m", "l", "y"), rows * columns, rows, columns)


def _plan(kernel: str, arrays: tuple[str, ...], threads: int, rows: int, columns: int) -> Plan:
    sizes = (np.int64(rows), np.int64(columns))
    grid = (-(-threads // _THREADS), 1, 1)
    return Plan((Step(KernelRef(_SOURCE, kernel), grid, (_THREADS, 1, 1), 0, (*arrays, *sizes)),))
