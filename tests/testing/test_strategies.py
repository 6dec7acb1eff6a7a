"""The strategies draw what they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from cupysoft.testing import strategies


@given(strategies.shapes(most_axes=3, most_elements=500))
def test_shapes(shape: tuple[int, ...]) -> None:
    assert 1 <= len(shape) <= 3
    assert 1 <= np.prod(shape) <= 500


@given(st.data())
def test_axes_are_valid(data: st.DataObject) -> None:
    x = np.zeros(data.draw(strategies.shapes(most_elements=100)))
    np.sum(x, axis=data.draw(strategies.axes(x.ndim)))


@given(st.data())
def test_arrays_views_and_weights(data: st.DataObject) -> None:
    x = data.draw(strategies.real_arrays())
    assert x.size > 0
    view = data.draw(strategies.views(x))
    assert view.size > 0
    assert np.may_share_memory(view, x)
    b = data.draw(strategies.weights(view.shape))
    assert np.broadcast_shapes(b.shape, view.shape) == view.shape
    assert np.isfinite(b).all()


@pytest.mark.parametrize(
    "wanted",
    [
        lambda x: np.isnan(x).any(),
        lambda x: np.isposinf(x).any(),
        lambda x: bool(((x != 0) & (np.abs(x.astype("f8")) < 1e-38)).any()),
        lambda x: x.size > 1 and np.unique(x).size < x.size,
        lambda x: x.dtype.name == "bfloat16",
        lambda x: bool((np.abs(x.astype("f8")) > 1e4).all()),
        lambda x: x.dtype == np.float64 and x.size > 3 and abs(np.log(np.exp(x).sum())) < 1e-14,
        lambda x: 31 in x.shape,
        lambda x: 33 in x.shape,
    ],
)
def test_every_kind_of_trouble_comes_up(wanted: Any) -> None:
    with np.errstate(all="ignore"):
        find(strategies.real_arrays(), wanted)


@pytest.mark.parametrize("wanted", [lambda s: s < 0, lambda s: s == 0, lambda s: s % 16 == 8 and s > 8])
def test_views_have_every_kind_of_stride(wanted: Any) -> None:
    x = np.zeros((5, 4, 7))
    find(strategies.views(x), lambda view: any(wanted(s) for s in view.strides))
