"""``cvt`` between integers, floats and the 16-bit formats."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..ptx import SIZES, Instruction
from . import opcode, unknown
from .bytes8 import EIGHT_BITS, decode_pair, encode_pair
from .floating import saturated
from .narrow import greatest, narrow, narrow_double, odd_float, widen
from .rounding import directed, mode_of, single
from .vector import Vector, halves, joined, read, select, write

if TYPE_CHECKING:
    from ..emitter import Emitter

__all__: list[str] = []

_INTEGRAL = {"rni": "roundeven", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
_FLOATS = {"f32": "float", "f64": "double"}
_NARROW = ("f16", "bf16")


@opcode("cvt")
def convert(e: Emitter, i: Instruction) -> None:
    """Dispatch on the two types."""
    if i.modifiers[0] == "pack":
        _pack(e, i)
        return
    kinds = [modifier for modifier in i.modifiers if modifier in SIZES]
    if len(kinds) != 2 or i.has("rs", "scaled::n2::ue8m0"):
        raise unknown(i)
    target, source = kinds
    if source in EIGHT_BITS or target in EIGHT_BITS:
        _eight_bits(e, i, target, source)
    elif target.endswith("x2"):
        if source != "f32":
            raise unknown(i)
        a, b = (_limited(i, read(e, operand, source), target[:-2]) for operand in i.operands[1:3])
        write(e, i.operands[0], joined(*(narrow(x, target[:-2], mode_of(i)) for x in (b, a))), "b32")
    elif target == "tf32":
        write(e, i.operands[0], _tf32(_limited(i, read(e, i.operands[1], "f32"), "tf32"), i), "b32")
    elif _is_float(target):
        _to_float(e, i, target, source)
    else:
        _to_integer(e, i, target, source)


def _is_float(type_: str) -> bool:
    return type_ in _FLOATS or type_ in _NARROW


def _limited(i: Instruction, x: Vector, kind: str) -> Vector:
    """Apply ``.relu`` and ``.satfinite`` before the rounding, which changes neither."""
    if i.has("relu"):
        x = select(x.compare("ole", 0.0), 0.0, x)
    if i.has("satfinite"):
        most = greatest(kind)
        x = select(x.abs().compare("ogt", most), x.constant(most).copysign(x), x)
    return x


def _tf32(x: Vector, i: Instruction) -> Vector:
    """Round to 10 fraction bits; infinities and NaN stay."""
    bits = x.integer()
    if i.has("rna"):
        rounded = bits + 0x1000
    elif i.has("rz"):
        rounded = bits
    else:
        rounded = bits + 0xFFF + (bits.lshr(13) & 1)
    finite = x.abs().compare("olt", math.inf)
    return select(finite, rounded & ~0x1FFF, select(x.compare("uno", x), 0x7FFFFFFF, bits))


# To integers.


def _to_integer(e: Emitter, i: Instruction, target: str, source: str) -> None:
    a = _real(e, i, source) if _is_float(source) else read(e, i.operands[1], source)
    if a.floating:
        a = _integral(i, a)
        write(e, i.operands[0], _clamped(a, target, wide_source=source == "f64"), target)
        return
    if i.has("sat"):
        a = _saturated_integer(a, target, source[0] == "s")
    write(e, i.operands[0], a.to(f"i{8 * SIZES[target]}", signed=source[0] == "s"), target)


def _real(e: Emitter, i: Instruction, source: str) -> Vector:
    """Read a floating source as float32, or as float64 if it is one."""
    if source in _NARROW:
        return widen(read(e, i.operands[1], "b16"), source)
    return read(e, i.operands[1], source).flushed(i.has("ftz") and source == "f32")


def _integral(i: Instruction, a: Vector) -> Vector:
    name = next((_INTEGRAL[modifier] for modifier in i.modifiers if modifier in _INTEGRAL), None)
    return a.call(name) if name else a


def _clamped(a: Vector, target: str, wide_source: bool) -> Vector:
    """Convert a float to an integer; what does not fit becomes the nearest that does."""
    bits, signed = 8 * SIZES[target], target[0] == "s"
    type_ = f"i{bits}"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    # Truncation makes zero of everything above -1.
    fits = (a.compare("oge", float(low)) if signed else a.compare("ogt", -1.0)) & a.compare("olt", float(high + 1))
    invalid = 1 << (bits - 1) if wide_source or bits == 64 else 0
    lowest = a.constant(low, type_)
    outside = select(a.compare("ogt", 0.0), high, select(a.compare("olt", 0.0), lowest, invalid))
    return select(fits, a.cast("fptosi" if signed else "fptoui", type_), outside)


def _saturated_integer(a: Vector, target: str, signed_source: bool) -> Vector:
    bits, signed = 8 * SIZES[target], target[0] == "s"
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if not signed_source:
        return a.call("umin", high) if high < 2**a.bits else a
    if low > -(2 ** (a.bits - 1)):
        a = a.call("smax", low)
    return a.call("smin", high) if high < 2 ** (a.bits - 1) - 1 else a


def _pack(e: Emitter, i: Instruction) -> None:
    """``cvt.pack``: two saturated integers below what the third operand brings."""
    form = re.fullmatch(r"([us])(2|4|8|16)", i.modifiers[2])
    if form is None:
        raise unknown(i)
    bits = int(form[2])
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if form[1] == "s" else (0, 2**bits - 1)
    a, b = (read(e, operand, "s32").call("smax", low).call("smin", high) & (2**bits - 1) for operand in i.operands[1:3])
    result = (a << bits) | b
    if len(i.operands) > 3:
        result = result | (read(e, i.operands[3], "b32") << (2 * bits))
    write(e, i.operands[0], result, "b32")


# To floats.


def _to_float(e: Emitter, i: Instruction, target: str, source: str) -> None:
    if not _is_float(source):
        result = _from_integer(read(e, i.operands[1], source), source[0] == "s", target, mode_of(i))
        write(e, i.operands[0], result, target if target in _FLOATS else "b16")
        return
    a = _integral(i, _real(e, i, source))
    if i.has("sat"):
        a = saturated(a)
    a = _limited(i, a, target) if target in _NARROW else a
    mode = mode_of(i)
    if target in _NARROW:
        result = narrow_double(a, target, mode) if a.type == "double" else narrow(a, target, mode)
        write(e, i.operands[0], result, "b16")
        return
    if a.type != _FLOATS[target]:
        a = a.cast("fpext", "double") if target == "f64" else single(mode, a)
    write(e, i.operands[0], a.flushed(i.has("ftz") and target == "f32"), target)


def _from_integer(a: Vector, signed: bool, target: str, mode: str) -> Vector:
    cast = "sitofp" if signed else "uitofp"
    if target in _FLOATS:
        type_ = _FLOATS[target]
        if mode == "rn":
            return a.cast(cast, type_)
        result = directed(cast, mode, type_, a)
        # Where the CPU has no such instruction, LLVM's replacement makes -0 of 0 downwards.
        return result if signed else result.abs()
    if target == "f16" or a.bits <= 16:
        # float32 holds every integer that is finite in float16, and keeps the others too large.
        return narrow(a.cast(cast, "float"), target, mode)
    if a.bits == 64:
        # Fold bits that float64 cannot hold into the lowest one it keeps.
        magnitude = a.call("abs", trailing="i1 false") if signed else a
        folded = (a | ((a & 0x7FF) + 0x7FF)) & ~0x7FF
        a = select(magnitude.compare("ult", 1 << 53), a, folded)
    return narrow(odd_float(a.cast(cast, "double")), target, mode)


# Eight-bit floats, always in pairs.


def _eight_bits(e: Emitter, i: Instruction, target: str, source: str) -> None:
    if source in EIGHT_BITS:
        if target != "f16x2":
            raise unknown(i)
        low, high = decode_pair(read(e, i.operands[1], "b16"), source)
        if i.has("relu"):
            low, high = (select(x.compare("ole", 0.0), 0.0, x) for x in (low, high))
        write(e, i.operands[0], joined(narrow(low, "f16"), narrow(high, "f16")), "b32")
        return
    if source == "f32":
        high, low = (read(e, operand, "f32") for operand in i.operands[1:3])
    else:
        packed = halves(read(e, i.operands[1], "b32"), "i16")
        low, high = (widen(half, source.removesuffix("x2")) for half in packed)
    if i.has("relu"):
        low, high = (select(x.compare("ole", 0.0), 0.0, x) for x in (low, high))
    write(e, i.operands[0], encode_pair(low, high, target), "b16")
