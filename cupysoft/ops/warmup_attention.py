"""Compiling ahead of time what a later call of attention will need."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from cupysoft.attention_layout import AttentionOptions, Precision, Role
from cupysoft.errors import ShapeError
from cupysoft.ops import attention_device
from cupysoft.ops.attention_call import run_attention
from cupysoft.ops.calls import stand_in
from cupysoft.ops.device_targets import CudaTarget
from cupysoft.ops.host_target import HostTarget
from cupysoft.ops.warmup_arguments import named_dtype
from cupysoft.ops.warmup_device import current_arch, make_ready
from cupysoft.runtime import cuda
from cupysoft.runtime.plan import KernelRef

__all__ = ["warmup_attention"]

FUNCTION = "warmup_attention"


def warmup_attention(
    q: Sequence[int],
    k: Sequence[int],
    v: Sequence[int] | None = None,
    dtype: Any = "float32",
    *,
    scale: float | None = None,
    causal: bool | Literal["bottom-right", "top-left"] = False,
    window: tuple[int | None, int | None] | None = None,
    mask: Sequence[int] | None = None,
    bias: Sequence[int] | None = None,
    bias_dtype: Any = None,
    softcap: float | None = None,
    kv_lengths: Sequence[int] | None = None,
    precision: Precision | None = None,
    return_lse: bool = False,
    merge: bool = False,
    arch: str | None = None,
) -> tuple[str, ...]:
    """Compile the kernels of a later call of `attention` ahead of time.

    A call inside a CUDA graph capture, a benchmark, or a job on a node with no compiler then finds them ready.

    Parameters
    ----------
    q, k, v : sequence of int
        Shapes of queries, keys and values; that of `k` for `v` by default.
    dtype : dtype
        Of queries, keys and values.
    scale, causal, window, softcap, precision, return_lse
        As in the call to come.
    mask, bias, kv_lengths : sequence of int, optional
        The shapes of those that the call will have; ``()`` for a scalar.
    bias_dtype : dtype, optional
        Of the bias; `dtype` by default.
    merge : bool, default False
        Whether `merge_attention` or `AttentionState` is to come as well.
    arch : str, optional
        Architecture such as ``"sm_90"``: compile for it into the disk cache; no GPU is needed. None, the default:
        compile for the current device and load there; inside ``with cupysoft.simulator.Device()``, for that device.

    Returns
    -------
    tuple of str
        Names of the kernels that are ready now.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        As the call to come.
    LaunchError
        If there is no device and no `arch`.
    NotCompiledError
        If the current stream is capturing a graph already.
    CompileError, MissingDependencyError
        If the kernels cannot be compiled.

    See Also
    --------
    warmup : the same for the softmax family.

    Notes
    -----
    Arrays are taken to be contiguous, at the alignment that CuPy's memory pool and NumPy give. For any other view, make
    the same call once instead. What CuPy compiles itself, for `merge`, scalars and integers, it compiles on a device:
    with an `arch` it is left out.

    Examples
    --------
    >>> import cupysoft
    >>> len(cupysoft.warmup_attention((2, 8, 100, 64), (2, 8, 100, 64), dtype="float32", arch="sm_90"))
    1
    """
    given = named_dtype(FUNCTION, "dtype", dtype)
    planner = _Planner(arch)
    wide = np.dtype(np.float64) if given.kind in "biu" else given
    shapes = {"q": q, "k": k, "v": k if v is None else v}
    arrays = {name: stand_in(_shape(name, shape), wide) for name, shape in shapes.items()}
    extra: dict[str, Any] = {}
    if mask is not None:
        extra["mask"] = stand_in(_shape("mask", mask), np.dtype(np.bool_))
    if bias is not None:
        extra["bias"] = stand_in(
            _shape("bias", bias), given if bias_dtype is None else named_dtype(FUNCTION, "bias_dtype", bias_dtype)
        )
    if kv_lengths is not None:
        extra["kv_lengths"] = np.zeros(_shape("kv_lengths", kv_lengths), np.int64)
    run_attention(
        FUNCTION,
        *arrays.values(),
        **extra,
        scale=scale,
        causal=causal,
        window=window,
        softcap=softcap,
        precision=precision,
        return_lse=return_lse,
        target=planner,
    )
    kernels = tuple(planner.kernels)
    names = tuple(kernel.name for kernel in kernels)
    if make_ready(kernels, arch):
        names += _rehearse(given, wide, merge, {name: array.dtype for name, array in extra.items() if array.ndim == 0})
    return names


class _Planner(HostTarget):
    """Takes arrays that nobody reads, and notes which kernels the call would launch."""

    xp = SimpleNamespace(empty=stand_in, broadcast_to=np.broadcast_to)

    def __init__(self, arch: str | None) -> None:
        self.arch = current_arch(FUNCTION) if arch is None else arch
        self.kernels: list[KernelRef] = []

    def assign(self, out: Any, value: Any) -> None:
        """There is nothing to write to."""

    def attention(self, arrays: dict[Role, Any], options: AttentionOptions) -> None:
        """Plan it."""
        self.kernels += attention_device.plan(arrays, options, self.arch).kernels


def _shape(argument: str, shape: Any) -> tuple[int, ...]:
    """Check a shape."""
    given = shape if isinstance(shape, Sequence) and not isinstance(shape, str) else (None,)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in given):
        raise ShapeError(f"{FUNCTION}: {argument} is {shape!r}; expected a shape: a sequence of integers from 0 up")
    return tuple(map(int, given))


def _rehearse(
    given: np.dtype[Any], wide: np.dtype[Any], merge: bool, scalars: dict[str, np.dtype[Any]]
) -> tuple[str, ...]:
    """Run what CuPy compiles itself on a few elements, on the current device; give the names."""
    xp = cuda.import_cupy()
    q = xp.zeros((2, 2), given)
    target = CudaTarget(FUNCTION, {"q": q})
    names = ["copy"] if given != wide else []
    target.convert(q, wide)
    for dtype in scalars.values():
        target.convert(np.asarray(1), dtype)
        names.append("fill")
    if merge:
        lse = np.dtype(np.float64 if wide == np.float64 else np.float32)
        part = target.attention_part(xp.zeros((2, 2), wide), xp.zeros((2,), lse))
        target.finish_attention(target.join_attention(part, part), xp.empty((2, 2), wide), xp.empty((2,), lse))
        names.append("merge")
    return tuple(dict.fromkeys(names))
