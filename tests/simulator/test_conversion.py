"""``cvt`` between all types, in all roundings, against fractions and Python's integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np

from tests.simulator.exact import FORMATS, NAN, decode, encode
from tests.simulator.harness import Array, Form, floats, integers, run
from tests.simulator.python_integers import clamp, signed

LETTER = {"8": "h", "16": "h", "32": "r", "64": "l"}
FLOATS = {"f16": "h", "bf16": "h", "f32": "f", "f64": "d"}
OPERANDS: dict[str, list[Array]] = {
    "h": floats(np.uint16, 1, 700, seed=9),
    "f": floats(np.float32, 2, 700, seed=9),
    "d": floats(np.float64, 1, 700, seed=9),
    "r": integers(32, 3, 700, seed=9),
    "l": integers(64, 1, 700, seed=9),
}
# Numbers around the edges of the integers, halves, and ties of the narrower formats.
_POWERS = (0, 7, 8, 15, 16, 24, 31, 32, 53, 63, 64)
_EDGES = [s * (2.0**k + d) for k in _POWERS for d in (-1, -0.5, 0, 0.5, 1, 1.5) for s in (1, -1)]
_TIES = [1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11 + 2.0**-40, 65519.9999, 65520.0,
         2.0**-25, 2.0**-25 * (1 + 2.0**-30), 1 + 2.0**-24, 1 + 2.0**-24 + 2.0**-50, 2.0**-149, 2.0**-150,
         3 * 2.0**-150]  # fmt: skip
OPERANDS["d"] = [np.concatenate([OPERANDS["d"][0], _EDGES, _TIES])]
OPERANDS["f"] = [np.concatenate([x, np.array([*_EDGES, *_TIES], np.float32)]) for x in OPERANDS["f"]]
_NEAR = np.array([2**53 + d for d in range(-3, 6)] + [2**60 + 2**51 + d for d in range(-2, 3)] + [2**63 - 1], np.uint64)
OPERANDS["l"] = [np.concatenate([OPERANDS["l"][0], _NEAR, (-_NEAR.astype(np.int64)).astype(np.uint64)])]


def letter_of(type_: str) -> str:
    return FLOATS.get(type_) or LETTER[type_[1:]]


def values(type_: str) -> list[float] | list[int]:
    """Return the operands of a type as Python numbers."""
    column = OPERANDS[letter_of(type_)][0]
    if type_ in FLOATS:
        return decode(column, type_)
    bits = int(type_[1:])
    numbers = [int(x) & ((1 << bits) - 1) for x in column]
    return [signed(x, bits) for x in numbers] if type_[0] == "s" else numbers


def bits_of(column: Array, type_: str) -> list[int]:
    """Return the results as integers, every NaN as NAN."""
    column = np.ascontiguousarray(column)
    numbers = [int(x) for x in column.view(f"u{column.dtype.itemsize}")]
    if type_ not in FORMATS:
        return numbers
    form = FORMATS[type_]
    return [NAN if x & (form.sign - 1) > form.infinity else x for x in numbers]


def compare(form: str, got: list[int], want: list[int], given: Any) -> None:
    for k, (x, y) in enumerate(zip(got, want, strict=True)):
        assert x == y, f"{form}: number {k}, {given[k]!r}, gives {x:#x}, expected {y:#x}"


INTEGERS = [f"{sign}{bits}" for sign in "us" for bits in (8, 16, 32, 64)]


def _holds(target: str, source: str) -> bool:
    """Tell whether every number of one type is one of the other; then nothing can be saturated."""
    bits, more = int(target[1:]), int(source[1:])
    return bits >= more if target[0] == source[0] else target[0] == "s" and bits > more


def test_integers_to_integers() -> None:
    forms: dict[str, tuple[str, str, bool]] = {}
    for target in INTEGERS:
        for source in INTEGERS:
            letters = letter_of(target) + letter_of(source)
            forms[f"{letters} cvt.{target}.{source}"] = (target, source, False)
            if not _holds(target, source):
                forms[f"{letters} cvt.sat.{target}.{source}"] = (target, source, True)
    results = run(list(forms), OPERANDS)
    for form, (target, source, saturate) in forms.items():
        bits = int(target[1:])
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if target[0] == "s" else (0, (1 << bits) - 1)
        register = max(bits, 16)
        want = []
        for x in values(source):
            y = clamp(int(x), low, high) if saturate else int(x) & ((1 << bits) - 1)
            y = signed(y, bits) if target[0] == "s" else y
            want.append(y & ((1 << register) - 1))
        compare(form, bits_of(results[form], target), want, values(source))


def integral(x: float, mode: str) -> int:
    functions: dict[str, Callable[[float], int]] = {
        "rni": round,
        "rzi": math.trunc,
        "rmi": math.floor,
        "rpi": math.ceil,
    }
    return functions[mode](x)


def test_floats_to_integers() -> None:
    forms: dict[str, tuple[str, str, str]] = {}
    for source in FLOATS:
        for target in INTEGERS:
            for mode in ("rni", "rzi", "rmi", "rpi"):
                forms[f"{letter_of(target)}{FLOATS[source]} cvt.{mode}.{target}.{source}"] = (target, source, mode)
    results = run(list(forms), OPERANDS)
    for form, (target, source, mode) in forms.items():
        bits = int(target[1:])
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if target[0] == "s" else (0, (1 << bits) - 1)
        mask = (1 << max(bits, 16)) - 1
        invalid = 1 << (bits - 1) if source == "f64" or bits == 64 else 0
        invalid = signed(invalid, bits) if target[0] == "s" else invalid
        want = []
        for x in values(source):
            if math.isfinite(x):
                y = clamp(integral(x, mode), low, high)
            else:
                y = invalid if math.isnan(x) else (high if x > 0 else low)
            want.append(y & mask)
        compare(form, bits_of(results[form], target), want, values(source))


def test_integers_to_floats() -> None:
    forms: dict[str, tuple[str, str, str]] = {}
    for target in FLOATS:
        for source in INTEGERS:
            for mode in ("rn", "rz", "rm", "rp"):
                forms[f"{FLOATS[target]}{letter_of(source)} cvt.{mode}.{target}.{source}"] = (target, source, mode)
    results = run(list(forms), OPERANDS)
    for form, (target, source, mode) in forms.items():
        want = [encode(Fraction(x), FORMATS[target], mode) for x in values(source)]
        compare(form, bits_of(results[form], target), want, values(source))


def test_floats_to_floats() -> None:
    forms: dict[str, tuple[str, str, str]] = {}
    for source, target in (("f64", "f32"), ("f64", "f16"), ("f64", "bf16"), ("f32", "f16"), ("f32", "bf16")):
        for mode in ("rn", "rz", "rm", "rp"):
            forms[f"{FLOATS[target]}{FLOATS[source]} cvt.{mode}.{target}.{source}"] = (target, source, mode)
    for source, target in (("f16", "bf16"), ("bf16", "f16")):
        forms[f"hh cvt.rn.{target}.{source}"] = (target, source, "rn")
    for source, target in (("f32", "f64"), ("f16", "f32"), ("bf16", "f32"), ("f16", "f64"), ("bf16", "f64")):
        forms[f"{FLOATS[target]}{FLOATS[source]} cvt.{target}.{source}"] = (target, source, "rn")
    results = run(list(forms), OPERANDS)
    for form, (target, source, mode) in forms.items():
        want = [_rounded(x, target, mode) for x in values(source)]
        compare(form, bits_of(results[form], target), want, values(source))


def _rounded(x: float, target: str, mode: str) -> int:
    if not math.isfinite(x):
        return encode(x, FORMATS[target])
    return encode(Fraction(x), FORMATS[target], mode, negative_zero=math.copysign(1, x) < 0)


def test_rounding_to_whole_numbers_and_modifiers() -> None:
    whole = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
    cases: dict[str, tuple[str, list[int]]] = {}
    for mode, function in whole.items():
        for kind, letter in FLOATS.items():
            want = [encode(float(function(x)), FORMATS[kind]) for x in values(kind)]
            cases[f"{2 * letter} cvt.{mode}.{kind}.{kind}"] = (kind, want)
    tiny = 2.0**-126
    flat = [math.copysign(0, x) if abs(x) < tiny else x for x in values("f32")]
    cases["ff cvt.ftz.f32.f32"] = ("f32", [encode(x, FORMATS["f32"]) for x in flat])
    cases["df cvt.ftz.f64.f32"] = ("f64", [encode(x, FORMATS["f64"]) for x in flat])
    cases["ff cvt.sat.f32.f32"] = (
        "f32",
        [encode(min(x, 1.0) if x > 0 else 0.0, FORMATS["f32"]) for x in values("f32")],
    )
    flushed = [_rounded(x, "f32", "rn") for x in values("f64")]
    flushed = [x & 0x80000000 if x != NAN and not x & 0x7F800000 else x for x in flushed]
    cases["fd cvt.rn.ftz.f32.f64"] = ("f32", flushed)
    for kind in ("f16", "bf16"):
        most = 65504.0 if kind == "f16" else float.fromhex("0x1.fep127")
        relu = [0.0 if x <= 0 else x for x in values("f32")]
        cases[f"hf cvt.rn.relu.{kind}.f32"] = (kind, [_rounded(x, kind, "rn") for x in relu])
        limited = [math.copysign(most, x) if abs(x) > most else x for x in values("f32")]
        cases[f"hf cvt.rz.satfinite.{kind}.f32"] = (kind, [_rounded(x, kind, "rz") for x in limited])
    results = run(list(cases), OPERANDS)
    for form, (kind, want) in cases.items():
        compare(form, bits_of(results[form], kind), want, values("f32" if form[1] == "f" else kind))


def test_pairs_and_tensor_formats() -> None:
    a, b = OPERANDS["f"]
    high, low = decode(a, "f32"), decode(b, "f32")
    forms = [f"rff cvt.{mode}.{kind}x2.f32" for kind in ("f16", "bf16") for mode in ("rn", "rz")]
    tf32 = {f"rf cvt.{mode}.tf32.f32": mode for mode in ("rna", "rn", "rz")}
    pack = Form("cvt.pack.sat.u8.s32.b32 %0, %1, %2, %3;", "rrrr")
    words = Form("cvt.pack.sat.s16.s32 %0, %1, %2;", "rrr")
    results = run([*forms, *tf32, pack, words], OPERANDS)
    for form in forms:
        mode, kind = form.split(".")[1], form.split(".")[2].removesuffix("x2")
        for part, column in ((results[form] >> 16, high), (results[form] & 0xFFFF, low)):
            got = bits_of(part.astype(np.uint16), kind)
            compare(form, got, [_rounded(x, kind, mode) for x in column], column)
    for form, mode in tf32.items():
        want = [x if x == NAN else x << 13 for x in (_rounded(x, "tf32", mode) for x in high)]
        compare(form, bits_of(results[form].view(np.uint32), "f32"), want, high)
    x, y, z = ([signed(int(v), 32) for v in column] for column in OPERANDS["r"])
    want = [(c << 16 | clamp(p, 0, 255) << 8 | clamp(q, 0, 255)) & 0xFFFFFFFF for p, q, c in zip(x, y, z, strict=True)]
    compare("pack", bits_of(results[pack.asm], "u32"), want, x)
    p16, q16 = ([clamp(v, -(2**15), 2**15 - 1) & 0xFFFF for v in column] for column in (x, y))
    want = [p << 16 | q for p, q in zip(p16, q16, strict=True)]
    compare("pack", bits_of(results[words.asm], "u32"), want, x)


@np.errstate(all="ignore")
def test_eight_bit_floats() -> None:
    a, b = OPERANDS["f"]
    every = np.arange(1 << 16).astype(np.uint16)
    for kind, type_ in (("e4m3", ml_dtypes.float8_e4m3fn), ("e5m2", ml_dtypes.float8_e5m2)):
        most = float(ml_dtypes.finfo(type_).max)
        encoder, decoder = f"hff cvt.rn.satfinite.{kind}x2.f32", f"rh cvt.rn.f16x2.{kind}x2"
        code = run([encoder], {"f": [a, b]})[encoder]
        for got, source in ((code >> 8, a), (code & 0xFF, b)):
            want = np.where(np.abs(source) > most, np.copysign(np.float32(most), source), source).astype(type_)
            bits = np.where(np.isnan(source), 0x7F, want.view(np.uint8))
            np.testing.assert_array_equal(got, bits, kind)
        numbers = run([decoder], {"h": [every]})[decoder]
        for part, bytes_ in ((numbers >> 16, every >> 8), (numbers & 0xFF_FF, every & 0xFF)):
            want = bytes_.astype(np.uint8).view(type_).astype(np.float16)
            np.testing.assert_array_equal(part.astype(np.uint16).view(np.float16), want, kind)
