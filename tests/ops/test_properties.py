"""What must hold for every input, on every backend: accuracy, and what a result may not depend on."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import cupysoft
from cupysoft.testing import reference, ulp_distance
from tests.conftest import Backend

NORMALIZED = ("softmax", "log_softmax")
FUNCTIONS = (*NORMALIZED, "logsumexp")
NARROW = (np.dtype("f2"), np.dtype(ml_dtypes.bfloat16), np.dtype("f4"))
DTYPES = (*NARROW, np.dtype("f8"))

# One length for each way in which kernels hold a row of this size: part of a warp, a warp, several warps; odd and even.
LENGTHS = (1, 2, 5, 33, 200, 1031)
KINDS = ("narrow", "wide", "ties", "offset", "subnormal", "one leads", "specials")


def values_of(kind: str, seed: int, shape: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Draw (rows, columns) values of one character."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    if kind == "wide":
        x *= 40
    elif kind == "ties":
        x = np.round(x)
    elif kind == "offset":
        x += rng.choice([-3e4, 1e4, 6e4])
    elif kind == "subnormal":
        x *= 1e-42
    elif kind == "one leads":
        x[:, rng.integers(shape[1])] += rng.uniform(5, 60)
    elif kind == "specials":
        spots = rng.random(shape) < 0.1
        x[spots] = rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0], spots.sum(), p=[0.02, 0.6, 0.02, 0.18, 0.18])
    return x


@st.composite
def matrices(draw: st.DrawFn, dtypes: tuple[np.dtype[Any], ...] = DTYPES) -> np.ndarray[Any, Any]:
    """Draw (rows, columns) arrays of every floating type."""
    shape = draw(st.integers(1, 3)), draw(st.sampled_from(LENGTHS))
    x = values_of(draw(st.sampled_from(KINDS)), draw(st.integers(0, 2**32 - 1)), shape)
    with np.errstate(over="ignore"):
        return x.astype(draw(st.sampled_from(dtypes)))


def assert_same_bits(ours: Any, theirs: Any) -> None:
    """Equal bits, with all NaNs one value; zeros keep their sign. float64 may differ in its last bits."""
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    limit = 6 if ours.dtype == np.float64 else 0
    assert np.max(ulp_distance(ours, theirs), initial=0) <= limit


# x - m lies half way between two float16 numbers; only the low word of the result tells which one is nearer.
HALF_WAY = np.array([[7.5625, -20.90625, -16.515625, -97.6875, 72.0]], "f2")


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=matrices())
@example(x=HALF_WAY)
def test_accuracy(backend: Backend, function: str, x: np.ndarray[Any, Any]) -> None:
    ours = backend(getattr(cupysoft, function), x, axis=1)
    true = getattr(reference, function)(x, axis=1)
    assert ours.dtype == x.dtype
    distance = ulp_distance(ours, true)
    if x.dtype == np.float64:
        assert distance.max() <= 3
        return
    wide = x.astype("f8")
    largest = np.max(wide, axis=1, keepdims=function != "logsumexp")
    with np.errstate(invalid="ignore"):
        near_zero = np.abs(np.asarray(true, "f8")) < np.maximum(1, np.abs(largest)) * 2.0**-10
    near_zero &= function != "softmax"
    assert np.max(distance[~near_zero], initial=0) == 0
    assert np.max(distance[near_zero], initial=0) <= 1


@pytest.mark.parametrize("function", NORMALIZED)
@given(x=matrices(NARROW), seed=st.integers(0, 2**32 - 1))
def test_permutations_permute_the_result(backend: Backend, function: str, x: np.ndarray[Any, Any], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(x.shape[1])
    call = getattr(cupysoft, function)
    assert_same_bits(backend(call, x[:, order], axis=1), backend(call, x, axis=1)[:, order])


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=matrices())
def test_a_row_does_not_know_its_batch(backend: Backend, function: str, x: np.ndarray[Any, Any]) -> None:
    call = getattr(cupysoft, function)
    together = backend(call, x, axis=1)
    for row, alone in zip(together, x, strict=True):
        assert_same_bits(np.asarray(backend(call, alone)), np.asarray(row))


@pytest.mark.parametrize("function", NORMALIZED)
@given(data=st.data())
def test_a_shift_changes_nothing(backend: Backend, function: str, data: st.DataObject) -> None:
    shape = data.draw(st.integers(1, 3)), data.draw(st.sampled_from(LENGTHS))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-400, 400, shape).astype("f4") / 8
    shift = np.float32(data.draw(st.sampled_from([-4096, 1, 0.5, 1 << 20])))
    call = getattr(cupysoft, function)
    assert_same_bits(backend(call, x + shift, axis=1), backend(call, x, axis=1))


VIEWS = (np.s_[:, :], np.s_[::-1, ::-1], np.s_[:, ::2], np.s_[::2, 1:], np.s_[:1, :-1])


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=matrices(), view=st.sampled_from(VIEWS), axis=st.sampled_from([0, 1, None]), turned=st.booleans())
def test_a_view_is_its_copy(
    backend: Backend, function: str, x: np.ndarray[Any, Any], view: Any, axis: Any, turned: bool
) -> None:
    call = getattr(cupysoft, function)
    with backend.active():
        seen = backend.array(x)[view]
        seen = seen.T if turned else seen
        if seen.size == 0:
            return
        copied = np.ascontiguousarray(x[view].T if turned else x[view])
        assert_same_bits(np.asarray(backend.numpy(call(seen, axis=axis))), np.asarray(backend(call, copied, axis=axis)))


@pytest.mark.parametrize("function", FUNCTIONS)
@given(x=matrices())
def test_out_holds_the_result(backend: Backend, function: str, x: np.ndarray[Any, Any]) -> None:
    call = getattr(cupysoft, function)
    expected = backend(call, x, axis=1)
    with backend.active():
        given_x = backend.array(x.copy())
        out = given_x if function in NORMALIZED else backend.array(np.empty_like(expected))
        assert call(given_x, axis=1, out=out) is out
    assert_same_bits(backend.numpy(out), expected)


@given(x=matrices(NARROW))
def test_every_backend_gives_the_bits_of_the_host(backend: Backend, x: np.ndarray[Any, Any]) -> None:
    for function in FUNCTIONS:
        call = getattr(cupysoft, function)
        assert_same_bits(np.asarray(backend(call, x, axis=1)), np.asarray(call(x, axis=1)))
