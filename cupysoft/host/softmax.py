"""softmax and log_softmax of any axes, block by block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cupysoft.host.blocks import Box, Grid
from cupysoft.host.states import State, log_probabilities, merge_all, probabilities, row_state
from cupysoft.host.threads import for_each, ieee_arithmetic
from cupysoft.host.words import FloatArray, exponent_above, sum_words

__all__ = ["is_plain", "log_softmax", "softmax"]

KEPT = 1 << 22
"""Terms that may be kept from one walk over long rows to the next: 32 MiB."""


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether float64 with one rounding an operation is accurate far below half an ulp of `dtype`."""
    return dtype.itemsize < 8


def softmax(x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any]) -> None:
    """Write the softmax of `x` over `axes` to `out`.

    Parameters
    ----------
    x : ndarray
        float16, bfloat16, float32, float64, integers or bool, of any strides, with no empty reduced axis.
    axes : tuple of int
        Axes in ``range(x.ndim)``.
    out : ndarray
        Array of the shape of `x`; may be `x` itself.
    """
    plain = is_plain(out.dtype)

    def whole(values: FloatArray) -> FloatArray:
        return probabilities(values, np.maximum.reduce(values, axis=1), None, plain=plain)

    def part(values: FloatArray, state: State) -> FloatArray:
        total = np.where(np.isfinite(state.m), state.l_hi, np.nan)
        return probabilities(values, state.m, total, plain=plain)

    _walk(x, axes, out, plain, whole, _in_pieces if plain else _by_states(part, plain=plain))


def log_softmax(x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any]) -> None:
    """Write the logarithm of the softmax of `x` over `axes` to `out`; parameters as for :func:`softmax`."""
    plain = is_plain(out.dtype)

    def part(values: FloatArray, state: State) -> FloatArray:
        return log_probabilities(values, state, plain=plain)

    def whole(values: FloatArray) -> FloatArray:
        return part(values, row_state(values.copy(order="K"), plain=plain))

    _walk(x, axes, out, plain, whole, _by_states(part, plain=plain))


_Rows: TypeAlias = Callable[[Grid, npt.NDArray[Any], npt.NDArray[Any], Box], None]
"""Computes the rows of one box of the batch, which are too long for a block, from a view to another."""


def _walk(
    x: npt.NDArray[Any],
    axes: tuple[int, ...],
    out: npt.NDArray[Any],
    plain: bool,
    whole: Callable[[FloatArray], FloatArray],
    long_rows: _Rows,
) -> None:
    """Apply `whole` to blocks of whole rows or, where rows are too long for that, `long_rows` to boxes of the batch."""
    grid = Grid(x, axes, plain=plain)
    source, target = grid.ordered(x), grid.ordered(out)

    def one_block(batch: Box) -> None:
        values = grid.load(source[batch])
        grid.save(whole(values), target[batch])

    if len(grid.pieces()) == 1:
        for_each(one_block, grid.batches(), parallel=grid.parallel)
        return
    with ieee_arithmetic():
        for batch in grid.batches():
            long_rows(grid, source, target, batch)


def _by_states(part: Callable[[FloatArray, State], FloatArray], *, plain: bool) -> _Rows:
    """Merge the states of the pieces of each row, and apply `part` to the pieces with the row's state."""

    def rows(grid: Grid, source: npt.NDArray[Any], target: npt.NDArray[Any], batch: Box) -> None:
        boxes = grid.boxes(batch)
        states = for_each(lambda box: row_state(grid.load(source[box]), plain=plain), boxes, parallel=True)
        state = merge_all(states)
        for_each(lambda box: grid.save(part(grid.load(source[box]), state), target[box]), boxes, parallel=True)

    return rows


def _in_pieces(grid: Grid, source: npt.NDArray[Any], target: npt.NDArray[Any], batch: Box) -> None:
    """Write the softmax, in plain float64: the maximum first, so that each exp is taken once, and kept if it can be."""
    boxes = grid.boxes(batch)
    largest = for_each(lambda box: grid.largest(source[box]), boxes, parallel=True)
    m = np.maximum.reduce(largest, axis=0)[:, None]
    kept: list[FloatArray | None] = [None] * len(boxes)

    def terms(box: Box) -> FloatArray:
        values = grid.load(source[box])
        values -= m
        np.exp(values, out=values)
        return values

    def total_of(place: int) -> FloatArray:
        values = terms(boxes[place])
        if len(m) * grid.columns <= KEPT:
            kept[place] = values
        return np.asarray(np.add.reduce(values, axis=1))

    totals = np.stack(for_each(total_of, range(len(boxes)), parallel=True), axis=1)
    # There may be thousands of pieces, and one rounding for each would be too many.
    total = sum_words(totals, scale=exponent_above(np.maximum.reduce(totals, axis=1, keepdims=True)))[0][:, None]

    def finish(place: int) -> None:
        values = kept[place]
        values = terms(boxes[place]) if values is None else values
        values /= total
        grid.save(values, target[boxes[place]])

    for_each(finish, range(len(boxes)), parallel=True)
