"""The rounding test, and exact rounding of sums of words, against fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupysoft.host import exact
from cupysoft.host.nearest import MARGIN, between, decided, format_of, just_below, near_ties, nearest
from cupysoft.testing.balls import round_dyadic

NARROW = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)]
DTYPES = [*NARROW, np.dtype(np.float64)]


def rounded(value: Fraction, dtype: np.dtype[Any]) -> float:
    """Round a dyadic fraction."""
    return round_dyadic(value.numerator, 1 - value.denominator.bit_length(), dtype)


def same(a: float, b: float) -> bool:
    """Equal, with the sign of zero."""
    return np.float64(a).tobytes() == np.float64(b).tobytes()


@st.composite
def near(draw: st.DrawFn, dtype: np.dtype[Any]) -> tuple[list[float], Fraction]:
    """Draw words whose sum lies on a number of the type or half way to the next, but for tiny words."""
    bits, least = format_of(dtype)
    mantissa = draw(st.integers(1, 2 ** (bits + 1) - 1))
    exponent = draw(st.integers(least - 4, least + 20) | st.integers(-20, 2) | st.integers(-990, -960))
    sign = draw(st.sampled_from([1, -1]))
    point = sign * mantissa * Fraction(2) ** exponent
    first = float(point)
    words = [first, float(point - Fraction(first))]
    if abs(first) > 2.0**-700:
        words += [
            draw(st.sampled_from([0.0, 1.0, -1.0])) * first * 2.0 ** -draw(st.integers(54, 300)) for _ in range(3)
        ]
    return words, sum(map(Fraction, words), Fraction(0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_sums_of_words_are_rounded_once(dtype: np.dtype[Any], data: st.DataObject) -> None:
    words, value = data.draw(near(dtype))
    order = data.draw(st.permutations(words))
    found = nearest([np.array([word]) for word in order], dtype)
    assert same(found[0], rounded(value, dtype)) or (value == 0 and found[0] == 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_and_so_they_are_beside_a_power_of_two(dtype: np.dtype[Any], data: st.DataObject) -> None:
    """Words of ordinary size stand for results that are subnormal, or nothing."""
    bits, least = format_of(dtype)
    mantissa = data.draw(st.integers(1, 2 ** (bits + 1) - 1))
    tail = data.draw(st.sampled_from([0.0, 2.0**-70, -(2.0**-70), 2.0**-160]))
    sign = data.draw(st.sampled_from([1.0, -1.0]))
    power = data.draw(st.integers(least - bits - 3, least + bits + 3) | st.just(-1300))
    head = mantissa * 2.0**-bits
    found = nearest([np.array([sign * head]), np.array([sign * tail])], dtype, np.array([power]))
    assert same(found[0], rounded(int(sign) * (Fraction(head) + Fraction(tail)) * Fraction(2) ** power, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_integers_are_rounded_once(dtype: np.dtype[Any], data: st.DataObject) -> None:
    integer, power = data.draw(st.integers(-(2**200), 2**200)), data.draw(st.integers(-1300, 900))
    assert same(exact.rounded(integer, power, dtype), rounded(integer * Fraction(2) ** power, dtype)) or integer == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_decided_values_are_right_and_ties_are_left(dtype: np.dtype[Any], data: st.DataObject) -> None:
    words, value = data.draw(near(dtype))
    size = abs(words[0]) * data.draw(st.sampled_from([0.0, 2.0**-40, 2.0**-80, 2.0**-200]))
    for found, good in (
        decided([np.array([word]) for word in words], np.array([size]), dtype),
        between(np.array([words[0]]), np.array([sum(words[1:])]), np.array([size + abs(words[0]) * 2.0**-100]), dtype),
    ):
        ends = [rounded(value + end * Fraction(size), dtype) for end in (-1, 1)]
        assert not good[0] or same(found[0], ends[0]) or same(found[0], ends[1])
        assert not good[0] or ends[0] == ends[1]
    assert not decided([np.array([1.0])], np.array([np.inf]), dtype)[1][0]


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@given(data=st.data())
def test_no_value_near_a_tie_is_overlooked(dtype: np.dtype[Any], data: st.DataObject) -> None:
    bits, least = format_of(dtype)
    if data.draw(st.booleans()):  # among numbers with all their bits, and among subnormal ones
        odd, power = 2 * data.draw(st.integers(2 ** (bits - 1), 2**bits - 1)) + 1, data.draw(st.integers(least - 1, 3))
    else:
        odd, power = 2 * data.draw(st.integers(0, 2 ** (bits - 1) - 1)) + 1, least - 1
    tie = odd * 2.0**power
    off = data.draw(st.integers(-MARGIN + 1, MARGIN - 1))
    value = np.array([[tie + off * np.spacing(tie), -tie, 0.3]])
    assert near_ties(value, dtype, np.abs(value).min())[0, :2].all()


def test_far_values_are_not_doubted() -> None:
    far = np.array([[1.0, 0.3, -0.7, 0.0, np.inf, np.nan, 1e-300, 2.0**-126, 2.0**-149]])
    assert not near_ties(far, np.dtype(np.float32), 0.0).any()
    rng = np.random.default_rng(0)
    values = rng.random((100, 1000))
    assert near_ties(values, np.dtype(np.float32), values.min()).mean() < 1e-4


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@given(data=st.data())
def test_what_lies_just_below(dtype: np.dtype[Any], data: st.DataObject) -> None:
    bits, least = format_of(dtype)
    point = data.draw(st.integers(1, 2 ** (bits + 1) - 1)) * 2.0 ** data.draw(st.integers(least - 1, 0))
    value = data.draw(st.sampled_from([1, -1])) * (point + data.draw(st.integers(-2, 2)) * np.spacing(point))
    found, good = just_below(np.array([value]), dtype)
    true = rounded(Fraction(value) - Fraction(abs(value)) * Fraction(1, 2**80), dtype)
    assert not good[0] or same(found[0], true)
    beside = abs(abs(value) - point) <= 2 * np.spacing(point)
    assert good[0] or abs(value) < 2 * format_of(dtype).smallest_normal or beside
