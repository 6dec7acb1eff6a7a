"""The simulated ElementwiseKernel, beside NumPy: with the headers of an installed CuPy, and with our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cupysoft.simulator as simulator
from cupysoft import host
from cupysoft.errors import DtypeError, LaunchError, MemcheckError, MissingDependencyError, OutError, ShapeError
from cupysoft.ops.plans_states import Elementwise, join_states, share_of
from cupysoft.testing import strategies
from tests.simulator.without_cupy import without_cupy

REAL = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


@pytest.fixture(params=["cupy's headers", "own headers"], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[simulator.Device]:
    with simulator.Device() as made, without_cupy(request.param == "own headers"):
        yield made


def test_parameters_of_every_dtype() -> None:
    inputs = ", ".join(f"{dtype} in_{dtype}" for dtype in REAL)
    outputs = ", ".join(f"{dtype} out_{dtype}" for dtype in REAL)
    kernel = simulator.ElementwiseKernel(
        inputs, outputs, ";".join(f"out_{dtype} = in_{dtype} / 2" for dtype in REAL), "halves"
    )
    arrays = [np.array([0, 1, 2, 100]).astype(dtype) for dtype in REAL]
    for dtype, x, y in zip(REAL, arrays, kernel(*arrays), strict=True):
        assert y.dtype == dtype
        assert np.array_equal(y, (x / 2).astype(dtype) if dtype != "bool" else np.zeros(4))


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32"])
def test_broadcasting_and_placeholders(dtype: str) -> None:
    kernel = simulator.ElementwiseKernel("T x, T y", "T z, bool w", "z = x + y; w = x < y", "add")
    x, y = np.arange(5).astype(dtype)[:, None], np.arange(7).astype(dtype)
    z, less = kernel(x, y)
    assert (z.dtype, less.dtype) == (x.dtype, np.bool_)
    assert np.array_equal(z, x + y)
    assert np.array_equal(less, x < y)


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)], ids=["float16", "bfloat16"])
def test_halves_compute_in_float_and_are_rounded_once(dtype: np.dtype[Any]) -> None:
    kernel = simulator.ElementwiseKernel("T x, T a, float32 b", "T y, T z", "y = x * a + b; z = x; z = z + 1", "scale")
    x = np.linspace(-3, 3, 40).astype(dtype)
    y, z = kernel(x, 1.5, 0.25)
    wide = x.astype(np.float32)
    assert y.dtype == dtype
    assert np.array_equal(y, (wide * np.float32(1.5) + np.float32(0.25)).astype(dtype))
    assert np.array_equal(z, (wide + 1).astype(dtype))
    if dtype == np.float16:
        add = simulator.ElementwiseKernel("T x", "T y", "y = x; y += 1; y *= 3; y -= x; y /= 2", "steps")
        assert np.allclose(add(x), (3 * (wide + 1) - wide) / 2, rtol=2e-3)


def test_scalars_and_several_outputs(device: simulator.Device) -> None:
    kernel = simulator.ElementwiseKernel(
        "float64 x, float64 a, int32 n", "float64 y, int64 m", "y = a * x + n; m = i * n", "two"
    )
    x = np.linspace(0, 1, 300).reshape(3, 100)
    y, m = kernel(x, 2, np.float32(3.9))
    assert np.allclose(y, 2 * x + 3, rtol=1e-15)
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
    kernel(np.float32(0.5), x.T)
    assert np.array_equal(x, 2 * np.arange(12).reshape(3, 4) + 0.5)


VIEWED = simulator.ElementwiseKernel("float32 x, T y, float32 a", "T z", "z = a * x + y; ", "viewed")
WHOLE = simulator.ElementwiseKernel("float32 x, T y, float32 a", "T z", "z = a * x + y; ", "viewed", reduce_dims=False)


@given(data=st.data())
def test_any_views_broadcast_against_each_other(data: st.DataObject) -> None:
    shape = data.draw(strategies.shapes(most_axes=3, most_elements=300))
    x = data.draw(strategies.views(np.arange(np.prod(shape), dtype=np.float32).reshape(shape)))
    ones = tuple(data.draw(st.sampled_from([1, size])) for size in x.shape)
    y = np.arange(np.prod(ones), dtype=np.float64).reshape(ones)[..., ::-1]
    home = np.full(x.shape[::-1], np.nan)
    z = data.draw(st.sampled_from([None, home.T, home.reshape(x.shape)]))
    kernel = data.draw(st.sampled_from([VIEWED, WHOLE]))
    found = kernel(x, y, 2) if z is None else kernel(x, y, 2, z)
    assert z is None or found is z
    assert np.array_equal(found, 2 * x + y)


def test_raw_arrays_are_indexed_by_the_operation() -> None:
    kernel = simulator.ElementwiseKernel("raw T table, int32 index", "T y", "y = table[index]", "lookup")
    table = np.array([10.0, 20.0, 30.0])
    index = np.array([[2, 0], [1, 2]], np.int32)
    assert kernel(table, index).tolist() == [[30, 10], [20, 30]]
    assert kernel(table[::-1], index).tolist() == [[10, 30], [20, 10]]


def test_what_a_raw_array_of_any_strides_tells() -> None:
    operation = """
        const int row = i, wanted[] = {row, 1};
        sum = 0;
        for (int j = 0; j < x.shape()[1]; ++j) { ptrdiff_t at[] = {i, j}; sum += x[at]; }
        second = x[wanted];
        listed = x[{row, 2}];
        flat = x[i * x.shape()[1] + 2];
        told = x.size() * 1000 + x.strides()[1] * 10 + x.ndim"""
    kernel = simulator.ElementwiseKernel(
        "raw T x, int32 like", "T sum, T second, T listed, T flat, int64 told", operation, "rows"
    )
    whole = np.arange(60, dtype=np.float32).reshape(5, 12)
    for x in (whole, whole[:, ::3], whole[::-1, 2:9], whole.T[:6]):
        total, second, listed, flat, told = kernel(x, np.zeros(len(x), np.int32))
        assert np.array_equal(total, x.sum(1))
        assert np.array_equal(second, x[:, 1])
        assert np.array_equal(listed, x[:, 2])
        assert np.array_equal(flat, x[:, 2])
        assert set(told) == {x.size * 1000 + x.strides[1] * 10 + 2}


def test_a_size_where_all_arrays_are_raw() -> None:
    kernel = simulator.ElementwiseKernel("raw float32 x, int32 step", "raw float32 y", "y[i] = x[step * i]", "some")
    x, y = np.arange(6, dtype=np.float32), np.zeros(3, np.float32)
    assert kernel(x, 2, y, size=3) is y
    assert y.tolist() == [0, 2, 4]
    assert kernel(x, 3, size=2).tolist() == [0, 3]
    with pytest.raises(MemcheckError, match="x"):
        kernel(x, 3, y, size=3)
    with pytest.raises(ShapeError, match="size="):
        kernel(x, 1, y)
    with pytest.raises(ShapeError, match="output y is raw"):
        simulator.ElementwiseKernel("float32 x", "raw float32 y", "y[i] = x", "raw_out")(x)
    with pytest.raises(ShapeError, match="size=3 was given"):
        simulator.ElementwiseKernel("float32 x", "float32 y", "y = x", "same")(x, size=3)


def test_the_index_by_axes() -> None:
    kernel = simulator.ElementwiseKernel(
        "raw T x", "int64 row, int64 column", "row = _ind.get()[0]; column = _ind.get()[1]", "where", reduce_dims=False
    )
    row, column = np.zeros((7, 5), np.int64), np.zeros((7, 5), np.int64)
    kernel(np.zeros(1), row, column)
    assert np.array_equal([row, column], np.indices((7, 5)))


def test_axes_are_merged_where_cupy_merges_them() -> None:
    text = "n = _ind.ndim * 100 + _ind.get()[_ind.ndim - 1]"
    x = np.zeros((4, 6, 10), np.int8)
    for view, ndim, last in (
        (x, 1, 239),  # contiguous
        (x[:, :, ::2], 1, 119),  # the same step everywhere
        (x[:, :1, 1:4], 2, 2),  # an axis of one element goes
        (x[:, :3], 2, 29),  # the last two go on into one another
        (x.transpose(2, 0, 1), 2, 23),
        (x.transpose(2, 1, 0), 3, 3),
        (x[0, :, ::2], 2, 4),  # of two axes with gaps none is merged, though they could be
        (x[0], 1, 59),
    ):
        n = np.zeros(view.shape, np.int64)
        simulator.ElementwiseKernel("int8 x", "int64 n", text, "merged")(view, n)
        assert n.max() == ndim * 100 + last, view.strides


def test_text_around_the_loop_and_in_front_of_the_kernel() -> None:
    kernel = simulator.ElementwiseKernel(
        "T x, raw int32 count", "T y", "mine += twice(x) > 4; y = twice(x)", "around",
        preamble="using U = T; __device__ U twice(U x) { return SCALE * x; }",
        loop_prep="int mine = 0", after_loop="atomicAdd(const_cast<int*>(&count[0]), mine)",
        options=("-DSCALE=2",),
    )  # fmt: skip
    count = np.zeros(1, np.int32)
    assert kernel(np.arange(300.0), count).tolist() == [2 * n for n in range(300)]
    assert count[0] == 297


def test_inputs_that_are_written() -> None:
    kernel = simulator.ElementwiseKernel("_non_const float32 x", "float32 y", "y = x; x = -x", "negate")
    x = np.arange(4, dtype=np.float32)
    assert kernel(x).tolist() == [0, 1, 2, 3]
    assert x.tolist() == [0, -1, -2, -3]


def test_what_a_call_returns() -> None:
    x = np.arange(3.0)
    for no_return, return_tuple, kind in ((False, False, np.ndarray), (False, True, tuple), (True, True, type(None))):
        kernel = simulator.ElementwiseKernel(
            "float64 x", "float64 y", "y = x", "same", no_return=no_return, return_tuple=return_tuple
        )
        assert isinstance(kernel(x), kind)
    assert simulator.ElementwiseKernel("float64 x", "", "x;", "none")(x) == ()


def test_the_size_of_a_block(device: simulator.Device) -> None:
    kernel = simulator.ElementwiseKernel("float64 x", "int32 y", "y = blockDim.x * 1000 + gridDim.x", "blocks")
    assert set(kernel(np.zeros(1000))) == {128_008}
    assert set(kernel(np.zeros(1000), block_size=32)) == {32_032}
    assert set(kernel(np.zeros(50))) == {50_001}
    with pytest.raises(LaunchError, match="block_size"):
        kernel(np.zeros(5), block_size=0)
    with pytest.raises(DtypeError, match="stream"):
        kernel(np.zeros(5), stream="first")


def test_empty_and_zero_dimensional() -> None:
    kernel = simulator.ElementwiseKernel("float32 x", "float32 y", "y = 2 * x", "twice")
    assert kernel(np.zeros((0, 3), np.float32)).shape == (0, 3)
    for reduce_dims in (True, False):
        kernel = simulator.ElementwiseKernel("float32 x", "float32 y", "y = 2 * x + i", "twice", reduce_dims)
        assert kernel(np.array(4, np.float32)).item() == 8
        assert kernel(np.full((1, 1, 1), 4, np.float32)).tolist() == [[[8]]]


def test_subnormal_numbers_are_flushed_as_by_cupy() -> None:
    kernel = simulator.ElementwiseKernel("float32 x", "float32 y", "y = x * 0.5f", "half")
    assert kernel(np.array([1e-38], np.float32))[0] == 0


def test_a_mistake_in_the_operation_is_named_by_its_line() -> None:
    kernel = simulator.ElementwiseKernel("float32 x, raw float32 z", "float32 y", "y = x;\ny += z[i + 1]", "beyond")
    with pytest.raises(MemcheckError, match=r"(?s)z.*beyond: operation, line 2"):
        kernel(np.zeros(8, np.float32), np.zeros(8, np.float32))


def test_complex_numbers(request: pytest.FixtureRequest) -> None:
    kernel = simulator.ElementwiseKernel("T z, T a", "T w", "w = exp(z) * a / conj(z)", "turn")
    z = (np.arange(1, 9) + 1j * np.arange(8)).astype(np.complex64)
    if "own headers" in request.node.name:
        with pytest.raises(MissingDependencyError, match="complex numbers need a header of CuPy"):
            kernel(z, 2j)
        return
    for dtype, bound in ((np.complex64, 1e-5), (np.complex128, 1e-13)):
        w = kernel(z.astype(dtype), 2j)
        assert w.dtype == dtype
        assert np.allclose(w, np.exp(z) * 2j / z.conj().astype(np.complex128), rtol=max(bound, 1e-6))


def test_arguments_that_do_not_fit_are_refused() -> None:
    kernel = simulator.ElementwiseKernel("float32 x, T y", "T z", "z = x + y", "add")
    x = np.zeros(3, np.float32)
    for args, error, says in (
        ((np.zeros(3), x), DtypeError, "x has dtype float64, it must be float32"),
        ((x, np.zeros(4)), ShapeError, "do not broadcast"),
        ((x, x, np.zeros((1,), np.float32)), ShapeError, r"output z has shape \(1,\), it must be \(3,\)"),
        ((x, x, np.broadcast_to(np.float32(0), 3)), OutError, "z is read-only"),
        ((x, x, [0.0]), DtypeError, "output z must be a NumPy array, not a list"),
        ((x,), LaunchError, "1 arguments were given"),
        ((x, 2.0), DtypeError, "nothing tells the dtype T of y"),
        ((1.0, 2.0), ShapeError, "no array tells"),
        ((1j, x), DtypeError, "imaginary"),
        (([1.0], x), DtypeError, "builtins.list"),
        (([1.0], [2.0]), DtypeError, "x is a builtins.list; it must be a NumPy array or a number"),
        ((np.arange(3, dtype=">f4"), 1), DtypeError, r'x has dtype >f4, whose byte order.*\.astype\("float32"\)'),
        ((x, np.zeros(3, "M8[s]")), DtypeError, "datetime64"),
    ):
        with pytest.raises(error, match=says):
            kernel(*args)
    small = simulator.ElementwiseKernel("uint8 n", "T z", "z = n", "small")
    assert small(7.9, np.zeros(2, np.int32)).tolist() == [7, 7]
    with pytest.raises(DtypeError, match="300"):
        small(300, np.zeros(2, np.int32))


@pytest.mark.parametrize(
    ("parameters", "error", "says"),
    [
        ("float32", LaunchError, "is no parameter"),
        ("T x,", LaunchError, "is no parameter"),
        ("shared T x", LaunchError, "is no parameter"),
        ("T 2x", LaunchError, "is no parameter"),
        ("TT x", DtypeError, "one letter"),
        ("datetime64 x", DtypeError, "datetime64"),
        ("T i", LaunchError, "called i"),
    ],
)
def test_parameters_that_are_none(parameters: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        simulator.ElementwiseKernel(parameters, "T z", "z = 0", "bad")
    with pytest.raises(LaunchError, match="name"):
        simulator.ElementwiseKernel("T x", "T z", "z = 0", "not a name")


@pytest.mark.parametrize(
    "make",
    [
        lambda: simulator.ElementwiseKernel("T x", "T y", "y = 2 * x", "twice"),
        lambda: simulator.ReductionKernel("T x", "T y", "x", "a + b", "y = a", "0", "twice"),
    ],
)
def test_the_generated_text_is_shown(make: Any) -> None:
    kernel = make()
    with pytest.raises(LaunchError, match="twice"):
        kernel.cached_code  # noqa: B018 - a property that refuses
    for dtype in "fdf":
        kernel(np.ones(3, dtype))
    assert list(kernel.cached_codes) == [(np.float32,), (np.float64,)]
    assert kernel.cached_code == kernel.cached_codes[np.float32,]
    assert "float" in kernel.cached_code != kernel.cached_codes[np.float64,]


def of_states(text: Elementwise) -> simulator.ElementwiseKernel:
    return simulator.ElementwiseKernel(
        text.in_params, text.out_params, text.operation, text.name, options=text.options, preamble=text.preamble
    )


def test_the_kernels_of_states() -> None:
    one, few = (
        host.state_of(np.array(x), (1,)) for x in ([[0.0, 0], [3, -np.inf], [-9, 1]], [[-50.0], [-3], [np.nan]])
    )
    expected = host.merge_states(one, few)
    m, *words = of_states(join_states())(one.m, *one.sums, few.m, *few.sums)
    np.testing.assert_array_equal(m, expected.m)
    assert np.array_equal(words, expected.sums)
    x = np.array([[0.0, -100.0, 1.0, 1.5, -np.inf]], np.float32)
    total = np.array([[np.exp(-1.0) + 1]])
    y, open_ = of_states(share_of(np.dtype(np.float32)))(x, np.array([[1.0]]), total, np.array([[0.0]]))
    assert np.array_equal(y[0, :3], (np.exp(x[0, :3].astype(np.float64) - 1) / total[0]).astype(np.float32))
    assert 0 < y[0, 1] < np.finfo(np.float32).tiny
    assert np.isnan(y[0, 3])
    assert y[0, 4] == 0
    assert not open_.any()
