"""The simulated ReductionKernel, beside NumPy: with the headers of an installed CuPy, and with our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cupysoft.simulator as simulator
from cupysoft.errors import (
    AxisError,
    DtypeError,
    LaunchError,
    MemcheckError,
    MissingDependencyError,
    OutError,
    ShapeError,
)
from cupysoft.testing import strategies
from tests.simulator.without_cupy import without_cupy


@pytest.fixture(params=["cupy's headers", "own headers"], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[simulator.Device]:
    with simulator.Device() as made, without_cupy(request.param == "own headers"):
        yield made


TOTAL = simulator.ReductionKernel("T x", "T y", "x", "a + b", "y = a", "0", "total")


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3, (0, 2), (2, -2), [1, 0], (0, 1, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_any_axes(axis: Any, keepdims: bool) -> None:
    x = np.arange(3 * 5 * 70.0).reshape(3, 5, 70)
    wanted = tuple(axis) if isinstance(axis, list) else axis
    y = TOTAL(x, axis=axis, keepdims=keepdims)
    assert isinstance(y, np.ndarray)
    assert np.array_equal(y, x.sum(axis=wanted, keepdims=keepdims))


@given(data=st.data())
def test_any_views(data: st.DataObject) -> None:
    shape = data.draw(strategies.shapes(most_axes=3, most_elements=1500))
    x = data.draw(strategies.views(np.arange(np.prod(shape)).reshape(shape)))
    axis, keepdims = data.draw(strategies.axes(x.ndim)), data.draw(st.booleans())
    expected = x.sum(axis=axis, keepdims=keepdims)
    home = np.full(expected.shape[::-1], -1, x.dtype)
    found = TOTAL(x, axis=axis, keepdims=keepdims, out=data.draw(st.sampled_from([None, home.T])))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 511, 512, 513, 1025, 40_000])
def test_lengths_around_those_of_a_block(size: int) -> None:
    x = np.arange(3 * size, dtype=np.int32).reshape(3, size)
    assert np.array_equal(TOTAL(x, axis=1), x.sum(1, dtype=np.int32))
    assert np.array_equal(TOTAL(x.T.copy(), axis=0), x.sum(1, dtype=np.int32))
    assert np.array_equal(TOTAL(x, axis=0), x.sum(0))
    assert TOTAL(x) == x.sum(dtype=np.int32)


def test_several_inputs_are_broadcast() -> None:
    dot = simulator.ReductionKernel(
        "T x, U y, float64 scale", "float64 z", "scale * x * y", "a + b", "z = a", "0", "dot"
    )
    x, y = np.arange(12, dtype=np.int32).reshape(4, 3), np.arange(5.0)[:, None, None]
    assert np.array_equal(dot(x, y, 2), (2.0 * x * y).sum())
    assert np.array_equal(dot(x, y, 2, axis=(0, 2)), (2.0 * x * y).sum((0, 2)))


def test_what_each_expression_can_name() -> None:
    kernel = simulator.ReductionKernel(
        "T x, T most, raw T weight", "T y",
        "x * weight[_J]", "shorter(a + b, most)", "y = a * (_in_ind.size() / _out_ind.size()) + _i", "0",
        "named", preamble="__device__ T shorter(T a, T b) { return a < b ? a : b; }", options=("-DUNUSED",),
    )  # fmt: skip
    x, weight = np.ones((6, 4)), np.arange(6.0)
    assert kernel(x, 12.5, weight, axis=0).tolist() == [75, 76, 77, 78]
    assert kernel(x, 100, weight, axis=0).tolist() == [90, 91, 92, 93]
    with pytest.raises(LaunchError, match="raw input"):
        kernel(x, 12.5, weight, axis=1)


def test_the_place_of_the_greatest_by_a_structure() -> None:
    kernel = simulator.ReductionKernel(
        "T x", "int64 place, T value", "Best(x, _J)", "better(a, b)", "place = a.at, value = a.value", None, "argmax",
        reduce_type="Best",
        preamble="""
        struct Best {
            T value; int at;
            __device__ Best() : value(0), at(-1) {}
            __device__ Best(T value, int at) : value(value), at(at) {}
        };
        __device__ Best better(const Best& a, const Best& b) {
            if (a.at < 0) return b;
            if (b.at < 0) return a;
            return a.value > b.value || (a.value == b.value && a.at < b.at) ? a : b;
        }""",
    )  # fmt: skip
    x = np.random.default_rng(0).integers(-50, 50, (700, 9)).astype(np.float32)
    value = np.zeros(9, np.float32)
    place = np.zeros(9, np.int64)
    assert kernel(x, place, value, axis=0) is place
    assert np.array_equal(place, x.argmax(0))
    assert np.array_equal(value, x.max(0))
    assert np.array_equal(kernel(x.T, axis=1), x.argmax(0))
    with pytest.raises(ShapeError, match="no identity"):
        kernel(x[:0], axis=0)


def test_a_wider_type_for_the_reduction() -> None:
    narrow = simulator.ReductionKernel("float16 x", "float16 y", "x", "a + b", "y = a", "0", "narrow")
    wide = simulator.ReductionKernel("float16 x", "float16 y", "x", "a + b", "y = a", "0", "wide", reduce_type="float")
    x = np.full((4, 3000), 1, np.float16)
    x[:, 0] = 2048
    assert np.array_equal(wide(x, axis=1), np.full(4, 5048, np.float16))
    assert not np.array_equal(narrow(x, axis=1), wide(x, axis=1))
    assert np.array_equal(narrow(x[:, 1:], axis=1), np.full(4, 3000, np.float16) - 1)


def test_logic_and_extremes() -> None:
    x = np.random.default_rng(1).normal(size=(40, 33))
    every = simulator.ReductionKernel("T x", "bool y", "x > -2", "a && b", "y = a", "true", "every")
    greatest = simulator.ReductionKernel("T x", "T y", "x", "max(a, b)", "y = a", "-CUDART_INF", "greatest")
    assert np.array_equal(every(x, axis=0), (x > -2).all(0))
    assert np.array_equal(greatest(x, axis=1), x.max(1))
    assert greatest(x[:0], axis=0).tolist() == [-np.inf] * 33
    assert greatest(x[:, :0], axis=0).shape == (0,)
    assert greatest(np.array(3.0)) == 3


def test_complex_numbers(request: pytest.FixtureRequest) -> None:
    kernel = simulator.ReductionKernel("T z", "T w", "z * conj(z)", "a + b", "w = sqrt(a)", "0", "length")
    z = np.arange(12).reshape(3, 4) * (1 + 1j)
    if "own headers" in request.node.name:
        with pytest.raises(MissingDependencyError, match="complex"):
            kernel(z)
        return
    assert np.allclose(kernel(z, axis=1), np.linalg.norm(z, axis=1))


def test_each_element_is_read_once(device: simulator.Device) -> None:
    x = np.ones((20, 64), np.float32)
    for axis in (0, 1, None):
        TOTAL(x, axis=axis)
    arguments = device.report.kernels["total"].arguments
    assert (arguments["x"].walks_read, arguments["x"].walks_written) == (1, 0)
    assert (arguments["y"].walks_read, arguments["y"].walks_written) == (0, 1)


def test_a_mistake_is_named_by_expression_and_line() -> None:
    kernel = simulator.ReductionKernel("T x, raw T w", "T y", "x\n* w[_J + 1]", "a + b", "y = a", "0", "beyond")
    with pytest.raises(MemcheckError, match=r"(?s)w.*beyond: map_expr, line 2"):
        kernel(np.zeros(8), np.zeros(8))


def test_what_does_not_fit_is_refused() -> None:
    x = np.zeros((3, 4))
    for args, keywords, error, says in (
        ((), {}, LaunchError, "0 arguments were given"),
        ((x, x, x), {}, LaunchError, "3 arguments were given"),
        ((x, x), {"out": x}, LaunchError, "out= is for one output"),
        ((x,), {"axis": 2}, AxisError, "axis is 2, the inputs have 2 axes"),
        ((x,), {"axis": (0, -2)}, AxisError, "repeated"),
        ((x,), {"axis": "x"}, AxisError, "axis is 'x'"),
        ((x,), {"axis": 0, "out": np.zeros(3)}, ShapeError, r"y has shape \(3,\), it must be \(4,\)"),
        ((x,), {"axis": 0, "out": np.zeros(4, int)}, DtypeError, "x has dtype float64, it must be int64"),
        ((x,), {"out": np.broadcast_to(0.0, ())}, OutError, "read-only"),
        ((2.0,), {}, ShapeError, "no array tells"),
        ((x,), {"stream": 1}, DtypeError, "stream"),
    ):
        with pytest.raises(error, match=says):
            TOTAL(*args, **keywords)
    for name, out, says in (("two words", "T y", "name"), ("fine", "", "at least one output")):
        with pytest.raises(LaunchError, match=says):
            simulator.ReductionKernel("T x", out, "x", "a + b", "y = a", "0", name)
