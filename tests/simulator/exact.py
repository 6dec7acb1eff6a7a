"""Floating-point arithmetic in fractions: every format, every rounding, no rounding but the last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from tests.simulator.harness import Array

__all__ = ["FORMATS", "NAN", "Format", "decode", "encode", "operate", "root"]

#: What stands for every NaN, in any width.
NAN = -1


@dataclass(frozen=True)
class Format:
    """A binary format; `precision` counts the leading bit."""

    precision: int
    exponent: int

    @property
    def bias(self) -> int:
        return (1 << (self.exponent - 1)) - 1

    @property
    def infinity(self) -> int:
        return ((1 << self.exponent) - 1) << (self.precision - 1)

    @property
    def sign(self) -> int:
        return 1 << (self.precision + self.exponent - 1)


FORMATS = {
    "f16": Format(11, 5),
    "bf16": Format(8, 8),
    "tf32": Format(11, 8),
    "f32": Format(24, 8),
    "f64": Format(53, 11),
}


def decode(bits: Array, kind: str) -> list[float]:
    """Return the numbers that bit patterns of a 16-bit, 32-bit or 64-bit format stand for."""
    if kind == "bf16":
        bits, kind = bits.astype(np.uint32) << 16, "f32"
    with np.errstate(invalid="ignore"):  # a signalling NaN is one of many here
        values = bits.view({"f16": np.float16, "f32": np.float32, "f64": np.float64}[kind])
        return [float(x) for x in values.astype(np.float64)]


def encode(x: Fraction | float, form: Format, mode: str = "rn", negative_zero: bool = False) -> int:
    """Round a number to the bits of a format. A zero has the sign that `negative_zero` says."""
    if isinstance(x, float):
        if math.isnan(x):
            return NAN
        if math.isinf(x):
            return form.infinity | (form.sign if x < 0 else 0)
        negative_zero = math.copysign(1, x) < 0
        x = Fraction(x)
    if x == 0:
        return form.sign if negative_zero else 0
    sign = form.sign if x < 0 else 0
    n, d = abs(x.numerator), x.denominator
    exponent = n.bit_length() - d.bit_length()
    if (n << max(-exponent, 0)) < (d << max(exponent, 0)):
        exponent -= 1
    exponent = max(exponent, 1 - form.bias)
    scale = exponent - (form.precision - 1)
    quotient, rest = divmod(n << max(-scale, 0), d << max(scale, 0))
    d <<= max(scale, 0)
    up = {
        "rn": 2 * rest > d or (2 * rest == d and quotient & 1 == 1),
        "rna": 2 * rest >= d,
        "rz": False,
        "rp": rest > 0 and not sign,
        "rm": rest > 0 and bool(sign),
    }[mode]
    bits = ((exponent + form.bias - 1) << (form.precision - 1)) + quotient + up
    if bits >= form.infinity:
        away = mode in ("rn", "rna") or mode == ("rm" if sign else "rp")
        bits = form.infinity if away else form.infinity - 1
    return sign | bits


def operate(name: str, operands: tuple[float, ...], form: Format, mode: str = "rn") -> int:
    """Return the bits of ``add sub mul div fma`` of numbers, rounded once."""
    if name == "sub":
        name, operands = "add", (operands[0], -operands[1])
    if not all(map(math.isfinite, operands)) or (name == "div" and operands[1] == 0):
        return encode(_special(name, *operands), form)
    fractions = [Fraction(x) for x in operands]
    negative = [math.copysign(1, x) < 0 for x in operands]
    if name == "add":
        exact = fractions[0] + fractions[1]
        zero = negative[0] if fractions[0] == 0 and negative[0] == negative[1] else mode == "rm"
    elif name == "fma":
        product = fractions[0] * fractions[1]
        exact = product + fractions[2]
        odd = negative[0] != negative[1]
        zero = odd if product == 0 and odd == negative[2] else mode == "rm"
    else:
        exact = fractions[0] * fractions[1] if name == "mul" else fractions[0] / fractions[1]
        zero = negative[0] != negative[1]
    return encode(exact, form, mode, zero)


def _special(name: str, a: float, b: float, c: float = 0.0) -> float:
    """Return a result that is infinite or NaN (or zero) in every rounding."""
    if name == "add":
        return a + b
    if name == "div":
        with np.errstate(all="ignore"):
            return float(np.float64(a) / np.float64(b))
    finite = math.isfinite(a) and math.isfinite(b)  # then c is not, and the product does not matter
    product = 1.0 if finite else a * b
    return product if name == "mul" else product + c


def root(x: float, form: Format, mode: str = "rn") -> int:
    """Return the bits of a square root."""
    if x == 0 or not math.isfinite(x) or x < 0:
        return encode(x if x >= 0 or math.isnan(x) else math.nan, form)
    exact = Fraction(x)
    # So many bits that no rounding boundary is in between; a last bit says that more follow.
    shift = 2 * (form.precision + 8) + 2 * 1100
    n = (exact.numerator << shift) // exact.denominator
    floor = math.isqrt(n)
    whole = floor * floor == n and (exact.numerator << shift) % exact.denominator == 0
    return encode(Fraction(2 * floor + (not whole), 1 << (shift // 2 + 1)), form, mode)
