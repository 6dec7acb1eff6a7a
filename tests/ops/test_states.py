"""SoftmaxState: parts give the answer of one piece, on every backend."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import cupysoft
from cupysoft import SoftmaxState
from cupysoft.errors import AxisError, DtypeError, ShapeError
from tests.conftest import Backend

X = np.random.default_rng(0).normal(scale=8, size=(3, 20, 4)).astype("f4")


def parts_of(x: np.ndarray[Any, Any], cuts: list[int], axis: int) -> list[np.ndarray[Any, Any]]:
    return np.split(x, sorted(cuts), axis=axis)


@pytest.mark.parametrize("cuts", [[], [1], [7, 13], [0, 20], [5, 5, 6]])
@pytest.mark.parametrize("axis", [1, (1, 2), (0, 1), None])
@pytest.mark.parametrize("dtype", ["f2", ml_dtypes.bfloat16, "f4"], ids=str)
def test_parts_give_the_answer_of_one_piece(backend: Backend, cuts: list[int], axis: Any, dtype: Any) -> None:
    x = X.astype(dtype)
    first, *rest = (backend.array(part) for part in parts_of(x, cuts, 1))
    with backend.active():
        state = SoftmaxState.from_array(first, axis)
        for part in rest:
            state = state.update(part)
        result = backend.numpy(state.logsumexp())
        softmax = np.concatenate([backend.numpy(state.softmax(part)) for part in (first, *rest)], axis=1)
    np.testing.assert_array_equal(result, cupysoft.logsumexp(x, axis))
    np.testing.assert_array_equal(softmax, cupysoft.softmax(x, axis))
    assert result.dtype == softmax.dtype == x.dtype


FLOATS = st.floats(-60, 60, width=32) | st.sampled_from([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-40, 3e38, -3e38])


@given(st.data())
def test_merging_is_commutative_and_associative(backend: Backend, data: st.DataObject) -> None:
    x = data.draw(arrays(np.float32, (2, 9), elements=FLOATS))
    a, b, c = parts_of(x, data.draw(st.lists(st.integers(0, 9), min_size=2, max_size=2)), 1)
    with backend.active():
        p, q, r = (SoftmaxState.from_array(backend.array(part), 1) for part in (a, b, c))
        ways = [p.merge(q).merge(r), p.merge(q.merge(r)), r.merge(q).merge(p), q.merge(r.merge(p))]
        results = [backend.numpy(way.logsumexp()) for way in ways]
        softmaxes = [backend.numpy(way.softmax(backend.array(x))) for way in ways]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    for softmax in softmaxes:
        np.testing.assert_array_equal(softmax, cupysoft.softmax(x, 1))


@pytest.mark.parametrize(
    "values", [[np.inf, 0], [-np.inf, -np.inf], [np.nan, 1], [np.inf, np.inf], [-np.inf, 3], [3e38, -3e38]]
)
def test_special_values(backend: Backend, values: list[float]) -> None:
    x = np.array(values, "f4")
    with backend.active():
        state = SoftmaxState.from_array(backend.array(x[:1])).update(backend.array(x[1:]))
        result, softmax = backend.numpy(state.logsumexp()), backend.numpy(state.softmax(backend.array(x)))
    np.testing.assert_array_equal(result, cupysoft.logsumexp(x))
    np.testing.assert_array_equal(softmax, cupysoft.softmax(x))


def test_nothing_folded_in(backend: Backend) -> None:
    with backend.active():
        state = SoftmaxState.from_array(backend.array(X[:, :0]), 1)
        assert (backend.numpy(state.logsumexp()) == -np.inf).all()
        joined = backend.numpy(state.update(backend.array(X)).logsumexp())
    np.testing.assert_array_equal(joined, cupysoft.logsumexp(X, 1))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_was_never_folded_in_has_no_share(backend: Backend, dtype: str) -> None:
    """An element above all that were folded in is none of them; so is any, where none was."""
    x = np.array([1.0, 3.0, 3.0001, 5.0, 1e4, np.inf, np.nan], dtype)
    with backend.active():
        state = SoftmaxState.from_array(backend.array(x[:2]))
        ours = backend.numpy(state.softmax(backend.array(x)))
        empty = SoftmaxState.from_array(backend.array(x[:0]))
        of_nothing = backend.numpy(empty.softmax(backend.array(np.array([-np.inf, -1.0, 0.0, 2.0, np.nan], dtype))))
    np.testing.assert_allclose(ours[:2], cupysoft.softmax(x[:2]), rtol=1e-15)
    assert np.isnan(ours[2:]).all()
    assert np.isnan(of_nothing).all()


def test_no_rows() -> None:
    state = SoftmaxState.from_array(np.zeros((0, 3)), 1).update(np.ones((0, 2)))
    assert state.merge(state).logsumexp().shape == (0,)
    assert state.softmax(np.ones((0, 5))).shape == (0, 5)


def test_a_state_does_not_change() -> None:
    state = SoftmaxState.from_array(X, 1)
    before = state.logsumexp().copy()
    for name in ("axis", "ndim", "dtype", "shape"):
        with pytest.raises(AttributeError):
            setattr(state, name, getattr(state, name))
    state.update(X + 5)
    state.merge(SoftmaxState.from_array(X * 2, 1))
    np.testing.assert_array_equal(state.logsumexp(), before)


def test_copies_and_pickles() -> None:
    state = SoftmaxState.from_array(X, 1)
    for twin in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state))):
        np.testing.assert_array_equal(twin.update(X).logsumexp(), state.update(X).logsumexp())


def test_types_are_promoted() -> None:
    half, single = X.astype("f2"), X
    state = SoftmaxState.from_array(half, 1)
    assert state.dtype == np.float16
    assert state.update(single).dtype == np.float32
    assert state.merge(SoftmaxState.from_array(single, 1)).logsumexp().dtype == np.float32
    np.testing.assert_allclose(
        SoftmaxState.from_array([1, 2, 3]).logsumexp(), cupysoft.logsumexp([1, 2, 3]), rtol=1e-15
    )
    assert isinstance(SoftmaxState.from_array(3.0).logsumexp(), np.float64)
    assert repr(state) == "SoftmaxState(shape=(3, 4), axis=(1,), dtype=float16)"


def test_errors() -> None:
    state = SoftmaxState.from_array(X, 1)
    with pytest.raises(ShapeError, match=r"SoftmaxState.update: x has shape \(3, 5\); expected \(3, any, 4\)"):
        state.update(np.zeros((3, 5)))
    with pytest.raises(ShapeError, match=r"SoftmaxState.softmax: x has shape \(2, 20, 4\)"):
        state.softmax(X[:2])
    with pytest.raises(ShapeError, match=r"SoftmaxState.merge: other has rows of shape \(3, 20\), axis \(2,\) of 3"):
        state.merge(SoftmaxState.from_array(X, 2))
    with pytest.raises(DtypeError, match=r"SoftmaxState.merge: other is a ndarray; expected a SoftmaxState"):
        state.merge(X)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match=r"SoftmaxState.from_array: x has dtype complex64"):
        SoftmaxState.from_array(X.astype("c8"))
    with pytest.raises(AxisError, match=r"SoftmaxState.from_array: axis 3 is out of range"):
        SoftmaxState.from_array(X, 3)
