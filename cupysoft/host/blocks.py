"""Any axes of any strided view, seen as rows and columns, and cut into blocks that stay in cache.

A block is copied into a contiguous buffer of float64 with one row for each batch index. Where the batch runs faster
through memory than the reduced axes do, the buffer is laid out in column order, so that no copy transposes:

    x, axis -1:  row-major buffer        x, axis 0:  column-major buffer
      --->  --->  one row                  | | | |  one row each, neighbours together
      --->  --->                           v v v v
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.rounding import store

__all__ = ["Box", "Grid"]

Box = tuple[slice, ...]

BLOCK = {True: 1 << 17, False: 1 << 15}
"""Elements of a block, for arithmetic in one pass of plain float64 (True) and in two words (False).

Smaller blocks would fit a nearer cache, but then threads spend their time handing Python's lock to one another.
"""

LONG_ROW = 1 << 17
"""A row-major row above this length is read in pieces and its state merged."""

PIECE = 1 << 17
TALL_ROW, TALL_PIECE = 1 << 12, 1 << 9
"""The same two where the buffer is column-major."""

SHORT_ROW = 24
"""Rows up to this length are turned to column-major, where they lie: the overhead of NumPy's loops is by inner loop."""

NEIGHBOURS = {True: 128, False: 32}
"""Rows that a column-major block holds at least: so many neighbours make the far jumps between columns worth while."""

SMALL = 1 << 15
"""Arrays up to this many elements are left to the calling thread."""

# glibc gives memory back to the system whenever some 100 KB are free, and every block would fault its pages in again:
# five times slower. Freeing one large array raises that limit for good (mallopt(3), M_MMAP_THRESHOLD).
del (_large := [np.empty(1 << 21)])[:]


class Grid:
    """Rows and columns of an array, and their blocks.

    Attributes
    ----------
    rows, columns : int
    batch_shape : tuple of int
        Sizes of the axes that are kept, in the order in which blocks walk through them.
    """

    def __init__(self, x: npt.NDArray[Any], axes: tuple[int, ...], *, plain: bool) -> None:
        self._batch_axes, self._order, self.batch_shape, self.reduced_shape, neighbours = _arranged(
            x.shape, x.strides, axes
        )
        self.rows, self.columns = math.prod(self.batch_shape), math.prod(self.reduced_shape)
        self.tall = self.rows > 1 and (neighbours or self.columns <= SHORT_ROW)
        self.parallel = x.size > SMALL
        self._block = BLOCK[plain]
        self._neighbours = NEIGHBOURS[plain] if self.tall else 1

    def ordered(self, view: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn a view of the shape of x so that the batch comes first."""
        return view.transpose(self._order)

    def ordered_batch(self, view: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn an array with the axes that are left after the reduction."""
        kept = sorted(self._batch_axes)
        return view.transpose([kept.index(i) for i in self._batch_axes])

    def pieces(self) -> list[Box]:
        """Boxes of the reduced axes; one, unless rows are too long for a block."""
        longest, piece = (TALL_ROW, TALL_PIECE) if self.tall else (LONG_ROW, PIECE)
        if self.tall:  # few rows leave room for longer pieces
            piece = max(piece, self._block // self.rows)
        return list(_boxes(self.reduced_shape, self.columns if self.columns <= longest else piece))

    def batches(self) -> list[Box]:
        """Boxes of the batch."""
        length = max(1, min(self.columns, TALL_PIECE if self.tall else LONG_ROW))
        return list(_boxes(self.batch_shape, max(self._neighbours, self._block // length)))

    def boxes(self, batch: Box) -> list[Box]:
        """Boxes of all axes that together hold the rows of a box of the batch."""
        return [(*batch, *piece) for piece in self.pieces()]

    def load(self, block: npt.NDArray[Any], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
        """Copy a block of an ordered view to a new (rows, columns) array of `dtype`."""
        split = len(self.batch_shape)
        rows, columns = math.prod(block.shape[:split]), math.prod(block.shape[split:])
        if not self.tall:
            return np.array(block, dtype=dtype, order="C").reshape(rows, columns)
        turned = block.transpose(*range(split, block.ndim), *range(split))
        return np.array(turned, dtype=dtype, order="C").reshape(columns, rows).T

    def largest(self, block: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Give the largest element of each row of a block of an ordered view, or NaN where there is one."""
        if block.dtype.kind != "f" or block.dtype.itemsize < 4:  # to compare these takes longer than to widen them
            return np.asarray(np.maximum.reduce(self.load(block), axis=1))
        reduced = tuple(range(len(self.batch_shape), block.ndim))
        return np.asarray(np.maximum.reduce(block, axis=reduced), np.float64).reshape(-1)

    def save(self, values: npt.NDArray[Any], block: npt.NDArray[Any]) -> None:
        """Round a (rows, columns) array, laid out as `load` gave it, into a block of an ordered view."""
        split = len(self.batch_shape)
        if self.tall:
            block = block.transpose(*range(split, block.ndim), *range(split))
            values = values.T
        store(values.reshape(block.shape), block)


@functools.lru_cache(1024)
def _arranged(
    shape: tuple[int, ...], strides: tuple[int, ...], axes: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]:
    """Give the batch axes and all axes in the order of walking, the sizes of both groups, and who lies closer."""
    steps = [abs(s) if n > 1 else 0 for n, s in zip(shape, strides, strict=True)]
    batch = sorted((i for i in range(len(shape)) if i not in axes), key=lambda i: -steps[i])
    reduced = sorted(axes, key=lambda i: -steps[i])
    closer = _least(steps[i] for i in batch) < _least(steps[i] for i in reduced)
    return (
        tuple(batch),
        (*batch, *reduced),
        tuple(shape[i] for i in batch),
        tuple(shape[i] for i in reduced),
        closer,
    )


def _least(steps: Iterator[int]) -> float:
    return min((s for s in steps if s), default=math.inf)


def _boxes(shape: tuple[int, ...], limit: int) -> Iterator[Box]:
    """Cut `shape` into boxes of at most `limit` elements, in the order of C."""
    inner, axis = 1, len(shape)
    while axis and inner * shape[axis - 1] <= limit:
        axis -= 1
        inner *= shape[axis]
    rest = (slice(None),) * (len(shape) - axis)
    if axis == 0:
        yield rest
        return
    size, step = shape[axis - 1], max(1, limit // max(inner, 1))
    for outer in np.ndindex(shape[: axis - 1]):
        for start in range(0, size, step):
            yield (*(slice(i, i + 1) for i in outer), slice(start, min(start + step, size)), *rest)
