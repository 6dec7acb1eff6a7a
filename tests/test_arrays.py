"""Layouts, dtype rules, axes, and the library that an array belongs to."""

from __future__ import annotations

import re
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupysoft import arrays
from cupysoft.arrays import Axis, Layout, layout, library_of, normalize_axes
from cupysoft.errors import AxisError, DtypeError

BF16 = np.dtype(ml_dtypes.bfloat16)


def element_strides(x: np.ndarray[Any, Any]) -> tuple[int, ...]:
    return tuple(s // x.itemsize for s in x.strides)


def test_contiguous_batch_axes_become_one() -> None:
    assert layout((2, 3, 4), [2], [(12, 4, 1)]) == Layout((Axis(6, (4,)),), (Axis(4, (1,)),))


def test_all_axes_of_a_transposed_array_are_one_run_of_memory() -> None:
    x = np.zeros((5, 7)).T
    assert layout(x.shape, (0, 1), [element_strides(x)]) == Layout((), (Axis(35, (1,)),))


def test_axes_are_joined_only_where_every_array_allows_it() -> None:
    x, b = np.zeros((4, 6)), np.broadcast_to(np.zeros(6), (4, 6))
    both = layout(x.shape, (0, 1), [element_strides(x), element_strides(b)])
    assert both.reduced == (Axis(4, (6, 0)), Axis(6, (1, 1)))


def test_where_the_first_array_is_broadcast_the_next_decides_the_order() -> None:
    both = layout((5, 7), (), [(0, 0), (1, 5)])
    assert both.batch == (Axis(35, (0, 1)),)


def test_axes_of_size_one_vanish() -> None:
    assert layout((1, 1), (0,), [(1, 1)]) == Layout((), ())
    assert layout((1, 1), (0,), [(1, 1)]).columns == 1


def offsets(axes: tuple[Axis, ...]) -> list[int]:
    """Where the elements lie that these axes reach."""
    result = [0]
    for axis in axes:
        result = [o + i * axis.strides[0] for o in result for i in range(axis.size)]
    return result


@given(st.data())
def test_a_layout_reaches_each_element_once_and_keeps_rows_together(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    x = np.arange(np.prod(shape)).reshape(shape)
    x = x.transpose(data.draw(st.permutations(range(x.ndim))))
    x = x[tuple(slice(None, None, data.draw(st.sampled_from([1, -1, 2]))) for _ in range(x.ndim))]
    reduced = data.draw(st.sets(st.integers(0, x.ndim - 1)))
    found = layout(x.shape, reduced, [element_strides(x)])

    kept = [i for i in range(x.ndim) if i not in reduced]
    expected = {
        frozenset(row.tolist()) for row in x.transpose([*kept, *sorted(reduced)]).reshape(found.rows, found.columns)
    }
    first = int(x[(0,) * x.ndim])
    rows = [[first + b + c for c in offsets(found.reduced)] for b in offsets(found.batch)]
    assert {frozenset(row) for row in rows} == expected
    assert len({o for row in rows for o in row}) == x.size


@pytest.mark.parametrize(
    ("operands", "expected"),
    [
        ((np.dtype("f4"), np.dtype("i8")), "f8"),
        ((np.dtype("f4"), np.dtype("i1")), "f4"),
        ((np.dtype("f4"), 2), "f4"),
        ((np.dtype("f2"), 2.5), "f2"),
        ((np.dtype("f2"), True), "f2"),
        ((np.dtype("f4"), 1j), "c8"),
        ((np.dtype("i4"), 2.5), "f8"),
        ((np.dtype("i1"), 1j), "c16"),
        ((np.dtype("f8"), np.dtype("c8")), "c16"),
        ((np.dtype("?"), np.dtype("?")), "f8"),
        ((1, 2), "f8"),
        ((1j,), "c16"),
        ((1.5, np.dtype("f4")), "f4"),
        ((BF16, 2.0), BF16),
        ((BF16, BF16), BF16),
        ((BF16, np.dtype("i1")), BF16),
        ((BF16, np.dtype("?")), BF16),
        ((BF16, np.dtype("f2")), "f4"),
        ((BF16, np.dtype("f4")), "f4"),
        ((BF16, np.dtype("i8")), "f8"),
        ((BF16, np.dtype("c8")), "c8"),
        ((BF16, 1j), "c8"),
    ],
)
def test_promotion(operands: tuple[Any, ...], expected: Any) -> None:
    assert arrays.common_dtype(*operands) == np.dtype(expected)


@pytest.mark.parametrize("name", ["f2", "f4", "f8", ">f4"])
def test_floating_types_stay_and_become_native(name: str) -> None:
    dtype = np.dtype(name)
    accepted = arrays.accepted_dtype("f", "x", dtype, complex_too=False)
    assert accepted.isnative
    assert accepted == dtype.newbyteorder("=")


@pytest.mark.parametrize("name", ["g", "G", "O", "U3", "S3", "M8[D]", "m8[s]", "V4", "c8"])
def test_other_types_are_refused_by_name(name: str) -> None:
    with pytest.raises(DtypeError, match=re.escape(f"f: x has dtype {np.dtype(name).name};")):
        arrays.accepted_dtype("f", "x", np.dtype(name), complex_too=False)


def test_eight_bit_floats_are_refused() -> None:
    with pytest.raises(DtypeError, match="float8_e4m3fn"):
        arrays.accepted_dtype("f", "x", np.dtype(ml_dtypes.float8_e4m3fn), complex_too=True)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [(None, (0, 1, 2)), (0, (0,)), (-1, (2,)), ((), ()), ((-1, 0), (0, 2)), (np.int8(1), (1,)), (np.array(1), (1,))],
)
def test_axes(axis: Any, expected: tuple[int, ...]) -> None:
    assert normalize_axes("f", axis, 3) == expected


@pytest.mark.parametrize(
    ("axis", "error", "message"),
    [
        (3, AxisError, "f: axis 3 is out of range for an array with 3 axes; expected -3 to 2"),
        ((0, -4), AxisError, "axis -4 is out of range"),
        ((0, -3), AxisError, "twice"),
        (1.0, DtypeError, "axis holds 1.0 of type float"),
        (True, DtypeError, "type bool"),
        ([0], DtypeError, "type list"),
        (np.array([1]), DtypeError, "type ndarray"),
    ],
)
def test_bad_axes(axis: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        normalize_axes("f", axis, 3)


class Foreign:
    """An array of another library, as DLPack shows it."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.kind, 0


class Interface:
    """An array of another library, as the CUDA array interface shows it."""

    __cuda_array_interface__: dict[str, Any] = {}


def test_library_of() -> None:
    assert library_of([1, 2]) == "numpy"
    assert library_of(np.float32(1)) == "numpy"
    assert library_of(Foreign(1)) == "numpy"
    assert library_of(Foreign(2)) == "cuda"
    assert library_of(Foreign(13)) == "cuda"
    assert library_of(Interface()) == "cuda"
