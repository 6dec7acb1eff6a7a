"""Calls to come, as values: which kernels each of them will launch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import real_dtype
from cupysoft.ops import device, device_states
from cupysoft.runtime.plan import KernelRef, Plan

__all__ = ["OPERATIONS", "Call", "any_rows", "kernels_of", "stand_in"]

# The architecture that calls are planned for where nobody names one: that of the simulated device.
USUAL = "sm_90"

OPERATIONS = ("softmax", "log_softmax", "logsumexp", "SoftmaxState")

# Many rows, as far as plans see: their number decides only grids. Along the first axis it is also how far columns lie
# apart: from 8 on neighbouring threads take neighbouring rows.
_MANY = 64
# As few as there can be between one and that.
_FEW = 2


@dataclass(frozen=True)
class Call:
    """One call on contiguous arrays, at the alignment that CuPy's memory pool and NumPy give.

    Attributes
    ----------
    operation : str
        One of `OPERATIONS`.
    given, dtype : numpy.dtype
        dtype of the input as it comes, and the one in which it is computed.
    shape : tuple of int
        Shape of the input; of logsumexp's `a`.
    axes : tuple of int
        The reduced axes, of the shape that input and weights have together.
    weights : tuple of int, optional
        Shape of logsumexp's `b`.
    signed : bool
        logsumexp's `return_sign`.
    fast : bool
        Whether ``precision="fast"`` is asked for.
    """

    operation: str
    given: np.dtype[Any]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    weights: tuple[int, ...] | None = None
    signed: bool = False
    fast: bool = False

    @property
    def joint(self) -> tuple[int, ...]:
        """The shape that is reduced."""
        return np.broadcast_shapes(self.shape, self.weights or (1,))

    def plan(self, arch: str = USUAL) -> Plan:
        """Plan it as the call itself will on that architecture, on arrays that nobody reads."""
        x = np.broadcast_to(stand_in(self.shape, self.dtype), self.joint)
        kept = tuple(n for i, n in enumerate(self.joint) if i not in self.axes)
        if self.operation == "SoftmaxState":
            return self._of_states(x, stand_in(kept, np.dtype(np.float64)))
        if self.operation != "logsumexp":
            log = self.operation == "log_softmax"
            plan = device.plan_fast("LogSoftmax" if log else "Softmax", x, self.axes, x) if self.fast else None
            return plan or device.plan_softmax(x, self.axes, x, log=log, arch=arch)
        inputs = [x]
        if self.weights is not None:
            inputs.append(np.broadcast_to(stand_in(self.weights, self.dtype), self.joint))
        results = [stand_in(kept, real_dtype(self.dtype) if self.signed else self.dtype)]
        if self.signed:
            results.append(stand_in(kept, self.dtype))
        plain = self.fast and self.weights is None and not self.signed
        plan = device.plan_fast("LogSumExp", x, self.axes, results[0]) if plain else None
        return plan or device.plan_logsumexp(inputs, self.axes, results)

    def _of_states(self, x: Any, m: Any) -> Plan:
        """All that can be done with a state, one after the other."""
        plans = device_states.plan_state(x, self.axes, m), *device_states.plans_of_results(x, self.axes, m)
        return Plan(tuple(step for plan in plans for step in plan.steps), plans[0].scratch)

    def smallest(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Give a shape, and its reduced axes, of as few elements as show how reduced axes and others take turns."""
        runs: list[bool] = []
        for axis, size in enumerate(self.joint):
            reduced = axis in self.axes
            if size > 1 and runs[-1:] != [reduced]:
                runs.append(reduced)
        return (2,) * len(runs) or (1,), tuple(axis for axis, reduced in enumerate(runs) if reduced)


def any_rows(columns: int, axis: int) -> tuple[tuple[int, ...], ...]:
    """Give shapes that stand for rows of so many columns, however many there are, along the last axis or the first."""
    if axis == -1:
        return (1, columns), (_MANY, columns)
    return (columns, 1), (columns, _FEW), (columns, _MANY)


def kernels_of(calls: Iterable[Call], arch: str = USUAL) -> tuple[KernelRef, ...]:
    """Give the kernels of calls on an architecture, each once."""
    return tuple(dict.fromkeys(kernel for call in calls for kernel in call.plan(arch).kernels))


_MEMORY = np.zeros(2 * device.WIDEST, np.uint8)
"""Holds an address with the alignment of new arrays."""


def stand_in(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Give a contiguous array of any size that takes no memory: its elements must not be touched."""
    start = -_MEMORY.ctypes.data % device.WIDEST
    first = _MEMORY[start : start + dtype.itemsize].view(dtype)
    steps = [dtype.itemsize]
    for size in reversed(shape[1:]):
        steps.append(steps[-1] * size)
    return np.lib.stride_tricks.as_strided(first, shape, steps[::-1][-len(shape) :] if shape else ())
