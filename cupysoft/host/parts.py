"""States of arrays with any axes, and what is made of a state: for input that arrives in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.blocks import Box, Grid
from cupysoft.host.exponential import log_words
from cupysoft.host.rounding import store
from cupysoft.host.softmax import is_plain
from cupysoft.host.states import State, identity, merge, merge_all, probabilities, row_state
from cupysoft.host.threads import for_each
from cupysoft.host.words import two_sum

__all__ = ["merge_states", "state_logsumexp", "state_of", "state_softmax"]


def state_of(x: npt.NDArray[Any], axes: tuple[int, ...]) -> State:
    """Give the state of the rows of `x`, in arrays of its shape without `axes`."""
    plain = is_plain(x.dtype)
    grid = Grid(x, axes, plain=plain)
    result = identity(tuple(n for i, n in enumerate(x.shape) if i not in axes))
    source, targets = grid.ordered(x), [grid.ordered_batch(word) for word in result]

    def one_batch(batch: Box) -> None:
        states = [row_state(grid.load(source[box]), plain=plain) for box in grid.boxes(batch)]
        merged = merge_all(states)
        for target, words in zip(targets, merged, strict=True):
            target[batch] = words.reshape(target[batch].shape)

    for_each(one_batch, grid.batches(), parallel=grid.parallel)
    return result


def merge_states(first: State, second: State) -> State:
    """Give the state of the elements of both; the arrays may have any shape, also none."""
    lines = (State(*(np.asarray(word).reshape(-1) for word in state)) for state in (first, second))
    with np.errstate(all="ignore"):
        merged = merge(*lines)
    return State(*(word.reshape(np.shape(first[0])) for word in merged))


def state_logsumexp(state: State, out: npt.NDArray[Any]) -> None:
    """Write the logarithm of the state's sum of exponentials to `out`."""
    m, l_hi, l_lo = (np.asarray(word).reshape(-1) for word in state)
    with np.errstate(all="ignore"):
        log_hi, log_lo = log_words(l_hi, l_lo)
        high, low = two_sum(m, log_hi)
        # Where m is -inf nothing was summed, where it is inf or NaN no sum exists: m is the answer itself.
        result = np.where(np.isfinite(m), high + (low + log_lo), m)
        store(result.reshape(out.shape), out)


def state_softmax(state: State, x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any]) -> None:
    """Write exp(x) over the state's sum of exponentials to `out`, which has the shape of `x`; NaN where x > m."""
    plain = is_plain(x.dtype)
    grid = Grid(x, axes, plain=plain)
    source, target = grid.ordered(x), grid.ordered(out)
    m, total = (grid.ordered_batch(word) for word in (state.m, np.where(np.isfinite(state.m), state.l_hi, np.nan)))

    def one_batch(batch: Box) -> None:
        for box in grid.boxes(batch):
            rows = m[batch].reshape(-1), total[batch].reshape(-1)
            values = grid.load(source[box])
            foreign = values > rows[0][:, None]  # never folded in, and exp is made for x <= m
            shares = probabilities(values, *rows, plain=plain)
            shares[foreign] = np.nan
            grid.save(shares, target[box])

    for_each(one_batch, grid.batches(), parallel=grid.parallel)
