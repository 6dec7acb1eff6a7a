"""Long rows of float64, 100,000 elements, on every backend."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.testing import reference, ulp_distance
from tests.conftest import Backend, backend_names

COLUMNS = 100_000
FUNCTIONS = ("softmax", "log_softmax", "logsumexp")


@functools.cache
def row(kind: str) -> np.ndarray[Any, Any]:
    """Draw a row: of few terms that count, of very many, or of equals beside which nothing is lost sight of."""
    rng = np.random.default_rng(COLUMNS)
    return {
        "wide": lambda: rng.normal(0, 30, COLUMNS),
        "narrow": lambda: rng.normal(0, 1, COLUMNS),
        "nearly equal": lambda: rng.uniform(-700, -700 + 1e-3, COLUMNS),
    }[kind]()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("kind", ["wide", "narrow", "nearly equal"])
def test_long_rows_are_rounded_correctly(kind: str, function: str) -> None:
    """The rigorous reference takes seconds, so all backends share it."""
    x, call = row(kind), getattr(cupysoft, function)
    true = getattr(reference, function)(x)
    for backend in map(Backend, backend_names()):
        by_columns = np.moveaxis(np.atleast_2d(backend(call, np.stack([x, x], axis=1), axis=0)), -1, 0)
        for ours in (backend(call, x), by_columns[0], by_columns[1]):
            assert np.max(ulp_distance(ours.reshape(np.shape(true)), true)) == 0, backend.name
