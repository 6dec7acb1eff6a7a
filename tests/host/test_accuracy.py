"""The host's results against the rigorous reference and against SciPy, on what the strategies draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st

import cupysoft
from cupysoft.host.rounding import store
from cupysoft.testing import reference, strategies, ulp_distance

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
SHAPES = strategies.shapes(most_axes=3, most_elements=600)


def worst(ours: Any, true: Any) -> Any:
    return np.max(ulp_distance(np.asarray(ours), np.asarray(true)), initial=0)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(data=st.data())
def test_against_the_rigorous_reference(function: str, data: st.DataObject) -> None:
    x = data.draw(strategies.real_arrays(shape=SHAPES))
    axis = data.draw(strategies.axes(x.ndim))
    ours = getattr(cupysoft, function)(x, axis=axis)
    assert worst(ours, getattr(reference, function)(x, axis)) <= (3 if x.dtype == np.float64 else 0)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(data=st.data())
def test_narrow_results_are_scipys_in_float64_rounded_once(function: str, data: st.DataObject) -> None:
    kinds = [kind for kind in strategies.KINDS if kind != "normalised"]
    x = data.draw(strategies.real_arrays(strategies.dtypes().filter(lambda d: d.itemsize < 8), SHAPES, kinds))
    axis = data.draw(strategies.axes(x.ndim))
    ours = np.asarray(getattr(cupysoft, function)(x, axis=axis))
    expected = np.empty_like(ours)
    with np.errstate(all="ignore"):
        theirs = np.asarray(getattr(scipy.special, function)(x.astype(np.float64), axis=axis))
        store(theirs, expected)
        # SciPy loses log(l) beside a large x - m, and all of it near zero.
        nearly = np.abs(theirs) < 2.0**-10 * np.maximum(1, np.max(np.abs(x.astype(np.float64))))
        nearly |= (theirs == np.round(theirs * 2.0**20) / 2.0**20) & (function == "log_softmax")
    distance = ulp_distance(ours, expected)
    assert np.max(distance[~nearly], initial=0) == 0


@given(data=st.data())
def test_weighted_sums(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    x = data.draw(strategies.real_arrays(dtype, SHAPES))
    b = data.draw(strategies.weights(x.shape, dtype))
    axis = data.draw(strategies.axes(x.ndim))
    ours, sign = cupysoft.logsumexp(x, axis=axis, b=b, return_sign=True)
    true, true_sign = reference.logsumexp(x, axis, b, return_sign=True)
    assert worst(ours, true) <= (3 if dtype == np.float64 else 0)
    np.testing.assert_array_equal(sign, true_sign)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@given(data=st.data())
def test_complex_sums(dtype: Any, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(st.integers(1, 3)), data.draw(strategies.lengths(most=100))
    scale = data.draw(st.sampled_from([1e-3, 1, 30]))
    a = rng.normal(0, scale, (2, *shape))
    z = (a[0] + 1j * data.draw(st.sampled_from([0.0, 1.0, 100.0])) * a[1]).astype(dtype)
    b = rng.normal(size=(2, *shape))
    weights = data.draw(st.sampled_from([None, b[0], np.round(b[0]), b[0] + 1j * b[1]]))
    weights = None if weights is None else weights.astype(dtype)
    ours = cupysoft.logsumexp(z, 1, weights)
    true = reference.logsumexp(z, 1, weights)
    assert ours.dtype == dtype
    assert worst(ours, true) <= 4
    size, sign = cupysoft.logsumexp(z, 1, weights, return_sign=True)
    _, true_sign = reference.logsumexp(z, 1, weights, return_sign=True)
    assert size.dtype == ours.real.dtype
    np.testing.assert_allclose(sign, true_sign, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("sigma", [1, 30, 200])
def test_float64_is_within_three_ulp_whatever_the_spread(sigma: float) -> None:
    x = np.random.default_rng(0).normal(0, sigma, (10, 1000))
    for function in FUNCTIONS:
        assert worst(getattr(cupysoft, function)(x, 1), getattr(reference, function)(x, 1)) <= 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [2, 33, 5000])
def test_normalised_rows_are_correctly_rounded(dtype: Any, columns: int) -> None:
    x = np.random.default_rng(columns).normal(size=(20, columns))
    x -= scipy.special.logsumexp(x, axis=1, keepdims=True)
    x = x.astype(dtype)
    true = reference.logsumexp(x, 1)
    assert worst(cupysoft.logsumexp(x, 1), true) == 0
    # The check means something: SciPy, which has one word, misses rows.
    assert worst(scipy.special.logsumexp(x.astype(np.float64), axis=1).astype(dtype), true) > 0


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.0, 0.0], [1, -1]),
        ([1000.0, 1000.0], [1, -1]),
        ([1000.0, 0.0], [1e-300, 1e300]),
        ([1.0, 1.0, 1.0], [1, -1, 1e-20]),
        ([1.0, np.nextafter(1.0, 2)], [1, -1]),
        ([1e-10, -200.0], [1, 1]),
        ([-1e-300, -1000.0], [1, 1]),
        ([700.0, -700.0], [5e-324, 1e308]),
        ([5.0], [1]),
        ([0.0], [-1]),
        ([0.0, np.log(3.0)], [3, -1]),
        ([np.inf, 0.0], [0, 1]),
        ([np.nan, 0.0], [0, 1]),
        ([np.inf, -np.inf], [0, 1]),
        ([np.inf, np.inf], [1, -1]),
        ([np.inf, 800.0], [1, -1]),
        ([1.0, 2.0], [np.inf, 1]),
        ([1.0, 2.0], [np.nan, 1]),
        ([1.0, 2.0], [0, 0]),
    ],
)
def test_rows_where_weights_cancel_or_are_extreme(a: list[float], b: list[float]) -> None:
    x, weights = np.array(a), np.array(b, np.float64)
    ours, sign = cupysoft.logsumexp(x, b=weights, return_sign=True)
    true, true_sign = reference.logsumexp(x, b=weights, return_sign=True)
    np.testing.assert_array_equal(ours, true)
    np.testing.assert_array_equal(sign, true_sign)
    assert np.isnan(cupysoft.logsumexp(x, b=weights)) == (true_sign < 0 or np.isnan(true))


@pytest.mark.parametrize(
    "z",
    [
        [-np.inf + 0j],
        [np.inf + 0j, 1],
        [np.nan + 0j, 1],
        [1j, -np.inf + 1j * np.inf],
        [complex(np.inf, 1), 2],
        [1j * np.pi, 0],
        [1e-10 + 1e-10j],
        [-1 + 4j],
        [2j, complex(3, -0.0)],
    ],
)
def test_special_complex_rows_as_in_scipy(z: list[complex]) -> None:
    x = np.array(z)
    with np.errstate(all="ignore"):
        theirs = scipy.special.logsumexp(x)
    assert worst(cupysoft.logsumexp(x), theirs) <= 4


def test_huge_angles_are_reduced() -> None:
    z = np.array([[1 + 1e300j, 0.5j], [2.0**53 * 1j, 0.0]])
    assert worst(cupysoft.logsumexp(z, 1), reference.logsumexp(z, 1)) <= 4
