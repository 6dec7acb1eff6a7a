"""Results of SoftmaxState: correctly rounded, or they say that they may not be; the same on every backend."""

from __future__ import annotations

import math
import warnings
from typing import Any

import flint
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cupysoft import SoftmaxState
from cupysoft.errors import ShapeError, UndecidedWarning
from cupysoft.host import first_tier, sliced_results, tiers
from cupysoft.host.sliced import MOST
from cupysoft.ops import pointwise
from cupysoft.testing import quick_reference, reference, strategies
from tests.bits import assert_same_bits
from tests.conftest import Backend
from tests.near_ties import NEAR_TIES
from tests.ops.test_exactness import dtype_of

Array = np.ndarray[Any, Any]
COLUMNS = st.sampled_from([1, 2, 5, 33, 200])


def results(place: Backend, x: Array, cut: int | None = None) -> list[tuple[Array, Array]]:
    """Logarithms and shares of rows in two parts, each with what is undecided."""
    cut = x.shape[1] // 3 if cut is None else cut
    with place.active():
        parts = [place.array(x[:, cut:]), place.array(x[:, :cut])]
        state = SoftmaxState.from_array(parts[0], 1).update(parts[1])
        found = state.logsumexp(return_undecided=True), state.softmax(place.array(x), return_undecided=True)
        return [tuple(map(place.numpy, pair)) for pair in found]


def assert_decided(found: tuple[Array, Array], true: Array) -> None:
    """Correctly rounded where it is decided; near it elsewhere."""
    result, undecided = found
    assert undecided.dtype == np.bool_
    assert undecided.shape == result.shape == true.shape
    assert_same_bits(result[~undecided], true[~undecided])
    np.testing.assert_allclose(result[undecided].astype("f8"), true[undecided].astype("f8"), rtol=2e-2, atol=1e-50)


@given(x=strategies.troublesome(columns=COLUMNS))
def test_rows_that_seek_trouble(backend: Backend, x: Array) -> None:
    logs, shares = results(backend, x)
    assert_decided(logs, quick_reference.logsumexp(x, 1))
    assert_decided(shares, quick_reference.softmax(x, 1))
    assert not shares[1].any()
    assert x.dtype == np.float64 or not logs[1].any()


@given(x=strategies.real_arrays(shape=strategies.shapes(most_axes=1, most_elements=60)))
@example(x=np.array([0.0, -200.0]))
@example(x=np.array([2.0**61, -1.0, 2.0**61]))
@example(x=np.array([-1e300, -1.1e300, -np.inf]))
@example(x=np.array([1e-300, 0.0, -1e-300]))
@example(x=np.array([-math.log(2), -math.log(2)]))
@example(x=np.array([1e19, 1e19 - 4096]))
def test_rows_of_every_kind(backend: Backend, x: Array) -> None:
    x = x.reshape(1, -1)
    logs, shares = results(backend, x)
    assert_decided(logs, quick_reference.logsumexp(x, 1))
    assert_decided(shares, quick_reference.softmax(x, 1))
    for ours, theirs in zip(
        (*logs, *shares), (each for pair in results(Backend("host"), x) for each in pair), strict=True
    ):
        assert_same_bits(ours, theirs)


