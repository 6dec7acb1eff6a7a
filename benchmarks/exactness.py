"""Count results that are not correctly rounded: cupysoft beside SciPy, CuPy's formulas, PyTorch and JAX, on the CPU.

For every library that is installed, every length of rows and every spread of normal logits: the share of results whose
bits are not those of the rigorous reference, the largest distance in units of the last place, and whether the bits of a
row change when it is computed in a batch, alone, or by columns.

    python -m benchmarks.exactness [--functions softmax] [--dtype float32] [--elements 1e6] [--json exactness.json]

CuPy's formulas are those of cupyx.scipy.special, written out here in NumPy: its functions run on a GPU only.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import cupysoft
from benchmarks.measure import processor, report
from cupysoft.testing import quick_reference, ulp_distance

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
LENGTHS = (100, 1000, 10_000, 100_000, 1_000_000)
SIGMAS = (1, 10, 30)
Function = Callable[[np.ndarray[Any, Any], int], np.ndarray[Any, Any]]


def main() -> None:
    """Measure what is installed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", default=",".join(FUNCTIONS), help="comma-separated names")
    parser.add_argument("--dtype", default="float32", help="float16, float32 or float64")
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="comma-separated lengths of rows")
    parser.add_argument("--sigmas", default=",".join(map(str, SIGMAS)), help="comma-separated spreads")
    parser.add_argument("--elements", type=float, default=1e6, help="elements of each array; at least two rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=Path("exactness.json"), help="file to write")
    options = parser.parse_args()
    rows = [
        found
        for function in options.functions.split(",")
        for sigma in map(float, options.sigmas.split(","))
        for columns in map(int, options.lengths.split(","))
        for found in compared(function, options.dtype, int(options.elements), columns, sigma, options.seed)
    ]
    report(processor(), rows, options.json)


def compared(function: str, dtype: str, elements: int, columns: int, sigma: float, seed: int) -> list[dict[str, Any]]:
    """Compare one function of every library with the reference, on one array."""
    rng = np.random.default_rng([seed, columns, int(1000 * sigma)])
    x = rng.normal(0, sigma, (max(2, elements // columns), columns)).astype(dtype)
    true = getattr(quick_reference, function)(x, 1)
    found = []
    for name, call in libraries(function).items():
        ours = call(x, 1)
        distance = ulp_distance(ours, true)
        found.append(
            {
                "function": function,
                "library": name,
                "dtype": dtype,
                "n": columns,
                "sigma": sigma,
                "results": true.size,
                "not correctly rounded, %": 100 * float(np.count_nonzero(distance)) / true.size,
                "max ulp": int(distance.max()),
                "bits depend on batch or layout": "yes" if depends_on_batch(call, x, ours) else "no",
            }
        )
    return found


def depends_on_batch(call: Function, x: np.ndarray[Any, Any], together: np.ndarray[Any, Any]) -> bool:
    """Whether a row has other bits alone, in other company, or by columns."""
    doubled = np.concatenate([x[::-1], x[:1]])
    whole = np.ascontiguousarray(call(doubled, 1)[:-1][::-1])
    by_columns = call(np.ascontiguousarray(x.T), 0)
    by_columns = by_columns.T if by_columns.ndim == 2 else by_columns
    few = range(min(len(x), 20))
    alone = [np.array_equal(call(x[i : i + 1].copy(), 1)[0], together[i]) for i in few]
    return not (all(alone) and np.array_equal(whole, together) and np.array_equal(by_columns, together))


def libraries(function: str) -> dict[str, Function]:
    """Give the function of every library that is installed, as a function of an array and an axis."""
    found: dict[str, Function] = {"cupysoft": lambda x, axis: getattr(cupysoft, function)(x, axis=axis)}
    special, torch, jax = (_imported(name) for name in ("scipy.special", "torch", "jax"))
    if special:
        found["SciPy"] = lambda x, axis: getattr(special, function)(x, axis=axis)
    found["CuPy's formula"] = FORMULAS[function]
    if torch:
        found["PyTorch"] = lambda x, axis: getattr(torch, function)(torch.from_numpy(x), axis).numpy()
    if jax:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        namesake = getattr(jax.nn, function)
        found["JAX"] = lambda x, axis: np.asarray(namesake(x, axis=axis))
    return found


def cupy_softmax(x: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    """exp(x - max) over its sum, every step in the type of x."""
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=axis, keepdims=True))


def cupy_log_softmax(x: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    """x - max less log(sum(exp(x - max))), every step in the type of x."""
    shifted = x - x.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


def cupy_logsumexp(x: np.ndarray[Any, Any], axis: int) -> np.ndarray[Any, Any]:
    """log(sum(exp(x - max))) + max, every step in the type of x."""
    largest = x.max(axis=axis, keepdims=True)
    return np.asarray(np.log(np.exp(x - largest).sum(axis=axis)) + largest.squeeze(axis))


FORMULAS: dict[str, Function] = {
    "softmax": cupy_softmax,
    "log_softmax": cupy_log_softmax,
    "logsumexp": cupy_logsumexp,
}


def _imported(name: str) -> Any | None:
    """Import what may not be installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


if __name__ == "__main__":
    main()
