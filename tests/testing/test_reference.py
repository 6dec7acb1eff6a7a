"""The rigorous reference against known values and against decimal arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupysoft.testing import reference, ulp_distance
from cupysoft.testing.balls import round_dyadic

NARROW = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)]


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), np.dtype(np.float32)], ids=str)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_round_dyadic_is_numpys_rounding(dtype: np.dtype[Any], value: float) -> None:
    numerator, denominator = value.as_integer_ratio()
    with np.errstate(all="ignore"):
        expected = float(np.float64(value).astype(dtype))
    assert round_dyadic(numerator, 1 - denominator.bit_length(), dtype) == expected
    assert round_dyadic(numerator, 1 - denominator.bit_length(), np.dtype(np.float64)) == value


@given(st.integers(-(2**80), 2**80), st.integers(-1150, 900))
def test_round_dyadic_takes_the_nearest(mantissa: int, exponent: int) -> None:
    rounded = round_dyadic(mantissa, exponent, np.dtype(np.float64))
    true = Fraction(mantissa) * Fraction(2) ** exponent
    if math.isfinite(rounded):
        error = abs(Fraction(rounded) - true)
        for neighbour in (math.nextafter(rounded, math.inf), math.nextafter(rounded, -math.inf)):
            assert not math.isfinite(neighbour) or error <= abs(Fraction(neighbour) - true)


@given(st.lists(st.integers(-30720, 30720).map(lambda n: n / 1024), min_size=1, max_size=6))
def test_against_decimals(values: list[float]) -> None:
    getcontext().prec = 100
    terms = [Decimal(v).exp() for v in values]
    total = sum(terms)
    np.testing.assert_array_equal(reference.softmax(values), [float(t / total) for t in terms])
    assert reference.logsumexp(values) == float(Decimal(total).ln())
    np.testing.assert_array_equal(reference.log_softmax(values), [float((t / total).ln()) for t in terms])


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_results_have_the_dtype_asked_for(dtype: np.dtype[Any]) -> None:
    x = np.array([[1, 2, 4], [0, 0, 0]], dtype)
    for function in (reference.softmax, reference.log_softmax, reference.logsumexp):
        assert function(x, 1).dtype == dtype
        assert function(x, 1, dtype=np.float64).dtype == np.float64
        assert np.max(ulp_distance(function(x, 1, dtype=np.float64).astype(dtype), function(x, 1))) <= 1
    assert reference.softmax([1, 2]).dtype == np.float64


def test_axes() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    both = reference.softmax(x, (0, 2))
    for j in range(3):
        np.testing.assert_array_equal(both[:, j].ravel(), reference.softmax(x[:, j].ravel()))
    np.testing.assert_array_equal(reference.logsumexp(x, (-1, 0)), reference.logsumexp(x.transpose(1, 0, 2), (1, 2)))
    np.testing.assert_array_equal(reference.logsumexp(x, ()), x)


def test_round_dyadic_of_what_is_nearly_nothing() -> None:
    assert round_dyadic(-3, -(10**18), np.dtype(np.float64)) == 0


def test_special_values() -> None:
    inf, nan = np.inf, np.nan
    np.testing.assert_array_equal(reference.softmax([[inf, 0], [-inf, -inf], [nan, 1], [0, -inf]], 1)[3], [1, 0])
    assert np.isnan(reference.softmax([[inf, 0], [-inf, -inf], [nan, 1]], 1)).all()
    np.testing.assert_array_equal(reference.log_softmax([inf, 0]), [nan, -inf])
    rows = [[inf, 0], [-inf, -inf], [nan, 1], [0, -inf]]
    np.testing.assert_array_equal(reference.logsumexp(rows, 1), [inf, -inf, nan, 0])


def test_weights_and_signs() -> None:
    for a, b, size, sign in [
        ([0.0, 0.0], [1, -1], -np.inf, 0),
        ([1000.0, 1000.0], [1, -2], 1000, -1),
        ([np.nan, 0.0], [0, 1], 0, 1),
        ([np.inf, 0.0], [-1, 1], np.inf, -1),
        ([np.inf, np.inf], [-1, 1], np.nan, np.nan),
        ([-np.inf, 0.0], [np.inf, 1], np.nan, np.nan),
        ([0.0, 0.0, 0.0], [1e308, 1e308, -1e308], math.log(1e308), 1),
    ]:
        np.testing.assert_array_equal(reference.logsumexp(a, b=np.array(b, np.float64), return_sign=True), (size, sign))
    assert np.isnan(reference.logsumexp([0.0], b=[-1.0]))


def test_exponents_and_weights_of_any_size() -> None:
    """Beyond what even balls can hold the exponential of."""
    for a, b, size, sign in [
        ([1000.0, 0.0], [1e-300, 1e300], math.log(1e300), 1),
        ([1e300, 1e300, 5.0], [1, -1, -1], 5, -1),
        ([1.5e308, -1.5e308], [5e-324, 1e308], 1.5e308, 1),
        ([-1.5e308, -np.inf], [-2.0, 1.0], -1.5e308, -1),
    ]:
        np.testing.assert_array_equal(reference.logsumexp(a, b=np.array(b, np.float64), return_sign=True), (size, sign))
    assert reference.logsumexp([complex(1e300, 2), complex(-1e300, 1)]) == 1e300 + 2j


def test_what_cancels_is_decided() -> None:
    tiny = reference.logsumexp([0.0, 0.0, 1.0], b=[1.0, 2.0**-60, 0.0])
    assert tiny == 2.0**-60
    assert reference.log_softmax([0.0, -700.0])[0] == -np.exp(-700.0)


def test_complex_sums() -> None:
    z = np.array([[1 + 2j, 0.5 - 1j], [np.pi * 1j, 0]])
    expected = np.log(np.exp(z).sum(axis=1))
    assert ulp_distance(reference.logsumexp(z, 1), expected)[0] <= 4
    assert reference.logsumexp(z, 1)[1].real < -36, "pi in float64 is not pi: the terms cancel but for 1e-16"
    assert reference.logsumexp([1 + 2j, 1 + 2j], b=[1j, -1j]) == -np.inf
    assert abs(reference.logsumexp([1 + 2j, 3j, 1 + 2j], b=[1j, 1, -1j]) - 3j) < 1e-20
    size, sign = reference.logsumexp(z, 1, return_sign=True)
    assert size.dtype == np.float64
    np.testing.assert_allclose(np.abs(sign), 1)
    with pytest.raises(ValueError, match="no rigorous reference"):
        reference.logsumexp(np.array([1 + 1j, complex(np.inf, 1)]))
