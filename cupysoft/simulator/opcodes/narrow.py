"""The 16-bit formats, held as ``i16``, and their one rounding from wider numbers.

Arithmetic happens in float32 or float64. Where a second rounding could change the result,
the first one is to odd: an inexact number gets an odd last bit, so that the second rounding
still sees on which side of it the exact value lies (it needs two bits more than the target).
"""

from __future__ import annotations

from .vector import Vector, select

__all__ = ["ONE", "fused", "greatest", "narrow", "narrow_double", "odd_float", "widen"]

#: The number 1 and the greatest finite number of each format.
ONE = {"f16": 0x3C00, "bf16": 0x3F80}
_GREATEST = {"f16": 65504.0, "bf16": float.fromhex("0x1.fep127"), "tf32": float.fromhex("0x1.ffcp127")}


def greatest(kind: str) -> float:
    """Return the greatest finite number of a format."""
    return _GREATEST[kind]


def widen(x: Vector, kind: str, flush: bool = False) -> Vector:
    """Return the float32 that an ``i16`` of the format `kind` stands for."""
    if flush:
        exponent = 0x7C00 if kind == "f16" else 0x7F80
        x = select((x & exponent).compare("eq", 0), x & 0x8000, x)
    if kind == "f16":
        return x.cast("bitcast", "half").cast("fpext", "float")
    return (x.to("i32") << 16).real()


def narrow(x: Vector, kind: str, mode: str = "rn", flush: bool = False) -> Vector:
    """Round a float32 to an ``i16`` of the format `kind`."""
    if kind == "f16":
        result = x.cast("fptrunc", "half").cast("bitcast", "i16")
    else:
        bits = x.integer()
        even = (bits + 0x7FFF + (bits.lshr(16) & 1)).lshr(16).to("i16")
        result = select(x.compare("uno", x), 0x7FFF, even)
    if mode != "rn":
        result = _redirected(x, result, widen(result, kind), mode)
    if flush:
        exponent = 0x7C00 if kind == "f16" else 0x7F80
        result = select((result & exponent).compare("eq", 0), result & 0x8000, result)
    return result


def _redirected(x: Vector, nearest: Vector, value: Vector, mode: str) -> Vector:
    """Turn a number rounded to nearest (`nearest` of value `value`) into one rounded in a direction."""
    if mode == "rz":
        return nearest - value.abs().compare("ogt", x.abs()).to("i16")
    upwards = nearest.ashr(15) | 1  # away from zero is up for positive numbers
    if mode == "rp":
        return nearest + (value.compare("olt", x).to("i16") * upwards)
    return nearest - (value.compare("ogt", x).to("i16") * upwards)


def odd_float(x: Vector) -> Vector:
    """Round float64 to float32, to odd."""
    result = x.cast("fptrunc", "float")
    back = result.cast("fpext", "double")
    larger = x.abs().compare("ogt", back.abs())
    return _made_odd(result, x.compare("one", back), larger)


def _made_odd(result: Vector, inexact: Vector, larger: Vector) -> Vector:
    """Step to the odd neighbour where `result` is inexact and even; `larger`: the exact value is."""
    bits = result.integer()
    step = inexact & (bits & 1).compare("eq", 0)
    change = select(larger, bits.constant(1), -1)
    return (bits + select(step, change, 0)).real()


def narrow_double(x: Vector, kind: str, mode: str = "rn") -> Vector:
    """Round a float64 to an ``i16`` of the format `kind`, once."""
    if kind == "f16" and mode == "rn":
        # What float32 cannot hold is gathered in the lowest bit that it keeps. That a subnormal float32 has fewer bits
        # does not matter: all of them are 0 in float16.
        bits = x.integer()
        kept = bits & ~_CUT | ((bits & _CUT) + _CUT) & (_CUT + 1)
        return narrow(kept.real().cast("fptrunc", "float"), kind)
    return narrow(odd_float(x), kind, mode)


#: The bits of a float64 that a float32 does not have.
_CUT = (1 << 29) - 1


def fused(a: Vector, b: Vector, c: Vector, kind: str) -> Vector:
    """``a b + c`` of float32 vectors that hold numbers of the format `kind`, as a float32 to narrow.

    The product is exact: in float32 for float16, in float64 for bfloat16, whose exponents
    need it.
    """
    if kind == "bf16":
        a, b, c = (operand.cast("fpext", "double") for operand in (a, b, c))
    product = a * b
    total = product + c
    back = total - product
    error = (product - (total - back)) + (c - back)
    same_sign = (error.integer() ^ total.integer()).compare("sge", 0)
    total = _made_odd(total, error.compare("one", 0.0), same_sign)
    return total if kind == "f16" else odd_float(total)
