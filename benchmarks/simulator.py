"""Time CUDA kernels on the simulated device beside the same algorithm in C; print a table and write JSON.

A softmax of float32 rows computed in float64, once as a plain loop (benchmarks/softmax_rows.cu, whose twin in C is
compiled with gcc -O3 -march=native where gcc is), once by the package's own kernels: by the fast version of the
simulator, by the masked one and with checks, beside SciPy, NumPy and PyTorch in float64, on all threads and on one.
All of a row is measured alternately in one process, the best of several counts. Times are nanoseconds an element.

    python -m benchmarks.simulator [--json simulator.json] [--quick] [--processor-time]

On a machine that does other things at the same time, --processor-time counts what the processor spent on the process
rather than what the clock on the wall shows; what runs on several threads is then left out.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

import cupysoft
from benchmarks.measure import alternately, processor, report
from cupysoft import simulator
from cupysoft.runtime.compile import compile

FOLDER = Path(__file__).parent
ELEMENTS = 2000 * 4096
LENGTHS = (4096, 1000, 1001, 4095)
THREADS = 128  # of a block of softmax_rows.cu
DEVICES = {"fast": {"check": False}, "masked": {"check": False, "fast": False}, "checked": {"check": True}}

Call = Callable[[], Any]
Launch = Callable[[simulator.Device], None]


def main() -> None:
    """Measure what this machine has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("simulator.json"), help="file to write")
    parser.add_argument("--quick", action="store_true", help="fewer elements and repeats")
    parser.add_argument("--processor-time", action="store_true", help="for a machine that does other things, too")
    options = parser.parse_args()
    everyone = processors()
    # All threads first: those that are started now may run anywhere, also when their number is restricted later.
    counts = [1] if options.processor_time else sorted({everyone, 1}, reverse=True)
    rows: list[dict[str, Any]] = []
    for count in counts:
        with restricted(count) as possible:
            if possible or count == everyone:
                rows += measured(count, quick=options.quick, processor_time=options.processor_time)
    for row in rows:
        add_ratios(row, rows)
    report(f"{processor()}, {everyone} threads", rows, options.json)


def processors() -> int:
    """Threads that can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def restricted(count: int) -> Iterator[bool]:
    """Let this thread, and what it asks for, have so many processors; give whether the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:count]))
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


def measured(threads: int, *, quick: bool, processor_time: bool) -> list[dict[str, Any]]:
    """Time both kernels on rows of every length."""
    clock = time.process_time if processor_time else time.perf_counter
    # Not by RawKernel, which flushes subnormal numbers as CuPy does and the C does not.
    kernel = compile((FOLDER / "softmax_rows.cu").read_text(), arch="sm_90")
    rows = []
    for length in LENGTHS:
        shape = (ELEMENTS // (16 if quick else 1) // length, length)
        x = np.random.default_rng(0).normal(0, 5, shape).astype(np.float32)
        y = np.empty_like(x)
        beside = peers(x, y, threads)

        def plain(device: simulator.Device, x: Any = x, y: Any = y) -> None:
            device.launch(kernel, "softmax_rows", (x.shape[0], 1, 1), (THREADS, 1, 1), (x, y, np.int32(x.shape[1])))

        def own(device: simulator.Device, x: Any = x, y: Any = y) -> None:
            cupysoft.softmax(x, axis=-1, out=y)

        if "native" in beside:
            compare(beside["native"], plain, y)
        for name, call in (("plain loop", plain), ("cupysoft", own)):
            calls = {device: on(simulator.Device(**settings), call) for device, settings in DEVICES.items()}
            best = alternately({**beside, **calls}, repeats=3 if quick else 9, clock=clock)
            row: dict[str, Any] = {"kernel": name, "shape": list(shape), "threads": threads}
            row |= {f"{which} ns": 1e9 * seconds / x.size for which, seconds in best.items()}
            row |= rates(call, best)
            rows.append(row)
    return rows


def on(device: simulator.Device, call: Launch) -> Call:
    """Give the call as it runs on a device."""

    def run() -> None:
        with device:
            call(device)

    return run


def rates(call: Launch, best: dict[str, float]) -> dict[str, float]:
    """Give thread instructions a second, in units of 10^9."""
    with simulator.Device(check=True) as device:
        call(device)
    total = sum(kernel.thread_instructions.total() for kernel in device.report.kernels.values())
    return {f"{name} G/s": total / best[name] / 1e9 for name in DEVICES}


def compare(native: Call, plain: Launch, y: Any) -> None:
    """Make sure that the C and the kernel compute the same: the same bits."""
    native()
    expected = y.copy()
    y.fill(0)
    on(simulator.Device(check=False), plain)()
    if not np.array_equal(expected.view(np.uint32), y.view(np.uint32)):
        raise SystemExit("softmax_rows.c and softmax_rows.cu do not give the same bits")
    y.fill(0)


def add_ratios(row: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Say how a row compares: with C, with rows of 4096, with one thread."""

    def other(shape: list[int], threads: int) -> dict[str, Any]:
        same = (each for each in rows if each["kernel"] == row["kernel"] and each["threads"] == threads)
        return next((each for each in same if each["shape"][1] == shape[1]), {})

    if "native ns" in row:
        row["fast / native"] = row["fast ns"] / row["native ns"]
    row["fast / 4096"] = row["fast ns"] / other([0, 4096], row["threads"])["fast ns"]
    alone = other(row["shape"], 1)
    if alone and row["threads"] > 1:
        row["speedup"] = alone["fast ns"] / row["fast ns"]


# What it is measured beside.


def peers(x: Any, y: Any, threads: int) -> dict[str, Call]:
    """Give the calls to compare, all of them in float64 and rounded once."""
    calls: dict[str, Call] = {}
    library = compiled()
    if library is not None:
        calls["native"] = in_parts(library, x, y, threads)
    calls["scipy"] = lambda: scipy.special.softmax(x.astype(np.float64), axis=-1).astype(np.float32)
    calls["numpy"] = lambda: in_numpy(x)
    try:
        import torch
    except ImportError:
        return calls
    torch.set_num_threads(threads)
    tensor = torch.from_numpy(x)
    calls["torch"] = lambda: torch.softmax(tensor, dim=-1, dtype=torch.float64).to(torch.float32)
    return calls


def in_numpy(x: Any) -> Any:
    """Softmax as one writes it in NumPy."""
    e = np.exp(x - x.max(axis=-1, keepdims=True).astype(np.float64))
    return (e / e.sum(axis=-1, keepdims=True)).astype(np.float32)


def compiled() -> ctypes.CDLL | None:
    """Compile the C; None where there is no gcc."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "softmax_rows.so"
        source = FOLDER / "softmax_rows.c"
        subprocess.run([gcc, "-O3", "-march=native", "-shared", "-fPIC", "-o", path, source], check=True)
        return ctypes.CDLL(str(path))


def in_parts(library: ctypes.CDLL, x: Any, y: Any, threads: int) -> Call:
    """Give the call of the C, its rows dealt out to threads."""
    cuts = [x.shape[0] * part // threads for part in range(threads + 1)]
    pool = ThreadPoolExecutor(threads)

    def part(first: int, last: int) -> None:
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, y)]
        library.softmax_rows(*pointers, *map(ctypes.c_long, (x.shape[1], first, last)))

    if threads == 1:
        return lambda: part(0, x.shape[0])
    return lambda: list(pool.map(part, cuts[:-1], cuts[1:]))


if __name__ == "__main__":
    main()
