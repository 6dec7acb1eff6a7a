"""Elements of matrices: from their bits to their values and exponents."""

from __future__ import annotations

from dataclasses import dataclass

from ..opcodes.narrow import widen
from ..opcodes.vector import Vector, select

__all__ = ["FORMATS", "Format", "exponent_of", "outside", "value_of"]

#: The exponent of a zero: with the largest one of another element added it still lies below all others.
_FAR = -10000
#: The bits of a float32 that a tf32 number has.
_TF32 = 0xFFFFE000


@dataclass(frozen=True, slots=True)
class Format:
    """A format in an integer of `bits`: `fraction` bits of its significand, and the `bias` of its exponent."""

    bits: int
    fraction: int
    bias: int

    @property
    def infinity(self) -> int:
        """The bits of infinity."""
        return (2 * self.bias + 1) << self.fraction

    @property
    def sign(self) -> int:
        """The bit of the sign."""
        return 1 << (self.bits - 1)


FORMATS = {
    "f16": Format(16, 10, 15),
    "bf16": Format(16, 7, 127),
    "tf32": Format(32, 23, 127),
    "f32": Format(32, 23, 127),
}


def value_of(bits: Vector, kind: str, real: str) -> Vector:
    """Return the numbers that bits stand for as ``float`` or ``double``; of tf32 what the unit reads."""
    if kind == "tf32":
        bits = bits & _TF32
    value = bits.real() if bits.bits == 32 else widen(bits, kind)
    return value if real == "float" else value.cast("fpext", "double")


def exponent_of(bits: Vector, kind: str) -> Vector:
    """Return the exponents of numbers, ``i16``: that of subnormal ones is the format's least.

    Infinities and NaNs have one more than the greatest.
    """
    form = FORMATS[kind]
    if kind == "tf32":
        bits = bits & _TF32
    biased = (bits.lshr(form.fraction).to("i16") & (2 * form.bias + 1)).call("umax", 1)
    zero = (bits & (form.sign - 1)).compare("eq", 0)
    return select(zero, _FAR, biased - form.bias)


def outside(bits: Vector, kind: str, limit: int) -> Vector:
    """Return which numbers, zeros aside, have an exponent beyond ``+-limit``; or are none, where all are within."""
    form = FORMATS[kind]
    magnitude = bits & (form.sign - 1)
    if limit >= form.bias:
        return magnitude.compare("uge", form.infinity)
    first = (form.bias - limit) << form.fraction
    beyond = (magnitude - first).compare("uge", (2 * limit + 1) << form.fraction)
    return beyond & magnitude.compare("ne", 0)
