"""The functions of CUDA's headers for 16-bit and 8-bit types: each translates; forms of theirs against numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import UnknownInstructionError
from cupysoft.runtime.compile import compile
from cupysoft.runtime.toolchain import toolchain
from cupysoft.simulator.parser import parse
from cupysoft.simulator.translate import translate
from tests.simulator.devices import every_device, launch
from tests.simulator.exact import FORMATS, NAN, decode, encode, operate
from tests.simulator.harness import Array, Form, floats, run
from tests.simulator.test_half import paired, same

HEADERS = ("cuda_fp16.h", "cuda_bf16.h", "cuda_fp8.h")
_DECLARATION = re.compile(r"^__CUDA_\w+_DECL__\s+([\w ]+?)\s+(\w+)\(([^)]*)\)", re.M)
_DECORATION = re.compile(r"__NV_TL\w*__|\bconst\b")


def declared(header: str) -> list[tuple[str, str, list[str]]]:
    """Result, name and parameters of the functions of a header that take and give values."""
    folder = next(Path(each) for each in toolchain().headers if (Path(each) / header).exists())
    found: dict[tuple[str, str], tuple[str, str, list[str]]] = {}
    for result, name, given in _DECLARATION.findall((folder / header).read_text()):
        result = _DECORATION.sub("", result).strip()
        types = [_DECORATION.sub("", each.split("=")[0]).strip() for each in given.split(",")]
        types = [each.rpartition(" ")[0] for each in types if each]
        if "*" not in given and result != "void":
            found[name, ",".join(types)] = (result, name, types)
    return list(found.values())


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
def test_every_function_of_the_headers_is_known(arch: str) -> None:
    source = [f"#include <{header}>" for header in HEADERS]
    functions = [each for header in HEADERS for each in declared(header)]
    assert len(functions) > 400
    for number, (result, name, types) in enumerate(functions):
        given = [f"{type_} a{k}" for k, type_ in enumerate(types)]
        call = f"{name}({', '.join(f'a{k}' for k in range(len(types)))})"
        source.append(f'extern "C" __global__ void k{number}({", ".join([*given, f"{result}* y"])}) {{ *y = {call}; }}')
    compiled = compile("\n".join(source), arch=arch, options=("--std=c++17",), our_rules=False)
    module = parse(compiled.code.decode())
    for number in range(len(functions)):
        translate(module, f"k{number}")


@every_device
def test_half_numbers_are_shuffled(device: simulator.Device) -> None:
    y = np.zeros((3, 32), np.float16)
    body = """int i = threadIdx.x; __half v = __int2half_rn(i);
    y[i] = __shfl_xor_sync(~0u, v, 5); y[32 + i] = __shfl_down_sync(~0u, v, 3, 8);
    y[64 + i] = __high2half(__shfl_sync(~0u, __halves2half2(v, __hneg(v)), i / 2));"""
    launch(device, body, [y], parameters="__half* y", before="#include <cuda_fp16.h>")
    i = np.arange(32)
    np.testing.assert_array_equal(y, [i ^ 5, np.where(i % 8 < 5, i + 3, i), -(i // 2)])


WORDS = floats(np.float32, 2, 1500, seed=4)
PAIRS = floats(np.uint16, 2, 1500, seed=5)
PACKED = [x.astype(np.uint32) | np.roll(x, 7).astype(np.uint32) << 16 for x in PAIRS]


def relu(x: float) -> float:
    return 0.0 if x <= 0 else x


def limited(x: float, kind: str) -> float:
    most = {"f16": 65504.0, "bf16": float.fromhex("0x1.fep127"), "tf32": float.fromhex("0x1.ffcp127")}[kind]
    return math.copysign(most, x) if abs(x) > most else x


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_packed_conversions(kind: str) -> None:
    forms: dict[str, Callable[[float], float]] = {
        f"rff cvt.rn.relu.{kind}x2.f32": relu,
        f"rff cvt.rz.relu.{kind}x2.f32": relu,
        f"rff cvt.rn.satfinite.{kind}x2.f32": lambda x: limited(x, kind),
        f"rff cvt.rn.relu.satfinite.{kind}x2.f32": lambda x: relu(limited(x, kind)),
    }
    results = run(list(forms), {"f": WORDS})
    for text, prepared in forms.items():
        for part, column in zip(paired(results[text]), reversed(WORDS), strict=True):
            numbers = [prepared(x) for x in column.astype(float).tolist()]
            same(text, kind, part, [encode(x, FORMATS[kind], text.split(".")[1]) for x in numbers], column)


def test_conversions_to_tensor_float() -> None:
    forms: dict[str, Callable[[float], float]] = {
        "rf cvt.rna.satfinite.tf32.f32": lambda x: limited(x, "tf32"),
        "rf cvt.rn.relu.tf32.f32": relu,
        "rf cvt.rz.relu.tf32.f32": relu,
        "rf cvt.rn.satfinite.relu.tf32.f32": lambda x: relu(limited(x, "tf32")),
    }
    results = run(list(forms), {"f": WORDS})
    for text, prepared in forms.items():
        for got, x in zip(results[text].tolist(), WORDS[0].astype(float).tolist(), strict=True):
            want = encode(prepared(x), FORMATS["tf32"], text.split(".")[1])
            assert (got >> 13 if not math.isnan(x) else NAN) == want, (text, x)


def test_conversions_between_small_formats() -> None:
    every = np.arange(1 << 16).astype(np.uint16)
    for kind in ("e4m3", "e5m2"):
        back = Form(
            f"{{ .reg .b16 t; .reg .b32 w; mov.b16 t, %1; cvt.rn.f16x2.{kind}x2 w, t;"
            f" cvt.rn.satfinite.{kind}x2.f16x2 %0, w; }}",
            "hh",
        )
        plain, positive = f"rh cvt.rn.f16x2.{kind}x2", f"rh cvt.rn.relu.f16x2.{kind}x2"
        results = run([back, plain, positive], {"h": [every]})
        infinite = 0x7C if kind == "e5m2" else 0x7F
        for shift in (0, 8):
            code = every >> shift & 0x7F
            usual = code < infinite
            np.testing.assert_array_equal((results[back.asm] ^ every)[usual] >> shift & 0xFF, 0)
        for got, numbers in zip(paired(results[positive]), paired(results[plain]), strict=True):
            number = numbers.view(np.float16)
            np.testing.assert_array_equal(got.view(np.float16), np.where(number <= 0, np.float16(0), number))


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_packed_extremes_and_comparisons(kind: str) -> None:
    a, b = PAIRS
    x, y = decode(a, kind), decode(b, kind)

    def crossed(name: str, v: float, w: float) -> float:
        p, q = abs(v), abs(w)
        least = (max if name == "max" else min)(p, q) if not math.isnan(p + q) else (q if math.isnan(p) else p)
        return least if math.isnan(least) else math.copysign(least, math.copysign(1, v) * math.copysign(1, w))

    forms = {f"rrr {name}.xorsign.abs.{kind}x2": name for name in ("min", "max")}
    logic = Form(
        f"{{ .reg .pred p, q, c; setp.ne.b32 c, %3, 0; setp.lt.xor.{kind}x2 p|q, %1, %2, !c; selp.u32 %0, 1, 0, p; }}",
        "rrrr",
    )
    chosen = Form(f"{{ .reg .pred c; setp.ne.b32 c, %3, 0; set.ge.and.{kind}x2.{kind}x2 %0, %1, %2, c; }}", "rrrr")
    flags = (np.arange(len(a)) % 3 == 0).astype(np.uint32)
    results = run([*forms, logic, chosen], {"r": [*PACKED, flags]})
    for text, name in forms.items():
        want = [encode(crossed(name, v, w), FORMATS[kind]) for v, w in zip(x, y, strict=True)]
        same(text, kind, paired(results[text])[0], want, a, b)
        same(text, kind, np.roll(paired(results[text])[1], -7), want, a, b)
    below, reached = np.array(x) < np.array(y), np.array(x) >= np.array(y)
    np.testing.assert_array_equal(results[logic.asm], below ^ (flags == 0))
    one = 0x3C00 if kind == "f16" else 0x3F80
    np.testing.assert_array_equal(paired(results[chosen.asm])[0], np.where(reached & (flags == 1), one, 0))


@pytest.mark.parametrize("kind", ["f16", "bf16"])
def test_packed_arithmetic_is_that_of_its_halves(kind: str) -> None:
    flush = ".ftz" if kind == "bf16" else ""
    names = [f"ex2.approx{flush}.{kind}", f"tanh.approx.{kind}"]
    if kind == "f16":
        names += [f"{name}.rn{mode}.f16" for name in ("add", "sub", "mul") for mode in (".ftz", ".sat", ".ftz.sat")]
    arity = {name: 2 if name.split(".")[1] == "approx" else 3 for name in names}
    alone = {name: f"{'h' * n} {name}" for name, n in arity.items()}
    packed = {name: f"{'r' * n} {name}x2" for name, n in arity.items()}
    results = run([*alone.values(), *packed.values()], {"h": PAIRS, "r": PACKED})
    for name in names:
        low, high = paired(results[packed[name]])
        np.testing.assert_array_equal(low, results[alone[name]], name)
        np.testing.assert_array_equal(np.roll(high, -7), results[alone[name]], name)


def test_a_pair_of_products_in_one_intrinsic() -> None:
    """``__hfma2_relu``: what an attention kernel calls, against fractions."""
    a, b = PAIRS
    y = np.zeros(len(a), np.uint32)
    body = "int i = blockIdx.x * 64 + threadIdx.x; if (i < n) y[i] = __hfma2_relu(a[i], b[i], a[i]);"
    parameters = "__half2* y, const __half2* a, const __half2* b, int n"
    before = "#include <cuda_fp16.h>"
    arguments: list[Array | np.generic] = [y, *PACKED, np.int32(len(a))]
    launch(simulator.Device(check=False), body, arguments, -(-len(a) // 64), 64, parameters, before)
    rows = zip(decode(a, "f16"), decode(b, "f16"), decode(a, "f16"), strict=True)
    want = [operate("fma", row, FORMATS["f16"]) for row in rows]
    same("relu", "f16", paired(y)[0], [0 if x != NAN and x & 0x8000 else x for x in want], a, b)


def test_logic_of_three_inputs_with_a_predicate_alone() -> None:
    asm = (
        "{ .reg .pred p, q; .reg .b32 d; setp.lt.u32 q, %1, %2; lop3.and.b32 _|p, %1, %2, %3, 0x96, !q;"
        " selp.b32 %0, 1, 0, p; }"
    )
    rng = np.random.default_rng(0)
    a, b, c = (rng.integers(0, 3, 500).astype(np.uint32) for _ in range(3))
    got = run([Form(asm, "rrrr")], {"r": [a, b, c]})[asm]
    np.testing.assert_array_equal(got, ((a ^ b ^ c) != 0) & (a >= b))


def lanes_of_floats() -> Array:
    x = np.random.default_rng(2).normal(size=(8, 32)).astype(np.float32)
    x[1, 4] = x[2, :] = np.nan
    x[3, 7], x[3, 9], x[4, :] = np.inf, -np.inf, -0.0
    x[4, 3], x[5, 1] = 0.0, 1e-42
    return x


@every_device
@pytest.mark.parametrize("modifiers", ["", ".abs", ".NaN", ".abs.NaN"])
def test_reductions_of_floats(device: simulator.Device, modifiers: str) -> None:
    x = lanes_of_floats()
    y = np.zeros((2, 8, 32), np.float32)
    body = "int i = threadIdx.x; float v; for (int k = 0; k < 8; ++k) {"
    for row, name in enumerate(("min", "max")):
        mask = "i < 12 ? 0xfff : 0xfffff000"
        body += f"""asm volatile("redux.sync.{name}{modifiers}.f32 %0, %1, %2;"
            : "=f"(v) : "f"(x[32 * k + i]), "r"({mask})); y[{256 * row} + 32 * k + i] = v;"""
    launch(device, body + "}", [y, x], parameters="float* y, const float* x")
    given = np.abs(x) if ".abs" in modifiers else x
    for part in (slice(0, 12), slice(12, 32)):
        for row, function in enumerate((np.min, np.max) if "NaN" in modifiers else (np.nanmin, np.nanmax)):
            want = np.array([np.nan if np.isnan(each).all() else function(each) for each in given[:, part]])
            np.testing.assert_array_equal(y[row, :, part], np.repeat(want[:, None], y[row, :, part].shape[1], 1))
    signs = np.signbit(y[:, 4, :12])
    assert signs[0].all() == (".abs" not in modifiers)
    assert not signs[1].any()


@pytest.mark.parametrize(
    "instruction",
    [
        "cvt.rn.f16x2.bf16x2 %0, %0;",
        "redux.sync.add.f32 %0, %0, -1;",
        "cvt.rs.f16x2.f32 %0, %0, %0, 1;",
        "add.u8x4 %0, %0, %0;",
        "elect.sync %0, -1;",
        "st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %0, [%0];",
        "st.bulk.weak.shared::cta [%0], 16, 0;",
        "red.async.relaxed.cluster.global.shared::cluster.mbarrier::complete_tx::bytes.add.u32 [%0], %0, [%0];",
        "barrier.cluster.arrive;",
        "vadd2.s32.s32.s32 %0.h0, %0, %0, %0;",
        "add.sideways.u32 %0, %0, %0;",
    ],
)
def test_forms_that_are_not_there_are_refused_by_name(instruction: str) -> None:
    y = np.zeros(1, np.uint32)
    with pytest.raises(UnknownInstructionError, match=re.escape(re.split("[ ;]", instruction)[0])):
        launch(
            simulator.Device(check=False), f'asm volatile("{instruction}" : "+r"(y[0]));', [y], parameters="unsigned* y"
        )
