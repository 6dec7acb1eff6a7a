"""What some matrix unit may give for a sum: a number drawn from a bound that covers every generation.

Let M be the sum of the magnitudes of all terms, or the power of two that they are aligned to where that is larger.
Units of all generations stay within ``(depth + 8) M / 2 ** 24`` of the exact sum, with float16 totals within
``2 M / 2 ** 11`` more, and in each case within three units in the last place of the subnormal numbers more: a part of
the depth loses one unit of 2 ** -24 with each term and one with its rounding, and there are no more than two parts.
Where no partial sum needs more digits than a total has, all units are exact, and so is what is drawn.

The draw depends on the seed and on the sum alone: like a unit's own, equal results come of equal numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..opcodes.vector import Vector, select
from .elements import FORMATS, exponent_of, value_of
from .forms import Form, Unit
from .rows import Rows
from .sums import NANS, power
from .terms import Term, top_exponent

__all__ = ["drawn_sum"]

#: What two roundings of subnormal totals may add: toward zero nearly a unit in the last place, to nearest half of one.
_LEAST = {"f32": 2.0**-148, "f16": 2.0**-24}
#: What the roundings of a total, one for each part of the depth, may add.
_ROUNDINGS = {"f32": 0.0, "f16": 2.0**-11}


def drawn_sum(rows: Rows, form: Form, unit: Unit, terms: Sequence[Term], c: Vector) -> Vector:
    """Return a sum of `terms`, in float64, and `c`, in its bits as `c` is; ``%values`` is the seed."""
    summands = [value_of(c, form.total, "double"), *(term.product for term in terms)]
    exact, size = summands[0], summands[0].abs()
    for summand in summands[1:]:
        exact, size = exact + summand, size + summand.abs()
    exact = exact + 0.0
    size = size.call("maxnum", power(top_exponent(terms, exponent_of(c, form.total), unit.floor)))
    # One less than in the bound: the rest is for the rounding of what is drawn.
    bound = size * ((form.depth + 7) * 2.0**-24 + _ROUNDINGS[form.total]) + _LEAST[form.total]
    moved = exact + bound * _chance(rows, exact, size)
    certain = _without_rounding(summands, size, FORMATS[form.total].fraction)
    finite = exact.abs().compare("olt", float("inf"))
    result = select(finite & ~certain, moved, exact).cast("fptrunc", "float")
    if form.total == "f16":
        result = result.cast("fptrunc", "half")
    return select(exact.compare("uno", exact), NANS[form.total], result.integer())


def _without_rounding(summands: Sequence[Vector], size: Vector, fraction: int) -> Vector:
    """Return where all summands are multiples of the last place of a total as large as `size`."""
    up = power(fraction + 1023 - size.integer().lshr(52).to("i16"))
    scaled = [summand * up for summand in summands]
    certain = scaled[0].compare("oeq", scaled[0].call("trunc"))
    for each in scaled[1:]:
        certain = certain & each.compare("oeq", each.call("trunc"))
    return certain


def _chance(rows: Rows, *numbers: Vector) -> Vector:
    """Return a number from -1 to 1 that `numbers`, float64, and the seed determine."""
    state = Vector(rows, "i64", rows.splat("i64", "%values"))
    for number in numbers:
        state = _mixed(state ^ number.integer())
    return state.ashr(11).cast("sitofp", "double") * 2.0**-52


def _mixed(x: Vector) -> Vector:
    """Spread every bit of an integer over all others: the finish of the generator SplitMix64 (Steele et al., 2014)."""
    x = (x ^ x.lshr(30)) * (0xBF58476D1CE4E5B9 - (1 << 64))
    x = (x ^ x.lshr(27)) * (0x94D049BB133111EB - (1 << 64))
    return x ^ x.lshr(31)
