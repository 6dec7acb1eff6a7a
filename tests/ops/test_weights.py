"""logsumexp of weights and exponents of any size, on the host and on the simulated device, against the reference."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cupysoft
from cupysoft.testing import reference, ulp_distance
from tests.conftest import Backend

Array = np.ndarray[Any, Any]

REAL = (np.dtype("f2"), np.dtype(ml_dtypes.bfloat16), np.dtype("f4"), np.dtype("f8"))
COMPLEX = (np.dtype("c8"), np.dtype("c16"))

# The largest exponent of two of a normal number, and the smallest positive number.
LIMITS = {"float16": (15, 2.0**-24), "bfloat16": (127, 2.0**-133), "float32": (127, 2.0**-149)}
FLOAT64 = (1023, 2.0**-1074)

# Between them the kernels change how they write an exponent: near 2^19, 2^53, 2^63 and 2^64.
SIZES = (1e-310, 1e-20, 1e-3, 1.0, 30.0, 700.0, 2.0**19, 1e9, 2.0**53, 2.0**63, 2.0**64, 1e30, 1e300)
# The simulator compiles a kernel for each way to share out a row: these lengths, and shorter rows by weights of zero,
# have one and the same.
LENGTHS = (5, 9, 40)


def limits(dtype: np.dtype[Any]) -> tuple[int, float]:
    """The largest exponent and the smallest number of a type, or of the parts of a complex one."""
    return LIMITS.get("float32" if dtype == np.complex64 else dtype.name, FLOAT64)


@st.composite
def exponents(draw: st.DrawFn, dtype: np.dtype[Any], shape: tuple[int, int]) -> Array:
    """Draw real numbers of one size and around it, with ties and minus infinity."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = min(draw(st.sampled_from(SIZES)), 2.0 ** (limits(dtype)[0] - 2))
    x = rng.normal(size=shape) * size
    if draw(st.booleans()):
        x = np.round(x / size * 2) * (size / 2)
    if draw(st.booleans()):
        x += rng.choice([0, 0, 0.5, 1000.0], shape)
    x[rng.random(shape) < draw(st.sampled_from([0, 0.3]))] = -np.inf
    return np.asarray(x)


