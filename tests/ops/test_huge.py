"""Arrays whose elements lie more than 2**31 apart."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cupysoft
from tests.conftest import Backend

GAP = 2**31 + 3


@pytest.fixture
def far_apart() -> Iterator[np.ndarray[Any, Any]]:
    """A (3, 700) view of float32 whose rows are GAP elements apart; only what is touched takes memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    memory = mmap.mmap(-1, 4 * (2 * GAP + 700), flags=flags)
    whole = np.frombuffer(memory, np.float32)
    view = np.lib.stride_tricks.as_strided(whole, (3, 700), (4 * GAP, 4))
    view[...] = np.random.default_rng(0).normal(size=view.shape)
    yield view
    del view, whole


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("device", ["host", "simulated"])  # a GPU would need all of the memory
def test_rows_and_columns_far_apart(device: str, far_apart: np.ndarray[Any, Any], axis: int | None) -> None:
    backend = Backend(device)
    near = far_apart.copy()
    expected = cupysoft.softmax(near, axis)
    np.testing.assert_array_equal(backend(cupysoft.softmax, far_apart, axis), expected)
    np.testing.assert_array_equal(backend(cupysoft.logsumexp, far_apart, axis), cupysoft.logsumexp(near, axis))
    with backend.active():
        cupysoft.softmax(far_apart, axis, out=far_apart)
    np.testing.assert_array_equal(far_apart, expected)
