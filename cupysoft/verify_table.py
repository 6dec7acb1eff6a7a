"""What ``python -m cupysoft verify`` prints: its progress, a table of mismatches, and what they come to."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from cupysoft.demo import Backend, backends
from cupysoft.errors import DtypeError, MissingDependencyError
from cupysoft.ops.warmup_arguments import known_dtypes
from cupysoft.tables import text_table
from cupysoft.verify import Count, Step, sweep

__all__ = ["table", "verify"]


def verify(
    elements: int, seed: int, places: Sequence[str] | None, dtypes: Sequence[str] | None, *, as_json: bool
) -> int:
    """Sweep, print what was found, and give the exit status: 0, or 1 where any result has other bits.

    Raises
    ------
    MissingDependencyError
        If a backend is asked for that is not there.
    DtypeError
        If a dtype is asked for that is not known.
    """
    chosen = _backends(places)
    started = time.perf_counter()

    def progress(step: Step) -> None:
        print(
            f"[{step.done}/{step.total}] {step.elements:,} elements, {step.mismatches:,} mismatches, "
            f"{time.perf_counter() - started:.0f} s: {step.name}",
            file=sys.stderr,
            flush=True,
        )

    counts = sweep(elements, seed, chosen, _dtypes(dtypes), progress)
    wrong = sum(count.mismatches for count in counts)
    if as_json:
        print(json.dumps([dataclasses.asdict(count) for count in counts], indent=2))
        return 1 if wrong else 0
    print(f"Results whose bits are not those of the rigorous reference, seed {seed}\n")
    print(table(counts))
    print(f"\n{sum(count.results for count in counts):,} results compared, {wrong:,} mismatches")
    return 1 if wrong else 0


def table(counts: Sequence[Count]) -> str:
    """Lay out mismatches: a row for each function and family, a column for each backend and dtype."""
    columns = list(dict.fromkeys((count.backend, count.dtype) for count in counts))
    rows: dict[tuple[str, str], dict[tuple[str, str], Count]] = {}
    for count in counts:
        rows.setdefault((count.function, count.family), {})[count.backend, count.dtype] = count
    order = list(dict.fromkeys(count.function for count in counts))
    header = ["function", "family", "results", *(f"{backend} {dtype}" for backend, dtype in columns)]
    body = [
        [*name, max(count.results for count in found.values()), *(found[c].mismatches for c in columns)]
        for name, found in sorted(rows.items(), key=lambda item: order.index(item[0][0]))
    ]
    return text_table(header, body)


def _backends(places: Sequence[str] | None) -> list[Backend]:
    present = list(backends())
    if places is None:
        return present
    chosen = []
    for place in places:
        found = [each for each in present if each.name.split()[0].lower() == place.lower()]
        if not found:
            names = ", ".join(each.name.split()[0] for each in present)
            raise MissingDependencyError(
                f"verify: backend {place!r} is not there; expected one of: {names}. The simulated device comes with "
                'pip install "llvmlite>=0.50" cuda-bindings "cuda-toolkit[nvrtc,cudart,cccl]", a GPU with CuPy'
            )
        chosen += found
    return chosen


def _dtypes(names: Sequence[str] | None) -> list[np.dtype[Any]]:
    known = {np.dtype(each).name: np.dtype(each) for each in known_dtypes()}
    known = {name: dtype for name, dtype in known.items() if name in ("float16", "bfloat16", "float32", "float64")}
    for name in names or ():
        if name not in known:
            raise DtypeError(f"verify: dtype {name!r} is not known; expected one of: {', '.join(known)}")
    return [known[name] for name in names or known]
