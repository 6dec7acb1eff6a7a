"""An array over the batch of a call of attention, reached by the number of an entry.

Where the axes of the batch follow from one another in memory, as they mostly do, entries are one view; elsewhere
each is a view of its own. Nothing is copied that is not asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Entries", "Rows"]

Array = npt.NDArray[Any]
Rows = tuple[Any, ...]
"""An index of rows: a slice, or arrays of places along several axes."""


class Entries:
    """The entries of an array.

    Parameters
    ----------
    array : ndarray
    axes : int
        How many of its axes are those of the batch; they come first.
    rows : int
        How many of the next ones are those of rows.
    """

    def __init__(self, array: Array, axes: int, rows: int) -> None:
        self._array = array
        self._batch = array.shape[:axes]
        self._flat = array.reshape(-1, *array.shape[axes:]) if _follow(array, axes) else None
        self._entries_alike = not any(array.strides[:axes])
        self._rows_alike = not any(array.strides[axes : axes + rows])
        self._no_row = (slice(0, 1), *(0,) * (rows - 1))

    def views(self, entries: slice) -> Iterator[tuple[slice, Array]]:
        """Give views that together have the entries, and which of them each has."""
        if self._flat is not None:
            yield slice(None), self._flat[entries]
            return
        numbers = np.arange(entries.start, entries.stop)
        for place, index in enumerate(zip(*np.unravel_index(numbers, self._batch), strict=True)):
            yield slice(place, place + 1), self._array[index][None]

    def of_rows(self, entries: slice, rows: Rows, columns: slice | None = None) -> Array:
        """Give what belongs to some rows, and to some columns; one row stands for all that are alike, and one entry."""
        if self._entries_alike:
            entries = slice(entries.start, entries.start + 1)
        index = (slice(None), *(self._no_row if self._rows_alike else rows), *(() if columns is None else (columns,)))
        found = [view[index] for _, view in self.views(entries)]
        return found[0] if len(found) == 1 else np.concatenate(found)


def _follow(array: Array, axes: int) -> bool:
    """Whether the first axes can be seen as one."""
    steps = [(n, s) for n, s in zip(array.shape[:axes], array.strides, strict=False) if n > 1]
    return math.prod(array.shape) > 0 and all(a == m * b for (_, a), (m, b) in zip(steps, steps[1:], strict=False))
