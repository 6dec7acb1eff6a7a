"""Rows that seek trouble: families of input on which a softmax that is not exact shows it.

Each family draws (rows, columns) finite values of a type from a random generator. `strategies.troublesome` draws from
them for Hypothesis, and ``python -m cupysoft verify`` counts mismatches family by family.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.testing.near_ties import TYPES, near_tie, weighted_tie

__all__ = ["FAMILIES", "WEIGHTS", "draw", "draw_weights", "near_tie"]

Shape = tuple[int, int]
Rows = npt.NDArray[np.float64]
Family = Callable[[np.random.Generator, Shape, np.dtype[Any]], Rows]


def draw(family: str, rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Draw values of one of the FAMILIES, finite or -inf.

    Examples
    --------
    >>> draw("runs of equal values", np.random.default_rng(0), (1, 6), np.dtype(np.float32)).dtype
    dtype('float32')
    """
    largest = TYPES[dtype.name][2]
    with np.errstate(over="ignore"):
        values = FAMILIES[family](rng, shape, dtype)
        return np.where(np.isnan(values), -np.inf, np.clip(values, -largest, largest)).astype(dtype)


def draw_weights(family: str, rng: np.random.Generator, a: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Any]:
    """Draw weights of one of the kinds of WEIGHTS for (rows, columns) values; the values may be changed to fit them."""
    a = a.copy()
    shape = a.shape
    b = rng.normal(size=shape)
    if family == "whole numbers":
        b = rng.integers(-3, 4, shape).astype(np.float64)
    elif family == "of any size":
        _, least, largest = TYPES[a.dtype.name]
        b = np.ldexp(b, rng.integers(least, int(math.log2(largest)), shape))
    elif family == "pairs that cancel":
        half = shape[1] // 2
        a[:, half : 2 * half], b[:, half : 2 * half] = a[:, :half], -b[:, :half]
        if shape[1] > 2:
            order = rng.permutation(shape[1])
            a, b = a[:, order], b[:, order]
    elif family == "cancelling but for the last bits" and shape[1] > 1:
        d = a.astype(np.float64)
        with np.errstate(all="ignore"):
            terms = b * np.exp(d - d.max(axis=1, keepdims=True))
            b[:, -1] -= terms.sum(axis=1) / np.exp(d[:, -1] - d.max(axis=1))
        b[~np.isfinite(b)] = 1.0
    elif family in ("near ties", "cancelling as far as it goes"):
        built = [
            weighted_tie(rng, min(shape[1], int(rng.integers(2, 11))), a.dtype, nothing=family != "near ties")
            for _ in range(min(shape[0], 32))
        ]
        # What is left over of a row counts for nothing.
        rows = np.array([np.pad(row, ((0, 0), (0, shape[1] - row.shape[1]))) for row in built])
        a, b = (np.resize(each, shape).astype(a.dtype) for each in (rows[:, 0], rows[:, 1]))
    with np.errstate(all="ignore"):
        b = np.clip(b, -TYPES[a.dtype.name][2], TYPES[a.dtype.name][2]).astype(a.dtype)
    return a, b


WEIGHTS = (
    "normal", "whole numbers", "of any size", "pairs that cancel", "cancelling but for the last bits", "near ties",
    "cancelling as far as it goes",
)  # fmt: skip
"""Kinds of weights that `draw_weights` draws."""


def _normal(sigma: float) -> Family:
    return lambda rng, shape, _: rng.normal(0, sigma, shape)


def _huge_spread(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    return rng.normal(size=shape) * TYPES[dtype.name][2] ** rng.uniform(0, 1, (shape[0], 1))


def _tiny_spread(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    base = rng.normal(0, 10, (shape[0], 1))
    steps = 2.0 ** rng.integers(0, TYPES[dtype.name][0], (shape[0], 1))
    return base * (1 + rng.integers(-2, 3, shape) * steps * 2.0 ** -TYPES[dtype.name][0])


def _subnormal_results(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    """One leads so far that the others' shares lie about the smallest numbers of the type."""
    bits, least, _ = TYPES[dtype.name]
    x = math.log(2) * (least + rng.uniform(-3, bits + 1, shape))
    x[np.arange(shape[0]), rng.integers(shape[1], size=shape[0])] = 0
    return x


def _subnormal_inputs(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    return rng.normal(size=shape) * 2.0 ** (TYPES[dtype.name][1] + 3)


def _runs(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    few = rng.normal(0, 3, (shape[0], 4))
    return np.asarray(np.take_along_axis(few, np.sort(rng.integers(0, 4, shape), axis=1), axis=1))


def _all_equal(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    return np.repeat(rng.normal(0, 10, (shape[0], 1)), shape[1], axis=1)


def _powers_of_two(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    """As many equal ones as a power of two, and the others so low that the sum is hardly more."""
    x = -rng.uniform(20, 120, shape)
    for row in x:
        row[: 1 << int(rng.integers(0, shape[1].bit_length()))] = 0
    return np.asarray(rng.permuted(x, axis=1))


def _one_leads(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    x = rng.normal(size=shape)
    x[np.arange(shape[0]), rng.integers(shape[1], size=shape[0])] += rng.uniform(5, 900, shape[0])
    return x


def _nearly_normalised(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    """log-probabilities whose logsumexp is nearly 0: to the last bit, or by 1e-3 to 1e-12."""
    x = rng.normal(0, 2, shape)
    largest = x.max(axis=1, keepdims=True)
    x -= largest + np.log(np.exp(x - largest).sum(axis=1, keepdims=True))
    return np.asarray(x + rng.choice([0, 1], (shape[0], 1)) * 10.0 ** rng.uniform(-12, -3, (shape[0], 1)))


def _on_a_grid(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    """Few bits, so that x - m often is a point half way between two numbers of a short type."""
    return np.round(rng.normal(0, 30, shape) * 16) / 16


def _near_ties(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    """Built anew for up to 64 rows, which are repeated."""
    built = [near_tie(rng, min(shape[1], int(rng.integers(1, 7))), dtype) for _ in range(min(shape[0], 64))]
    lowest = -TYPES[dtype.name][2]
    rows = [np.concatenate([row, np.full(shape[1] - len(row), lowest)]) for row in built]
    return np.resize(np.stack(rows), shape)


def _masked(rng: np.random.Generator, shape: Shape, dtype: np.dtype[Any]) -> Rows:
    """Rows of which only a few elements take part, near each other or far apart."""
    x = rng.normal(size=shape) * rng.choice([1, 30, 1000], (shape[0], 1))
    taken = rng.random(shape) < rng.choice([0.02, 0.5], (shape[0], 1))
    taken[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = True
    return np.where(taken, x, np.nan)


FAMILIES: dict[str, Family] = {
    "normal, sigma 1": _normal(1),
    "normal, sigma 10": _normal(10),
    "normal, sigma 30": _normal(30),
    "huge spread": _huge_spread,
    "tiny spread": _tiny_spread,
    "subnormal results": _subnormal_results,
    "subnormal inputs": _subnormal_inputs,
    "runs of equal values": _runs,
    "all equal": _all_equal,
    "sums near powers of two": _powers_of_two,
    "one leads": _one_leads,
    "nearly normalised": _nearly_normalised,
    "on a grid": _on_a_grid,
    "near ties": _near_ties,
    "masked": _masked,
}
"""Families of rows, by name. NaN stands for -inf."""
