"""The arithmetic of matrix units in Python's integers, as it was published, a sum at a time.

MMA-Sim (arXiv 2511.10909) and Accurate Models of NVIDIA Tensor Cores (arXiv 2512.07004) found it by experiments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tests.simulator.exact import FORMATS, NAN, decode, encode, operate

__all__ = ["AMPERE", "HOPPER", "NANS", "Unit", "bound", "chained", "exact_sum", "number", "published"]

#: The NaN that comes out.
NANS = {"f32": 0x7FFFFFFF, "f16": 0x7FFF}


@dataclass(frozen=True)
class Unit:
    """Bits behind the point of aligned terms, bytes of a row that are taken at once, the least exponent."""

    fraction: int
    width: int
    floor: int


AMPERE = Unit(24, 16, -132)
HOPPER = Unit(25, 32, -133)


@dataclass(frozen=True)
class Number:
    """A finite number ``significand * 2 ** (exponent - point)``, or one that is not finite."""

    significand: int
    exponent: int
    point: int
    special: float | None = None

    @property
    def value(self) -> Fraction:
        return Fraction(self.significand) * Fraction(2) ** (self.exponent - self.point)


def number(bits: int, kind: str) -> Number:
    """Take a number apart; of tf32, given as float32, the low bits are not read."""
    if kind == "tf32":
        bits, kind = bits >> 13 << 13, "f32"
    form = FORMATS[kind]
    point = form.precision - 1
    fraction, biased = bits & ((1 << point) - 1), bits >> point & ((1 << form.exponent) - 1)
    sign = -1 if bits & form.sign else 1
    if biased == (1 << form.exponent) - 1:
        return Number(0, 0, 0, math.nan if fraction else sign * math.inf)
    if biased == 0:
        return Number(sign * fraction, 1 - form.bias, point)
    return Number(sign * (fraction | 1 << point), biased - form.bias, point)


def _product(a: Number, b: Number) -> Number:
    if a.special is None and b.special is None:
        return Number(a.significand * b.significand, a.exponent + b.exponent, a.point + b.point)
    one, other = (float(each.significand) if each.special is None else each.special for each in (a, b))
    return Number(0, 0, 0, one * other)


def published(unit: Unit, kind: str, total: str, a: Sequence[int], b: Sequence[int], c: int) -> int:
    """Return the bits that a unit makes of ``c + sum(a b)``."""
    count = min(len(a), unit.width // {"f16": 2, "bf16": 2, "tf32": 4}[kind])
    for at in range(0, len(a), count):
        pairs = zip(a[at : at + count], b[at : at + count], strict=True)
        products = [_product(number(x, kind), number(y, kind)) for x, y in pairs]
        c = _part(unit, total, [number(c, total), *products])
    return c


def _part(unit: Unit, total: str, terms: Sequence[Number]) -> int:
    specials = [each.special for each in terms if each.special is not None]
    if specials:
        special = math.fsum(specials) if len({*map(str, specials)}) == 1 else math.nan
        return NANS[total] if math.isnan(special) else encode(special, FORMATS[total])
    top = max([unit.floor, *(each.exponent for each in terms if each.significand)])
    scaled = [each.value / Fraction(2) ** (top - unit.fraction) for each in terms]
    result = sum(math.trunc(each) for each in scaled) * Fraction(2) ** (top - unit.fraction)
    if total == "f16":
        return encode(result, FORMATS["f16"], "rn")
    if abs(result) >= 1 << 128:
        return encode(math.copysign(math.inf, result), FORMATS["f32"])
    return encode(result, FORMATS["f32"], "rz")


def exact_sum(kind: str, total: str, a: Sequence[int], b: Sequence[int], c: int) -> tuple[Fraction, Fraction]:
    """Return ``c + sum(a b)`` of finite numbers, and the size that errors are measured by.

    That is the sum of the magnitudes of the terms, or the power of two of the greatest exponent if it is larger.
    """
    terms = [number(c, total), *(_product(number(x, kind), number(y, kind)) for x, y in zip(a, b, strict=True))]
    top = max((each.exponent for each in terms if each.significand), default=-200)
    exact, size = Fraction(0), Fraction(0)
    for each in terms:
        exact, size = exact + each.value, size + abs(each.value)
    return exact, max(size, Fraction(2) ** top)


def bound(depth: int, total: str, size: Fraction) -> Fraction:
    """Return how far from an exact sum the unit of any generation may be."""
    if total == "f16":
        return size * (depth + 8) / 2**24 + size * 2 / 2**11 + Fraction(3, 2**24)
    return size * (depth + 8) / 2**24 + Fraction(3, 2**149)


def chained(a: Sequence[float], b: Sequence[float], c: float) -> int:
    """Return the bits of a chain of fused multiply-adds in float64."""
    for x, y in zip(a, b, strict=True):
        bits = operate("fma", (x, y, c), FORMATS["f64"])
        c = math.nan if bits == NAN else decode(np.array([bits], np.uint64), "f64")[0]
    return encode(c, FORMATS["f64"])
