"""Semantics of softmax, log_softmax and logsumexp, point by point against SciPy."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import cupysoft
from tests.ops.comparison import assert_same, both, scipys

pytestmark = pytest.mark.usefixtures("place")


FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
NORMALIZED = ("softmax", "log_softmax")


@pytest.fixture
def x() -> np.ndarray[Any, Any]:
    """Three axes of different sizes, none of them contiguous in the others' order."""
    return np.random.default_rng(0).normal(scale=5, size=(2, 3, 4))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "axis", [None, 0, 1, 2, -1, -3, (0, 1), (2, 0), (-1, 1), (0, 1, 2), (), np.int32(1), np.array(2)]
)
def test_axis(function: str, axis: Any, x: np.ndarray[Any, Any]) -> None:
    both(function, x, axis=axis)
    both(function, x, axis)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("x0", [3.0, 3, True, np.float32(3), np.float16(3), np.array(3.0), np.array(3, np.float32)])
@pytest.mark.parametrize("axis", [None, 0, -1, ()])
def test_zero_dimensional(function: str, x0: Any, axis: Any) -> None:
    if x0 is True and function != "logsumexp":
        assert_same(getattr(cupysoft, function)(x0, axis=axis), scipys(function)(1.0, axis=axis))
    else:
        both(function, x0, axis=axis)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("values", [[1, 2, 3], [[1.0], [2.0]], (1, 2.5), [True, 3], [np.float32(1), np.float32(2)]])
def test_sequences(function: str, values: Any) -> None:
    both(function, values)
    both(function, values, axis=0)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "<f2", "i4", "i8", "u4", ">i4"])
def test_dtypes(function: str, dtype: str) -> None:
    values = np.array([[5, 1, 4], [0, 2, 2]], dtype)
    if values.dtype.kind == "u":
        # SciPy's difference of unsigned integers wraps around.
        assert_same(getattr(cupysoft, function)(values, axis=1), scipys(function)(values.astype("f8"), axis=1))
    else:
        both(function, values, axis=1)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "u8", "i2"])
def test_integers_and_bool_compute_in_float64(function: str, dtype: str) -> None:
    values = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    assert_same(getattr(cupysoft, function)(values, axis=1), scipys(function)(values.astype("f8"), axis=1))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bfloat16_stays(function: str) -> None:
    values = np.array([[5, 1, 4], [0, 2, 2]], ml_dtypes.bfloat16)
    ours = getattr(cupysoft, function)(values, axis=1)
    assert ours.dtype == ml_dtypes.bfloat16
    theirs = scipys(function)(values.astype("f8"), axis=1)
    np.testing.assert_allclose(ours.astype("f8"), theirs, rtol=4e-3)


