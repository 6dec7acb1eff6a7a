"""Errors of precision="fast" in ulp, beside SciPy in float32, and how often a softmax of float32 is in doubt.

The truth is cupysoft's own exact result. Kernels run on the simulated device, whose exp2 is nearly exact, or, as
"adversary", as bad as the PTX manual allows.

    python -m benchmarks.precision
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import scipy.special

import cupysoft
from benchmarks.measure import table
from cupysoft import simulator
from cupysoft.arrays import layout
from cupysoft.ops import cpu
from cupysoft.ops.plans_view import view_of
from cupysoft.runtime.compile import compile
from cupysoft.runtime.sources import source
from cupysoft.testing import ulp_distance

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
LENGTHS = (100, 1000, 8192, 20000)
SIGMAS = (1, 10, 30)
ELEMENTS = 200_000

# What each way decides of a row that a block holds in registers, and nothing else: without the tiers behind it.
ALONE = """
template <int WARPS>
__global__ void __launch_bounds__(32 * WARPS)
    alone(const float* x, View<2, 1, 1> view, float* out, int* open, int* doubt)
{
    using Team = BlockTeam<WARPS>;
    const Softmax<float> operation{out, open, 0};
    const bool done = staged_floats<Softmax<float>, Team, 4, 4, Vectors<4>>(operation, x, view, blockIdx.x, true);
    if (threadIdx.x == 0) doubt[blockIdx.x] = !done;
}
template <int WARPS, typename ARITHMETIC>
__global__ void __launch_bounds__(32 * WARPS)
    alone_in(const float* x, View<2, 1, 1> view, float* out, int* open, int* doubt)
{
    using Operation = Softmax<float, ARITHMETIC>;
    staged<Operation, BlockTeam<WARPS>, 4, 4, Vectors<4>>(Operation{out, doubt, 0}, x, view, blockIdx.x, true);
}
"""
# Rows of which few are in doubt: so many times as many.
MORE_ROWS = {"float32": 1, "ByTable": 20, "ByIntegers": 10}


def main() -> None:
    """Print both tables."""
    rng = np.random.default_rng(0)
    print(table([errors(function, n, sigma, rng) for function in FUNCTIONS for n in LENGTHS for sigma in SIGMAS]))
    print()
    print(table([doubts(n, sigma, rng) for n in (1024, 2048, 4096, 8192) for sigma in SIGMAS]))
    print()
    print(table([doubts(8192, sigma, rng, way=way) for way in ("ByTable", "ByIntegers") for sigma in SIGMAS]))


def errors(function: str, n: int, sigma: float, rng: np.random.Generator) -> dict[str, object]:
    """Largest and mean error of one function on normal logits."""
    x = (rng.normal(size=(ELEMENTS // n, n)) * sigma).astype(np.float32)
    true = getattr(cupysoft, function)(x, axis=-1)
    row: dict[str, object] = {"function": function, "n": n, "sigma": sigma}
    places: dict[str, AbstractContextManager[Any]] = {
        "host": cpu.only("host"),
        "kernels": simulator.Device(),
        "adversary": simulator.Device(seed=1),
    }
    for name, place in places.items():
        with place:
            row[name] = shown(getattr(cupysoft, function)(x, axis=-1, precision="fast"), true)
    row["SciPy"] = shown(getattr(scipy.special, function)(x, axis=-1), true)
    return row


def shown(found: Any, true: Any) -> str:
    """Largest and mean distance."""
    distance = ulp_distance(found, true)
    return f"{distance.max():.4g} / {distance.mean():.3g}"


def doubts(n: int, sigma: float, rng: np.random.Generator, rows: int = 400, way: str = "float32") -> dict[str, object]:
    """Share of rows of float32 that one way does not decide."""
    warps = n // 512
    name = f"alone<{warps}>" if way == "float32" else f"alone_in<{warps}, {way}>"
    made = compile(source("softmax/rows32.cu") + ALONE, name="alone.cu", arch="sm_90", names=(name,))
    view = view_of(layout((rows, n), (1,), [(n, 1), (n, 1)]), 2).value
    found = 0
    for _ in range(MORE_ROWS[way]):
        x = (rng.normal(size=(rows, n)) * sigma).astype(np.float32)
        doubt = np.zeros(rows, np.int32)
        arguments = [x, view, np.empty_like(x), np.zeros(rows, np.int32), doubt]
        simulator.Device().launch(made, made.names[name], (rows, 1, 1), (32 * warps, 1, 1), arguments)
        found += np.count_nonzero(doubt)
    looked_at = rows * MORE_ROWS[way]
    return {"way": way, "n": n, "sigma": sigma, "rows": looked_at, "in doubt": f"{found} ({found / looked_at:.2%})"}


if __name__ == "__main__":
    main()
