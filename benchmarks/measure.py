"""What the benchmarks share: calls that are timed in turn, what they ran on, JSON and a table."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["alternately", "gpu", "processor", "report", "table", "versions"]

_PACKAGES = (
    *("cupysoft", "numpy", "scipy", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax"),
    *("nvidia-cuda-nvrtc", "llvmlite"),
)


def alternately(
    calls: dict[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Give the best time of each call in seconds; the calls take turns, so that a busy moment hits all of them."""
    best = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    for _ in range(repeats):
        for name, call in calls.items():
            count = 0
            start = clock()
            while count == 0 or clock() - start < 0.02:
                call()
                count += 1
            best[name] = min(best[name], (clock() - start) / count)
    return best


def gpu() -> Any | None:
    """Give CuPy where it is installed and sees a device."""
    try:
        import cupy
    except ImportError:
        return None
    return cupy if cupy.cuda.is_available() else None


def processor() -> str:
    """Name of the processor, as far as the operating system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Versions of what is measured and of what it is measured against."""
    result = {"python": platform.python_version(), "commit": _commit()}
    cupy = gpu()
    if cupy is not None:
        result["CUDA driver"] = str(cupy.cuda.runtime.driverGetVersion())
    for name in _PACKAGES:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def _commit() -> str:
    """Name of the commit that is checked out, and whether files differ from it; empty where there is no checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def report(device: str, rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows with date, device and versions as JSON, and print them as a table."""
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "versions": versions(),
        "rows": rows,
    }
    path.write_text(json.dumps(record, indent=1))
    print(f"{device}, {record['date']}, {record['versions']}")
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Lay out rows in aligned columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names] + [[_cell(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in cells)


def _cell(value: Any) -> str:
    """Format one value for the table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return str(value)
