"""Sums and products in words against exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupysoft.host.words import add_words, compress, exponent_above, fast_two_sum, sum_words, two_product, two_sum

NUMBERS = st.floats(-1e60, 1e60, allow_subnormal=False).filter(lambda v: v == 0 or abs(v) > 1e-60)


def exact(*words: Any) -> Fraction:
    return sum((Fraction(np.asarray(word).item()) for word in words), Fraction(0))


@given(NUMBERS, NUMBERS)
def test_two_words_hold_sum_and_product_exactly(a: float, b: float) -> None:
    x, y = np.array([a]), np.array([b])
    assert exact(*two_sum(x, y)) == Fraction(a) + Fraction(b)
    assert exact(*two_product(x, y)) == Fraction(a) * Fraction(b)
    big, small = (x, y) if abs(a) >= abs(b) else (y, x)
    assert exact(*fast_two_sum(big, small)) == Fraction(a) + Fraction(b)


@given(NUMBERS, NUMBERS, st.floats(-1, 1), st.floats(-1, 1))
def test_add_words(a: float, b: float, s: float, t: float) -> None:
    a_lo, b_lo = s * np.spacing(a) / 2, t * np.spacing(b) / 2
    true = exact(a, a_lo, b, b_lo)
    result = exact(*add_words(np.array([a]), np.array([a_lo]), np.array([b]), np.array([b_lo])))
    assert abs(result - true) <= (abs(Fraction(a)) + abs(Fraction(b))) * Fraction(1, 2**102)


@given(st.lists(NUMBERS, min_size=2, max_size=8), st.integers(2, 4))
def test_compress_keeps_the_sum(numbers: list[float], keep: int) -> None:
    cancelling = numbers + [-n for n in numbers[1:]]
    result = compress([np.array([n]) for n in cancelling], keep)
    assert len(result) == keep
    assert abs(exact(*result) - Fraction(numbers[0])) <= exact(*map(abs, cancelling)) * Fraction(1, 2**100)


@given(st.integers(-(2**100), 2**100), st.integers(-(2**40), 2**40))
def test_compress_leads_with_the_rounded_sum(big: int, small: int) -> None:
    first = float(big)
    words = [first, float(small), float(big - int(first)), -first]
    head, tail = compress([np.array([word]) for word in words], 2)
    assert head + tail == float(small + big - int(first))


@given(st.floats(-1e300, 1e300))
def test_exponent_above(value: float) -> None:
    power = float(exponent_above(np.array([value]))[0])
    assert abs(value) < power or abs(value) < 2.0**-900
    assert power == 2.0**-900 or power <= 2 * abs(value) or value == 0


@pytest.mark.parametrize("columns", [1, 2, 31, 33, 1000, 30000])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("relative", [False, True])
def test_sum_words(columns: int, order: Any, relative: bool) -> None:
    rng = np.random.default_rng(columns)
    values = np.asarray(2.0 ** -rng.exponential(20, (3, columns)), order=order)
    values[:, 0] = 1.0
    low = values * rng.normal(size=values.shape) * 2.0**-55
    hi, lo = sum_words(values, low, relative=relative)
    for row, h, e, tail in zip(values, hi, lo, low, strict=True):
        true = exact(*row, *tail)
        assert abs(exact(h, e) - true) <= true * Fraction(1, 2**68 if columns < 1000 else 2**60)
        # What lies above the first grid is exact, and with `relative` what is below is good in itself.
        rest = abs(true - 1)
        if relative and rest:
            assert abs(exact(h, e) - true) <= rest * Fraction(1, 2**58)


def test_sum_words_of_signed_terms_with_a_scale() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 500)) * 1e30
    scale = exponent_above(np.abs(values).max(axis=1, keepdims=True))
    hi, lo = sum_words(values, scale=scale, relative=True)
    for row, h, e in zip(values, hi, lo, strict=True):
        assert abs(exact(h, e) - exact(*row)) <= exact(*np.abs(row)) * Fraction(1, 2**80)
