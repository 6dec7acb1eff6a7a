"""Measure what a SoftmaxState costs: bytes a row, nanoseconds and instructions an element.

The host's times are processor time. Instructions are those that the simulated device executes, moves between registers
left out.

    python -m benchmarks.states [--rows 16] [--columns 8192] [--repeats 3] [--json states.json]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import alternately, processor, report
from cupysoft import SoftmaxState, simulator
from cupysoft.ops import cpu

STEPS = ("from_array", "merge", "logsumexp", "softmax")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--columns", type=int, default=8192)
    parser.add_argument("--dtypes", default="float16,float32,float64", help="comma-separated names")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("states.json"), help="file to write")
    options = parser.parse_args()
    rows = []
    for dtype in options.dtypes.split(","):
        x = np.random.default_rng(0).normal(scale=8, size=(options.rows, options.columns)).astype(dtype)
        rows += measured(x, options.repeats)
    report(processor(), rows, options.json)


def steps_of(x: Any) -> dict[str, Callable[[], Any]]:
    """All that can be done with the state of some rows."""
    state = SoftmaxState.from_array(x, 1)
    return {
        "from_array": lambda: SoftmaxState.from_array(x, 1),
        "merge": lambda: state.merge(state),
        "logsumexp": lambda: state.logsumexp(return_undecided=True),
        "softmax": lambda: state.softmax(x, return_undecided=True),
    }


def measured(x: Any, repeats: int) -> list[dict[str, Any]]:
    """Measure each step, in nanoseconds and instructions an element; of merge and logsumexp, a row."""
    with cpu.only("host"):
        on_host = alternately(steps_of(x), repeats, time.process_time)
    with cpu.only("kernels"):
        by_kernels = alternately(steps_of(x), repeats, time.process_time)
    found = []
    for step in STEPS:
        count = x.size if step in ("from_array", "softmax") else len(x)
        found.append({
            "dtype": x.dtype.name,
            "step": step,
            "per": "element" if count == x.size else "row",
            "host ns": on_host[step] / count * 1e9,
            "kernels on the CPU ns": by_kernels[step] / count * 1e9,
            "instructions": instructions(x, step) / count,
        })  # fmt: skip
    return found


def instructions(x: Any, step: str) -> int:
    """Count the instructions of all threads."""
    with simulator.Device() as device:
        if step != "from_array":
            call = steps_of(x)[step]
            before = total(device)
            call()
            return total(device) - before
        SoftmaxState.from_array(x, 1)
        return total(device)


def total(device: simulator.Device) -> int:
    """Add up what a device has counted."""
    kinds = [kernel.thread_instructions for kernel in device.report.kernels.values()]
    return sum(number for each in kinds for kind, number in each.items() if kind != "move")


if __name__ == "__main__":
    main()
