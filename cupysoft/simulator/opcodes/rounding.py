"""Operations in the rounding modes other than to nearest.

Sums and products of float32 are computed exactly, as two float64 numbers, and then rounded; what has been rounded to
nearest goes to its neighbour where that is asked for.
For all else LLVM's constrained intrinsics obey the machine's rounding mode, which a small
function sets and puts back; that takes longer. Both are exact for every operand, subnormal
results and overflow included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..literals import mangled
from .vector import Vector, select

if TYPE_CHECKING:
    from ..ptx import Instruction

__all__ = ["arithmetic", "directed", "mode_of", "single"]

#: Rounding modes as ``llvm.set.rounding`` numbers them.
_MODES = {"rz": 0, "rn": 1, "rp": 2, "rm": 3}

_INSTRUCTIONS = ("fadd", "fsub", "fmul", "fdiv")


def mode_of(i: Instruction) -> str:
    """Return the rounding mode of an instruction, ``rn`` where it names none."""
    return next((modifier for modifier in i.modifiers if modifier in _MODES), "rn")


def arithmetic(name: str, mode: str, *operands: Vector) -> Vector:
    """Compute ``fadd``, ``fsub``, ``fmul``, ``fdiv``, ``fma`` or ``sqrt``, rounded once."""
    first, *others = operands
    if mode != "rn":
        if first.type == "float" and name in ("fadd", "fsub", "fmul", "fma"):
            return _through_double(name, mode, *operands)
        return directed(name, mode, first.type, *operands)
    return first.binary(name, *others) if name in _INSTRUCTIONS else first.call(name, *others)


def _through_double(name: str, mode: str, a: Vector, b: Vector, *addend: Vector) -> Vector:
    """Round an exact sum or product of float32 numbers."""
    if name == "fsub":
        b = -b
    if mode == "rm":  # downwards is upwards of the negated number; the signs of zeros agree, too
        a, b, addend = -a, b if name in ("fmul", "fma") else -b, tuple(-c for c in addend)
        return -_through_double("fadd" if name == "fsub" else name, "rp", a, b, *addend)
    wide = [operand.cast("fpext", "double") for operand in (a, b, *addend)]
    if name == "fmul":
        total, error = wide[0] * wide[1], None
    else:
        x, y = (wide[0] * wide[1], wide[2]) if name == "fma" else wide
        total = x + y
        back = total - x
        error = (x - (total - back)) + (y - back)
    nearest = total.cast("fptrunc", "float")
    value = nearest.cast("fpext", "double")
    rest = total - value
    if error is not None:  # far below `rest`, unless that is zero: the sum has the right sign
        rest = rest + error
    return _towards(mode, nearest, rest, value)


def _towards(mode: str, nearest: Vector, rest: Vector, value: Vector) -> Vector:
    """Take the neighbour of `nearest`, whose value is `value`, where `rest`, what it lacks, lies on the other side."""
    bits = nearest.integer()
    if mode == "rp":
        return (bits + select(rest.compare("ogt", 0.0), bits.ashr(31) | 1, 0)).real()
    return (bits - (rest * value).compare("olt", 0.0).to("i32")).real()


def single(mode: str, a: Vector) -> Vector:
    """Round float64 to float32."""
    if mode == "rm":
        return -single("rp", -a)
    nearest = a.cast("fptrunc", "float")
    if mode == "rn":
        return nearest
    value = nearest.cast("fpext", "double")
    return _towards(mode, nearest, a - value, value)


def directed(name: str, mode: str, result: str, *operands: Vector) -> Vector:
    """Compute the constrained operation `name` to the type `result` in a rounding mode.

    `name` may also be a conversion: ``sitofp``, ``uitofp``.
    """
    e = operands[0].emitter
    source = operands[0].type
    overloads = (result,) if source == result else (result, source)
    suffix = "".join(f".v{e.W}{mangled(type_)}" for type_ in overloads)
    intrinsic = f"@llvm.experimental.constrained.{name}{suffix}"
    formal = ", ".join([f"<{e.W} x {source}>"] * len(operands))
    e.module.declare(f"declare <{e.W} x {result}> {intrinsic}({formal}, metadata, metadata)")
    e.module.declare("declare void @llvm.set.rounding(i32)")
    names = [f"%x{k}" for k in range(len(operands))]
    parameters = ", ".join(f"<W x {source}> {name}" for name in names)
    label = f"{name}_{mode}_{mangled(result)}_{mangled(source)}"
    function = e.runtime(
        label,
        f"""define internal <W x {result}> @{label}({parameters}) noinline strictfp {{
  call void @llvm.set.rounding(i32 {_MODES[mode]}) strictfp
  %r = call <W x {result}> {intrinsic}({parameters}, metadata !"round.dynamic", metadata !"fpexcept.strict") strictfp
  call void @llvm.set.rounding(i32 1) strictfp
  ret <W x {result}> %r
}}""",
    )
    arguments = ", ".join(f"<W x {source}> {{{k}}}" for k in range(len(operands)))
    value = e.map(f"call <W x {result}> {function}({arguments})", *(operand.value for operand in operands))
    return Vector(e, result, value)
