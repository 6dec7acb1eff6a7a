"""How kernels see strided arrays: a ``View`` of kernels/softmax/views.cuh as bytes, and how they reach the elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import MAX_AXES, Axis, Layout

__all__ = ["VECTOR_BYTES", "View", "access_type", "by_columns", "general_view_of", "view_of"]

VECTOR_BYTES = 16
"""The widest access of a thread, and the unit in which threads own the columns of a row."""

# Numbers of axes that kernels are compiled for. More axes than the last are compiled for as they come.
_BATCH_AXES = (1, 2, MAX_AXES)
_REDUCED_AXES = (1, 2, MAX_AXES)
# Accesses of less than so many bytes a thread leave most of each sector to further ones: then warps move side by side.
_NARROWEST = 8
# Neighbouring rows are worth a lane each when columns are at least this much farther apart than rows.
_COLUMNS_RATIO = 8


@dataclass(frozen=True)
class View:
    """A C++ view type, and its value as bytes.

    Attributes
    ----------
    type : str
        Such as ``"View<2, 1, 1>"``.
    value : numpy.void
        The structure that goes to the kernel.
    """

    type: str
    value: np.void


def view_of(layout: Layout, arrays: int) -> View:
    """Pack a layout of so many arrays for the kernels, innermost axis first."""
    return _packed(layout, arrays, _BATCH_AXES, _REDUCED_AXES)


def general_view_of(layout: Layout, arrays: int) -> View:
    """Pack it for a kernel that is compiled for every layout at once."""
    return _packed(layout, arrays, (MAX_AXES,), (MAX_AXES,))


def _packed(layout: Layout, arrays: int, batch_axes: Sequence[int], reduced_axes: Sequence[int]) -> View:
    batch = _padded(layout.batch, arrays, batch_axes)
    reduced = _padded(layout.reduced, arrays, reduced_axes)
    words = [layout.rows, layout.columns, *_sizes_and_strides(batch, arrays), *_sizes_and_strides(reduced, arrays)]
    return View(f"View<{arrays}, {len(batch)}, {len(reduced)}>", np.void(np.array(words, np.int64).tobytes()))


def _padded(axes: Sequence[Axis], arrays: int, counts: Sequence[int]) -> list[Axis]:
    """Innermost first, filled up with axes of one element to a number that kernels are compiled for."""
    count = next((n for n in counts if n >= len(axes)), len(axes))
    return [*reversed(axes), *[Axis(1, (0,) * arrays)] * (count - len(axes))]


def _sizes_and_strides(axes: Sequence[Axis], arrays: int) -> list[int]:
    return [axis.size for axis in axes] + [axis.strides[array] for array in range(arrays) for axis in axes]


def access_type(
    layout: Layout, dtype: np.dtype[Any], alignment: Sequence[int], arrays: Sequence[int], *, lanes: int
) -> str:
    """Choose how kernels move the elements of a row: a type of kernels/softmax/movers.cuh.

    Parameters
    ----------
    layout : Layout
    dtype : numpy.dtype
        Of the elements of all `arrays`.
    alignment : sequence of int
        For each array, a power of two that divides the address of its first element.
    arrays : sequence of int
        Which arrays of the layout are read or written along the row.
    lanes : int
        How many lanes of a warp share a row.

    Returns
    -------
    str
        ``"Vectors<4>"`` or ``"Ragged<4>"`` where every row starts at a multiple of as many elements, ``"SideBySide"``
        where rows have no gaps but start anywhere, ``"Elements"`` where the elements of a row lie apart.
    """
    if len(layout.reduced) != 1 or any(layout.reduced[0].strides[array] != 1 for array in arrays):
        return "Elements"
    # A row that does not fill a vector is read faster by what fits into it.
    vector = VECTOR_BYTES // dtype.itemsize
    width = min(vector, 1 << layout.columns.bit_length() - 1)
    while width > 1 and not all(
        alignment[array] % (width * dtype.itemsize) == 0
        and all(axis.strides[array] % width == 0 for axis in layout.batch)
        for array in arrays
    ):
        width //= 2
    ragged = layout.columns % width > 0
    if lanes == 32 and (width * dtype.itemsize < _NARROWEST or (ragged and width < vector)):
        return "SideBySide"
    return f"Ragged<{width}>" if ragged else f"Vectors<{width}>"


def by_columns(layout: Layout) -> bool:
    """Whether neighbouring lanes should take neighbouring rows: where that is what lies close together in memory."""
    if not layout.batch or not layout.reduced:
        return False
    return _distance(layout.reduced[-1]) >= _COLUMNS_RATIO * _distance(layout.batch[-1])


def _distance(axis: Axis) -> int:
    """How far apart neighbours lie in the first array; where they are one element, in the first array that moves."""
    return next((abs(stride) for stride in axis.strides if stride), 1)
