"""Types and literals of PTX as LLVM writes them."""

from __future__ import annotations

import math
import re
import struct
from functools import cache, lru_cache

from .ptx import SIZES

__all__ = ["bits_of", "integer", "literal", "llvm_literal", "llvm_type", "mangled"]

_FLOATS = {"f16": "half", "bf16": "bfloat", "f32": "float", "f64": "double"}
_BITS = {"i1": 1, "half": 16, "bfloat": 16, "float": 32, "double": 64}
_MANGLED = {"half": "f16", "bfloat": "bf16", "float": "f32", "double": "f64"}


@cache
def llvm_type(ptx_type: str) -> str:
    """Return the LLVM type of one lane: ``s32`` is ``i32``, ``f64`` is ``double``."""
    if ptx_type == "pred":
        return "i1"
    return _FLOATS.get(ptx_type) or f"i{8 * SIZES[ptx_type]}"


@cache
def bits_of(type_: str) -> int:
    """Return the width of an LLVM type of one lane."""
    return _BITS.get(type_) or int(type_[1:])


def mangled(type_: str) -> str:
    """Return the type's part of an intrinsic's name."""
    return _MANGLED.get(type_, type_)


@lru_cache(maxsize=4096)
def integer(text: str) -> int:
    """Read an integer literal of PTX: decimal, hexadecimal, octal or binary."""
    match = re.fullmatch(r"([+-]?)(0[xX][\da-fA-F]+|0[bB][01]+|\d+)U?", text)
    if not match:
        raise ValueError(f"{text!r} is not an integer literal of PTX")
    sign, digits = match.groups()
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
    value = int(digits, 8 if octal else 0)
    return -value if sign == "-" else value


@lru_cache(maxsize=4096)
def literal(text: str, type_: str) -> str:
    """Write a PTX literal as a constant of the LLVM type `type_`."""
    exact = re.fullmatch(r"(-?)0[fF]([\da-fA-F]{8})|(-?)0[dD]([\da-fA-F]{16})", text)
    if exact:
        size = 4 if exact[2] else 8
        pattern = int(exact[2] or exact[4], 16)
        if exact[1] or exact[3]:
            pattern ^= 1 << (8 * size - 1)
        if bits_of(type_) == 8 * size:
            return llvm_literal(pattern, type_)
        kind = {4: "<f", 8: "<d"}[size]
        return llvm_literal(struct.unpack(kind, pattern.to_bytes(size, "little"))[0], type_)
    if re.fullmatch(r"[+-]?(\d+\.\d*|\d*\.\d+|\d+)([eE][+-]?\d+)?", text) and not re.fullmatch(r"[+-]?\d+", text):
        return llvm_literal(float(text), type_)
    value = integer(text)
    if type_ in ("float", "double"):
        return llvm_literal(float(value), type_)
    return llvm_literal(value, type_)


def llvm_literal(value: int | float, type_: str) -> str:
    """Write a constant of one lane.

    A Python integer is taken as the bit pattern when `type_` is a floating type, a Python
    float is rounded to it.
    """
    if type_ == "i1":
        return "true" if value else "false"
    width = bits_of(type_)
    if isinstance(value, float):
        if type_ in ("float", "double"):
            value = _pattern(value, type_)
        else:
            raise ValueError(f"a literal of type {type_} is given by its bits, not as {value}")
    value &= (1 << width) - 1
    if type_ not in _BITS:
        return str(value)
    if type_ == "half":
        return f"0xH{value:04X}"
    if type_ == "bfloat":
        return f"0xR{value:04X}"
    if type_ == "double":
        return f"0x{value:016X}"
    return f"0x{_widened(value):016X}"


def _pattern(value: float, type_: str) -> int:
    if type_ == "double":
        return int.from_bytes(struct.pack("<d", value), "little")
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        return int.from_bytes(struct.pack("<f", math.copysign(math.inf, value)), "little")


def _widened(pattern: int) -> int:
    """Return the float64 pattern of a float32 pattern; LLVM writes float32 so."""
    if pattern >> 23 & 0xFF == 0xFF:  # keep the payload of a NaN as it is
        return (pattern >> 31) << 63 | 0x7FF << 52 | (pattern & 0x7FFFFF) << 29
    value = struct.unpack("<f", pattern.to_bytes(4, "little"))[0]
    return int.from_bytes(struct.pack("<d", value), "little")
