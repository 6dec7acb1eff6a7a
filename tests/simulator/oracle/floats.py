"""What floating instructions of PTX compute: exact fractions, rounded once. Every NaN is the canonical one."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction

from tests.simulator.exact import FORMATS, NAN, encode, operate, root
from tests.simulator.oracle.integers import saturated, signed

__all__ = ["FLOATS", "bits_of", "compare", "compute", "convert", "number_of"]

#: The formats and their widths.
FLOATS = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}
_CANONICAL = {"f16": 0x7FFF, "bf16": 0x7FFF, "f32": 0x7FFFFFFF, "f64": 0x7FFFFFFFFFFFFFFF}
_CODES = {"f16": "<e", "f32": "<f", "f64": "<d"}
_INTEGRAL: dict[str, Callable[[float], int]] = {
    "rni": round,
    "rzi": math.trunc,
    "rmi": math.floor,
    "rpi": math.ceil,
}
_MODES = ("rn", "rz", "rp", "rm")


def number_of(bits: int, kind: str, flush: bool = False) -> float:
    """Return the number that bits stand for, a subnormal one as zero where `flush` says so."""
    bits = _flushed(bits, kind) if flush else bits
    if kind == "bf16":
        bits, kind = bits << 16, "f32"
    value: float = struct.unpack(_CODES[kind], bits.to_bytes(FLOATS[kind] // 8, "little"))[0]
    return value


def _flushed(bits: int, kind: str) -> int:
    """Return zero, with its sign, for a subnormal number of the formats that can be flushed."""
    exponent, sign = {"f16": (0x7C00, 0x8000), "f32": (0x7F800000, 0x80000000)}.get(kind, (-1, -1))
    return bits if bits & exponent else bits & sign


def bits_of(value: int, kind: str) -> int:
    """Return a result of the exact arithmetic as bits."""
    return _CANONICAL[kind] if value == NAN else value


def compute(parts: Sequence[str], kind: str, arguments: Sequence[int]) -> int:
    """Return the bits of a result of ``add sub mul div fma sqrt rcp neg abs min max copysign``."""
    flush, mode = "ftz" in parts, next((part for part in parts if part in _MODES), "rn")
    name, form = parts[0], FORMATS[kind]
    top = 1 << (FLOATS[kind] - 1)
    if name in ("neg", "abs", "copysign") and not flush:
        low = arguments[-1] & (top - 1)
        sign = {"neg": arguments[0] & top ^ top, "abs": 0, "copysign": arguments[0] & top}[name]
        return sign | low
    numbers = [number_of(x, kind, flush) for x in arguments]
    if name in ("neg", "abs"):
        bits = encode(-numbers[0] if name == "neg" else abs(numbers[0]), form)
    elif name in ("min", "max"):
        bits = encode(_extremum(name, "NaN" in parts, *numbers), form)
    elif name == "sqrt":
        bits = root(numbers[0], form, mode)
    elif name == "rcp":
        bits = operate("div", (1.0, numbers[0]), form, mode)
    else:
        bits = operate(name, tuple(numbers), form, mode)
    return _finished(parts, bits_of(bits, kind), kind, flush)


def _extremum(name: str, spread: bool, a: float, b: float) -> float:
    """Return the smaller or larger number; -0 is smaller than 0, and a NaN loses unless it is to spread."""
    if math.isnan(a) or math.isnan(b):
        return math.nan if spread else (a if math.isnan(b) else b)
    first = (a, math.copysign(1, a)) <= (b, math.copysign(1, b))
    return (a if first else b) if name == "min" else (b if first else a)


def _finished(parts: Sequence[str], bits: int, kind: str, flush: bool) -> int:
    """Apply what follows the rounding: flushing, and the clamps at 0 and 1."""
    bits = _flushed(bits, kind) if flush else bits
    value = number_of(bits, kind)
    if "sat" in parts:
        return encode(1.0 if value >= 1 else value if value > 0 else 0.0, FORMATS[kind])
    if "relu" in parts and value <= 0:
        return 0
    return bits


def compare(name: str, a: float, b: float) -> bool:
    """Compare numbers; `name` is one of PTX's comparisons, those that end in ``u`` hold where a NaN is."""
    unordered = math.isnan(a) or math.isnan(b)
    if name in ("num", "nan"):
        return unordered == (name == "nan")
    if unordered:
        return name in ("equ", "neu", "ltu", "leu", "gtu", "geu")
    return {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[name[:2]]


def convert(parts: Sequence[str], target: str, source: str, bits: int) -> int:
    """Return the bits of a ``cvt`` from `source` to `target`; `bits` are of the source's width."""
    if source in FLOATS:
        value = number_of(bits, source, "ftz" in parts)
        mode = next((part for part in parts if part in ("rni", "rzi", "rmi", "rpi")), "")
        value = _integral(value, mode) if mode else value
        return _to_float(parts, target, value) if target in FLOATS else _to_integer(target, source, value)
    width = int(source[1:])
    number = signed(bits, width) if source[0] == "s" else bits
    if target in FLOATS:
        mode = next((part for part in parts if part in _MODES), "rn")
        return encode(Fraction(number), FORMATS[target], mode)
    return saturated(number, target, int(target[1:])) if "sat" in parts else number


def _integral(value: float, mode: str) -> float:
    if not math.isfinite(value):
        return value
    return math.copysign(float(_INTEGRAL[mode](value)), value)


def _to_float(parts: Sequence[str], target: str, value: float) -> int:
    mode = next((part for part in parts if part in _MODES), "rn")
    bits = bits_of(encode(value, FORMATS[target], mode), target)
    return _finished(parts, bits, target, "ftz" in parts)


def _to_integer(target: str, source: str, value: float) -> int:
    width = int(target[1:])
    if math.isnan(value):
        return 1 << (width - 1) if source == "f64" or width == 64 else 0
    if math.isinf(value):
        low, high = saturated(-(1 << 80), target, width), saturated(1 << 80, target, width)
        return high if value > 0 else low
    return saturated(int(value), target, width)
