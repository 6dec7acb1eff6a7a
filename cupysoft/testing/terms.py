"""Weighted terms whose exponents are equal, added exactly: what cancels there is 0, which no ball could tell."""

from __future__ import annotations

import itertools
import math
from typing import Any

import flint
import numpy.typing as npt

__all__ = ["grouped", "grouped_complex"]


def grouped(row: npt.NDArray[Any], weights: npt.NDArray[Any]) -> list[tuple[Any, Any]]:
    """Add the weights of equal exponents exactly, so that what cancels exactly is seen to."""
    order = sorted((a, b) for a, b in zip(row.tolist(), weights.tolist(), strict=True) if b != 0 and a != -math.inf)
    groups = []
    for value, items in itertools.groupby(order, key=lambda pair: pair[0]):
        weight = sum((_exact(b) for _, b in items), flint.fmpq(0))
        if weight != 0:
            groups.append((value, weight))
    return groups


def grouped_complex(row: npt.NDArray[Any], weights: npt.NDArray[Any]) -> list[tuple[complex, Any, Any]]:
    """Add the weights of equal exponents exactly: (exponent, real part, imaginary part), without those that are 0."""
    groups: dict[complex, tuple[Any, Any]] = {}
    for a, b in zip(row.tolist(), weights.tolist(), strict=True):
        re, im = groups.get(a, (flint.fmpq(0), flint.fmpq(0)))
        groups[a] = re + _exact(b.real), im + _exact(b.imag)
    return [(a, re, im) for a, (re, im) in groups.items() if re != 0 or im != 0]


def _exact(value: float) -> Any:
    numerator, denominator = value.as_integer_ratio()
    return flint.fmpq(numerator, denominator)
