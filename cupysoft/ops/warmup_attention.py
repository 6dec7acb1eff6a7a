"""Compiling ahead of time what a later call of attention will need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

__all__ = ["kernels_of_attention", "warmup_attention"]

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
    extra = {
        name: (shape, dtype if name == "bias" and bias_dtype is None else of)
        for name, shape, of in (
            ("mask", mask, np.bool_),
            ("bias", bias, bias_dtype),
            ("kv_lengths", kv_lengths, np.int64),
        )
        if shape is not None
    }
    kernels = kernels_of_attention(
        current_arch(FUNCTION) if arch is None else arch,
        {"q": q, "k": k, "v": k if v is None else v},
        dtype,
        extra,
        scale=scale,
        causal=causal,
        window=window,
        softcap=softcap,
        precision=precision,
        return_lse=return_lse,
    )
    names = tuple(kernel.name for kernel in kernels)
    if make_ready(kernels, arch):
        scalars = {name: of for name, (shape, of) in extra.items() if shape == ()}
        given, wide = _dtypes("dtype", dtype)
        named = {name: named_dtype(FUNCTION, "bias_dtype", of) for name, of in scalars.items()}
        names += _rehearse(given, wide, merge, named)
    return names


def kernels_of_attention(
    arch: str, shapes: Mapping[str, Sequence[int]], dtype: Any, extra: Mapping[str, tuple[Any, Any]], **options: Any
) -> tuple[KernelRef, ...]:
    """Plan a call, and give its kernels.

    Parameters
    ----------
    arch : str
        What to plan for.
    shapes : mapping
        Of q, k and v.
    dtype : dtype
        Of these.
    extra : mapping
        Shape and dtype of mask, bias and kv_lengths, as far as there are such.
    **options
        The other options of `attention`.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError
        As the call.
    """
    planner = _Planner(arch)
    _, wide = _dtypes("dtype", dtype)
    arrays = {name: stand_in(_shape(name, shape), wide) for name, shape in shapes.items()}
    for name, (shape, of) in extra.items():
        kind = named_dtype(FUNCTION, "bias_dtype", of)
        arrays[name] = (np.zeros if name == "kv_lengths" else stand_in)(_shape(name, shape), kind)
    run_attention(FUNCTION, **arrays, **options, target=planner)
    return tuple(planner.kernels)


def _dtypes(argument: str, dtype: Any) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The dtype that is given, and the one that is computed with."""
    given = named_dtype(FUNCTION, argument, dtype)
    return given, np.dtype(np.float64) if given.kind in "biu" else given


class _Planner(HostTarget):
    """Takes arrays that nobody reads, and notes which kernels the call would launch."""

    xp = SimpleNamespace(empty=stand_in, broadcast_to=np.broadcast_to)

    def __init__(self, arch: str) -> None:
        self.arch = arch
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
        result = xp.zeros((2, 2), wide), xp.zeros((2,), lse)
        target.merge_attention(result, result, xp.empty((2, 2), wide), xp.empty((2,), lse))
        part = target.attention_part(*result)
        target.finish_attention(target.join_attention(part, part), xp.empty((2, 2), wide), xp.empty((2,), lse))
        names.append("merge")
    return tuple(dict.fromkeys(names))
