"""Rows cut into pieces, by rows and by columns, of any strides and axes, have the true bits all the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cupysoft
from cupysoft.host import blocks
from cupysoft.testing import quick_reference, strategies, trouble
from tests.bits import assert_same_bits

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
FIXTURE_IS_FINE = settings(suppress_health_check=[*HealthCheck])


@pytest.fixture(params=[0, 1 << 22], ids=["terms taken twice", "terms kept"])
def small_blocks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Limits so low that small arrays are cut in every way."""
    monkeypatch.setattr(sys.modules["cupysoft.host.softmax"], "KEPT", request.param)
    for name, value in {"LONG_ROW": 20, "PIECE": 9, "TALL_ROW": 16, "TALL_PIECE": 6, "SMALL": 10}.items():
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(blocks, "BLOCK", {True: 64, False: 32})
    monkeypatch.setattr(blocks, "NEIGHBOURS", {True: 3, False: 2})


def view_of(x: np.ndarray[Any, Any], way: str) -> np.ndarray[Any, Any]:
    """Give the same numbers, or some of them, in another layout."""
    ways: dict[str, Callable[[], np.ndarray[Any, Any]]] = {
        "rows": lambda: x,
        "columns": lambda: np.asfortranarray(x),
        "reversed": lambda: x[::-1, ::-1],
        "every third": lambda: np.repeat(x, 3, axis=1)[:, 1::3],
        "cube": lambda: x.reshape(x.shape[0], -1, 2) if x.shape[1] % 2 == 0 else x[:, :, None],
    }
    return ways[way]()


WAYS = st.sampled_from(["rows", "columns", "reversed", "every third", "cube"])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("function", FUNCTIONS)
@FIXTURE_IS_FINE
@given(x=strategies.troublesome(columns=st.sampled_from([21, 24, 55]), rows=5), way=WAYS, data=st.data())
def test_pieces(function: str, x: np.ndarray[Any, Any], way: str, data: st.DataObject) -> None:
    view = view_of(x, way)
    axis = data.draw(strategies.axes(view.ndim))
    assert_same_bits(getattr(cupysoft, function)(view, axis=axis), getattr(quick_reference, function)(view, axis))


@pytest.mark.usefixtures("small_blocks")
@FIXTURE_IS_FINE
@given(data=st.data(), way=WAYS)
def test_pieces_with_weights(data: st.DataObject, way: str) -> None:
    a = data.draw(strategies.troublesome(columns=st.sampled_from([21, 24, 55]), rows=5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, b = trouble.draw_weights(data.draw(st.sampled_from(trouble.WEIGHTS)), rng, a)
    a, b = view_of(a, way), view_of(b, way)
    axis = data.draw(strategies.axes(a.ndim))
    ours = cupysoft.logsumexp(a, axis=axis, b=b, return_sign=True)
    for one, other in zip(ours, quick_reference.logsumexp(a, axis, b, return_sign=True), strict=True):
        assert_same_bits(one, other)
