"""The quick reference gives the values of the rigorous one, and asks it where it must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupysoft.errors import UndecidedError
from cupysoft.testing import balls, quick_reference, reference, strategies, trouble, twofold
from tests.bits import assert_same_bits

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=strategies.troublesome(columns=st.sampled_from([1, 2, 30])) | strategies.real_arrays(shape=(2, 20)))
def test_the_same_values(function: str, x: np.ndarray[Any, Any]) -> None:
    assert_same_bits(getattr(quick_reference, function)(x, 1), getattr(reference, function)(x, 1))


@given(data=st.data())
def test_the_same_values_with_weights(data: st.DataObject) -> None:
    a = data.draw(strategies.troublesome(columns=st.sampled_from([1, 2, 30])))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, b = trouble.draw_weights(data.draw(st.sampled_from(trouble.WEIGHTS)), rng, a)
    quick = quick_reference.logsumexp(a, 1, b, return_sign=True)
    rigorous = reference.logsumexp(a, 1, b, return_sign=True)
    for one, other in zip(quick, rigorous, strict=True):
        assert_same_bits(one, other)
    assert_same_bits(quick_reference.logsumexp(a, 1, b), reference.logsumexp(a, 1, b))


def test_most_is_decided_without_balls(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(*args: Any) -> list[float]:
        asked.append(1)
        return balls.decide(*args)

    monkeypatch.setattr(reference, "decide", counted)
    for dtype in ("f2", "f4", "f8"):
        x = np.random.default_rng(0).normal(0, 3, (100, 100)).astype(dtype)
        for function in FUNCTIONS:
            getattr(quick_reference, function)(x, 1)
    assert len(asked) == 0
    quick_reference.logsumexp(x - reference.logsumexp(x, 1)[:, None], 1)
    assert len(asked) > 0, "what nearly cancels is beyond pairs"


def test_what_the_bounds_are_made_of() -> None:
    """A share: its term, the sum and the quotient. A logarithm: the sum, and its own."""
    x = np.random.default_rng(0).normal(0, 5, (3, 40))
    (hi, lo), slack = quick_reference._shares(x)
    assert (slack >= 2.5 * twofold.EXP_ERROR * np.abs(hi)).all()
    assert (np.abs(lo) <= np.spacing(hi)).all()
    (hi, lo), slack = quick_reference._log_shares(x)
    assert (slack >= 3 * twofold.EXP_ERROR).all()


def test_shapes_axes_and_dtypes_are_those_of_the_reference() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("f4")
    for axis in (None, 0, (0, 2), ()):
        for function in FUNCTIONS:
            for dtype in (None, "f2", "f8"):
                one, other = (getattr(m, function)(x, axis, dtype=dtype) for m in (quick_reference, reference))
                assert_same_bits(one, other)
    assert quick_reference.softmax([1, 2]).dtype == np.float64
    z = np.array([1 + 1j, 2])
    assert quick_reference.logsumexp(z) == reference.logsumexp(z)
    assert quick_reference.logsumexp(np.zeros((0, 3)), 0).shape == (3,)


def test_the_reference_says_how_many_bits_were_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = np.array([0.0, -400.0])
    monkeypatch.setattr(balls, "LAST_PRECISION", 320)
    with pytest.raises(UndecidedError, match="not decided with 320 bits") as raised:
        reference.log_softmax(tiny)
    assert raised.value.bits == 320
    monkeypatch.undo()
    assert reference.log_softmax(tiny)[0] == -np.exp(-400.0)


def test_what_no_precision_decides() -> None:
    """A quotient on a tie, and differences that are a tie but for what no ball can tell from nothing."""
    half = np.zeros(1 << 12, "f2")
    assert (reference.softmax(half) == 2.0**-12).all()
    assert balls.round_dyadic(1, -25, np.dtype("f2")) == 0
    tie = np.array([0.0, -2049.0, -1e300])
    assert reference.log_softmax(tie, dtype="f2")[1] == -2050
    assert reference.log_softmax(np.array([2049.0, 0.0, -1e4]), dtype="f2")[1] == -2050
    assert np.signbit(reference.log_softmax([0.0, -1e300])[0])


@pytest.mark.parametrize("family", trouble.FAMILIES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_families_have_their_shape_and_are_finite_but_where_they_are_masked(family: str, dtype: str) -> None:
    for shape in ((3, 1), (2, 2), (5, 33)):
        x = trouble.draw(family, np.random.default_rng(0), shape, np.dtype(dtype))
        assert (x.shape, x.dtype) == (shape, np.dtype(dtype))
        assert np.isfinite(x).any(axis=1).all()
        assert np.isfinite(x).all() or (family == "masked" and not np.isposinf(x).any())


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_near_ties_are_nearer_than_what_comes_by_chance(dtype: str) -> None:
    """By chance a result is some 2^-10 of a last place from a tie in a thousand tries."""
    import flint

    kind = np.dtype(dtype)
    found = []
    for seed in range(20):
        row = trouble.near_tie(np.random.default_rng(seed), 5, kind)
        with flint.ctx.workprec(600):
            total = sum((flint.arb(v).exp() for v in row), flint.arb(0))
            results = [flint.arb(row[0]).exp() / total, total.log(), flint.arb(row[0]) - total.log()]
            found.append(min(distance(result, kind) for result in results))
    assert np.median(found) < 2.0**-60


def distance(result: Any, dtype: np.dtype[Any]) -> float:
    """How far a result is from the next tie, in units of the last place there."""
    import flint

    size: Any = abs(result)
    below = np.array(float(size)).astype(dtype)
    bits = np.finfo(dtype).nmant
    ulp = flint.arb(2) ** (int(np.frexp(float(below))[1]) - 1 - bits)
    part = size / ulp - flint.arb(float(below)) / ulp
    return float(abs(abs(part) - flint.arb(0.5)).mid())
