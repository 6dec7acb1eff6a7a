"""The sum of a few products and an accumulator as a matrix unit makes it, for all numbers, infinities and NaNs.

Every product is exact. All terms are aligned to the largest exponent, cut off so many bits behind the point, and added
without error; the total is rounded once: to float32 toward zero, to float16 to nearest. In float64 all of that but the
rounding is exact, and what is not finite comes out by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..opcodes.vector import Vector, select
from .elements import exponent_of, value_of
from .forms import Form, Unit
from .terms import Term, top_exponent

__all__ = ["NANS", "power", "rounded", "whole_sum"]

#: The NaN that a GPU gives.
NANS = {"f32": 0x7FFFFFFF, "f16": 0x7FFF}


def whole_sum(form: Form, unit: Unit, terms: Sequence[Term], c: Vector) -> Vector:
    """Return the sum of `terms`, in float64, and `c`, in its bits as `c` is."""
    top = top_exponent(terms, exponent_of(c, form.total), unit.floor)
    up, down = power(unit.fraction - top), power(top - unit.fraction)
    total = (value_of(c, form.total, "double") * up).call("trunc")
    for term in terms:
        total = total + (term.product * up).call("trunc")
    # A total of no terms but zeros is +0, whatever their signs: it is an integer in the unit.
    return rounded(total * down + 0.0, form.total)


def power(exponent: Vector) -> Vector:
    """Return a power of two as a float64, the exponent being that of a normal number."""
    return ((exponent + 1023).to("i64") << 52).real()


def rounded(x: Vector, kind: str) -> Vector:
    """Return the bits of float64 rounded to float32, toward zero, or to float16, to nearest; of NaNs the GPU's."""
    near = x.cast("fptrunc", "float")
    back = near.cast("fpext", "double")
    # From 2 ** 128 on a number has overflowed; between that and the greatest one, infinity is too far.
    beyond = back.abs().compare("ogt", x.abs()) & x.abs().compare("olt", 2.0**128)
    bits = near.integer() - beyond.to("i32")
    if kind == "f16":
        # To odd first: then the second rounding still sees on which side the exact number lies.
        odd = bits | back.compare("one", x).to("i32")
        bits = odd.real().cast("fptrunc", "half").integer()
    return select(x.compare("uno", x), NANS[kind], bits)
