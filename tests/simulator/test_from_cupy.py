"""Kernels that were made for CuPy run on the simulated device as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cupy
import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import CompileError, DtypeError


@pytest.fixture(autouse=True)
def device() -> Iterator[simulator.Device]:
    with simulator.Device() as made:
        yield made


SCALE = """
#ifdef TURNED
#include <cuComplex.h>
#endif
template <typename T> __global__ void scale_any(T* x) { x[threadIdx.x] *= FACTOR; }
extern "C" __global__ void scale(float* x) { x[threadIdx.x] *= FACTOR; }
"""


def test_a_raw_kernel() -> None:
    x = np.arange(5, dtype=np.float32)
    kernel = simulator.from_cupy(cupy.RawKernel(SCALE, "scale", ("-DFACTOR=3",)))
    assert isinstance(kernel, simulator.RawKernel)
    kernel((1,), (5,), (x,))
    assert x.tolist() == [0, 3, 6, 9, 12]
    with_all = cupy.RawKernel(
        SCALE, "scale", ("-DFACTOR=2", "-DTURNED"), translate_cucomplex=True, enable_cooperative_groups=True
    )
    twin = simulator.from_cupy(with_all)
    assert twin.enable_cooperative_groups
    assert twin._module.origin.translate_cucomplex


def test_a_raw_module() -> None:
    module = cupy.RawModule(code=SCALE, options=("-DFACTOR=2",), name_expressions=["scale_any<int>"])
    x = np.arange(4, dtype=np.int32)
    simulator.from_cupy(module).get_function("scale_any<int>")((1,), (4,), (x,))
    assert x.tolist() == [0, 2, 4, 6]
    assert simulator.from_cupy(cupy.RawModule(path="some.ptx")).file_path == "some.ptx"
    with pytest.raises(CompileError, match="nvcc"):
        simulator.from_cupy(cupy.RawModule(code=SCALE, backend="nvcc"))


def test_an_elementwise_kernel_with_everything() -> None:
    kernel = cupy.ElementwiseKernel(
        "T x, raw float32 table, _non_const complex64 z, bool flip", "T y, int64 n",
        "y = helped(x) + table[1] + LATER; n = i; if (flip) z = -z", "everything",
        reduce_dims=False, preamble="__device__ T helped(T x) { return 2 * x; }", return_tuple=True,
        options=("-DLATER=later",), loop_prep="int later = 100", after_loop="later = 0",
    )  # fmt: skip
    x, z = np.arange(6, dtype=np.float32), np.arange(6).astype(np.complex64)
    y, n = simulator.from_cupy(kernel)(x, np.array([1, 0.5], np.float32), z, True)
    assert np.array_equal(y, 2 * x + 100.5)
    assert n.tolist() == list(range(6))
    assert np.array_equal(z, -np.arange(6))


@pytest.mark.parametrize("identity", ["0", None])
def test_a_reduction_kernel(identity: str | None) -> None:
    kernel = cupy.ReductionKernel(
        "T x, float64 power", "float64 y", "scaled(pow(double(x), power))", "a + b", "y = a", identity, "powers",
        reduce_type="Sum", preamble="using Sum = double; __device__ double scaled(double x) { return x * SCALE; }",
        options=("-DSCALE=10",),
    )  # fmt: skip
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.allclose(simulator.from_cupy(kernel)(x, 2, axis=0), 10 * (x**2).sum(0))


@pytest.mark.parametrize("thing", [None, "code", simulator.ElementwiseKernel("T x", "T y", "y = x"), np.add])
def test_other_things_are_refused(thing: Any) -> None:
    with pytest.raises(DtypeError, match="from_cupy: kernel must be a RawKernel"):
        simulator.from_cupy(thing)
