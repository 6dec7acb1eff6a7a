"""Comparison and choice of integers and floats: ``setp``, ``set``, ``selp``, ``slct``, ``testp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ptx import SIZES, Instruction, Operand, Pair, type_of
from . import opcode, unknown
from .vector import Vector, read, select, sources, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__ = ["combine", "compare", "condition"]

_ORDERED = {"eq": "oeq", "ne": "one", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_UNORDERED = {"equ": "ueq", "neu": "une", "ltu": "ult", "leu": "ule", "gtu": "ugt", "geu": "uge"}
_FLOAT = {**_ORDERED, **_UNORDERED, "num": "ord", "nan": "uno"}
_UNSIGNED = {"lo": "ult", "ls": "ule", "hi": "ugt", "hs": "uge"}
_BOOLEAN = ("and", "or", "xor")


def condition(i: Instruction) -> str:
    """Return the comparison that an instruction makes."""
    for modifier in i.modifiers:
        if modifier in _FLOAT or modifier in _UNSIGNED:
            return modifier
    raise unknown(i, "no comparison")


def compare(a: Vector, b: Vector, name: str, signed: bool) -> Vector:
    """Compare as PTX names it."""
    if a.floating:
        return a.compare(_FLOAT[name], b)
    if name in ("eq", "ne"):
        return a.compare(name, b)
    return a.compare(_UNSIGNED.get(name) or f"{'s' if signed else 'u'}{name}", b)


def combine(e: Emitter, i: Instruction, flag: Vector, third: Operand | None) -> Vector:
    """Combine the outcome with a predicate operand, where the instruction has one."""
    name = next((modifier for modifier in i.modifiers if modifier in _BOOLEAN), None)
    if name is None or third is None:
        return flag
    return flag.binary(name, read(e, third, "pred"))


def _outcome(e: Emitter, i: Instruction, type_: str) -> Vector:
    a, b = (read(e, operand, type_).flushed(i.has("ftz")) for operand in i.operands[1:3])
    return compare(a, b, condition(i), type_[0] == "s")


@opcode("setp", kind="integer")
@opcode("setp", kind="float")
def setp(e: Emitter, i: Instruction) -> None:
    """Set a predicate, and a second one from the opposite outcome."""
    third = i.operands[3] if len(i.operands) > 3 else None
    flag = _outcome(e, i, type_of(i))
    d = i.operands[0]
    if isinstance(d, Pair):
        first, second = combine(e, i, flag, third), combine(e, i, ~flag, third)
        write(e, d.first, first, "pred")
        write(e, d.second, second, "pred")
    else:
        write(e, d, combine(e, i, flag, third), "pred")


@opcode("set", kind="integer")
@opcode("set", kind="float")
def set_(e: Emitter, i: Instruction) -> None:
    """Set a register to all ones (or 1.0) where the comparison holds, else to zero."""
    target, source = [modifier for modifier in i.modifiers if modifier in SIZES]
    third = i.operands[3] if len(i.operands) > 3 else None
    flag = combine(e, i, _outcome(e, i, source), third)
    integer = f"i{8 * SIZES[target]}"
    result = flag.cast("uitofp", "float") if target == "f32" else flag.to(integer, signed=True)
    write(e, i.operands[0], result, target)


@opcode("selp")
def selp(e: Emitter, i: Instruction) -> None:
    """Choose by a predicate."""
    type_ = type_of(i)
    a, b = (read(e, operand, type_) for operand in i.operands[1:3])
    write(e, i.operands[0], select(read(e, i.operands[3], "pred"), a, b), type_)


@opcode("slct")
def slct(e: Emitter, i: Instruction) -> None:
    """Choose by a sign: the first where the third operand is zero or more."""
    target, source = [modifier for modifier in i.modifiers if modifier in SIZES]
    a, b = (read(e, operand, target) for operand in i.operands[1:3])
    c = read(e, i.operands[3], source)
    # Flushing matters: a negative subnormal becomes a zero.
    chosen = c.flushed(i.has("ftz")).compare("oge", 0.0) if c.floating else c.compare("sge", 0)
    write(e, i.operands[0], select(chosen, a, b), target)


@opcode("testp")
def testp(e: Emitter, i: Instruction) -> None:
    """Tell what kind of number a float is."""
    (a,) = sources(e, i, type_of(i))
    magnitude = a.abs()
    infinity = float("inf")
    match i.modifiers[0]:
        case "finite":
            flag = magnitude.compare("olt", infinity)
        case "infinite":
            flag = magnitude.compare("oeq", infinity)
        case "number":
            flag = a.compare("ord", a)
        case "notanumber":
            flag = a.compare("uno", a)
        case "normal":  # zeros count as normal numbers
            flag = magnitude.compare("olt", infinity) & ~_subnormal(magnitude)
        case "subnormal":
            flag = _subnormal(magnitude)
        case _:
            raise unknown(i)
    write(e, i.operands[0], flag, "pred")


def _subnormal(magnitude: Vector) -> Vector:
    tiny = {"float": 2.0**-126, "double": 2.0**-1022}[magnitude.type]
    return magnitude.compare("olt", tiny) & magnitude.compare("ogt", 0.0)
