"""The state of a softmax on a fixed grid: the largest element, and the sum of exponentials slice by slice.

    exp(x)        digits on the grid, which follow from x alone (`slices`)
    sums[1:]      for each of the SLICES slices from that of exp(m) down: the sum of the digits that lie there
    sums[0]       how many finite elements there are

No carry ever goes from one slice to the next, so the sum of a slice is that of its digits in any order. Where the
maximum rises, slices at the low end are dropped, whole: what a slice holds in the end has always been within. Both make
a state the same bits for any parts and any order.

Where m is infinite or NaN there is no sum, and all of `sums` is 0. The state of nothing has m = -inf.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host.slices import BITS, SLICES, Places, gap_of, place_of, terms
from cupysoft.host.words import FloatArray

__all__ = ["MOST", "WORDS", "SlicedState", "join", "nothing", "row_states", "whole_number"]

Sums = npt.NDArray[np.uint64]

WORDS = 1 + SLICES
"""Rows of `sums`."""

MOST = 1 << (64 - BITS)
"""So many digits of a slice can be added in 64 bits."""

CHUNK = {True: 1 << 15, False: 1 << 13}
"""Elements that go through all the steps at once, those of 16 bits once each (True): their limbs stay in the cache."""

_LARGEST_16 = 1 << 16


class SlicedState(NamedTuple):
    """Largest elements, of the rows' shape, and sums: numbers of elements, and slices, with one axis more in front."""

    m: FloatArray
    sums: Sums


def nothing(shape: tuple[int, ...]) -> SlicedState:
    """Give the state of no elements."""
    return SlicedState(np.full(shape, -np.inf), np.zeros((WORDS, *shape), np.uint64))


def row_states(values: npt.NDArray[np.floating]) -> SlicedState:
    """Give the states of the rows of (rows, columns) values."""
    state = nothing((len(values),))
    if not values.size:
        return state
    np.add(np.maximum.reduce(values, axis=1), 0.0, out=state.m, dtype=np.float64)
    state.m[np.isnan(state.m)] = np.nan
    place = place_of(state.m)
    for rows, part in _chunks(values):
        finite = np.isfinite(part)
        x, which = _distinct(np.where(finite, part, part.dtype.type(0)))
        term = terms(x)
        m = np.repeat(state.m[rows], part.shape[1])
        gap = gap_of(m, x[which], np.repeat(place[rows], part.shape[1]), term.place[which])
        gap[~finite.reshape(-1)] = SLICES
        kept = _lowered(term.digits, gap, which).reshape(SLICES, *part.shape)
        state.sums[0, rows] += np.count_nonzero(finite, axis=1).astype(np.uint64)
        state.sums[1:, rows] += np.add.reduce(kept, axis=2)
    state.sums[:, ~np.isfinite(state.m)] = 0
    return state


def join(first: SlicedState, second: SlicedState) -> SlicedState:
    """Give the state of the elements of both, which have one axis."""
    m = np.maximum(first.m, second.m) + 0.0
    m[np.isnan(m)] = np.nan
    places = [place_of(each.m) for each in (first, second)]
    place = np.where(first.m >= second.m, *places)
    sums = np.zeros_like(first.sums)
    rows = np.arange(len(m))
    for state, own in zip((first, second), places, strict=True):
        sums[0] += state.sums[0]
        sums[1:] += _lowered(state.sums[1:], gap_of(m, state.m, place, own), rows)
    sums[:, ~np.isfinite(m)] = 0
    return SlicedState(m, sums)


def whole_number(sums: Sums, row: int) -> int:
    """Give the sum of a row: a number of 2^-180, seen from the place of its first slice."""
    total = 0
    for digits in sums[1:, row].tolist():
        total = (total << BITS) + digits
    return total


def _chunks(values: npt.NDArray[np.floating]) -> Iterator[tuple[slice, npt.NDArray[np.floating]]]:
    """Cut into (rows, columns) parts of CHUNK elements or so, each with the rows that it is of."""
    count, columns = values.shape
    size = CHUNK[values.dtype.itemsize == 2]
    height = max(1, size // columns)
    for row in range(0, count, height):
        for column in range(0, columns, size):
            yield slice(row, row + height), values[row : row + height, column : column + size]


def _distinct(part: npt.NDArray[np.floating]) -> tuple[FloatArray, npt.NDArray[np.intp]]:
    """Give elements in float64, and where in them each element of the part is; those of 16 bits once each."""
    if part.dtype.itemsize > 2:
        return part.astype(np.float64).reshape(-1), np.arange(part.size)
    bits = np.ascontiguousarray(part).view(np.uint16).reshape(-1)
    there = np.zeros(_LARGEST_16, np.intp)
    there[bits] = 1
    found = np.flatnonzero(there).astype(np.uint16)
    there[found] = np.arange(len(found))
    return found.view(part.dtype).astype(np.float64), there[bits]


def _lowered(digits: Sums, gap: Places, which: npt.NDArray[np.intp]) -> Sums:
    """Give the digits of columns `which`, each column brought down by so many slices."""
    size = digits.shape[1]
    padded = np.concatenate([np.zeros_like(digits), digits]).reshape(-1)
    at = (SLICES - gap) * size + which
    result = np.empty((SLICES, len(which)), np.uint64)
    for i in range(SLICES):
        np.take(padded, at, out=result[i])
        at += size
    return result