@pytest.fixture
def last_tier_only(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Have integers decide everything."""
    monkeypatch.setattr(tiers, "TIERS", ())
    monkeypatch.setattr(sliced_results, "_LARGEST_POWER", 0)
    for tier in (first_tier.Plain, first_tier.Double):

        def doubting(self: Any, terms: Any, total: Any, shares: Any = tier.shares) -> Any:
            found, doubts = shares(self, terms, total)
            return found, np.ones_like(doubts)

        monkeypatch.setattr(tier, "shares", doubting)
    share = pointwise.share

    def open_shares(factory: Any, xp: Any, rows: Any, x: Any, axes: Any, out: Any, undecided: Any) -> None:
        share(factory, xp, rows, x, axes, out, undecided)
        undecided[...] = np.isfinite(out.astype("f8")) & np.isfinite(x.astype("f8"))
        out[undecided] = 7

    monkeypatch.setattr(pointwise, "share", open_shares)
    return backend


@pytest.mark.parametrize("dtype", ["f2", "bfloat16", "f4", "f8"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_the_last_tier_on_ordinary_rows(last_tier_only: Backend, dtype: str, scale: float) -> None:
    x = np.random.default_rng(3).normal(scale=scale, size=(5, 9)).astype(dtype_of(dtype))
    x[1] = x[1, 0]
    if dtype != "f2":
        x[4] = 2.0**70
    x[2:5:2, 3:] = -np.inf
    x[3] = np.log(np.abs(x[3].astype("f8")) / np.abs(x[3].astype("f8")).sum()).astype(x.dtype)
    logs, shares = results(last_tier_only, x)
    assert_decided(logs, reference.logsumexp(x, 1))
    assert_decided(shares, reference.softmax(x, 1))
    assert not shares[1].any()
    assert not logs[1].any()


@pytest.mark.parametrize(
    ("function", "name", "distance", "row"),
    [case for case in NEAR_TIES if case[0] != "log_softmax"],
    ids=lambda value: str(value)[:12],
)
def test_nearer_to_a_tie_than_the_digits_reach(
    backend: Backend, function: str, name: str, distance: int, row: list[float]
) -> None:
    x = np.array([row], dtype_of(name))
    logs, shares = results(backend, x)
    result, undecided = logs if function == "logsumexp" else (shares[0][:, 0], shares[1][:, 0])
    true = getattr(reference, function)(x, 1)
    assert_same_bits(result[~undecided], true.reshape(1, -1)[:, 0][~undecided])
    if distance > -110:
        assert not undecided.any()
    if distance < -140:
        assert undecided.all()


def test_what_the_digits_leave_off_is_said(backend: Backend) -> None:
    """exp(-200) lies below the digits of exp(0); in narrower types, and beside a logarithm, it is nothing anyway."""
    x = np.array([[0.0, -200.0], [0.0, -80.0], [5.0, -200.0], [0.0, -np.inf], [np.nan, 0.0], [np.inf, 0.0]])
    (result, undecided), shares = results(backend, x)
    assert undecided.tolist() == [True, False, False, False, False, False]
    assert_same_bits(result, np.array([0.0, math.exp(-80), 5.0, 0.0, np.nan, np.inf]))
    assert not shares[1].any()
    with backend.active():
        state = SoftmaxState.from_array(backend.array(x), 1)
        if backend.name != "gpu":
            with pytest.warns(UndecidedWarning, match=r"SoftmaxState.logsumexp: 1 of 6 results are undecided"):
                state.logsumexp()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            state.softmax(backend.array(x))
            SoftmaxState.from_array(backend.array(x.astype("f4")), 1).logsumexp()
        alone = SoftmaxState.from_array(backend.array(x[0]))
        result, undecided = alone.logsumexp(return_undecided=True)
    assert np.shape(result) == np.shape(undecided) == ()
    assert bool(undecided)


def test_the_one_tie(backend: Backend) -> None:
    """2^25 equal elements of float16 have shares of 2^-25, half of the smallest number: to even, which is 0."""
    x = backend.array(np.full((2, 1), 0.625, "f2"))
    with backend.active():
        state = SoftmaxState.from_array(x, 1)
        for _ in range(24):
            state = state.merge(state)
        more, undecided = state.softmax(x, return_undecided=True)
        assert not undecided.any()
        state = state.merge(state)
        result, undecided = state.softmax(x, return_undecided=True)
    assert (backend.numpy(more) == 2.0**-24).all()
    assert (backend.numpy(result) == 0).all()
    assert not undecided.any()


def test_a_row_has_an_end() -> None:
    state = SoftmaxState.from_array(np.float32(1))
    for _ in range(34):
        state = state.merge(state)
    with flint.ctx.workprec(200):
        assert state.logsumexp() == np.float32(float((1 + 34 * flint.arb(2).log()).mid()))
    with pytest.raises(ShapeError, match=rf"SoftmaxState.merge: rows would have {2 * MOST} elements; .*logsumexp of"):
        state.merge(state)
    with pytest.raises(ShapeError, match=rf"SoftmaxState.update: rows would have {MOST + 1} elements; expected at"):
        state.update([1.0])
    assert state.update(np.zeros(0, "f4")).logsumexp() == state.logsumexp()


def test_a_row_takes_72_bytes() -> None:
    state = SoftmaxState.from_array(np.zeros((5, 3), "f4"), 1)
    assert sum(array.nbytes for array in state._arrays) == 5 * 72
