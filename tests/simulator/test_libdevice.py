"""CUDA's mathematical functions, run instruction by instruction, within CUDA's documented error.

The bounds are the maximum errors of the CUDA C++ Programming Guide (13.x), in units of the
last place; they are what the same code has on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.runtime.compile import compile
from tests.simulator.harness import Array
from tests.simulator.python_integers import signed, truncated

Function = Callable[..., Any]

#: CUDA name without suffix: reference, bound in float32, bound in float64, range of the argument.
ONE: dict[str, tuple[Function, float, float, tuple[float, float]]] = {
    "exp": (np.exp, 1, 1, (-80, 80)),
    "exp2": (np.exp2, 2, 1, (-120, 120)),
    "exp10": (lambda x: np.power(x.dtype.type(10), x), 2, 1, (-35, 35)),
    "expm1": (np.expm1, 1, 1, (-20, 20)),
    "log": (np.log, 1, 1, (1e-30, 1e6)),
    "log2": (np.log2, 1, 1, (1e-30, 1e6)),
    "log10": (np.log10, 2, 1, (1e-30, 1e6)),
    "log1p": (np.log1p, 1, 1, (-0.999, 100)),
    "sin": (np.sin, 2, 2, (-1e4, 1e4)),
    "cos": (np.cos, 2, 2, (-1e4, 1e4)),
    "tan": (np.tan, 4, 2, (-1e4, 1e4)),
    "asin": (np.arcsin, 2, 2, (-1, 1)),
    "acos": (np.arccos, 2, 2, (-1, 1)),
    "atan": (np.arctan, 2, 2, (-50, 50)),
    "sinh": (np.sinh, 3, 2, (-20, 20)),
    "cosh": (np.cosh, 2, 1, (-20, 20)),
    "tanh": (np.tanh, 2, 1, (-10, 10)),
    "asinh": (np.arcsinh, 3, 3, (-1e3, 1e3)),
    "acosh": (np.arccosh, 4, 3, (1, 1e3)),
    "atanh": (np.arctanh, 3, 2, (-0.999, 0.999)),
    "cbrt": (np.cbrt, 1, 1, (-1e3, 1e3)),
    "sqrt": (np.sqrt, 0.5, 0.5, (0, 1e6)),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 2, 1, (1e-6, 1e6)),
    "erf": (math.erf, 2, 2, (-4, 4)),
    "erfc": (math.erfc, 4, 5, (-4, 9)),
    "tgamma": (math.gamma, 5, 10, (0.5, 30)),
    "lgamma": (math.lgamma, 6, 4, (3, 1000)),
    "floor": (np.floor, 0, 0, (-100, 100)),
    "rint": (np.rint, 0, 0, (-100, 100)),
}
TWO: dict[str, tuple[Function, float, float]] = {
    "pow": (np.power, 4, 2),
    "atan2": (np.arctan2, 3, 2),
    "hypot": (np.hypot, 3, 2),
    "fmod": (np.fmod, 0, 0),
}
COUNT = 2048
# The references in C doubles may be an ulp off themselves; extended precision is not.
SLACK = {"erf": 1.0, "erfc": 1.0, "tgamma": 4.0, "lgamma": 2.0}


def source(type_: str, suffix: str) -> str:
    lines = [
        f'extern "C" __global__ void library(const {type_}* x, const {type_}* y, {type_}* out) {{',
        "    int i = blockIdx.x * blockDim.x + threadIdx.x;",
    ]
    for row, name in enumerate(ONE):
        lines.append(f"    out[{row} * {COUNT} + i] = {name}{suffix}(x[{row} * {COUNT} + i]);")
    for row, name in enumerate(TWO, len(ONE)):
        lines.append(f"    out[{row} * {COUNT} + i] = {name}{suffix}(x[{row} * {COUNT} + i], y[{row} * {COUNT} + i]);")
    return "\n".join([*lines, "}"])


def arguments(type_: Any) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    x = [rng.uniform(low, high, COUNT) for _, _, _, (low, high) in ONE.values()]
    x += [np.exp(rng.uniform(-5, 5, COUNT)) for _ in TWO]
    y = [rng.uniform(-20, 20, COUNT) for _ in x]
    return np.array(x, type_), np.array(y, type_)


def reference(function: Function, *operands: Array) -> Array:
    """Evaluate in a wider type: float64 for float32, extended precision for float64."""
    narrow = operands[0].dtype == np.float32
    if getattr(function, "__module__", "") == "math":
        return np.array([function(float(v)) for v in operands[0]], np.longdouble)
    wide = np.float64 if narrow else np.longdouble
    result: Array = function(*(operand.astype(wide) for operand in operands))
    return result


def unflushed(code: str, name: str, folder: Path) -> simulator.RawKernel:
    """A kernel that keeps subnormal numbers, which CuPy's options would flush: its PTX comes from a file."""
    path = folder / f"{name}.ptx"
    path.write_bytes(compile(code, arch="sm_80", our_rules=False).code)
    return simulator.RawModule(path=str(path)).get_function(name)


