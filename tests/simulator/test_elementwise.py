"""The simulated ElementwiseKernel: CuPy's calling convention, as far as this package uses it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import DtypeError, LaunchError, ShapeError
from cupysoft.ops.plans_states import join_states, softmax_of


@pytest.fixture(autouse=True)
def device() -> Iterator[simulator.Device]:
    with simulator.Device() as made:
        yield made


def test_broadcasting_and_placeholders() -> None:
    kernel = simulator.ElementwiseKernel("T x, T y", "T z", "z = x * y + 1", "multiply")
    for dtype in (np.float32, np.float64, np.int32, np.uint8):
        x, y = np.arange(5, dtype=dtype)[:, None], np.arange(7, dtype=dtype)
        z = kernel(x, y)
        assert z.dtype == dtype
        assert np.array_equal(z, np.multiply(x, y) + 1)


def test_scalars_and_several_outputs(device: simulator.Device) -> None:
    kernel = simulator.ElementwiseKernel(
        "float64 x, float64 a, int32 n", "float64 y, int64 m", "y = a * x + n; m = i * n", "two"
    )
    x = np.linspace(0, 1, 300).reshape(3, 100)
    y, m = kernel(x, 2, 3)
    assert np.array_equal(y, 2 * x + 3)
    assert np.array_equal(m, 3 * np.arange(300).reshape(3, 100))
    arguments = device.report.kernels["two"].arguments
    assert {name: (each.walks_read, each.walks_written) for name, each in arguments.items()} == {
        "x": (1, 0),
        "y": (0, 1),
        "m": (0, 1),
    }


def test_outputs_that_are_given() -> None:
    kernel = simulator.ElementwiseKernel("float32 x", "float32 y", "y += x", "accumulate")
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    y = np.ones((3, 4), np.float32)
    assert kernel(x, y) is y
    assert np.array_equal(y, x + 1)
    wide = np.zeros((3, 8), np.float32)
    kernel(x, wide[:, ::2])
    assert np.array_equal(wide[:, ::2], x)
    assert not wide[:, 1::2].any()
    kernel(x, x)
    assert np.array_equal(x, 2 * np.arange(12).reshape(3, 4))
    row = np.arange(1000, dtype=np.float32)
    kernel(row[:-1], row[1:])
    assert np.array_equal(row[1:], np.arange(1, 1000) + np.arange(999))


def test_raw_arrays_and_preamble() -> None:
    kernel = simulator.ElementwiseKernel(
        "raw T table, int32 index", "T y", "y = pick(table, index)", "lookup",
        preamble="template <typename T> __device__ T pick(const T* table, int index) { return table[index]; }",
        options=("--std=c++17",),
    )  # fmt: skip
    table = np.array([10.0, 20.0, 30.0])
    index = np.array([[2, 0], [1, 2]], np.int32)
    assert kernel(table, index).tolist() == [[30, 10], [20, 30]]
    all_raw = simulator.ElementwiseKernel("raw float32 x", "raw float32 y", "y[i] = x[2 * i]", "every_other")
    x, y = np.arange(6, dtype=np.float32), np.zeros(3, np.float32)
    all_raw(x, y, size=3)
    assert y.tolist() == [0, 2, 4]
    with pytest.raises(LaunchError, match="size="):
        all_raw(x, y)


def test_empty_and_zero_dimensional() -> None:
    kernel = simulator.ElementwiseKernel("float32 x", "float32 y", "y = 2 * x", "twice")
    assert kernel(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert kernel(np.array(4, np.float32)).item() == 8


def test_subnormal_numbers_are_flushed_as_by_cupy() -> None:
    kernel = simulator.ElementwiseKernel("float32 x", "float32 y", "y = x * 0.5f", "half")
    assert kernel(np.array([1e-38], np.float32))[0] == 0


def test_what_does_not_fit_is_refused() -> None:
    kernel = simulator.ElementwiseKernel("float32 x, T y", "T z", "z = x + y", "add")
    x = np.zeros(3, np.float32)
    with pytest.raises(DtypeError, match="x has dtype float64, it must be float32"):
        kernel(np.zeros(3), x)
    with pytest.raises(ShapeError, match="do not broadcast"):
        kernel(x, np.zeros(4))
    with pytest.raises(ShapeError, match="output z has shape"):
        kernel(x, x, np.zeros(4, np.float32))
    with pytest.raises(LaunchError, match="1 arguments were given"):
        kernel(x)
    with pytest.raises(LaunchError, match="is no parameter"):
        simulator.ElementwiseKernel("float32", "T z", "z = 0", "bad")
    with pytest.raises(DtypeError, match="complex128"):
        kernel(x, np.zeros(3, np.complex128))


def test_the_kernels_of_states() -> None:
    join = join_states()
    kernel = simulator.ElementwiseKernel(
        join.in_params, join.out_params, join.operation, join.name, options=join.options, preamble=join.preamble
    )
    a, b = np.array([0.0, -np.inf, 3.0]), np.array([0.0, 2.0, 1.0])
    one, none = np.ones(3), np.zeros(3)
    m, high, low = kernel(a, np.where(np.isinf(a), 0, one), none, b, one, none)
    assert m.tolist() == [0, 2, 3]
    assert np.allclose(high + low, [2, 1, 1 + np.exp(-2)], rtol=1e-15)
    share = softmax_of(np.dtype(np.float32))
    kernel = simulator.ElementwiseKernel(
        share.in_params, share.out_params, share.operation, share.name, options=share.options, preamble=share.preamble
    )
    x = np.array([[0.0, -100.0, 1.0]], np.float32)
    y = kernel(x, np.array([[1.0]]), np.array([[np.exp(-1.0) + 1]]), np.array([[0.0]]))
    expected = (np.exp(x.astype(np.float64) - 1) / (np.exp(-1.0) + 1)).astype(np.float32)
    assert np.array_equal(y, expected)
    assert 0 < y[0, 1] < np.finfo(np.float32).tiny
