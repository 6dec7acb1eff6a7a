"""Floating-point instructions of 32 and 64 bits: exact to the bit in every rounding mode."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.simulator.exact import FORMATS, NAN, encode, operate, root
from tests.simulator.harness import Array, Form, floats, run, same_bits

MODES = ("rn", "rz", "rm", "rp")
TYPES: dict[str, Any] = {"f": np.float32, "d": np.float64}
TINY = {np.float32: np.float32(2.0**-126), np.float64: np.float64(2.0**-1022)}
OPERANDS = {letter: floats(type_, 3, 400) for letter, type_ in TYPES.items()}


def from_bits(bits: list[int], type_: Any) -> Array:
    """Return the floats of bit patterns, NAN standing for NaN."""
    width = np.dtype(type_).itemsize
    mask = (1 << (8 * width)) - 1
    return np.array([bit & mask for bit in bits], f"u{width}").view(type_)


def operand_names(letter: str) -> str:
    return "f32" if letter == "f" else "f64"


@pytest.mark.parametrize("letter", TYPES)
def test_arithmetic_in_every_rounding(letter: str) -> None:
    type_, kind = TYPES[letter], operand_names(letter)
    arity = {"add": 2, "sub": 2, "mul": 2, "div": 2, "fma": 3}
    forms = {f"{letter * (n + 1)} {name}.{mode}.{kind}": (name, mode) for name, n in arity.items() for mode in MODES}
    roots = {f"{2 * letter} sqrt.{mode}.{kind}": mode for mode in MODES}
    inverses = {f"{2 * letter} rcp.{mode}.{kind}": mode for mode in MODES}
    results = run([*forms, *roots, *inverses], OPERANDS)
    columns = [x.astype(np.float64).tolist() for x in OPERANDS[letter]]
    for form, (name, mode) in forms.items():
        rows = zip(*columns[: arity[name]], strict=True)
        want = from_bits([operate(name, row, FORMATS[kind], mode) for row in rows], type_)
        same_bits(form, results[form], want, *OPERANDS[letter][: arity[name]])
    for form, mode in roots.items():
        want = from_bits([root(x, FORMATS[kind], mode) for x in columns[0]], type_)
        same_bits(form, results[form], want, OPERANDS[letter][0])
    for form, mode in inverses.items():
        want = from_bits([operate("div", (1.0, x), FORMATS[kind], mode) for x in columns[0]], type_)
        same_bits(form, results[form], want, OPERANDS[letter][0])


@pytest.mark.parametrize("letter", TYPES)
def test_fma_equals_the_c_library(letter: str) -> None:
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    function, c_type = (libm.fmaf, ctypes.c_float) if letter == "f" else (libm.fma, ctypes.c_double)
    function.restype, function.argtypes = c_type, [c_type] * 3
    operands = floats(TYPES[letter], 3, 4000, seed=5)
    form = f"{4 * letter} fma.rn.{operand_names(letter)}"
    got = run([form], {letter: operands})[form]
    want = np.array([function(*row) for row in zip(*(x.tolist() for x in operands), strict=True)], TYPES[letter])
    same_bits(form, got, want, *operands)


def flushed(x: Array) -> Array:
    return np.where(np.abs(x) < TINY[x.dtype.type], np.copysign(x.dtype.type(0), x), x)


@np.errstate(all="ignore")
def test_unrounded_names_flush_and_saturation() -> None:
    """Forms without a rounding mode, with .ftz, with .sat, approximate division, packed pairs."""
    a, b, c = OPERANDS["f"]
    fa, fb, fc = map(flushed, OPERANDS["f"])

    def clamped(x: Array) -> Array:
        return np.where(x > 0, np.minimum(x, np.float32(1)), np.float32(0))

    rows = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    fma = from_bits([operate("fma", row, FORMATS["f32"]) for row in rows], np.float32)
    cases = {
        "fff add.f32": a + b,
        "fff mul.f32": a * b,
        "fff add.ftz.f32": flushed(fa + fb),
        "fff sub.ftz.f32": flushed(fa - fb),
        "fff mul.ftz.f32": flushed(fa * fb),
        "fff div.rn.ftz.f32": flushed(fa / fb),
        "fff add.sat.f32": clamped(a + b),
        "fff mul.ftz.sat.f32": clamped(flushed(fa * fb)),
        "ffff fma.rn.sat.f32": clamped(fma),
        "ffff mad.rn.f32": fma,
        "fff div.full.f32": a / b,
        "ff rcp.approx.ftz.f32": flushed(1 / fa),
        "ff sqrt.approx.f32": np.sqrt(a),
        "ff sqrt.rn.ftz.f32": flushed(np.sqrt(fa)),
        "ff abs.f32": np.abs(a),
        "ff neg.f32": -a,
        "ff neg.ftz.f32": -fa,
        "dd abs.f64": np.abs(OPERANDS["d"][0]),
        "dd neg.f64": -OPERANDS["d"][0],
        "fff copysign.f32": np.copysign(b, a),
        "ddd copysign.f64": np.copysign(OPERANDS["d"][1], OPERANDS["d"][0]),
    }
    size = np.abs(b)
    cases["fff div.approx.f32"] = np.where((size > 2.0**126) & np.isfinite(b), a * (b * np.float32(0)), a / b)
    pair = "{{ .reg .b64 x, y, z; mov.b64 x, {{%1, %2}}; mov.b64 y, {{%2, %3}}; {} z, x, y{}; mov.b64 {{{}}}, z; }}"
    forms = {
        "add low": (pair.format("add.rn.f32x2", "", "%0, _"), a + b),
        "mul high": (pair.format("mul.rn.f32x2", "", "_, %0"), b * c),
        "fma low": (pair.format("fma.rn.f32x2", ", y", "%0, _"), None),
    }
    packed = [Form(asm, "ffff") for asm, _ in forms.values()]
    results = run([*cases, *packed], OPERANDS)
    for name, want in cases.items():
        same_bits(name, results[name], want.astype(results[name].dtype), a, b, c)
    for asm, expected in forms.values():
        if expected is None:
            rows = zip(a.tolist(), b.tolist(), b.tolist(), strict=True)
            expected = from_bits([operate("fma", row, FORMATS["f32"]) for row in rows], np.float32)
        same_bits(asm, results[asm], expected, a, b, c)


def least(a: float, b: float, sign: float, nan: bool) -> float:
    """Return the minimum (`sign` 1) or maximum (-1): -0 is below +0, NaN wins only where `nan`."""
    if np.isnan(a) or np.isnan(b):
        return float("nan") if nan or (np.isnan(a) and np.isnan(b)) else (b if np.isnan(a) else a)
    if a == b == 0:
        return a if np.copysign(1, a) * sign < np.copysign(1, b) * sign else b
    return a if a * sign < b * sign else b


@pytest.mark.parametrize("letter", TYPES)
def test_minimum_and_maximum(letter: str) -> None:
    a, b, c = (x.astype(np.float64).tolist() for x in OPERANDS[letter])
    type_, kind = TYPES[letter], operand_names(letter)
    cases: dict[str, list[float]] = {}
    for name, sign in (("min", 1.0), ("max", -1.0)):
        cases[f"{3 * letter} {name}.{kind}"] = [least(x, y, sign, False) for x, y in zip(a, b, strict=True)]
        if letter == "d":
            continue
        cases[f"fff {name}.NaN.f32"] = [least(x, y, sign, True) for x, y in zip(a, b, strict=True)]
        cases[f"fff {name}.xorsign.abs.f32"] = [
            float(np.copysign(least(abs(x), abs(y), sign, False), np.copysign(1, x) * np.copysign(1, y)))
            for x, y in zip(a, b, strict=True)
        ]
        cases[f"ffff {name}.f32"] = [
            least(least(x, y, sign, False), z, sign, False) for x, y, z in zip(a, b, c, strict=True)
        ]
        cases[f"ffff {name}.NaN.abs.f32"] = [
            least(least(abs(x), abs(y), sign, True), abs(z), sign, True) for x, y, z in zip(a, b, c, strict=True)
        ]
    results = run(list(cases), OPERANDS)
    for form, want in cases.items():
        same_bits(form, results[form], np.array(want, type_), *OPERANDS[letter])


CONDITIONS: dict[str, Callable[[Array, Array], Array]] = {
    "eq": np.equal,
    "ne": lambda a, b: (a < b) | (a > b),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "nan": lambda a, b: np.isnan(a) | np.isnan(b),
}


@pytest.mark.parametrize("letter", TYPES)
def test_comparison(letter: str) -> None:
    a, b, _ = OPERANDS[letter]
    kind = operand_names(letter)
    cases: dict[Form, Array] = {}
    for name, function in CONDITIONS.items():
        truth = function(a, b)
        asm = f"{{ .reg .pred p; setp.{name}.{kind} p, %1, %2; selp.u32 %0, 1, 0, p; }}"
        cases[Form(asm, f"r{2 * letter}")] = truth.astype(np.uint32)
        asm = f"set.{name}.u32.{kind} %0, %1, %2;"
        cases[Form(asm, f"r{2 * letter}")] = np.where(truth, 0xFFFFFFFF, 0).astype(np.uint32)
    if letter == "f":
        asm = "{ .reg .pred p; setp.eq.ftz.f32 p, %1, %2; selp.u32 %0, 1, 0, p; }"
        cases[Form(asm, "rff")] = (flushed(a) == flushed(b)).astype(np.uint32)
        cases[Form("slct.f32.f32 %0, %1, %2, %3;", "ffff")] = np.where(OPERANDS["f"][2] >= 0, a, b)
    tiny = TINY[TYPES[letter]]
    subnormal = (np.abs(a) < tiny) & (a != 0)
    for name, truth in {
        "finite": np.isfinite(a),
        "infinite": np.isinf(a),
        "number": ~np.isnan(a),
        "notanumber": np.isnan(a),
        "normal": np.isfinite(a) & ~subnormal,
        "subnormal": subnormal,
    }.items():
        asm = f"{{ .reg .pred p; testp.{name}.{kind} p, %1; selp.u32 %0, 1, 0, p; }}"
        cases[Form(asm, f"r{letter}")] = truth.astype(np.uint32)
    results = run(list(cases), OPERANDS)
    for form, want in cases.items():
        same_bits(form.asm, results[form.asm], want, a, b)


def test_the_reference_itself() -> None:
    """The fractions round as NumPy does."""
    x = OPERANDS["d"][0]
    with np.errstate(all="ignore"):
        for kind, type_ in (("f32", np.float32), ("f64", np.float64)):
            same_bits(kind, from_bits([encode(v, FORMATS[kind]) for v in x.tolist()], type_), x.astype(type_), x)
    assert encode(float("nan"), FORMATS["f64"]) == NAN
