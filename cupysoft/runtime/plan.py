"""What is to be launched, as values: a plan is made from shapes alone and can be looked at.

A plan says which kernels run, with which grid, block, shared memory and arguments, and which scratch memory they share.
It names arrays by their role (``"x"``, ``"out"``); `cupysoft.runtime.launch.run` binds the roles to arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Argument", "KernelRef", "Plan", "Scratch", "Step"]

#: The role of an array, or a NumPy scalar whose bytes are handed over (``np.void`` for a structure).
Argument: TypeAlias = "str | np.generic"

Extent: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class KernelRef:
    """One kernel: where its source is and which instantiation is meant.

    Parameters
    ----------
    source : str
        Path of the source file under ``kernels/``, such as ``"softmax/rows.cu"``.
    name : str
        C++ name expression, such as ``"softmax_warp<float, 4, 1>"``.
    """

    source: str
    name: str


@dataclass(frozen=True)
class Scratch:
    """Memory that lives as long as the plan runs; its content at the start is undefined.

    Parameters
    ----------
    name : str
        Role by which the steps name it.
    dtype : numpy.dtype
        Type of an element.
    count : int
        Number of elements.
    """

    name: str
    dtype: np.dtype[Any]
    count: int

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class Step:
    """One launch of one kernel.

    Parameters
    ----------
    kernel : KernelRef
        What runs.
    grid, block : tuple of three ints
        Blocks in the grid and threads in a block.
    shared : int
        Bytes of dynamic shared memory.
    args : tuple
        Roles of arrays (strings) and NumPy scalars, in the order of the kernel's parameters.
    """

    kernel: KernelRef
    grid: Extent
    block: Extent
    shared: int
    args: tuple[Argument, ...]


@dataclass(frozen=True)
class Plan:
    """Steps that run one after the other on one device, and the scratch memory they share."""

    steps: tuple[Step, ...]
    scratch: tuple[Scratch, ...] = ()

    @property
    def kernels(self) -> tuple[KernelRef, ...]:
        """The kernels the plan needs, each once, in the order of their first use."""
        return tuple(dict.fromkeys(step.kernel for step in self.steps))
