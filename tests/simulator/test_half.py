"""The 16-bit formats, alone and in pairs, against fractions rounded once."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.exact import FORMATS, NAN, decode, encode, operate
from tests.simulator.harness import Array, Form, floats, run
from tests.simulator.test_floating import CONDITIONS, least

KINDS = ("f16", "bf16")
OPERANDS = floats(np.uint16, 3, 1500, seed=3)


def close_products(kind: str) -> list[Array]:
    """Return operands whose exact fma lies next to a tie: a product near one, a tiny addend."""
    rng = np.random.default_rng(1)
    one, top = {"f16": (0x3C00, 0x7BFF), "bf16": (0x3F80, 0x7F7F)}[kind]
    a, b = ((one + rng.integers(0, 256, 2000)).astype(np.uint16) for _ in range(2))
    c = rng.integers(0, top, 2000).astype(np.uint16) ^ (rng.integers(0, 2, 2000) << 15).astype(np.uint16)
    return [np.concatenate([x, y]) for x, y in zip(OPERANDS, (a, b, c), strict=True)]


def same(name: str, kind: str, got: Array, want: list[int], *operands: Array) -> None:
    """Compare bits, all NaNs alike."""
    infinity = FORMATS[kind].infinity
    for k, (x, y) in enumerate(zip(got.tolist(), want, strict=True)):
        x = NAN if x & 0x7FFF > infinity else x
        assert x == y, f"{name}: number {k} of {[hex(operand[k]) for operand in operands]} is {x:#x}, expected {y:#x}"


def paired(results: Array) -> tuple[Array, Array]:
    return (results & 0xFFFF).astype(np.uint16), (results >> 16).astype(np.uint16)


@pytest.mark.parametrize("kind", KINDS)
def test_arithmetic(kind: str) -> None:
    form = FORMATS[kind]
    operands = close_products(kind)
    a, b, c = operands
    columns = [decode(x, kind) for x in operands]
    arity = {"add": 2, "sub": 2, "mul": 2, "fma": 3}
    plain = {f"{'h' * (n + 1)} {name}.rn.{kind}": name for name, n in arity.items()}
    pairs = {f"{'r' * (n + 1)} {name}.rn.{kind}x2": name for name, n in arity.items()}
    packed = [x.astype(np.uint32) | np.roll(x, 7).astype(np.uint32) << 16 for x in operands]
    extra = [f"hhhh fma.rn.relu.{kind}", f"rrrr fma.rn.relu.{kind}x2"]
    if kind == "f16":
        extra += ["hhh add.sat.f16", "hhh mul.ftz.f16", "hhhh fma.rn.ftz.f16", "hhhh fma.rn.sat.f16"]
    results = run([*plain, *pairs, *extra], {"h": operands, "r": packed})
    want = {name: [operate(name, row, form) for row in zip(*columns[:n], strict=True)] for name, n in arity.items()}
    for text, name in plain.items():
        same(text, kind, results[text], want[name], *operands)
    for text, name in pairs.items():
        low, high = paired(results[text])
        same(text, kind, low, want[name], *operands)
        same(text, kind, np.roll(high, -7), want[name], *operands)
    relu = [0 if bits != NAN and bits & 0x8000 else bits for bits in want["fma"]]
    same("relu", kind, results[extra[0]], relu, *operands)
    same("relu", kind, paired(results[extra[1]])[0], relu, *operands)
    if kind == "f16":
        check_flush_and_saturation(results, want, operands)


def check_flush_and_saturation(results: dict[str, Array], want: dict[str, list[int]], operands: list[Array]) -> None:
    form = FORMATS["f16"]

    def clamped(bits: int) -> int:
        return 0 if bits == NAN or bits & 0x8000 else min(bits, 0x3C00)

    def flushed(bits: int) -> int:
        return bits & 0x8000 if bits != NAN and not bits & 0x7C00 else bits

    same("sat", "f16", results["hhh add.sat.f16"], list(map(clamped, want["add"])), *operands)
    same("sat", "f16", results["hhhh fma.rn.sat.f16"], list(map(clamped, want["fma"])), *operands)
    zeros = [np.array([flushed(int(x)) for x in operand], np.uint16) for operand in operands]
    columns = [decode(x, "f16") for x in zeros]
    for text, name, n in (("hhh mul.ftz.f16", "mul", 2), ("hhhh fma.rn.ftz.f16", "fma", 3)):
        expected = [flushed(operate(name, row, form)) for row in zip(*columns[:n], strict=True)]
        same(text, "f16", results[text], expected, *operands)


@pytest.mark.parametrize("kind", KINDS)
def test_signs_extremes_and_comparison(kind: str) -> None:
    form = FORMATS[kind]
    a, b = OPERANDS[:2]
    x, y = decode(a, kind), decode(b, kind)
    values: dict[str, list[float]] = {
        f"hh abs.{kind}": [abs(v) for v in x],
        f"hh neg.{kind}": [-v for v in x],
    }
    for name, sign in (("min", 1.0), ("max", -1.0)):
        values[f"hhh {name}.{kind}"] = [least(v, w, sign, False) for v, w in zip(x, y, strict=True)]
        values[f"hhh {name}.NaN.{kind}"] = [least(v, w, sign, True) for v, w in zip(x, y, strict=True)]
    forms: list[str | Form] = list(values)
    truths: dict[str, Array] = {}
    for name, function in CONDITIONS.items():
        asm = f"{{ .reg .pred p; setp.{name}.{kind} p, %1, %2; selp.u32 %0, 1, 0, p; }}"
        truths[asm] = function(np.array(x), np.array(y))
        forms.append(Form(asm, "rhh"))
    one = 0x3C00 if kind == "f16" else 0x3F80
    forms += [f"hhh set.lt.{kind}.{kind}", f"rrr set.leu.{kind}x2.{kind}x2", f"rrr set.leu.u32.{kind}x2"]
    forms.append(f"rr neg.{kind}x2")
    both = Form(
        f"{{ .reg .pred p, q; .reg .b32 t; setp.lt.{kind}x2 p|q, %1, %2; selp.u32 t, 1, 0, p; selp.u32 %0, 2, 0, q;"
        " or.b32 %0, %0, t; }",
        "rrr",
    )
    forms.append(both)
    packed = [v.astype(np.uint32) | np.roll(v, 7).astype(np.uint32) << 16 for v in (a, b)]
    results = run(forms, {"h": [a, b], "r": packed})
    for text, want in values.items():
        same(text, kind, results[text], [encode(v, form) for v in want], a, b)
    for text, truth in truths.items():
        np.testing.assert_array_equal(results[text], truth, text)
    below = np.array(x) < np.array(y)
    np.testing.assert_array_equal(results[f"hhh set.lt.{kind}.{kind}"], np.where(below, one, 0))
    np.testing.assert_array_equal(results[both.asm], below + 2 * np.roll(below, 7))
    leu = ~(np.array(x) > np.array(y))
    low, high = paired(results[f"rrr set.leu.{kind}x2.{kind}x2"])
    np.testing.assert_array_equal(low, np.where(leu, one, 0))
    np.testing.assert_array_equal(high, np.roll(np.where(leu, one, 0), 7))
    np.testing.assert_array_equal(paired(results[f"rrr set.leu.u32.{kind}x2"])[0], np.where(leu, 0xFFFF, 0))
    np.testing.assert_array_equal(results[f"rr neg.{kind}x2"], packed[0] ^ 0x80008000)


def test_mixed_precision() -> None:
    """float32 sums of 16-bit operands."""
    a, b = OPERANDS[:2]
    (c,) = floats(np.float32, 1, len(a))
    c = c[: len(a)]
    forms = {f"fhf add.f32.{kind}": ("add", kind) for kind in KINDS}
    fused = {f"fhhf fma.rz.f32.{kind}": kind for kind in KINDS}
    results = run([*forms, *fused], {"h": [a, b], "f": [c]})
    for text, (name, kind) in forms.items():
        rows = zip(decode(a, kind), c.tolist(), strict=False)
        want = [operate(name, row, FORMATS["f32"]) for row in rows]
        assert_float_bits(text, results[text], want)
    for text, kind in fused.items():
        rows3 = zip(decode(a, kind), decode(b, kind), c.tolist(), strict=False)
        assert_float_bits(text, results[text], [operate("fma", row, FORMATS["f32"], "rz") for row in rows3])


def assert_float_bits(name: str, got: Array, want: list[int]) -> None:
    bits = [NAN if math.isnan(x) else int(b) for x, b in zip(got.tolist(), got.view(np.uint32), strict=True)]
    assert bits == want[: len(bits)], name


FUNCTIONS: dict[str, tuple[Callable[[Array], Array], float, bool]] = {
    # value, bound of the manual, relative or absolute
    "ex2.approx.f16": (np.exp2, 2.0**-9.9, True),
    "ex2.approx.ftz.bf16": (np.exp2, 2.0**-7, True),
    "tanh.approx.f16": (np.tanh, 2.0**-10.987, False),
    "tanh.approx.bf16": (np.tanh, 2.0**-8, False),
}


@np.errstate(all="ignore")
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_approximations(seed: int | None) -> None:
    every = np.arange(1 << 16).astype(np.uint16)
    with simulator.Device(check=False, seed=seed):
        results = run([f"hh {name}" for name in FUNCTIONS], {"h": [every]})
    for name, (function, bound, relative) in FUNCTIONS.items():
        kind = name.rpartition(".")[2]
        x = np.array(decode(every, kind))
        got = np.array(decode(results[f"hh {name}"], kind))
        want = function(x)
        tiny, most = (2.0**-14, 65504.0) if kind == "f16" else (2.0**-126, 3.3895e38)
        usual = np.isfinite(want) & (want < most) & ((np.abs(want) >= tiny) | (not relative))
        error = np.abs(got - want) / np.where(relative, np.abs(want), 1.0)
        assert error[usual].max() <= bound, name
        assert (np.abs(got - want)[np.abs(want) < tiny] <= (tiny if relative else bound)).all(), name
        np.testing.assert_array_equal(got[~np.isfinite(x)], want[~np.isfinite(x)], name)
