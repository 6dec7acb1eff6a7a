"""The names of a kernel's parameters, as reports tell them."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import MemcheckError
from cupysoft.simulator.formal import formal_names

SOURCES = [
    ('extern "C" __global__ void k(const float* x, float *y, int n) {}', "k", ("x", "y", "n")),
    (
        "template <typename T, int N> __global__ void __launch_bounds__(128, 2)\n"
        "f(const T* __restrict__ x, // (rows, columns), as they come\n std::array<int, 4> sizes, float*const y,"
        " T z = T(3), unsigned char c[2]) {}",
        "space::f<float, 3>",
        ("x", "sizes", "y", "z", "c"),
    ),
    ("__device__ int g(int a) { return a; } __global__ void k() { g(3); }", "k", ()),
    ("__global__ void k(float*, int n) {}", "k", ()),
    ("__global__ void k(unsigned int, int n) {}", "k", ()),
    ("#define ARGS float* x, int n\n__global__ void k(ARGS) {}", "k", ()),
    ("__global__ void kk(int n) {}", "k", ()),
    ("__device__ void k(int a); __global__ void other(int b) { k(b); }", "k", ()),
    (None, "k", ()),
]


@pytest.mark.parametrize(("code", "name", "names"), SOURCES)
def test_names_are_found_or_none(code: str | None, name: str, names: tuple[str, ...]) -> None:
    assert formal_names(code, name) == names


def test_a_report_names_the_parameter() -> None:
    source = (
        'extern "C" __global__ void f(const float* x, float* out, int n) { out[threadIdx.x] = x[threadIdx.x + n]; }'
    )
    x, y = np.zeros(32, np.float32), np.zeros(32, np.float32)
    kernel = simulator.RawKernel(source, "f")
    with simulator.Device() as device:
        with pytest.raises(MemcheckError, match=r"element 32 of argument 0 'x' \(128 bytes\), 0 bytes behind its end"):
            kernel((1,), (32,), (x, y, np.int32(1)))
        with pytest.raises(MemcheckError, match=r"element 31 of argument 1 'out' \(124 bytes\)"):
            kernel((1,), (32,), (x, y[:31], np.int32(0)))
        kernel((1,), (32,), (x, y, np.int32(0)))
    assert set(device.report.kernels["f"].arguments) == {"argument 0", "argument 1"}
