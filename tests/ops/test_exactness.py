"""softmax, log_softmax and logsumexp are correctly rounded: bits against the reference, on rows that seek trouble."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import cupysoft
from cupysoft.testing import balls, quick_reference, strategies, trouble
from tests.bits import assert_same_bits
from tests.conftest import Backend
from tests.near_ties import NEAR_TIES

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
COLUMNS = st.sampled_from([1, 2, 5, 33, 200, 1031])


@pytest.fixture(scope="module", params=["host", "cpu", "simulated"])
def place(request: pytest.FixtureRequest) -> Backend:
    """Where the same test runs."""
    return Backend(request.param)


def dtype_of(name: str) -> np.dtype[Any]:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=strategies.troublesome(columns=COLUMNS))
@example(x=np.array([[7.5625, -20.90625, -16.515625, -97.6875, 72.0]], "f2"))
def test_rows_that_seek_trouble(place: Backend, function: str, x: np.ndarray[Any, Any]) -> None:
    assert_same_bits(place(getattr(cupysoft, function), x, axis=1), getattr(quick_reference, function)(x, 1))


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=strategies.real_arrays(shape=strategies.shapes(most_axes=2, most_elements=400)))
def test_rows_of_every_kind(place: Backend, function: str, x: np.ndarray[Any, Any]) -> None:
    """With infinities, NaN, and numbers of any bit pattern."""
    assert_same_bits(place(getattr(cupysoft, function), x, axis=-1), getattr(quick_reference, function)(x, -1))


@given(data=st.data())
def test_weights(place: Backend, data: st.DataObject) -> None:
    a = data.draw(strategies.troublesome(columns=COLUMNS))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, b = trouble.draw_weights(data.draw(st.sampled_from(trouble.WEIGHTS)), rng, a)
    ours = place(cupysoft.logsumexp, a, axis=1, b=b, return_sign=True)
    true = quick_reference.logsumexp(a, 1, b, return_sign=True)
    assert_same_bits(ours[0], true[0])
    assert_same_bits(ours[1], true[1])


@pytest.mark.parametrize(("function", "name", "distance", "row"), NEAR_TIES, ids=lambda value: str(value)[:12])
def test_known_near_ties(place: Backend, function: str, name: str, distance: int, row: list[float]) -> None:
    """They are as near as the table says, and every function rounds every element of them right."""
    with flint.ctx.workprec(1000):
        terms = [flint.arb(value).exp() for value in row]
        total = sum(terms, flint.arb(0))
        first = flint.arb(row[0])
        result = {"softmax": terms[0] / total, "logsumexp": total.log(), "log_softmax": first - total.log()}[function]
        assert units_from_tie(result, dtype_of(name)) < flint.arb(2) ** (distance + 1)
    x = np.array([row, row[::-1]]).astype(dtype_of(name))
    assert x[0].astype(float).tolist() == row
    for each in FUNCTIONS:
        assert_same_bits(place(getattr(cupysoft, each), x, axis=1), getattr(quick_reference, each)(x, 1))


def units_from_tie(value: Any, dtype: np.dtype[Any]) -> Any:
    """Give the distance to the next point half way between two numbers, in units of the last place."""
    bits, least, _ = balls._FORMATS[dtype.name]
    mantissa, exponent = abs(value).mid().man_exp()
    last = max(int(mantissa).bit_length() + int(exponent) - bits, least)
    places = abs(value) / flint.arb(2) ** last
    return abs(places - flint.arb(int(places.floor().unique_fmpz())) - flint.arb(0.5))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "bfloat16"])
@pytest.mark.parametrize("shift", [0.0, 1e-3, 1e-6, 1e-9, 1e-12])
def test_logsumexp_where_it_cancels(place: Backend, dtype: str, shift: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 50))
    x += shift - quick_reference.logsumexp(x, 1)[:, None]
    x = x.astype(dtype_of(dtype))
    for function in ("logsumexp", "log_softmax"):
        assert_same_bits(place(getattr(cupysoft, function), x, axis=1), getattr(quick_reference, function)(x, 1))
    # In float64 it is the rounding of the shares that is left: 1e-16 and below.
    assert dtype != "f8" or shift or np.abs(quick_reference.logsumexp(x, 1)).max() < 1e-15


NAMES, COUNTS = ("f2", "f4", "f8", "bfloat16"), (1, 2, 3, 1000, 4096)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", COUNTS)
def test_equal_entries_share_equally(place: Backend, name: str, count: int) -> None:
    """Each kernel takes long to compile: on the simulated device functions take turns with dtypes and counts."""
    dtype = dtype_of(name)
    x = np.full((2, count), -3.25).astype(dtype)
    x = np.concatenate([x, np.full((2, 3), -np.inf).astype(dtype)], axis=1)
    turn = (NAMES.index(name) + COUNTS.index(count)) % len(FUNCTIONS)
    for function in FUNCTIONS[turn : turn + 1] if place.name == "simulated" else FUNCTIONS:
        assert_same_bits(place(getattr(cupysoft, function), x, axis=1), getattr(quick_reference, function)(x, 1))
    ones = place(cupysoft.logsumexp, np.zeros((1, count)).astype(dtype), axis=1, b=np.ones((1, count)).astype(dtype))
    assert_same_bits(ones, quick_reference.logsumexp(np.zeros((1, count)).astype(dtype), 1))


def test_the_one_tie() -> None:
    """2^25 equal float16 entries have shares half way between 0 and the smallest number: 0 is even."""
    x = np.full(1 << 25, 5.0, "f2")
    cupysoft.softmax(x, out=x)
    assert not x.any()


@pytest.mark.parametrize(
    ("a", "b", "size", "sign"),
    [
        ([3.0, 3.0], [1, -1], -np.inf, 0),
        ([3.0, 3.0, 700.0, 700.0], [1, -1, 5, -5], -np.inf, 0),
        ([3.0, 3.0, -700.0], [1, -1, -1], -700, -1),
        ([0.0, -0.0], [1, -1], -np.inf, 0),
        ([2.5, 2.5, 2.5], [0.5, 0.25, 0.25], 2.5, 1),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_weights_of_equal_entries_are_added_exactly(
    place: Backend, a: list[float], b: list[float], size: float, sign: float, dtype: str
) -> None:
    found = place(cupysoft.logsumexp, np.array(a, dtype), b=np.array(b, dtype), return_sign=True)
    assert found == (size, sign)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_long_rows(place: Backend, dtype: str) -> None:
    """Longer than a block, also where the output is the input."""
    x = np.random.default_rng(0).normal(0, 3, (1, 200_000)).astype(dtype)
    for function in ("softmax", "log_softmax"):
        true = getattr(quick_reference, function)(x, 1)
        assert_same_bits(place(getattr(cupysoft, function), x, axis=1), true)
        given_x = x.copy()
        place(getattr(cupysoft, function), given_x, axis=1, out=given_x)
        assert_same_bits(given_x, true)
    assert_same_bits(place(cupysoft.logsumexp, x, axis=1), quick_reference.logsumexp(x, 1))
    b = np.random.default_rng(1).normal(size=x.shape).astype(dtype)
    ours = place(cupysoft.logsumexp, x, axis=1, b=b, return_sign=True)
    for one, other in zip(ours, quick_reference.logsumexp(x, 1, b, return_sign=True), strict=True):
        assert_same_bits(one, other)
