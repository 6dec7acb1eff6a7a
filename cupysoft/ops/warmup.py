"""Compiling ahead of time what a later call will need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cupysoft.host.sliced import WORDS
from cupysoft.ops.calls import OPERATIONS, Call, kernels_of
from cupysoft.ops.device_targets import CudaTarget
from cupysoft.ops.plans_states import texts
from cupysoft.ops.softmax import Precision
from cupysoft.ops.warmup_arguments import calls_of
from cupysoft.ops.warmup_device import current_arch, make_ready
from cupysoft.runtime import cuda

__all__ = ["warmup"]


def warmup(
    operations: str | Sequence[str] = OPERATIONS,
    dtypes: Any = ("float32",),
    columns: int | Sequence[int] | None = None,
    *,
    shape: Sequence[int] | None = None,
    axis: int | tuple[int, ...] | None = -1,
    b: bool | Sequence[int] = False,
    return_sign: bool = False,
    precision: Precision = "exact",
    arch: str | None = None,
) -> tuple[str, ...]:
    """Compile the kernels of later calls ahead of time.

    A call inside a CUDA graph capture, a benchmark, or a job on a node with no compiler then finds them ready.

    Parameters
    ----------
    operations : str or sequence of str
        Which of ``"softmax"``, ``"log_softmax"``, ``"logsumexp"`` and ``"SoftmaxState"``, which stands for all that a
        state can do. All of them by default.
    dtypes : dtype or sequence of dtypes
        Of the input, such as ``"float32"``, ``"int64"`` or ``ml_dtypes.bfloat16``; complex for logsumexp alone.
    columns : int or sequence of int, optional
        Lengths of the rows to come, in arrays of one or two axes and any number of rows; 1000 by default.
    shape : sequence of int, optional
        Shape of the input to come, instead of `columns`: any number of axes.
    axis : int, tuple of ints or None
        As in the calls to come. With `columns` it is -1 or 0.
    b : bool or sequence of int, default False
        Whether logsumexp will be given weights: True for weights of the input's shape, or their shape.
    return_sign : bool, default False
        As in the calls of logsumexp to come.
    precision : {"exact", "fast"}
        As in the calls to come.
    arch : str, optional
        Architecture such as ``"sm_90"``: compile for it into the disk cache; no GPU is needed. None, the default:
        compile for the current device and load there; inside ``with cupysoft.simulator.Device()``, for that device.

    Returns
    -------
    tuple of str
        Names of the kernels that are ready now.

    Raises
    ------
    DtypeError, ShapeError, AxisError, ArgumentError
        If an operation, a dtype, a shape or an axis is not one that kernels exist for, or they do not go together, or
        there is no such precision.
    LaunchError
        If there is no device and no `arch`.
    NotCompiledError
        If the current stream is capturing a graph already.
    CompileError, MissingDependencyError
        If the kernels cannot be compiled.

    Notes
    -----
    Which kernel serves a call depends on the length of a row, the dtype, and how the array lies in memory; how many
    rows there are hardly matters. Arrays are taken to be contiguous, at the alignment that CuPy's memory pool and NumPy
    give. For any other view, make the same call once instead.

    The merge and the softmax of a `SoftmaxState`, and conversions of integers, are compiled by CuPy, which asks the
    driver for which device. So with an `arch` they are left out; without, they run once here on arrays
    of a few elements. What CuPy compiles again for arrays beyond 2 GiB is left to their first call.

    Examples
    --------
    >>> import cupysoft
    >>> cupysoft.warmup("softmax", "float32", 1000, arch="sm_90")
    ('softmax_block<Softmax<float>...>', 'settle<...>')
    >>> cupysoft.warmup("log_softmax", "float64", shape=(8, 64, 100), axis=(0, 2), arch="sm_90")
    ('softmax_block<LogSoftmax<double>...>', 'settle<...>')
    """
    calls = calls_of(
        operations, dtypes, columns, shape=shape, axis=axis, b=b, return_sign=return_sign, precision=precision
    )
    kernels = kernels_of(calls, arch or current_arch("warmup"))
    names = tuple(kernel.name for kernel in kernels)
    if make_ready(kernels, arch):
        names += tuple(dict.fromkeys(name for call in calls for name in _rehearse(call)))
    return names


def _rehearse(call: Call) -> Iterator[str]:
    """Run what CuPy compiles itself, on as few elements as show its kind and on the current device; give the names."""
    xp = cuda.import_cupy()
    shape, axes = call.smallest()
    given = xp.zeros(shape, call.given)
    target = CudaTarget("warmup", {"x": given})
    x = target.convert(given, call.dtype)
    if call.given != call.dtype:
        yield "copy"
    if call.weights is not None:
        target.convert(target.array("warmup", "b", 2.0), call.dtype)
        yield "fill"
    if call.operation == "SoftmaxState":
        kept = tuple(n for i, n in enumerate(shape) if i not in axes)
        m, sums = xp.empty(kept), xp.zeros((WORDS, *kept), np.uint64)
        target.assign(m, -np.inf)  # as the state of nothing has it
        state = target.merge((m, sums), (m, sums))
        target.state_softmax(state, x, axes, xp.empty_like(x), xp.empty_like(x, np.bool_))
        yield from ("fill", *(text.name for text in texts(call.dtype)))
