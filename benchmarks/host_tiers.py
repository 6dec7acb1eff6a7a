"""Count how often the host path needs its wider tiers, on rows of normal logits.

Of softmax and log_softmax: the share of elements that the quick look at bits doubts, and of rows whose sum is taken
again by a wider tier; of logsumexp: the share of rows.

    python -m benchmarks.host_tiers [--elements 1e6] [--lengths 100,1000] [--json host_tiers.json]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import cupysoft
from benchmarks.measure import processor, report
from cupysoft.host import exact, softmax, tiers  # noqa: F401  (softmax: so that its module is there)

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
LENGTHS = (100, 1000, 10_000, 100_000, 1_000_000)
SIGMAS = (1, 10, 30)


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="comma-separated lengths of rows")
    parser.add_argument("--dtypes", default="float32,float64", help="comma-separated names")
    parser.add_argument("--elements", type=float, default=1e6, help="elements of each array; at least one row")
    parser.add_argument("--json", type=Path, default=Path("host_tiers.json"), help="file to write")
    options = parser.parse_args()
    rows = [
        counted(function, dtype, int(options.elements), columns, sigma)
        for function in FUNCTIONS
        for dtype in options.dtypes.split(",")
        for sigma in SIGMAS
        for columns in map(int, options.lengths.split(","))
    ]
    report(processor(), rows, options.json)


def counted(function: str, dtype: str, elements: int, columns: int, sigma: float) -> dict[str, Any]:
    """Run one function on one array, and count what goes to which tier."""
    seen: Counter[str] = Counter()
    x = np.random.default_rng([columns, int(sigma)]).normal(0, sigma, (max(1, elements // columns), columns))
    x = x.astype(dtype)
    with mock.patch.object(tiers, "total", counting(seen, tiers.total)):
        module = sys.modules["cupysoft.host.softmax"]
        looked = {name: doubting(seen, getattr(module, name)) for name in ("settle_shares", "settle_logs")}
        single = {name: whole(seen, getattr(exact, name)) for name in ("shares", "log_shares", "log_sum")}
        with mock.patch.multiple(module, **looked), mock.patch.multiple(exact, **single):
            getattr(cupysoft, function)(x, axis=1)
    return {
        "function": function,
        "dtype": dtype,
        "n": columns,
        "sigma": sigma,
        "elements": x.size,
        "doubted, of a million": 1e6 * seen["doubted"] / x.size,
        "rows": len(x),
        "double, % of rows": 100 * seen["double"] / len(x),
        "wide, % of rows": 100 * seen["wide"] / len(x),
        "integers, rows": seen["integers"],
    }


def counting(seen: Counter[str], total: Any) -> Any:
    """Count rows whose sums are taken by a wider tier."""

    def changed(tier: Any, read: Any, rows: Any, m: Any) -> Any:
        seen[tier.name] += len(rows)
        return total(tier, read, rows, m)

    return changed


def doubting(seen: Counter[str], settle: Any) -> Any:
    """Count elements that are to be settled."""

    def changed(x: Any, *rest: Any) -> Any:
        seen["doubted"] += len(x)
        return settle(x, *rest)

    return changed


def whole(seen: Counter[str], function: Any) -> Any:
    """Count rows that go to integers."""

    def changed(*args: Any) -> Any:
        seen["integers"] += 1
        return function(*args)

    return changed


if __name__ == "__main__":
    main()
