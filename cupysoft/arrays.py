"""Which library an array is from, dtype rules, and any axis turned into rows and columns of a strided view."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["MAX_AXES", "Axis", "Layout", "layout"]

MAX_AXES = 6
"""Batch axes, and reduced axes, that a kernel takes after coalescing."""


@dataclass(frozen=True)
class Axis:
    """One axis seen jointly by several arrays.

    Attributes
    ----------
    size : int
        Number of elements along the axis.
    strides : tuple of int
        One stride for each array, in elements; 0 where the array does not change along the axis.
    """

    size: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Rows and columns of a strided view: each batch index is a row, each reduced index a column.

    Attributes
    ----------
    batch, reduced : tuple of Axis
        Axes that are kept and axes that are reduced, the innermost (smallest stride) last, none of size 1.
    rows, columns : int
        Products of their sizes.
    """

    batch: tuple[Axis, ...]
    reduced: tuple[Axis, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return math.prod(axis.size for axis in self.batch)

    @property
    def columns(self) -> int:
        """Number of elements in a row."""
        return math.prod(axis.size for axis in self.reduced)


def layout(shape: Sequence[int], reduced: Iterable[int], strides: Sequence[Sequence[int]]) -> Layout:
    """Turn a shape with reduced axes into rows and columns.

    Parameters
    ----------
    shape : sequence of int
    reduced : iterable of int
        Axes to reduce, each in ``range(len(shape))``.
    strides : sequence of sequences of int
        For each array its strides over `shape`, in elements. The first array decides the order of the axes.

    Returns
    -------
    Layout

    Notes
    -----
    Axes of size 1 are dropped. The axes of each group are ordered by falling stride of the first array, so that a
    transposed view is walked in the order of its memory, and neighbours are joined where every array allows it.
    """
    chosen = frozenset(reduced)
    axes = [Axis(size, tuple(s[i] for s in strides)) for i, size in enumerate(shape)]
    batch = [axis for i, axis in enumerate(axes) if i not in chosen]
    columns = [axis for i, axis in enumerate(axes) if i in chosen]
    return Layout(_joined(batch), _joined(columns))


def _joined(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """Drop axes of size 1, order the rest by falling stride, and join neighbours."""
    ordered = sorted((axis for axis in axes if axis.size != 1), key=lambda axis: -abs(axis.strides[0]))
    result: list[Axis] = []
    for inner in ordered:
        if result and _adjacent(result[-1], inner):
            result[-1] = Axis(result[-1].size * inner.size, inner.strides)
        else:
            result.append(inner)
    return tuple(result)


def _adjacent(outer: Axis, inner: Axis) -> bool:
    """Whether one step along `outer` is the same as `inner.size` steps along `inner`, for every array."""
    return all(o == inner.size * i for o, i in zip(outer.strides, inner.strides, strict=True))
