"""Arithmetic of the 16-bit formats, alone and packed in pairs, exact to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..ptx import SIZES, Instruction, Operand, Pair, type_of
from . import opcode, unknown
from .adversary import moved
from .approximate import exp2, tanh
from .comparison import combine, compare, condition
from .floating import extremum, saturated
from .narrow import ONE, fused, narrow, widen
from .rounding import arithmetic, mode_of
from .vector import Vector, halves, joined, read, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []

#: Bounds of the PTX manual: relative, and absolute.
_EXP2_BOUND = {"f16": 2.0**-9.9, "bf16": 2.0**-7}
_TANH_BOUND = {"f16": 2.0**-10.987, "bf16": 2.0**-8}


def _parts(e: Emitter, operands: Sequence[Operand], type_: str) -> list[tuple[Vector, ...]]:
    """Read 16-bit sources as ``i16``: one tuple of operands, or two for packed types, low first."""
    if type_.endswith("x2"):
        pairs = [halves(read(e, operand, "b32"), "i16") for operand in operands]
        return list(zip(*pairs, strict=True))
    return [tuple(read(e, operand, "b16") for operand in operands)]


def _store(e: Emitter, operand: Operand, parts: Sequence[Vector]) -> None:
    if len(parts) == 2:
        write(e, operand, joined(*parts), "b32")
    else:
        write(e, operand, parts[0], "b16")


def _lanewise(e: Emitter, i: Instruction, formula: Callable[..., Vector]) -> None:
    """Apply a formula of float32 vectors to each half and write it rounded."""
    type_ = type_of(i)
    kind = type_.removesuffix("x2")
    flush = i.has("ftz")
    results = []
    for part in _parts(e, i.operands[1:], type_):
        result = formula(*(widen(operand, kind, flush) for operand in part))
        if i.has("sat"):
            result = saturated(result)
        if i.has("relu"):
            result = select(result.compare("ole", 0.0), 0.0, result)
        results.append(narrow(result, kind, flush=flush))
    _store(e, i.operands[0], results)


def _mixed(e: Emitter, i: Instruction) -> bool:
    """Translate ``add.f32.f16`` and its like, 16-bit sources and a float32 sum; tell if `i` is one."""
    if "f32" not in i.modifiers:
        return False
    kind = type_of(i)
    *factors, c = i.operands[1:]
    wide = [widen(read(e, operand, "b16"), kind) for operand in factors]
    name = {"add": "fadd", "sub": "fsub", "fma": "fma"}[i.opcode]
    result = arithmetic(name, mode_of(i), *wide, read(e, c, "f32"))
    write(e, i.operands[0], saturated(result) if i.has("sat") else result, "f32")
    return True


@opcode("add", "sub", "mul", kind="half")
def arithmetic16(e: Emitter, i: Instruction) -> None:
    """Sums and products: float32 has more than 2 * 11 + 2 bits, so rounding twice is harmless."""
    if not _mixed(e, i):
        name = {"add": "fadd", "sub": "fsub", "mul": "fmul"}[i.opcode]
        _lanewise(e, i, lambda a, b: a.binary(name, b))


@opcode("fma", kind="half")
def fma16(e: Emitter, i: Instruction) -> None:
    """``fma``, rounded once."""
    if i.has("oob"):
        raise unknown(i)
    if not _mixed(e, i):
        kind = type_of(i).removesuffix("x2")
        _lanewise(e, i, lambda a, b, c: fused(a, b, c, kind))


@opcode("abs", "neg", kind="half")
def sign16(e: Emitter, i: Instruction) -> None:
    """``abs`` and ``neg`` change nothing but the sign."""
    if i.has("ftz"):
        _lanewise(e, i, lambda a: a.abs() if i.opcode == "abs" else -a)
        return
    type_ = "b32" if type_of(i).endswith("x2") else "b16"
    mask = 0x80008000 if type_ == "b32" else 0x8000
    (a,) = sources(e, i, type_)
    write(e, i.operands[0], a & ~mask if i.opcode == "abs" else a ^ mask, type_)


@opcode("min", "max", kind="half")
def min_max16(e: Emitter, i: Instruction) -> None:
    """``min`` and ``max``."""
    _lanewise(e, i, lambda *operands: extremum(i, *operands))


@opcode("ex2", "tanh", kind="half")
def approximate16(e: Emitter, i: Instruction) -> None:
    """``ex2.approx`` and ``tanh.approx``: computed in float32 and rounded."""
    kind = type_of(i).removesuffix("x2")
    function = exp2 if i.opcode == "ex2" else tanh

    def formula(a: Vector) -> Vector:
        result = function(a)
        return _in_bound(e, kind, result, a) if e.drawn else result

    _lanewise(e, i, formula)


def _in_bound(e: Emitter, kind: str, value: Vector, x: Vector) -> Vector:
    """Return a number near `value` that the seed chooses; rounded, it is inside the manual's bound."""
    bound = value.abs() * _EXP2_BOUND[kind] if e.instruction.opcode == "ex2" else value.constant(_TANH_BOUND[kind])
    bound = bound * (1 - 2.0**-16) - value.abs() * 2.0**-20  # less by the errors of float32
    candidate = widen(narrow(moved(e, value, bound, x), kind), kind)
    least = 2.0**-14 if kind == "f16" else 2.0**-126
    fine = (candidate - value).abs().compare("ole", bound) & x.abs().compare("olt", float("inf"))
    for number in (value, candidate):
        fine = fine & number.abs().compare("oge", least) & number.abs().compare("olt", float("inf"))
    return select(fine, candidate, value)


def _outcomes(e: Emitter, i: Instruction, type_: str) -> list[Vector]:
    kind = type_.removesuffix("x2")
    name = condition(i)
    outcomes = []
    for part in _parts(e, i.operands[1:3], type_):
        a, b = (widen(operand, kind, i.has("ftz")) for operand in part)
        outcomes.append(compare(a, b, name, signed=True))
    return outcomes


@opcode("setp", kind="half")
def setp16(e: Emitter, i: Instruction) -> None:
    """Set a predicate for each half; for a single number the second one is the opposite."""
    third = i.operands[3] if len(i.operands) > 3 else None
    outcomes = _outcomes(e, i, type_of(i))
    d = i.operands[0]
    targets = [d.first, d.second] if isinstance(d, Pair) else [d]
    if len(targets) > len(outcomes):
        outcomes.append(~outcomes[0])
    for target, outcome in zip(targets, outcomes, strict=True):
        write(e, target, combine(e, i, outcome, third), "pred")


@opcode("set", kind="half")
def set16(e: Emitter, i: Instruction) -> None:
    """Set to 1.0, or all ones, where the comparison of 16-bit numbers holds."""
    target, source = [modifier for modifier in i.modifiers if modifier in SIZES]
    third = i.operands[3] if len(i.operands) > 3 else None
    outcomes = [combine(e, i, outcome, third) for outcome in _outcomes(e, i, source)]
    kind = target.removesuffix("x2")
    if len(outcomes) == 2 or kind in ONE:
        one = ONE.get(kind, 0xFFFF)
        like = Vector(e, "i16", e.constant("i16", one))
        _store(e, i.operands[0], [select(outcome, like, 0) for outcome in outcomes])
    elif target == "f32":
        write(e, i.operands[0], outcomes[0].cast("uitofp", "float"), target)
    else:
        write(e, i.operands[0], outcomes[0].to(f"i{8 * SIZES[target]}", signed=True), target)
