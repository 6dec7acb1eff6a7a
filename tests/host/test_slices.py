"""exp(x) as digits on one grid: constants and bounds against ball arithmetic, and sums that no order changes."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cupysoft.host import slices
from cupysoft.host.sliced import MOST, SlicedState, join, row_states, whole_number
from cupysoft.testing import strategies

FRACTION = slices.BITS * slices.SLICES
FINITE = st.floats(-slices.HUGE, slices.HUGE, exclude_min=True, exclude_max=True)
SIZES = st.floats(-745, 745) | FINITE | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, np.log(2), 30 * np.log(2)])


def number(limbs: Any) -> int:
    """Limbs of 30 bits, the least first."""
    return sum(int(limb) << (slices.BITS * i) for i, limb in enumerate(limbs))


def cut_off(value: Any, bits: int) -> int:
    return int((value * flint.arb(2) ** bits).floor().unique_fmpz())


def test_constants_are_cut_off() -> None:
    made = slices.tables()
    with flint.ctx.workprec(600):
        log2 = flint.arb(2).log()
        assert number(made.log2_e) == cut_off(1 / log2, 300)
        for powers, steps in ((made.coarse, 64), (made.fine, 4096)):
            true = [cut_off(flint.arb(2) ** (flint.arb(i) / steps) - 1, FRACTION) if i else 0 for i in range(64)]
            assert [number(power) for power in powers] == true
        factorial = 1
        for n, coefficient in enumerate(made.series, 1):
            factorial *= n
            assert number(coefficient) == cut_off(log2**n / factorial, FRACTION)
        # What the series leaves out, of t < 2^-12.
        n = len(made.series) + 1
        assert float((log2**n / (factorial * n) * flint.arb(2) ** (-12 * n + FRACTION)).mid()) < 0.3


@given(x=st.lists(SIZES, min_size=1, max_size=20))
@example(x=[float(np.nextafter(slices.HUGE, 0)), -float(np.nextafter(slices.HUGE, 0)), 1e-300, -1e-300, 1.0, -1.0])
def test_the_digits_are_those_of_the_exponential(x: list[float]) -> None:
    term = slices.terms(np.array(x))
    assert (term.digits >> np.uint64(slices.BITS) == 0).all()
    for i, value in enumerate(x):
        fraction = (1 << FRACTION) + number(term.fraction[:, i])
        power = slices.BITS * int(term.place[i]) + int(term.k[i])
        with flint.ctx.workprec(900):
            true = (flint.arb(value) - power * flint.arb(2).log()).exp() * flint.arb(2) ** FRACTION
            missing = float((true - fraction).mid())
        assert -1 <= missing <= slices.EXP_ERROR * 2.0**FRACTION
        digits = number(term.digits[::-1, i])
        assert digits == fraction << int(term.k[i]) >> slices.BITS


@given(x=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=30))
def test_the_place_grows_with_the_number(x: list[float]) -> None:
    """And what is larger by 146 lies seven places higher, so that beside it there is nothing."""
    x = sorted([*x, *(value + 146 for value in x)])
    values = np.array(x)
    place = slices.place_of(values)
    assert (np.diff(place) >= 0).all()
    gap = slices.gap_of(values[1:], values[:-1], place[1:], place[:-1])
    with np.errstate(over="ignore"):
        assert (gap[np.diff(values) >= 146] == slices.SLICES).all()
    assert (gap[np.diff(values) == 0] == 0).all()


@pytest.mark.parametrize("value", [2.0**61, -(2.0**61), 1e300, -1.7e308])
def test_huge_numbers_count_themselves(value: float) -> None:
    beside = np.nextafter(value, 0)
    state = row_states(np.array([[value, beside, value], [beside, -1.8e308, beside]]))
    assert state.m.tolist() == [max(value, beside), beside]
    # Just below the least huge number there are still digits.
    for row, count in ((0, 2 if value > 0 else 1), (1, 2)):
        own = row_states(state.m[row, None, None])
        assert whole_number(state.sums, row) == count * whole_number(own.sums, 0)
        assert whole_number(own.sums, 0) == 1 << 180 or abs(state.m[row]) < slices.HUGE


def of(x: Any) -> SlicedState:
    with np.errstate(over="ignore"):
        return row_states(np.asarray(x))


@given(data=st.data())
def test_no_order_changes_a_bit(data: st.DataObject) -> None:
    """Of elements, of parts, of merges; with parts that lie in quite other places."""
    x = data.draw(strategies.real_arrays(shape=strategies.shapes(most_axes=2, most_elements=60)))
    x = np.atleast_2d(x).astype(np.float64) * data.draw(st.sampled_from([1.0, 1.0, 40.0, 1e15]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    whole = of(x)
    cuts = np.sort(rng.integers(0, x.shape[1] + 1, rng.integers(0, 6)))
    parts = [of(part) for part in np.split(rng.permuted(x, axis=1), cuts, axis=1)]
    while len(parts) > 1:
        first, second = (parts.pop(rng.integers(len(parts))) for _ in range(2))
        parts.append(join(first, second))
    assert parts[0].m.tobytes() == whole.m.tobytes()
    assert parts[0].sums.tobytes() == whole.sums.tobytes()


def test_the_most_digits_do_not_run_over() -> None:
    assert MOST * ((1 << slices.BITS) - 1) < 1 << 64


@pytest.mark.parametrize("dtype", ["f2", "f4"])
def test_long_rows_go_in_chunks(dtype: str) -> None:
    x = np.random.default_rng(0).normal(scale=6, size=(2, 40_000)).astype(dtype)
    whole = of(x)
    joined = join(of(x[:, 7:]), of(x[:, :7]))
    assert whole.sums.tobytes() == joined.sums.tobytes() == of(x.astype("f8")[:, ::-1]).sums.tobytes()
    assert whole.sums[0].tolist() == [40_000, 40_000]
