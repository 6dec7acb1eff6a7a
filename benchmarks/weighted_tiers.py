"""Count how often a device needs the wider tiers of logsumexp with weights, on rows of normal logits: with weights
from 0 to 1, and with normal ones, whose terms partly cancel.

The simulated device counts how often each kernel reads its input: the kernels of wider tiers read the rows that were
left open, once or more often.

    python -m benchmarks.weighted_tiers [--elements 2e6] [--lengths 100,1000] [--json weighted_tiers.json]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import cupysoft
from benchmarks.measure import processor, report
from cupysoft import simulator

# The kernels of wider tiers.
TIERS = {"second": "logsumexp_weighted_refine", "last": "settle_weighted"}


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="100,1000", help="comma-separated lengths of rows")
    parser.add_argument("--dtypes", default="float32,float64", help="comma-separated names")
    parser.add_argument("--elements", type=float, default=2e6, help="elements of each array")
    parser.add_argument("--json", type=Path, default=Path("weighted_tiers.json"), help="file to write")
    options = parser.parse_args()
    rows = [
        counted(dtype, int(options.elements), columns, sigma, weights)
        for dtype in options.dtypes.split(",")
        for sigma in (1, 10, 30)
        for columns in map(int, options.lengths.split(","))
        for weights in ("0 to 1", "normal")
    ]
    report(processor(), rows, options.json)


def counted(dtype: str, elements: int, columns: int, sigma: float, weights: str) -> dict[str, Any]:
    """Run one array, and count the rows that kernels of wider tiers read."""
    rng = np.random.default_rng([columns, int(sigma)])
    shape = max(1, elements // columns), columns
    a = rng.normal(0, sigma, shape).astype(dtype)
    b = (rng.normal(size=shape) if weights == "normal" else rng.random(shape)).astype(dtype)
    with simulator.Device(check=True) as device:
        cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)
    found: dict[str, Any] = {"dtype": dtype, "n": columns, "sigma": sigma, "weights": weights, "rows": len(a)}
    for tier, name in TIERS.items():
        walks = [k.arguments["x"].walks_read for each, k in device.report.kernels.items() if each.startswith(name)]
        found[f"{tier} tier, % of rows"] = 100 * sum(walks)
    return found


if __name__ == "__main__":
    main()
