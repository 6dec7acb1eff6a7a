"""From balls that are sure to hold the true value to the nearest number of a dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cupysoft.errors import MissingDependencyError, UndecidedError

try:
    import flint
except ImportError as error:  # pragma: no cover
    raise MissingDependencyError(
        "cupysoft.testing.reference needs ball arithmetic: pip install python-flint"
    ) from error

__all__ = ["decide", "decide_complex", "round_dyadic"]

FIRST_PRECISION = 160
LAST_PRECISION = 1 << 17
BELOW = 1 << 13  # bits behind a number: more than lie between any two that float64 holds

# Significant bits, exponent of the smallest subnormal, exponent just above the largest finite value.
_FORMATS = {
    "float16": (11, -24, 16),
    "bfloat16": (8, -133, 128),
    "float32": (24, -149, 128),
    "float64": (53, -1074, 1024),
}


def round_dyadic(mantissa: int, exponent: int, dtype: np.dtype[Any]) -> float:
    """Round ``mantissa * 2**exponent`` to the nearest value of `dtype`, ties to even, overflow to infinity."""
    bits, smallest, above = _FORMATS[dtype.name]
    size, sign = abs(mantissa), -1 if mantissa < 0 else 1
    if exponent + size.bit_length() < smallest:
        return sign * 0.0
    quantum = max(exponent + size.bit_length() - bits, smallest)
    if quantum > exponent:
        shift = quantum - exponent
        whole, rest = divmod(size, 1 << shift)
        half = 1 << (shift - 1)
        whole += rest > half or (rest == half and whole & 1)
        size, exponent = whole, quantum
    if exponent + size.bit_length() > above:
        return sign * math.inf
    return sign * math.ldexp(size, exponent)


def decide(balls: Callable[[], list[Any]], dtype: np.dtype[Any], ceilings: list[Any] | None = None) -> list[float]:
    """Evaluate `balls` with rising precision until each has one rounding to `dtype`.

    Values may be known to lie below `ceilings`, exact numbers, by however little: no ball would ever tell.

    Raises
    ------
    UndecidedError
        If LAST_PRECISION bits do not tell; the error has the number of bits.
    """
    precision = FIRST_PRECISION
    while True:
        with flint.ctx.workprec(precision):
            found = balls()
            rounded = [_rounding(b, dtype, c) for b, c in zip(found, ceilings or [None] * len(found), strict=True)]
        if all(value is not None for value in rounded):
            return [value for value in rounded if value is not None]
        precision *= 2
        if precision > LAST_PRECISION:
            raise UndecidedError(
                f"reference: the rounding to {dtype.name} is not decided with {precision // 2} bits; the value lies "
                "nearer than that to a point half way between two numbers, or on it",
                precision // 2,
            )


def decide_complex(ball: Callable[[], Any]) -> complex:
    """Evaluate a complex ball until its radius is below 2^-90 of its modulus; then take its middle."""
    precision = FIRST_PRECISION
    while True:
        with flint.ctx.workprec(precision):
            value = ball()
            size = value.abs_lower()
            small = (value.real.rad() + value.imag.rad()) * flint.arb(2) ** 90
            if small <= size or precision > LAST_PRECISION:
                return complex(_nearest(value.real.mid()), _nearest(value.imag.mid()))
        precision *= 2


def _rounding(ball: Any, dtype: np.dtype[Any], ceiling: Any | None = None) -> float | None:
    """Give the one value that all of `ball` below the ceiling rounds to, or None."""
    low, high = (_nearest(end, dtype) for end in (ball.lower(), ball.upper()))
    if ceiling is not None and ball.upper() >= ceiling:
        mantissa, exponent = ceiling.man_exp()
        high = round_dyadic((int(mantissa) << BELOW) - 1, int(exponent) - BELOW, dtype)
    return high if low == high else None


def _nearest(point: Any, dtype: np.dtype[Any] | None = None) -> float:
    if not point.is_finite():
        return math.nan
    mantissa, exponent = point.man_exp()
    return round_dyadic(int(mantissa), int(exponent), dtype or np.dtype(np.float64))