@pytest.mark.parametrize("function", NORMALIZED)
@pytest.mark.parametrize(
    "values",
    [
        [np.inf],
        [-np.inf],
        [np.inf, 0.0],
        [-np.inf, 0.0],
        [np.inf, np.inf],
        [np.inf, -np.inf],
        [-np.inf, -np.inf],
        [np.nan, 1.0],
        [np.nan, np.inf],
        [1e308, -1e308],
        [-0.0, 0.0],
        [1e-320, 0.0],
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_special_values(function: str, values: list[float], dtype: str) -> None:
    with np.errstate(over="ignore"):
        both(function, np.array(values, dtype))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [0, 1, 2, None, (0, 2), ()])
def test_views_are_read_where_they_are(function: str, axis: Any) -> None:
    """All functions find elements in one way: they share the views."""
    base = np.random.default_rng(1).normal(scale=5, size=(6, 5, 8))
    views = (
        base.T,
        base[::-1, ::2, ::-3],
        np.broadcast_to(base[:1, :, :2], (4, 5, 2)),
        np.swapaxes(base, 0, 1),
        base[2:3],
        np.asfortranarray(base),
    )
    for view in views[FUNCTIONS.index(function) :: len(FUNCTIONS)]:
        both(function, view, axis=axis)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_fields_of_packed_records_are_not_aligned_and_work(function: str) -> None:
    records = np.zeros(7, np.dtype([("tag", "u1"), ("value", "f8")]))
    records["value"] = np.arange(7)
    both(function, records["value"])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_read_only_and_subclassed_input(function: str) -> None:
    class Sub(np.ndarray[Any, Any]):
        pass

    x = np.arange(4.0)
    x.flags.writeable = False
    both(function, x)
    both(function, x.view(Sub), axis=0)
    np.testing.assert_array_equal(x, np.arange(4.0))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_host_arrays_of_other_libraries(function: str) -> None:
    class Exported:
        """An array that only DLPack shows."""

        def __init__(self, memory: np.ndarray[Any, Any]) -> None:
            self.memory = memory

        def __dlpack__(self, **kwargs: Any) -> Any:
            return self.memory.__dlpack__(**kwargs)

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.memory.__dlpack_device__()

    x = np.random.default_rng(0).normal(size=(3, 4)).astype("f4")
    assert_same(getattr(cupysoft, function)(Exported(x), axis=1), scipys(function)(x, axis=1))


def test_axes_are_any_integers() -> None:
    """NumPy's, too, which the type checker of this project confirms here."""
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(cupysoft.softmax(x, axis=np.int64(1)), cupysoft.softmax(x, axis=1))
    np.testing.assert_array_equal(cupysoft.log_softmax(x, axis=(np.int8(-2), 1)), cupysoft.log_softmax(x))
    np.testing.assert_array_equal(cupysoft.logsumexp(x, axis=np.uint8(0)), cupysoft.logsumexp(x, axis=0))
    assert cupysoft.SoftmaxState.from_array(x, np.int32(1)).axis == (1,)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_as_many_axes_as_numpy_has(function: str) -> None:
    x = np.arange(16.0).reshape((2,) * 4 + (1,) * 60)
    call = getattr(cupysoft, function)
    np.testing.assert_array_equal(np.squeeze(call(x, axis=(0, 3, 50))), call(np.squeeze(x), axis=(0, 3)))


@pytest.mark.parametrize("function", NORMALIZED)
def test_huge_strides(function: str) -> None:
    x = np.zeros((2, 1 << 20))[:, :: (1 << 20) - 1]
    x[...] = [[1, 2], [3, 5]]
    both(function, x, axis=0)
    both(function, x, axis=1)


@pytest.mark.parametrize("function", NORMALIZED)
@pytest.mark.parametrize(("shape", "axis"), [((0, 3), 1), ((3, 0), 0), ((0, 3), ()), ((0, 3, 2), (1, 2))])
def test_no_rows(function: str, shape: tuple[int, ...], axis: Any) -> None:
    both(function, np.zeros(shape, np.float32), axis=axis)


@pytest.mark.parametrize("function", NORMALIZED)
@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((0, 3), 0), ((0, 3), None), ((0, 0, 3), 1), ((2, 0), -1)])
def test_rows_of_nothing(function: str, shape: tuple[int, ...], axis: Any) -> None:
    with pytest.raises(ValueError, match="zero-size"):
        scipys(function)(np.zeros(shape), axis=axis)
    with pytest.raises(
        cupysoft.errors.ShapeError, match=rf"{function}: x has shape \({shape[0]},.*no element along axis"
    ):
        getattr(cupysoft, function)(np.zeros(shape), axis=axis)


def test_the_order_of_memory_is_kept() -> None:
    x = np.asfortranarray(np.random.default_rng(2).normal(size=(3, 4)))
    assert cupysoft.softmax(x, axis=0).flags.f_contiguous
    assert cupysoft.softmax(x.T, axis=0).flags.c_contiguous
    assert cupysoft.softmax(np.broadcast_to(x[:1], (5, 4)), axis=0).strides != (0, 8)
