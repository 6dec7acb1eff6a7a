"""The sum in float32 and 32-bit integers, for numbers of moderate size.

Where no factor is beyond ``2 ** +-45`` and no accumulator beyond ``2 ** +-90``, products, aligned terms and the total
are exact in these types. The result is that of `sums`, sooner. Aligned terms are integers: the conversion from a float
cuts off just as the unit does.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..opcodes.vector import Vector
from .elements import FORMATS, exponent_of, value_of
from .forms import Form, Unit
from .terms import Term, top_exponent

__all__ = ["C_LIMIT", "LIMIT", "quick_sum"]

#: Greatest exponents of factors and of accumulators.
LIMIT, C_LIMIT = 45, 90
#: So many aligned products, each below ``4 * 2 ** 25``, and an accumulator fit into 32 bits whatever they are.
_FEW = 8


def quick_sum(form: Form, unit: Unit, terms: Sequence[Term], c: Vector) -> tuple[Vector, list[Vector]]:
    """Return the sum of `terms` and `c`, in its bits as `c` is; and columns that say where it failed, if it can."""
    # What is not zero has an exponent above this floor, so the unit's own one, far below, makes no difference.
    top = top_exponent(terms, _exponent(c, form.total), -C_LIMIT)
    up, down = _power(unit.fraction - top), _power(top - unit.fraction)
    total = (value_of(c, form.total, "float") * up).cast("fptosi", "i32")
    for term in terms:
        total = total + (term.product * up).cast("fptosi", "i32")
    # More terms may wrap around, but not so far that the total would look small.
    failed = [(total + (1 << 30)).compare("slt", 0)] if len(terms) > _FEW else []
    near = total.cast("sitofp", "float")
    back = near.cast("fptosi", "i32")
    beyond = _size(back).compare("sgt", _size(total))
    bits = near.integer() - beyond.to("i32")
    if form.total == "f16":
        # To odd first: then the rounding to float16 still sees on which side the exact total lies.
        bits = bits | back.compare("ne", total).to("i32")
    result = bits.real() * down
    return (result.cast("fptrunc", "half") if form.total == "f16" else result).integer(), failed


def _exponent(c: Vector, kind: str) -> Vector:
    """Return the exponents of accumulators; of a zero one that is too small to matter."""
    if kind == "f16":
        return exponent_of(c, kind)
    form = FORMATS["f32"]
    return (c.lshr(form.fraction).to("i16") & (2 * form.bias + 1)) - form.bias


def _power(exponent: Vector) -> Vector:
    """Return the power of two as a float32, the exponent being that of a normal number."""
    form = FORMATS["f32"]
    return ((exponent + form.bias).to("i32") << form.fraction).real()


def _size(x: Vector) -> Vector:
    return x.call("abs", trailing="i1 false")
