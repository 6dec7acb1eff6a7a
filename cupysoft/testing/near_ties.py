"""Rows that are built so that a result lies next to a point half way between two numbers of its type."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["TYPES", "near_tie", "weighted_tie"]

# Significant bits, the exponent of the smallest subnormal number, and a large number.
TYPES = {
    "float16": (11, -24, 6e4),
    "bfloat16": (8, -133, 3e38),
    "float32": (24, -149, 3e38),
    "float64": (53, -1074, 1.7e308),
}

_DIGITS = Context(prec=120, Emax=10**9, Emin=-(10**9))
# Ten weights of float64 take 160 of them.
_MORE_DIGITS = Context(prec=200, Emax=10**9, Emin=-(10**9))


def near_tie(rng: np.random.Generator, columns: int, dtype: np.dtype[Any]) -> npt.NDArray[np.float64]:
    """Build a row of which softmax, log_softmax or logsumexp lies as near to a tie as its terms allow.

    x0 leads, and the sum has to be 1 + s, where s follows from the tie. Each of the others takes what is left of s,
    rounded down to a number of the type, and so leaves some bits less. Decimals of 120 digits do the sums.
    """
    bits = TYPES[dtype.name][0]
    with localcontext(_DIGITS):
        lead = Decimal(float(np.array(rng.normal() * 4).astype(dtype)))
        kind = rng.integers(3)
        if kind == 0:  # softmax of the first: 1 / (1 + s) lies between two numbers of the type, in (1/2, 1)
            tie = Decimal(2 * int(rng.integers(1 << (bits - 1), 1 << bits)) + 1) / Decimal(1 << (bits + 1))
            rest = 1 / tie - 1
        else:  # log(1 + s), or x0 + log(1 + s), does
            size = 2.0 ** int(rng.integers(-12, 1))
            number = float(np.array(size * rng.uniform(1, 2)).astype(dtype)) if kind == 1 else float(lead) + size
            number = float(np.array(number).astype(dtype))
            tie = (Decimal(number) + Decimal(float(_above(number, dtype)))) / 2
            rest = (tie if kind == 1 else tie - lead).exp() - 1
        row = [float(lead)]
        while len(row) < columns and rest > 0:
            value = _rounded_down(rest.ln() + lead, dtype)
            if not math.isfinite(value):
                break
            row.append(value)
            rest -= (Decimal(value) - lead).exp()
    lowest = -TYPES[dtype.name][2]
    return np.array(row + [lowest] * (columns - len(row)))


def _above(number: float, dtype: np.dtype[Any]) -> Any:
    """Give the next number of the type, for numbers above 0; else the spacing near 0."""
    bits, least, _ = TYPES[dtype.name]
    _, exponent = math.frexp(number)
    return number + 2.0 ** max(exponent - bits, least)


def _rounded_down(value: Decimal, dtype: np.dtype[Any]) -> float:
    """Give the largest number of the type that is not above `value`."""
    bits, least, largest = TYPES[dtype.name]
    if value < -Decimal(largest):
        return -math.inf
    quantum = Decimal(2) ** max(math.frexp(float(value))[1] - bits, least)
    return float((value / quantum).to_integral_value(rounding="ROUND_FLOOR") * quantum)


def weighted_tie(
    rng: np.random.Generator, columns: int, dtype: np.dtype[Any], *, nothing: bool = False
) -> npt.NDArray[np.float64]:
    """Build a row and its weights so that logsumexp lies as near to a tie as they allow, on either side of it.

    With `nothing`, so that the sum is as near to 0 as they allow. Each term takes what is left of the sum that the tie
    asks for, to the nearest weight, and so leaves some 50 bits less in float64.

    Returns
    -------
    ndarray
        (2, columns): exponents and weights, which numbers of the type hold.
    """
    row, weights = [], []
    with localcontext(_MORE_DIGITS):
        number = float(np.array(rng.normal() * 4).astype(dtype))
        rest = Decimal(int(rng.choice([-1, 1])))
        if nothing:
            row, weights = [number], [float(np.array(rng.uniform(1, 2)).astype(dtype))]
            rest = -Decimal(weights[0]) * Decimal(number).exp()
        else:
            rest *= ((Decimal(abs(number)) + Decimal(float(_above(abs(number), dtype)))) / 2).exp()
        while len(row) < columns and rest != 0:
            value = float(np.array(float(abs(rest).ln()) + rng.normal()).astype(dtype))
            weight = float(np.array(float(rest / Decimal(value).exp())).astype(dtype))
            if weight == 0:
                break
            row.append(value)
            weights.append(weight)
            rest -= Decimal(weight) * Decimal(value).exp()
    padding = [0.0] * (columns - len(row))
    order = rng.permutation(columns)
    return np.array([row + padding, weights + padding])[:, order]
