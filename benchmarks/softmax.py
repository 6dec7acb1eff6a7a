"""Time softmax, log_softmax and logsumexp; print a table and write JSON.

On a machine with a GPU: milliseconds, GB/s and the share of the device's own copy bandwidth, for a grid of row lengths,
dtypes and axes; exact and fast, beside cupyx.scipy.special and, where installed, PyTorch. On one without: NumPy arrays,
by the kernels on the CPU and by the host path alone, beside SciPy and, where installed, PyTorch (both get float32 where
we get 16 bits), measured alternately in one process, with the ratios.

    python -m benchmarks.softmax [--json results.json] [--quick] [--functions softmax,logsumexp]
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

import cupysoft
from benchmarks.measure import alternately, gpu, processor, report
from cupysoft.ops import cpu

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
ELEMENTS = 1 << 25  # of a GPU array: far larger than its caches
LENGTHS = (16, 33, 128, 1000, 1024, 4096, 4097, 16384, 65536, 1 << 20)
SHORT_LENGTHS = (33, 1024, 4097, 65536)
HOST_DTYPES = ("float16", "bfloat16", "float32", "float64")
HOST_SHAPES = ((2000, 4096), (200_000, 10), (8, 1_000_000), (64, 1000), (1, 10))


def main() -> None:
    """Measure what this machine has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("softmax.json"), help="file to write")
    parser.add_argument("--quick", action="store_true", help="fewer shapes and repeats")
    parser.add_argument("--functions", default=",".join(FUNCTIONS), help="comma-separated names")
    options = parser.parse_args()
    functions = options.functions.split(",")
    cupy = gpu()
    if cupy is None:
        device, rows = processor(), host_rows(functions, quick=options.quick)
    else:
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        device, rows = properties["name"].decode(), gpu_rows(cupy, functions, quick=options.quick)
    report(device, rows, options.json)


def host_rows(functions: list[str], *, quick: bool) -> list[dict[str, Any]]:
    """Time NumPy arrays beside SciPy."""
    rows = []
    rng = np.random.default_rng(0)
    for function in functions:
        for shape in HOST_SHAPES[: 1 if quick else None]:
            for axis in (1, 0, None) if shape[0] > 1 else (1,):
                x = rng.normal(0, 5, shape)
                for dtype in HOST_DTYPES:
                    best = alternately(host_calls(function, x, dtype, axis), repeats=3 if quick else 7)
                    row: dict[str, Any] = {"function": function, "shape": list(shape), "axis": axis, "dtype": dtype}
                    row |= {f"{name} ms": 1e3 * seconds for name, seconds in best.items()}
                    peers = [name for name in best if name not in ("ours", "host")]
                    row |= {f"ours / {name}": best["ours"] / best[name] for name in peers}
                    rows.append(row)
    return rows


def host_calls(function: str, x: Any, dtype: str, axis: int | None) -> dict[str, Callable[[], Any]]:
    """Give the calls to compare: what a user gets, the host path alone, SciPy's, PyTorch's where it is installed.

    The peers get float32 where we get 16 bits.
    """
    ours = functools.partial(getattr(cupysoft, function), x.astype(named_dtype(dtype)), axis=axis)

    def host() -> Any:
        with cpu.only("host"):
            return ours()

    given = x.astype(dtype if dtype == "float64" else "float32")
    theirs = functools.partial(getattr(scipy.special, function), given, axis=axis)
    calls: dict[str, Callable[[], Any]] = {"ours": ours, "host": host, "scipy": theirs}
    try:
        import torch
    except ImportError:
        return calls
    tensor = torch.from_numpy(given if axis is not None else given.reshape(-1))
    return calls | {"torch": lambda: getattr(torch, function)(tensor, dim=axis or 0)}


def gpu_rows(cupy: Any, functions: list[str], *, quick: bool) -> list[dict[str, Any]]:
    """Time the kernels beside the peers that are installed."""
    copy = copy_bandwidth(cupy)
    rows: list[dict[str, Any]] = [{"function": "copy", "GB/s": copy / 1e9}]
    for function in functions:
        for dtype in ("float16", "float32") if quick else ("float16", "bfloat16", "float32", "float64"):
            for length in SHORT_LENGTHS if quick else LENGTHS:
                for axis in (1, 0):
                    rows.append(gpu_row(cupy, function, dtype, length, axis, copy))
                    cupy.get_default_memory_pool().free_all_blocks()
    return rows


def gpu_row(cupy: Any, function: str, dtype: str, length: int, axis: int, copy: float) -> dict[str, Any]:
    """Time one function for one array; the traffic that counts is each element once in and, but for lse, once out."""
    others = max(1, ELEMENTS // length)
    shape = (others, length) if axis == 1 else (length, others)
    x = cupy.random.default_rng(0).standard_normal(shape, dtype=cupy.float32).astype(named_dtype(dtype))
    size = x.nbytes * (1 if function == "logsumexp" else 2)
    row: dict[str, Any] = {"function": function, "dtype": dtype, "shape": list(shape), "axis": axis}
    row["copy GB/s"] = copy / 1e9
    for name, call in peers(cupy, function, x, axis).items():
        seconds = gpu_seconds(cupy, call)
        row[f"{name} ms"] = 1e3 * seconds
        row[f"{name} GB/s"] = size / seconds / 1e9
        row[f"{name} of copy"] = size / seconds / copy
    return row


def named_dtype(name: str) -> Any:
    """Give a dtype by name, bfloat16 too."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def peers(cupy: Any, function: str, x: Any, axis: int) -> dict[str, Callable[[], Any]]:
    """Give the calls to compare: ours twice, CuPy's where it knows the dtype, PyTorch's where it is installed."""
    ours = functools.partial(getattr(cupysoft, function), x, axis=axis)
    calls: dict[str, Callable[[], Any]] = {"exact": ours, "fast": functools.partial(ours, precision="fast")}
    if x.dtype.name != "bfloat16":
        import cupyx.scipy.special as special

        if hasattr(special, function):
            calls["cupy"] = lambda: getattr(special, function)(x, axis=axis)
    try:
        import torch
    except ImportError:
        return calls
    # bfloat16 travels as its bits: DLPack of CuPy does not know it everywhere.
    tensor = (
        torch.from_dlpack(x.view(cupy.int16)).view(torch.bfloat16) if "bfloat" in x.dtype.name else torch.from_dlpack(x)
    )
    calls["torch"] = lambda: getattr(torch, function)(tensor, dim=axis)
    return calls


def copy_bandwidth(cupy: Any) -> float:
    """Give bytes a second, read and written, of a device copy of 1 GiB."""
    source = cupy.zeros(1 << 28, cupy.float32)
    target = cupy.empty_like(source)
    size = int(source.nbytes)
    return 2 * size / gpu_seconds(cupy, lambda: cupy.copyto(target, source))


def gpu_seconds(cupy: Any, call: Callable[[], Any]) -> float:
    """Give the median time of a call on the device, over batches long enough to hide the launch."""
    for _ in range(3):
        call()
    stream = cupy.cuda.get_current_stream()
    times = []
    for _ in range(7):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record(stream)
        for _ in range(5):
            call()
        end.record(stream)
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, end) / 5e3)
    return float(np.median(times))


if __name__ == "__main__":
    main()
