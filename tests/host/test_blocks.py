"""Any shape, stride and axis gives the numbers of a plain row; long rows go in pieces."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cupysoft
from cupysoft.host import blocks
from cupysoft.host.blocks import Grid
from cupysoft.testing import strategies, ulp_distance

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")


@given(st.data())
def test_boxes_cover_every_element_once(data: st.DataObject) -> None:
    x = np.zeros(data.draw(strategies.shapes()), np.int64)
    axes = data.draw(st.lists(st.integers(0, x.ndim - 1), unique=True).map(tuple))
    grid = Grid(x, axes, plain=data.draw(st.booleans()))
    view = grid.ordered(x)
    for batch in grid.batches():
        for box in grid.boxes(batch):
            view[box] += 1
    assert (x == 1).all()
    assert grid.rows * grid.columns == x.size


@pytest.fixture(params=[0, 1 << 22])
def small_blocks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Limits so low that small arrays are cut in every way; terms are taken twice, or kept."""
    monkeypatch.setattr(sys.modules["cupysoft.host.softmax"], "KEPT", request.param)
    limits = {"LONG_ROW": 20, "PIECE": 9, "TALL_ROW": 16, "TALL_PIECE": 6, "SMALL": 10}
    for name, value in limits.items():
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(blocks, "BLOCK", {True: 64, False: 32})
    monkeypatch.setattr(blocks, "NEIGHBOURS", {True: 3, False: 2})


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
def test_cut_in_pieces_or_whole(function: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 9, (2, 13, 22)).astype(dtype)
    axes: list[Any] = [0, 1, 2, (0, 1), (1, 2), (0, 2), None, ()]
    views = [x, x.transpose(2, 0, 1), x[:, ::-2, ::3], np.broadcast_to(x[:1], x.shape), x.astype(">" + dtype)]
    call = getattr(cupysoft, function)
    cut = [call(view, axis=axis) for view, axis in itertools.product(views, axes)]
    monkeypatch.undo()
    for result, (view, axis) in zip(cut, itertools.product(views, axes), strict=True):
        whole = call(np.ascontiguousarray(view), axis=axis)
        assert np.max(ulp_distance(np.asarray(result), np.asarray(whole))) <= (3 if whole.dtype == "f8" else 0)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("values", [[np.inf, 0.0], [np.nan, np.inf], [-np.inf, -np.inf], [-np.inf, 0.0]])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_special_values_far_apart(
    values: list[float], function: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.full((2, 60), values[1], dtype)
    x[:, 33] = values[0]
    call = getattr(cupysoft, function)
    cut = [call(x, 1), call(np.asfortranarray(x), 1)]
    monkeypatch.undo()
    for result in cut:
        assert np.max(ulp_distance(result, call(x, 1))) <= 1


@pytest.mark.usefixtures("small_blocks")
def test_weights_and_complex_numbers_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 9, (2, 5, 60))
    b[0, ::2] = 0
    a[3] = 2.0
    b[3] = np.tile([1, -1], 30)
    infinite = a.copy()
    infinite[1, 7] = np.inf
    z = a + 1j * b
    calls = [(a, b), (infinite, b), (z, None), (z, b - 1j * a), (a + 1e9j * b, None)]
    cut = [cupysoft.logsumexp(x, 1, w, return_sign=True) for x, w in calls]
    monkeypatch.undo()
    for (size, sign), (x, w) in zip(cut, calls, strict=True):
        whole, whole_sign = cupysoft.logsumexp(x, 1, w, return_sign=True)
        np.testing.assert_allclose(size, whole, rtol=1e-14)
        np.testing.assert_allclose(sign, whole_sign, rtol=1e-14)


@given(st.data())
def test_a_view_is_its_copy(data: st.DataObject) -> None:
    x = data.draw(strategies.real_arrays())
    view = data.draw(strategies.views(x))
    axis = data.draw(strategies.axes(view.ndim))
    for function in FUNCTIONS:
        call = getattr(cupysoft, function)
        seen, copied = np.asarray(call(view, axis=axis)), np.asarray(call(np.ascontiguousarray(view), axis=axis))
        assert np.max(ulp_distance(seen, copied)) <= (6 if x.dtype == np.float64 else 0)


def test_the_input_stays_as_it_is() -> None:
    x = np.random.default_rng(0).normal(size=(40, 50))
    x.flags.writeable = False
    for dtype in ("f4", "f8"):
        y = x.astype(dtype)
        y.flags.writeable = False
        for function in FUNCTIONS:
            getattr(cupysoft, function)(y, 0)
        cupysoft.logsumexp(y, 0, np.where(y > 0, y, 0))
