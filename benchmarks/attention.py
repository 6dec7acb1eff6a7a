"""Time attention; print a table and write JSON.

On a machine with a GPU: milliseconds, TFLOP/s and the share of the device's peak over lengths, head dims, dtypes and
causal or not, and for one query a head (decoding) the share of the memory's bandwidth, beside the backends of PyTorch's
scaled_dot_product_attention, where it is installed, and a plain CuPy composition. On one without: the host path beside
the naive NumPy composition, measured alternately in one process, with the peak of the memory that each allocates.

    python -m benchmarks.attention [--json attention.json] [--quick] [--cpu-time]
"""

from __future__ import annotations

import argparse
import functools
import math
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import cupysoft
from benchmarks.measure import alternately, gpu, processor, report
from benchmarks.softmax import copy_bandwidth, gpu_seconds, named_dtype

# Heads, queries, keys and head_dim on the host: square, longer, wider, and decoding.
HOST_SHAPES = ((8, 512, 512, 64), (8, 2048, 2048, 64), (4, 2048, 2048, 128), (2, 4096, 4096, 64), (32, 1, 8192, 64))
TOKENS = 16384  # of a GPU call: batch times length
WIDTH = 2048  # heads times head_dim
LENGTHS, HEAD_DIMS = (512, 1024, 2048, 4096, 8192, 16384), (64, 128, 256)
DTYPES = ("float16", "bfloat16", "float32 tf32x3", "float32 ieee", "float64")
DECODE = ((16, 8192), (4, 65536))  # batch and keys; 32 heads of queries on 8 of keys, head_dim 128

# Dense peaks in TFLOP/s from NVIDIA's data sheets: tensor cores in 16 bits and in TF32, float32, and tensor cores in
# float64.
PEAKS = {
    "A100": (312.0, 156.0, 19.5, 19.5),
    "H100": (989.4, 494.7, 66.9, 66.9),
    "H200": (989.4, 494.7, 66.9, 66.9),
    "B200": (2250.0, 1125.0, 75.0, 37.0),
}


