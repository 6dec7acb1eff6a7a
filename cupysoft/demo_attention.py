"""The demo's part on attention: every backend beside the naive composition, its error and its extra memory."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cupysoft.attention_layout import AttentionOptions
from cupysoft.ops import plans_attention
from cupysoft.ops.attention_views import layout_of

if TYPE_CHECKING:
    from cupysoft.demo import Backend

__all__ = ["AttentionCompared", "attention_compared", "naive_attention"]

_HEAD_DIM = 64
#: Queries and keys: many where a call takes milliseconds, few where every instruction is simulated.
_LENGTHS = {"host": 1024, "simulated": 128, "GPU": 4096}
#: NumPy has no BLAS for float16: on the host the naive composition would take seconds.
_DTYPES = {"host": ("float32", "float64")}
_ALL_DTYPES = ("float16", "float32", "float64")
#: The true answer is computed for so many of the queries.
_CHECKED = 32


@dataclass(frozen=True)
class AttentionCompared:
    """One call on one backend beside the naive composition in NumPy (on a GPU in CuPy), in the same dtype.

    Attributes
    ----------
    backend, dtype : str
    length : int
        Number of queries, and of keys.
    error, naive_error : float
        Largest errors of an element.
    extra, naive_extra : int
        Bytes of memory beside the arguments and the result, at the most.
    milliseconds, naive_milliseconds : float
        The best of a few calls.
    good : bool
        Whether the error is at most 1.5 times the naive one and 2 units in the last place of the largest element.
    """

    backend: str
    dtype: str
    length: int
    error: float
    naive_error: float
    extra: int
    naive_extra: int
    milliseconds: float
    naive_milliseconds: float
    good: bool


def attention_compared(found: list[Backend]) -> Iterator[AttentionCompared]:
    """Compare attention on each backend with the naive composition."""
    rng = np.random.default_rng(2)
    for backend in found:
        if backend.way == "kernels":
            continue  # these do not compute the attention of NumPy arrays, which `host` does
        kind = backend.name.split()[0]
        length = _LENGTHS[kind]
        for name in _DTYPES.get(kind, _ALL_DTYPES):
            dtype = np.dtype(name)
            arrays = [rng.normal(size=(length, _HEAD_DIM)).astype(dtype) for _ in range(3)]
            there = [backend.put(each) for each in arrays]
            call, naive = partial(backend.call, "attention", *there), partial(naive_attention, *there)
            result, naive_result = (np.asarray(backend.get(each())) for each in (call, naive))
            chosen = slice(None, None, length // _CHECKED)
            true = naive_attention(arrays[0][chosen].astype(np.longdouble), *arrays[1:])
            error, naive_error = (float(np.abs(each[chosen] - true).max()) for each in (result, naive_result))
            allowed = 1.5 * naive_error + 2 * float(np.finfo(dtype).eps * np.abs(true).max())
            yield AttentionCompared(
                backend.name,
                name,
                length,
                error,
                naive_error,
                _extra(backend, there, call),
                _pooled(naive) if kind == "GPU" else _traced(naive),
                _best_ms(lambda: backend.get(call())),  # noqa: B023
                _best_ms(lambda: backend.get(naive())),  # noqa: B023
                error <= allowed,
            )


def naive_attention(q: Any, k: Any, v: Any) -> Any:
    """Attention as it is written down: an array of all scores, and another of their exponentials."""
    scores = q @ k.T * q.dtype.type(1 / math.sqrt(q.shape[-1]))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights @ v


def _extra(backend: Backend, arrays: list[Any], call: Callable[[], Any]) -> int:
    """Bytes that a call needs beside its arguments and its result."""
    if backend.device is None:
        return _traced(call)
    # Kernels have nothing but what their plan says.
    q, k, v = arrays
    options = AttentionOptions(scale=1 / math.sqrt(_HEAD_DIM))
    plan = plans_attention.attention(layout_of({"q": q, "k": k, "v": v, "out": q}, options), backend.device.arch)
    return sum(scratch.nbytes for scratch in plan.scratch)


def _traced(call: Callable[[], Any]) -> int:
    """Bytes that a call on the host allocates at the most, but for its result."""
    tracemalloc.start()
    try:
        result = call()
        return max(0, tracemalloc.get_traced_memory()[1] - int(result.nbytes))
    finally:
        tracemalloc.stop()


def _pooled(call: Callable[[], Any]) -> int:
    """Bytes that a call in CuPy takes from the device, but for its result."""
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.total_bytes()
    result = call()
    return max(0, int(pool.total_bytes()) - int(before) - int(result.nbytes))


def _best_ms(call: Callable[[], object], repeats: int = 3) -> float:
    best = math.inf
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best
