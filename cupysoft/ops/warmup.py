"""Compiling ahead of time what a later call will need."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cupysoft.arrays import Axis, Layout, accepted_dtype
from cupysoft.errors import CupysoftError, DtypeError, LaunchError, MissingDependencyError, ShapeError
from cupysoft.ops import plans
from cupysoft.ops.device import WIDEST
from cupysoft.ops.targets import simulated_device
from cupysoft.runtime import cuda
from cupysoft.runtime.ahead import precompile
from cupysoft.runtime.plan import KernelRef, Plan

__all__ = ["DTYPES", "LENGTHS", "OPERATIONS", "kernels_of", "warmup"]

OPERATIONS = ("softmax", "log_softmax", "logsumexp")
DTYPES = ("float16", "bfloat16", "float32", "float64")

# Every way to hold a row, with the widest accesses and with the narrowest, which an odd length forces.
LENGTHS = tuple(length for power in range(18) for length in (2**power, 2**power + 1))

# The number of rows decides only the grid of a plan. Along the first axis it is also how far columns lie apart: from 8
# on (narrower arrays need a call to be compiled for) neighbouring threads take neighbouring rows.
ROWS = 64


def warmup(
    operations: str | Sequence[str] = OPERATIONS,
    dtypes: Any = ("float32",),
    columns: int | Sequence[int] = (1000,),
    *,
    axis: int = -1,
    arch: str | None = None,
) -> tuple[str, ...]:
    """Compile the kernels of later calls ahead of time.

    A call inside a CUDA graph capture, a benchmark, or a job on a node with no compiler then finds them ready.

    Parameters
    ----------
    operations : str or sequence of str
        Which of ``"softmax"``, ``"log_softmax"`` and ``"logsumexp"`` (of real input, without weights).
    dtypes : dtype or sequence of dtypes
        Of the input, such as ``"float32"`` or ``ml_dtypes.bfloat16``.
    columns : int or sequence of int
        Lengths of the rows to come.
    axis : {-1, 0}
        Whether rows lie along the last axis of a contiguous array, or along the first of several.
    arch : str, optional
        Architecture such as ``"sm_90"``: compile for it into the disk cache; no GPU is needed. None, the default:
        compile for the current device and load there; inside ``with cupysoft.simulator.Device()``, for that device.

    Returns
    -------
    tuple of str
        Names of the kernels that are ready now.

    Raises
    ------
    DtypeError, ShapeError
        If an operation, a dtype, a length or the axis is not one that kernels exist for.
    LaunchError
        If there is no device and no `arch`.
    CompileError, MissingDependencyError
        If the kernels cannot be compiled.

    Notes
    -----
    Which kernel serves a call depends on the length of a row, the dtype, and how the array lies in memory; the number
    of rows does not matter. Arrays are taken to be contiguous, at the alignment that CuPy's memory pool and NumPy
    give. For any other view, make the same call once instead.

    Examples
    --------
    >>> import cupysoft
    >>> cupysoft.warmup("softmax", "float32", 1000, arch="sm_90")
    ('softmax_block<Softmax<float>...>',)
    """
    kernels = kernels_of(operations, dtypes, columns, (axis,))
    device = simulated_device()
    if arch is not None:
        precompile(kernels, arch)
    elif device is not None:
        precompile(kernels, device.arch, "ptx")
    else:
        _check_for_a_device()
        cuda.CupyDevice().load(kernels)
    return tuple(kernel.name for kernel in kernels)


def kernels_of(
    operations: str | Sequence[str] | None = None,
    dtypes: Any = None,
    columns: int | Sequence[int] | None = None,
    axes: Iterable[int] = (-1, 0),
) -> tuple[KernelRef, ...]:
    """Give the kernels of operations on contiguous arrays; None stands for all there are."""
    plans_wanted = (
        _plan(operation, dtype, length, axis)
        for dtype in _types(DTYPES if dtypes is None else dtypes)
        for operation in _names(OPERATIONS if operations is None else operations)
        for length in _lengths(LENGTHS if columns is None else columns)
        for axis in axes
    )
    return tuple(dict.fromkeys(kernel for plan in plans_wanted for kernel in plan.kernels))


def _plan(operation: str, dtype: np.dtype[Any], columns: int, axis: int) -> Plan:
    """Plan a call on a contiguous array, (rows, columns) or (columns, rows)."""
    if axis not in (-1, 0):
        raise ShapeError(f"warmup: axis is {axis!r}; expected -1 (rows along the last axis) or 0 (along the first)")
    row, column = (columns, 1) if axis == -1 else (1, ROWS)
    reduces = operation == "logsumexp"
    out = (1, 0) if reduces else (row, column)
    reduced = (Axis(columns, (column, out[1])),) if columns > 1 else ()
    layout = Layout((Axis(ROWS, (row, out[0])),), reduced)
    if reduces:
        return plans.logsumexp(layout, dtype, (WIDEST, WIDEST))
    return plans.softmax(layout, dtype, (WIDEST, WIDEST), log=operation == "log_softmax")


def _names(operations: str | Sequence[str]) -> tuple[str, ...]:
    names = (operations,) if isinstance(operations, str) else tuple(operations)
    for name in names:
        if name not in OPERATIONS:
            raise DtypeError(f"warmup: operations holds {name!r}; expected some of {', '.join(OPERATIONS)}")
    return names


def _types(dtypes: Any) -> tuple[np.dtype[Any], ...]:
    given = dtypes if isinstance(dtypes, (list, tuple)) else (dtypes,)
    return tuple(accepted_dtype("warmup", "dtypes", _type(each), complex_too=False) for each in given)


def _type(given: Any) -> np.dtype[Any]:
    """Read a dtype; NumPy knows the name bfloat16 only from ml_dtypes."""
    try:
        found: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16 if given == "bfloat16" else given)
        return found
    except ImportError as error:
        raise MissingDependencyError(
            f"warmup: the dtype bfloat16 comes from ml_dtypes, which cannot be imported ({error}); "
            "install it with: pip install ml_dtypes"
        ) from error
    except TypeError:
        raise DtypeError(
            f"warmup: dtypes holds {given!r}, which is no dtype; expected some of {', '.join(DTYPES)}"
        ) from None


def _lengths(columns: int | Sequence[int]) -> tuple[int, ...]:
    lengths = (columns,) if isinstance(columns, (int, np.integer)) else tuple(columns)
    for length in lengths:
        if not isinstance(length, (int, np.integer)) or length < 1:
            raise ShapeError(f"warmup: columns holds {length!r}; expected lengths of rows, each at least 1")
    return tuple(map(int, lengths))


def _check_for_a_device() -> None:
    try:
        if cuda.import_cupy().cuda.is_available():
            return
    except CupysoftError as error:
        raise LaunchError(f"{_NO_DEVICE} ({error})") from error
    raise LaunchError(_NO_DEVICE)


_NO_DEVICE = (
    "warmup: no CUDA device to compile for; name an architecture, such as arch='sm_90', "
    "or call it inside cupysoft.simulator.Device()"
)