def main() -> None:
    """Measure what this machine has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("attention.json"), help="file to write")
    parser.add_argument("--quick", action="store_true", help="fewer shapes and repeats")
    parser.add_argument("--cpu-time", action="store_true", help="processor time of all threads, for a busy host")
    options = parser.parse_args()
    cupy = gpu()
    if cupy is None:
        clock = time.process_time if options.cpu_time else time.perf_counter
        device, rows = processor(), list(host_rows(options.quick, clock))
    else:
        device = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
        rows = [*square_rows(cupy, device, quick=options.quick), *decode_rows(cupy)]
    report(device, rows, options.json)


def naive(q: Any, k: Any, v: Any, *, causal: bool = False) -> Any:
    """Attention as it is written down, with NumPy's arrays or CuPy's; whole arrays of scores."""
    scores = q @ k.swapaxes(-1, -2)
    scores *= q.dtype.type(1 / math.sqrt(q.shape[-1]))
    if causal:
        beyond = np.arange(k.shape[-2]) > np.arange(q.shape[-2])[:, None] + k.shape[-2] - q.shape[-2]
        scores[..., beyond] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores @ v


def host_rows(quick: bool, clock: Callable[[], float]) -> Iterator[dict[str, Any]]:
    """Time the host path beside the naive composition; peaks in MiB beside the arguments."""
    rng = np.random.default_rng(0)
    for heads, q_len, kv_len, dim in HOST_SHAPES[: 1 if quick else None]:
        for dtype in ("float32", "float64"):
            for causal in (False, True) if q_len > 1 else (False,):
                shapes = (heads, q_len, dim), (heads, kv_len, dim), (heads, kv_len, dim)
                arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
                calls: dict[str, Callable[[], Any]] = {
                    "ours": functools.partial(cupysoft.attention, *arrays, causal=causal),
                    "naive": functools.partial(naive, *arrays, causal=causal),
                }
                best = alternately(calls, repeats=3 if quick else 5, clock=clock)
                row: dict[str, Any] = {"dtype": dtype, "heads, q, kv, dim": [heads, q_len, kv_len, dim]}
                row |= {"causal": str(causal)} | {f"{name} ms": 1e3 * seconds for name, seconds in best.items()}
                row["ours / naive"] = best["ours"] / best["naive"]
                row |= {f"{name} MiB": peak_mib(call) for name, call in calls.items()}
                yield row


def peak_mib(call: Callable[[], Any]) -> float:
    """Give the peak of what a call allocates, its result included, in MiB."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def square_rows(cupy: Any, device: str, *, quick: bool) -> Iterator[dict[str, Any]]:
    """As many queries as keys: TFLOP/s, and the share of the peak of the instructions that serve the dtype."""
    for kind in DTYPES:
        for dim in HEAD_DIMS[:2] if quick else HEAD_DIMS:
            for length in LENGTHS[2::2] if quick else LENGTHS:
                for causal in (False, True):
                    shape = (TOKENS // length, WIDTH // dim, length, dim)
                    work = 4 * math.prod(shape) * length / (2 if causal else 1)
                    row: dict[str, Any] = {"dtype": kind, "shape": list(shape), "causal": str(causal)}
                    arrays = normal(cupy, kind, shape, shape)
                    for name, seconds in timed(cupy, kind, arrays, causal).items():
                        row |= {f"{name} ms": 1e3 * seconds, f"{name} TFLOP/s": work / seconds / 1e12}
                    peak = peak_of(device, kind)
                    if peak is not None:
                        row["ours of peak"] = row["ours TFLOP/s"] / peak
                    yield row
                    cupy.get_default_memory_pool().free_all_blocks()


def decode_rows(cupy: Any) -> Iterator[dict[str, Any]]:
    """One query a head: how fast keys and values are read, as a share of the device's own copy."""
    copy = copy_bandwidth(cupy)
    for kind in DTYPES:
        for batch, keys in DECODE:
            q, k, v = normal(cupy, kind, (batch, 32, 1, 128), (batch, 8, keys, 128))
            row: dict[str, Any] = {"dtype": kind, "shape": [batch, 32, 1, 128], "keys": keys}
            for name, seconds in timed(cupy, kind, (q, k, v), causal=False).items():
                rate = (k.nbytes + v.nbytes) / seconds
                row |= {f"{name} ms": 1e3 * seconds, f"{name} GB/s": rate / 1e9, f"{name} of copy": rate / copy}
            yield row
            cupy.get_default_memory_pool().free_all_blocks()


def normal(cupy: Any, kind: str, of_queries: tuple[int, ...], of_keys: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Make queries, keys and values."""
    rng, dtype = cupy.random.default_rng(0), named_dtype(kind.split()[0])
    q, k, v = (rng.standard_normal(shape, dtype=cupy.float32).astype(dtype) for shape in (of_queries, of_keys, of_keys))
    return q, k, v


def peak_of(device: str, kind: str) -> float | None:
    """Give the peak in TFLOP/s of the instructions that serve a dtype; tf32x3 takes three of them for one."""
    for name, (half, tf32, single, double) in PEAKS.items():
        if name in device:
            return {"float32 tf32x3": tf32 / 3, "float32 ieee": single, "float64": double}.get(kind, half)
    return None


def timed(cupy: Any, kind: str, arrays: tuple[Any, Any, Any], causal: bool) -> dict[str, float]:
    """Give seconds of our call, of the CuPy composition where its scores fit, and of PyTorch's backends that run."""
    q, k, v = arrays
    precision: Any = kind.split()[1] if " " in kind else None
    result = {"ours": gpu_seconds(cupy, lambda: cupysoft.attention(q, k, v, causal=causal, precision=precision))}
    grouped = q.shape[1] != k.shape[1]
    if q.dtype.name != "bfloat16" and not grouped and math.prod(q.shape[:-1]) * k.shape[-2] * q.itemsize < 8 << 30:
        result["cupy"] = gpu_seconds(cupy, lambda: naive_on_gpu(cupy, q, k, v, causal=causal))
    return result | torch_seconds(cupy, arrays, causal, grouped=grouped)


def naive_on_gpu(cupy: Any, q: Any, k: Any, v: Any, *, causal: bool) -> Any:
    """The naive composition in CuPy, with its own mask."""
    scores = cupy.matmul(q, k.swapaxes(-1, -2)) * q.dtype.type(1 / math.sqrt(q.shape[-1]))
    if causal:
        keys, queries = cupy.arange(k.shape[-2]), cupy.arange(q.shape[-2])
        scores = cupy.where(keys > queries[:, None], scores.dtype.type(-np.inf), scores)
    weights = cupy.exp(scores - scores.max(axis=-1, keepdims=True))
    return cupy.matmul(weights / weights.sum(axis=-1, keepdims=True), v)


def torch_seconds(cupy: Any, arrays: tuple[Any, Any, Any], causal: bool, *, grouped: bool) -> dict[str, float]:
    """Give seconds of each backend of PyTorch's attention that takes the call; nothing without PyTorch."""
    try:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:
        return {}
    tensors = [as_tensor(cupy, torch, array) for array in arrays]

    def call(backend: Any) -> Any:
        with sdpa_kernel(backend):
            attend = torch.nn.functional.scaled_dot_product_attention
            return attend(*tensors, is_causal=causal, enable_gqa=grouped)

    result = {}
    stream = torch.cuda.ExternalStream(cupy.cuda.get_current_stream().ptr)
    for name in ("FLASH_ATTENTION", "CUDNN_ATTENTION", "EFFICIENT_ATTENTION", "MATH"):
        try:
            with torch.cuda.stream(stream):
                seconds = gpu_seconds(cupy, functools.partial(call, getattr(SDPBackend, name)))
        except RuntimeError:  # this backend does not take the dtype, the head_dim, or so much memory
            continue
        result[f"torch {name.split('_')[0].lower()}"] = seconds
    return result


def as_tensor(cupy: Any, torch: Any, array: Any) -> Any:
    """Give an array to PyTorch; bfloat16 travels as its bits, for DLPack of CuPy does not know it everywhere."""
    if array.dtype.name == "bfloat16":
        return torch.from_dlpack(array.view(cupy.int16)).view(torch.bfloat16)
    return torch.from_dlpack(array)


if __name__ == "__main__":
    main()
