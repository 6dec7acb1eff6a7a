"""The 8-bit floating formats e4m3 and e5m2, in pairs of one 16-bit register."""

from __future__ import annotations

from dataclasses import dataclass

from .vector import Vector, select

__all__ = ["EIGHT_BITS", "decode_pair", "encode_pair"]


@dataclass(frozen=True, slots=True)
class _Format:
    fraction: int  # bits
    bias: int
    most: float  # the greatest finite number
    nan: int


EIGHT_BITS = {"e4m3x2": _Format(3, 7, 448.0, 0x7F), "e5m2x2": _Format(2, 15, 57344.0, 0x7F)}


def encode_pair(low: Vector, high: Vector, target: str) -> Vector:
    """Round two float32 vectors to nearest, what is too large to the greatest number."""
    first, second = (_encode(x, EIGHT_BITS[target]) for x in (low, high))
    return (first | (second << 8)).to("i16")


def _encode(x: Vector, form: _Format) -> Vector:
    magnitude = x.abs()
    limited = select(magnitude.compare("olt", form.most), magnitude, form.most)
    # Normal numbers: round the float's own bits, then move the exponent's origin.
    bits = limited.integer()
    drop = 23 - form.fraction
    rounded = (bits + ((1 << (drop - 1)) - 1) + (bits.lshr(drop) & 1)).lshr(drop)
    normal = rounded - ((127 - form.bias) << form.fraction)
    # Subnormal ones: adding a number whose last bit is the format's smallest one rounds there.
    smallest = 2.0 ** (1 - form.bias - form.fraction)
    anchor = smallest * 2.0**23
    subnormal = (limited + anchor).integer() - x.constant(anchor).integer()
    small = limited.compare("olt", 2.0 ** (1 - form.bias))
    code = select(small, subnormal, normal) | (x.integer().lshr(24) & 0x80)
    return select(x.compare("uno", x), form.nan, code)


def decode_pair(pair: Vector, source: str) -> tuple[Vector, Vector]:
    """Return the two numbers as float32, the lower one first."""
    form = EIGHT_BITS[source]
    wide = pair.to("i32")
    return _decode(wide & 0xFF, form), _decode(wide.lshr(8), form)


def _decode(code: Vector, form: _Format) -> Vector:
    magnitude = code & 0x7F
    # Put exponent and fraction into a float32 and scale; that serves subnormal numbers, too.
    value = (magnitude << (23 - form.fraction)).real() * 2.0 ** (127 - form.bias)
    infinity = 0x7C if form.fraction == 2 else 0x7F
    special = value.constant(float("inf")) if form.fraction == 2 else value.constant(float("nan"))
    value = select(magnitude.compare("eq", infinity), special, value)
    value = select(magnitude.compare("ugt", infinity), float("nan"), value)
    sign = (code & 0x80) << 24
    return (value.integer() | sign).real()
