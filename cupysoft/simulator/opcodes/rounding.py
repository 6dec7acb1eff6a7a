"""Operations in the rounding modes other than to nearest.

LLVM's constrained intrinsics obey the machine's rounding mode, which a small function sets
and puts back. That is exact for every operand, subnormal results and overflow included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..literals import mangled
from .vector import Vector

if TYPE_CHECKING:
    from ..ptx import Instruction

__all__ = ["arithmetic", "directed", "mode_of"]

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
        return directed(name, mode, first.type, *operands)
    return first.binary(name, *others) if name in _INSTRUCTIONS else first.call(name, *others)


def directed(name: str, mode: str, result: str, *operands: Vector) -> Vector:
    """Compute the constrained operation `name` to the type `result` in a rounding mode.

    `name` may also be a conversion: ``fptrunc``, ``sitofp``, ``uitofp``.
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
