"""What the benchmarks share: calls that are timed in turn, the versions of everything, JSON and a table."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["alternately", "report", "table", "versions"]

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


def versions() -> dict[str, str]:
    """Versions of what is measured and of what it is measured against."""
    result = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


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
