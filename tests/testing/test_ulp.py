"""ulp_distance counts steps between neighbours."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupysoft.testing import ulp_distance

DTYPES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32), np.dtype(np.float64)]


def one(dtype: np.dtype[Any], value: float) -> np.ndarray[Any, Any]:
    return np.array([value]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(value=st.floats(-6e4, 6e4), steps=st.integers(0, 40))
def test_neighbours(dtype: np.dtype[Any], value: float, steps: int) -> None:
    start = end = one(dtype, value)
    for _ in range(steps):
        end = np.nextafter(end, one(dtype, np.inf))
    assert ulp_distance(start, end) == ulp_distance(end, start) == steps
    assert ulp_distance(-start, -end) == steps


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_special_values(dtype: np.dtype[Any]) -> None:
    nan, zero, infinite = one(dtype, np.nan), one(dtype, 0.0), one(dtype, np.inf)
    far = np.iinfo(np.uint64).max
    assert ulp_distance(nan, -nan) == 0
    assert ulp_distance(nan, zero) == ulp_distance(infinite, nan) == far
    assert ulp_distance(zero, -zero) == 0
    tiny = np.nextafter(zero, infinite)
    assert ulp_distance(tiny, -tiny) == 2
    largest = np.nextafter(infinite, zero)
    assert ulp_distance(largest, infinite) == 1
    assert ulp_distance(infinite, -infinite) == 2 * int(infinite.view(f"u{dtype.itemsize}")[0])


def test_shapes_broadcast() -> None:
    result = ulp_distance(np.ones((3, 1), np.float32), np.ones(4, np.float32)[::-1])
    assert result.shape == (3, 4)
    assert result.dtype == np.uint64
    assert ulp_distance(np.float64(1), np.float64(1)).shape == ()


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_distances_are_in_ulps_of_the_modulus(dtype: Any) -> None:
    eps = np.finfo(dtype).eps
    true = np.array([1 + 0j, 3 + 4j, np.inf + 0j, np.nan + 0j, 0j], dtype)
    ours = true + np.array([3j * eps, 0, 0, 0, 0], dtype)
    assert list(ulp_distance(ours, true)) == [3, 0, 0, 0, 0]
    assert ulp_distance(true[:1], true[2:3]) == np.inf


@pytest.mark.parametrize(
    ("a", "b"), [(np.float32(1), np.float64(1)), (np.int32(1), np.int32(1)), (np.longdouble(1), np.longdouble(1))]
)
def test_other_types_are_refused(a: Any, b: Any) -> None:
    with pytest.raises(TypeError, match="ulp_distance: "):
        ulp_distance(a, b)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_on_both_sides_of_zero_give_no_warning(dtype: Any) -> None:
    """Warnings are errors here; NumPy warns where scalars wrap around, not where arrays do."""
    smallest = np.nextafter(dtype(0), dtype(1))
    assert ulp_distance(smallest, -smallest) == 2
    assert ulp_distance(np.array([smallest]), -smallest) == 2