@st.composite
def weights(draw: st.DrawFn, dtype: np.dtype[Any], shape: tuple[int, int]) -> Array:
    """Draw weights of one kind: ordinary, whole, of every size, and none but the largest and the smallest."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top, least = limits(dtype)
    b = rng.normal(size=shape)
    kind = draw(st.sampled_from(["normal", "whole", "any size", "extremes"]))
    if kind == "whole":
        b = rng.integers(-3, 4, shape).astype(np.float64)
    elif kind == "any size":
        b = np.ldexp(b, rng.integers(int(np.log2(least)), top, shape))
    elif kind == "extremes":
        b = np.sign(b) * rng.choice([2.0**top, least, 1.0], shape)
    b[:, draw(st.integers(1, shape[1])) :] = 0
    return b


@st.composite
def weighted(draw: st.DrawFn, dtypes: tuple[np.dtype[Any], ...]) -> tuple[Array, Array]:
    """Draw (rows, columns) arrays a and b, often with pairs that cancel exactly."""
    dtype = draw(st.sampled_from(dtypes))
    shape = 3, draw(st.sampled_from(LENGTHS))
    a, b = draw(exponents(dtype, shape)), draw(weights(dtype, shape))
    if dtype.kind == "c":
        angle = np.minimum(draw(st.sampled_from([0.0, 1e-310, 1e-3, 1.0, 1e4, 1e20])), 2.0 ** limits(dtype)[0])
        a = a + 1j * angle * np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape)
        b = b + 1j * draw(weights(dtype, shape))
    with np.errstate(all="ignore"):
        a, b = a.astype(dtype), b.astype(dtype)
    a[np.isposinf(a.real.astype(np.float64))] = 1
    if draw(st.booleans()):
        half = shape[1] // 2
        a[:, half : 2 * half], b[:, half : 2 * half] = a[:, :half], -b[:, :half]
        order = np.random.default_rng(draw(st.integers(0, 99))).permutation(shape[1])
        a, b = a[:, order], b[:, order]
    return a, b


@pytest.fixture(scope="module", params=["host", "simulated"])
def place(request: pytest.FixtureRequest) -> Backend:
    """Where the same test runs."""
    return Backend(request.param)


@given(arrays=weighted(REAL))
def test_real_weights_of_any_size(place: Backend, arrays: tuple[Array, Array]) -> None:
    a, b = arrays
    with np.errstate(over="ignore"):
        ours = place(cupysoft.logsumexp, a, axis=1, b=b, return_sign=True)
    true = reference.logsumexp(a, axis=1, b=b, return_sign=True)
    assert np.array_equal(ours[1], true[1])
    assert np.max(ulp_distance(ours[0], true[0])) == 0


@given(arrays=weighted(COMPLEX))
def test_complex_weights_of_any_size(place: Backend, arrays: tuple[Array, Array]) -> None:
    a, b = arrays
    ours = place(cupysoft.logsumexp, a, axis=1, b=b)
    true = reference.logsumexp(a, axis=1, b=b)
    nothing = np.isneginf(true.real)
    assert np.array_equal(np.isneginf(ours.real), nothing)
    assert np.max(ulp_distance(ours, true)[~nothing], initial=0) <= 4


def assert_true(place: Backend, a: Any, b: Any) -> None:
    """Compare with the reference."""
    ours = place(cupysoft.logsumexp, a, b=b, return_sign=a.dtype.kind == "f")
    true = reference.logsumexp(a, b=b, return_sign=a.dtype.kind == "f")
    if a.dtype.kind == "f":
        assert ours[1] == true[1]
        ours, true = ours[0], true[0]
    assert ulp_distance(ours, true) <= (0 if a.dtype.kind == "f" else 4)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1000, 0], [1e-300, 1e300]),
        ([-1000, 0], [1e300, -1e-300]),
        ([0, 0], [5e-324, 5e-324]),
        ([1e308, -1e308], [5e-324, 1.5e308]),
        ([9e18, 0], [5e-324, -1e308]),
        ([1e300, 1e300, 5], [1, -1, -1]),
        ([1000, 1000, -1000], [1, -1, 2]),
        ([1000, 1000, 2], [1, -1, 0]),
        ([0, -40, -60], [1, 1, 1]),
        ([0, -740], [1, -1]),
        ([0, 0.6931471805599453], [-1, 1]),
        ([0, -1e19], [-1, 1]),
        ([7, 7, 7], [1e308, 1, -1e308]),
        ([1e-310, 2e-310], [3, -2]),
        ([0, 0.5, 0.5, -200], [1, 1, -1, 1]),
        ([0, 0.5, 0.5, -200], [-1, 1, -1, -1]),
    ],
    ids=str,
)
def test_sums_that_float64_cannot_hold(place: Backend, a: list[float], b: list[float]) -> None:
    assert_true(place, np.array(a, "f8"), np.array(b, "f8"))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1000, 0], [1e-300, 1e300j]),
        ([1e300 + 2j, -1e300], [-5e-324, 1]),
        ([2j, 1e-9 + 2j, -5], [1, -1j, 0]),
        ([40 + 1j, 40 + 1j, 3j - 80], [1j, -1j, 1]),
        ([40 + 1j, 1j - 900, 40 + 1j], [1j, -1e300, -1j]),
        ([1e-310 + 1e-310j], [1]),
        ([1.8e-310j - 1, -1.2], [-1.4e269, 1e-250]),
        ([1e-20 + 1j, 1e-20 - 1j], [1, -1]),
        ([0, 0.5j, 0.5j, 1j - 200], [1, 1, -1, 1]),
    ],
    ids=str,
)
def test_complex_sums_that_float64_cannot_hold(place: Backend, a: list[complex], b: list[complex]) -> None:
    assert_true(place, np.array(a, "c16"), np.array(b, "c16"))


@pytest.mark.parametrize("weight", [-1.0, -1e300])
def test_conjugates_have_a_real_sum(place: Backend, weight: float) -> None:
    """No precision of the terms alone tells on which side of the negative axis it lies."""
    found = place(cupysoft.logsumexp, np.array([1j, -2 + 3j, -1j, -2 - 3j]), b=np.array([weight, 0.1, weight, 0.1]))
    assert found.imag == np.pi
    np.testing.assert_allclose(found.real, np.log(-2 * weight * np.cos(1)), atol=0.1)


@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("f8"), np.dtype("c16")], ids=str)
def test_a_last_weight_that_nearly_cancels_the_others(place: Backend, dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(7)
    for columns in (5, 40):
        a, b = rng.normal(size=(2, columns)).astype(dtype)
        if dtype.kind == "c":
            a += 1j * rng.normal(size=columns)
        b[-1] = 0
        b[-1] = -(b * np.exp(a)).sum() / np.exp(a[-1])
        assert_true(place, a, b)


def test_weights_beyond_float64_in_a_known_case(place: Backend) -> None:
    """log(1e300): what SciPy, and a sum anchored at the largest exponent, lose."""
    assert place(cupysoft.logsumexp, np.array([1000.0, 0.0]), b=np.array([1e-300, 1e300])) == 690.7755278982137
