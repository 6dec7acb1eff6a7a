"""Probes of the states, whose kernels are in ``kernels/states``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import cupysoft
from tests.mutation.probe import Array, Probe, near_tie_rows, special_rows

__all__ = ["STATES"]


def _states() -> Iterator[Array]:
    for dtype in ("f2", "f4", "f8"):
        for columns in (3, 40, 700):
            x = special_rows(dtype, columns)
            state = cupysoft.SoftmaxState.from_array(x[:, :13], 1).update(x[:, 13:])
            state = state.merge(cupysoft.SoftmaxState.from_array(x[:, :5] - 3, 1))
            yield from _made_of(state, x)
            yield state.softmax(x + 1)


def _odd_states() -> Iterator[Array]:
    """Near ties, in parts, and rows of few elements that are infinite, huge, equal, alone, or nearly cancel."""
    for function in ("softmax", "logsumexp"):
        for dtype in ("f2", "f4", "f8"):
            x = near_tie_rows(function, dtype, 140)
            yield from _made_of(cupysoft.SoftmaxState.from_array(x, 1), x)
    x = np.random.default_rng(8).normal(scale=40, size=(2, 8200))
    yield from _made_of(cupysoft.SoftmaxState.from_array(x, 1), x)
    few = [
        [np.nan, 0],
        [np.inf, 0],
        [-np.inf, -np.inf],
        [-np.inf, 2],
        [0.5, 0.5],
        [0, -80],
        [0, -200],
        [-1, -0.4586751],
    ]
    few += [[2.0**61, 2.0**61], [2.0**61, -1], [-1e300, -1e301], [-3e18, -2e18], [1e18, 1e18 - 128], [0.0, -0.0]]
    x = np.array(few)
    first, second = (cupysoft.SoftmaxState.from_array(part, 1) for part in np.split(x, 2, axis=1))
    for state in (first, first.merge(second), second.merge(first), second.merge(second)):
        yield from _made_of(state, x)
    tie = np.full((1, 1), 0.5, "f2")
    state = cupysoft.SoftmaxState.from_array(tie, 1)
    for _ in range(25):
        state = state.merge(state)
    yield from _made_of(state, tie)


def _made_of(state: cupysoft.SoftmaxState, x: Array) -> Iterator[Array]:
    yield from state._arrays
    yield from state.logsumexp(return_undecided=True)
    yield from state.softmax(x, return_undecided=True)


STATES = (
    Probe("states", _states),
    Probe("odd states", _odd_states),
)
