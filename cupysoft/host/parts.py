"""States of arrays with any axes, and what is made of a state: for input that arrives in parts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.blocks import Box, Grid
from cupysoft.host.first_tier import first_tier
from cupysoft.host.nearest import marked
from cupysoft.host.rounding import store
from cupysoft.host.sliced import SlicedState, join, nothing, row_states
from cupysoft.host.sliced_results import logarithms, shares, sums_in_words
from cupysoft.host.softmax import is_plain
from cupysoft.host.threads import for_each, ieee_arithmetic

__all__ = ["merge_states", "state_logsumexp", "state_of", "state_softmax"]


def state_of(x: npt.NDArray[Any], axes: tuple[int, ...]) -> SlicedState:
    """Give the state of the rows of `x`, in arrays of its shape without `axes`."""
    grid = Grid(x, axes, plain=False)
    result = nothing(tuple(n for i, n in enumerate(x.shape) if i not in axes))
    source, m = grid.ordered(x), grid.ordered_batch(result.m)
    sums = _words(grid, result)
    dtype = x.dtype if x.dtype.kind != "c" and x.dtype.itemsize == 2 else np.dtype(np.float64)

    def one_batch(batch: Box) -> None:
        state = functools.reduce(join, (row_states(grid.load(source[box], dtype)) for box in grid.boxes(batch)))
        for target, values in zip((m, *sums), (state.m, *state.sums), strict=True):
            target[batch] = values.reshape(target[batch].shape)

    for_each(one_batch, grid.batches(), parallel=grid.parallel)
    return result


def merge_states(first: SlicedState, second: SlicedState) -> SlicedState:
    """Give the state of the elements of both; the arrays may have any shape, also none."""
    with ieee_arithmetic():
        merged = join(_line(first), _line(second))
    return SlicedState(merged.m.reshape(first.m.shape), merged.sums.reshape(first.sums.shape))


def state_logsumexp(state: SlicedState, out: npt.NDArray[Any], undecided: npt.NDArray[np.bool_]) -> None:
    """Write the logarithm of the state's sum of exponentials to `out`, and whether its rounding is undecided."""
    with ieee_arithmetic():
        values, doubts = logarithms(_line(state), out.dtype)
        store(values.reshape(out.shape), out)
    undecided[...] = doubts.reshape(out.shape)


def state_softmax(
    state: SlicedState,
    x: npt.NDArray[Any],
    axes: tuple[int, ...],
    out: npt.NDArray[Any],
    undecided: npt.NDArray[np.bool_],
) -> None:
    """Write exp(x) over the state's sum of exponentials to `out`, which has the shape of `x`; NaN where x > m."""
    grid = Grid(x, axes, plain=is_plain(out.dtype))
    source, target, doubted = (grid.ordered(each) for each in (x, out, undecided))
    m, tier = grid.ordered_batch(state.m), first_tier(out.dtype)
    sums = _words(grid, state)

    def one_batch(batch: Box) -> None:
        rows = SlicedState(m[batch].reshape(-1), np.stack([each[batch].reshape(-1) for each in sums]))
        total = sums_in_words(rows)
        for box in grid.boxes(batch):
            values = grid.load(source[box])
            # Above the largest is what was never folded in; and what has no sum has no shares.
            foreign = ~(values <= rows.m[:, None]) | ~np.isfinite(rows.m)[:, None]
            values[foreign] = -np.inf
            spent = values.copy(order="K") if tier.uses_up else values
            found, doubts = tier.shares(tier.terms(spent, rows.m), total)
            doubts &= ~foreign
            if doubts.any():
                row, column = marked(doubts)
                found[row, column], doubts[row, column] = shares(rows, values[row, column], row, out.dtype)
            found[foreign] = np.nan
            grid.save(found, target[box])
            grid.save(doubts, doubted[box])

    for_each(one_batch, grid.batches(), parallel=grid.parallel)


def _words(grid: Grid, state: SlicedState) -> list[npt.NDArray[np.uint64]]:
    """See the words of sums one by one, in the order of the grid; also where rows have no axis."""
    return [grid.ordered_batch(state.sums[i, ...]) for i in range(len(state.sums))]


def _line(state: SlicedState) -> SlicedState:
    """See the rows along one axis."""
    return SlicedState(np.asarray(state.m).reshape(-1), np.asarray(state.sums).reshape(len(state.sums), -1))
