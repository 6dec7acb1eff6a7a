"""softmax and log_softmax of any axes, block by block."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.blocks import Box, Grid
from cupysoft.host.states import State, log_probabilities, merge_all, probabilities, row_state
from cupysoft.host.threads import for_each, ieee_arithmetic
from cupysoft.host.words import FloatArray

__all__ = ["is_plain", "log_softmax", "softmax"]


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

    _walk(x, axes, out, plain, whole, part)


def log_softmax(x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any]) -> None:
    """Write the logarithm of the softmax of `x` over `axes` to `out`; parameters as for :func:`softmax`."""
    plain = is_plain(out.dtype)

    def part(values: FloatArray, state: State) -> FloatArray:
        return log_probabilities(values, state, plain=plain)

    def whole(values: FloatArray) -> FloatArray:
        return part(values, row_state(values.copy(order="K"), plain=plain))

    _walk(x, axes, out, plain, whole, part)


def _walk(
    x: npt.NDArray[Any],
    axes: tuple[int, ...],
    out: npt.NDArray[Any],
    plain: bool,
    whole: Callable[[FloatArray], FloatArray],
    part: Callable[[FloatArray, State], FloatArray],
) -> None:
    """Apply `whole` to blocks of whole rows or, where rows are too long, `part` to pieces with the row's state."""
    grid = Grid(x, axes, plain=plain)
    source, target = grid.ordered(x), grid.ordered(out)

    def one_block(batch: Box) -> None:
        values = grid.load(source[batch])
        grid.save(whole(values), target[batch])

    if len(grid.pieces()) == 1:
        for_each(one_block, grid.batches(), parallel=grid.parallel)
        return

    def state_of(box: Box) -> State:
        return row_state(grid.load(source[box]), plain=plain)

    def finish(box: Box, state: State) -> None:
        grid.save(part(grid.load(source[box]), state), target[box])

    for batch in grid.batches():
        boxes = grid.boxes(batch)
        states = for_each(state_of, boxes, parallel=True)
        with ieee_arithmetic():
            state = merge_all(states)
        for_each(functools.partial(finish, state=state), boxes, parallel=True)