@pytest.mark.parametrize("type_", [np.float32, np.float64])
def test_mathematical_functions(type_: Any, tmp_path: Path) -> None:
    single = type_ is np.float32
    kernel = unflushed(source("float" if single else "double", "f" if single else ""), "library", tmp_path)
    x, y = arguments(type_)
    out = np.zeros_like(x)
    kernel((COUNT // 128,), (128,), (x, y, out))
    bounds = [(name, entry[0], entry[1:3], 1) for name, entry in ONE.items()]
    bounds += [(name, entry[0], entry[1:3], 2) for name, entry in TWO.items()]
    for row, (name, function, both, arity) in enumerate(bounds):
        bound = both[0 if single else 1]
        want = reference(function, *(x[row], y[row])[:arity])
        with np.errstate(over="ignore"):
            unit = np.spacing(np.maximum(np.abs(want).astype(type_), np.finfo(type_).tiny))
        error = np.abs(out[row] - want) / unit
        limit = bound + (0.5 if bound else 0) + (0 if single else SLACK.get(name, 0))
        worst = int(np.nanargmax(error))
        assert not np.isnan(out[row]).any(), name
        assert error[worst] <= limit, f"{name}({x[row][worst]!r}, {y[row][worst]!r}): {error[worst]} ulp, bound {limit}"


SPECIAL = """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
extern "C" __global__ void special(const double* x, double* out, const float* y, float* results) {
    int i = threadIdx.x;
    out[i] = exp(x[i]); out[8 + i] = log(x[i]); out[16 + i] = log1p(x[i]); out[24 + i] = sin(x[i]);
    out[32 + i] = pow(x[i], 3.0); out[40 + i] = x[i] / 3.0; out[48 + i] = __drcp_rn(x[i]);
    results[i] = expf(y[i]); results[8 + i] = logf(y[i]); results[16 + i] = log1pf(y[i]); results[24 + i] = y[i] / 3.0f;
    results[32 + i] = __half2float(hexp(__float2half(y[i])));
    results[40 + i] = __bfloat162float(__float2bfloat16(y[i]) * __float2bfloat16(3.0f));
    results[48 + i] = __half2float(__hfma(__float2half(y[i]), __float2half(3.0f), __float2half(1.0f)));
}
"""


@np.errstate(all="ignore")
def test_special_arguments_and_16_bit_operators(tmp_path: Path) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 5e-324, -2.5])
    y = x.astype(np.float32)
    y[6] = 1e-45
    out, results = np.zeros((7, 8)), np.zeros((7, 8), np.float32)
    unflushed(SPECIAL, "special", tmp_path)((1,), (8,), (x, out, y, results))
    for row, want in enumerate([np.exp(x), np.log(x), np.log1p(x), np.sin(x), x**3, x / 3, 1 / x]):
        np.testing.assert_allclose(out[row], want, rtol=4e-16, err_msg=str(row))
        np.testing.assert_array_equal(np.signbit(out[row])[want == 0], np.signbit(want)[want == 0], str(row))
    half = y.astype(np.float16)
    for row, want in enumerate([np.exp(y), np.log(y), np.log1p(y), y / 3]):
        np.testing.assert_allclose(results[row], want, rtol=3e-7, err_msg=str(row))
    np.testing.assert_allclose(results[4], np.exp(half.astype(np.float32)), rtol=2e-3)
    # 2.5 is a bfloat16, 7.5 too; the last subnormal number rounds to zero.
    np.testing.assert_array_equal(results[5], np.where(y == y[6], 0, y * 3))
    np.testing.assert_array_equal(results[6], (half * np.float16(3) + np.float16(1)).astype(np.float32))


WIDE = """
extern "C" __global__ void wide(const __int128* x, const __int128* y, __int128* out, double* real) {
    int i = threadIdx.x;
    out[i] = x[i] + y[i]; out[32 + i] = x[i] - y[i]; out[64 + i] = x[i] * y[i];
    out[96 + i] = x[i] / y[i]; out[128 + i] = (unsigned __int128)x[i] % (unsigned __int128)y[i];
    out[160 + i] = x[i] >> (i * 4); out[192 + i] = x[i] << (i * 4); real[i] = (double)x[i];
}
"""


def test_integers_of_128_bits() -> None:
    """The compiler's own sequences of carries, wide products and shifts."""
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 127, (2, 32)).tolist()
    x, y = ([signed(int.from_bytes(rng.bytes(16)) >> size, 128 - size) or 1 for size in row] for row in sizes)
    memory = [np.frombuffer(b"".join(v.to_bytes(16, "little", signed=True) for v in row), np.uint64) for row in (x, y)]
    out, real = np.zeros(7 * 32 * 2, np.uint64), np.zeros(32)
    simulator.RawKernel(WIDE, "wide", options=("--device-int128",))((1,), (32,), (*memory, out, real))
    got = [int.from_bytes(out[k : k + 2].tobytes(), "little") for k in range(0, out.size, 2)]
    top = 1 << 128
    want = [
        *(a + b for a, b in zip(x, y, strict=True)),
        *(a - b for a, b in zip(x, y, strict=True)),
        *(a * b for a, b in zip(x, y, strict=True)),
        *(truncated(a, b) for a, b in zip(x, y, strict=True)),
        *(a % top % (b % top) for a, b in zip(x, y, strict=True)),
        *(a >> (4 * k) for k, a in enumerate(x)),
        *(a << (4 * k) for k, a in enumerate(x)),
    ]
    assert got == [v % top for v in want]
    np.testing.assert_array_equal(real, [float(a) for a in x])
