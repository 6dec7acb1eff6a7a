"""IEEE arithmetic of 32 and 64 bits, exact to the bit in every rounding mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..ptx import Instruction, type_of
from . import opcode
from .approximate import reciprocal_gross
from .bounds import in_bound
from .rounding import arithmetic, mode_of
from .vector import Vector, halves, joined, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["extremum", "saturated"]

_NAMES = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv", "fma": "fma", "mad": "fma", "sqrt": "sqrt"}


def saturated(x: Vector) -> Vector:
    """Clamp to [0, 1]; NaN becomes zero."""
    return select(x.compare("ogt", 0.0), select(x.compare("olt", 1.0), x, 1.0), 0.0)


def _lanewise(e: Emitter, i: Instruction, formula: Callable[..., Vector]) -> None:
    """Apply a formula to the sources, or to both halves of packed ones, and write the result."""
    type_ = type_of(i)
    flush = i.has("ftz")

    def finish(*operands: Vector) -> Vector:
        result = formula(*(operand.flushed(flush) for operand in operands)).flushed(flush)
        return saturated(result) if i.has("sat") else result

    operands = sources(e, i, type_)
    if type_ == "f32x2":
        lows, highs = zip(*(halves(operand, "float") for operand in operands), strict=True)
        result = joined(finish(*lows), finish(*highs))
    else:
        result = finish(*operands)
    write(e, i.operands[0], result, type_)


@opcode("add", "sub", "mul", "fma", "mad", "div", kind="float")
def ieee(e: Emitter, i: Instruction) -> None:
    """Sums, products and quotients; ``div.approx`` and ``div.full`` are exact here, too."""

    def formula(*operands: Vector) -> Vector:
        result = arithmetic(_NAMES[i.opcode], mode_of(i), *operands)
        if i.opcode == "div" and i.has("approx"):
            # The manual: a finite number over more than 2^126 is zero, infinity over it NaN.
            a, b = operands
            huge = b.abs().compare("ogt", 2.0**126) & b.abs().compare("olt", float("inf"))
            result = select(huge, a * (b * 0.0), result)
        return in_bound(e, result, *operands) if e.drawn and i.has("approx", "full") else result

    _lanewise(e, i, formula)


@opcode("sqrt", kind="float")
def square_root(e: Emitter, i: Instruction) -> None:
    """``sqrt``; the approximate form is exact here, too."""

    def formula(a: Vector) -> Vector:
        result = arithmetic("sqrt", mode_of(i), a)
        return in_bound(e, result, a) if e.drawn and i.has("approx") else result

    _lanewise(e, i, formula)


@opcode("rcp", kind="float")
def reciprocal(e: Emitter, i: Instruction) -> None:
    """``rcp``; the approximate form of 32 bits is exact here, too."""
    if type_of(i) == "f64" and i.has("approx"):
        (a,) = sources(e, i, "f64")
        write(e, i.operands[0], reciprocal_gross(a), "f64")
        return

    def formula(a: Vector) -> Vector:
        result = arithmetic("fdiv", mode_of(i), a.constant(1.0), a)
        return in_bound(e, result, a) if e.drawn and i.has("approx") else result

    _lanewise(e, i, formula)


@opcode("abs", "neg", kind="float")
def sign(e: Emitter, i: Instruction) -> None:
    """``abs`` and ``neg`` change nothing but the sign."""
    _lanewise(e, i, lambda a: a.abs() if i.opcode == "abs" else -a)


@opcode("copysign", kind="float")
def copysign(e: Emitter, i: Instruction) -> None:
    """The second operand with the sign of the first."""
    _lanewise(e, i, lambda a, b: b.copysign(a))


@opcode("min", "max", kind="float")
def min_max(e: Emitter, i: Instruction) -> None:
    """``min`` and ``max`` of two or three numbers."""
    _lanewise(e, i, lambda *operands: extremum(i, *operands))


def extremum(i: Instruction, *operands: Vector) -> Vector:
    """Minimum or maximum as the modifiers want it: -0 is below +0, NaN loses without ``.NaN``."""
    name = {"min": "minimum", "max": "maximum"}[i.opcode] + ("" if i.has("NaN") else "num")
    first, *others = [operand.abs() for operand in operands] if i.has("abs") else operands
    result = first
    for other in others:
        result = result.call(name, other)
    if i.has("xorsign"):
        a, b = operands
        odd = (a.integer() ^ b.integer()) & (1 << (a.bits - 1))
        result = (result.integer() | odd).cast("bitcast", a.type)
    return result
