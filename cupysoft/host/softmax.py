"""softmax and log_softmax of any axes, correctly rounded, block by block.

A block of whole rows is computed by the first tier, and what that has doubts about by `settle`, before it is written. A
row that is too long for a block goes in pieces: its maximum, its sum, its results. Where the output is the input, the
results are looked through for doubts once before any is written, since to settle one takes the whole row.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host.blocks import Box, Grid
from cupysoft.host.first_tier import FirstTier, Logs, Terms, first_tier
from cupysoft.host.nearest import marked
from cupysoft.host.settle import distinct, settle_logs, settle_shares
from cupysoft.host.threads import for_each, ieee_arithmetic
from cupysoft.host.tiers import Read, Total
from cupysoft.host.words import FloatArray

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
    _walk(x, axes, out, _Shares(first_tier(out.dtype)))


def log_softmax(x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any]) -> None:
    """Write the logarithm of the softmax of `x` over `axes` to `out`; parameters as for :func:`softmax`."""
    _walk(x, axes, out, _LogShares(first_tier(out.dtype)))


class _Found(NamedTuple):
    """What results need of their rows: largest elements, totals, and logarithms where they are asked for."""

    m: FloatArray
    total: Total
    logs: Logs


class _Shares:
    """softmax: the terms of the sum are those of the result."""

    keeps_terms = True

    def __init__(self, tier: FirstTier) -> None:
        self.tier = tier

    def sums(self, terms: Terms) -> list[FloatArray]:
        return self.tier.share_sums(terms)

    def found(self, m: FloatArray, parts: list[list[FloatArray]], columns: int, piece: int, read: Read) -> _Found:
        return _Found(m, self.tier.share_total(parts, columns, piece), ([], m))

    def results(self, values: FloatArray | None, terms: Terms | None, found: _Found) -> tuple[FloatArray, Any]:
        """Give results and doubts of a block, from its terms or, without them, from its values."""
        if terms is None:
            assert values is not None
            terms = self.tier.terms(values, found.m)
        return self.tier.shares(terms, found.total)

    def settled(self, x: FloatArray, row: Any, found: _Found, read: Read) -> FloatArray:
        return settle_shares(x, row, found.m, found.total, read, self.tier.dtype)


class _LogShares(_Shares):
    """log_softmax: the terms serve the sum only."""

    keeps_terms = False

    def sums(self, terms: Terms) -> list[FloatArray]:
        return self.tier.rest_sums(terms)

    def found(self, m: FloatArray, parts: list[list[FloatArray]], columns: int, piece: int, read: Read) -> _Found:
        total = self.tier.rest_total(parts, columns, piece)
        return _Found(m, total, self.tier.logarithm(total, read))

    def results(self, values: FloatArray | None, terms: Terms | None, found: _Found) -> tuple[FloatArray, Any]:
        assert values is not None
        return self.tier.log_shares(values, found.m, found.logs)

    def settled(self, x: FloatArray, row: Any, found: _Found, read: Read) -> FloatArray:
        return settle_logs(x, row, found.m, found.total, found.logs, read, self.tier.dtype)


class _Doubts(NamedTuple):
    """Doubted places of a piece, the elements there, each once, with their rows, and the way back to the places."""

    mask: npt.NDArray[np.bool_]
    x: FloatArray
    row: npt.NDArray[np.intp]
    back: Any


_NONE = _Doubts(np.zeros(0, np.bool_), np.zeros(0), np.zeros(0, np.intp), slice(None))


def _walk(x: npt.NDArray[Any], axes: tuple[int, ...], out: npt.NDArray[Any], kind: _Shares) -> None:
    grid = Grid(x, axes, plain=is_plain(out.dtype))
    source, target = grid.ordered(x), grid.ordered(out)
    if len(grid.pieces()) == 1:
        for_each(lambda batch: _whole(grid, source, target, batch, kind), grid.batches(), parallel=grid.parallel)
        return
    in_place = np.may_share_memory(x, out)
    with ieee_arithmetic():
        for batch in grid.batches():
            _in_pieces(grid, source, target, batch, kind, in_place=in_place)


def _whole(grid: Grid, source: npt.NDArray[Any], target: npt.NDArray[Any], batch: Box, kind: _Shares) -> None:
    """Compute the rows of one box of the batch at once."""

    def read(rows: Any) -> Iterator[FloatArray]:
        yield grid.load(source[batch])[rows]

    values = grid.load(source[batch])
    m = np.maximum.reduce(values, axis=1)
    spent = values.copy(order="K") if kind.tier.uses_up and not kind.keeps_terms else values
    terms = kind.tier.terms(spent, m)
    found = kind.found(m, [kind.sums(terms)], grid.columns, grid.columns, read)
    results, doubts = kind.results(values, terms, found)
    if doubts.any():
        row, column = marked(doubts)
        results[row, column] = kind.settled(grid.load(source[batch])[row, column], row, found, read)
    grid.save(results, target[batch])


def _in_pieces(
    grid: Grid, source: npt.NDArray[Any], target: npt.NDArray[Any], batch: Box, kind: _Shares, *, in_place: bool
) -> None:
    """Compute the rows of one box of the batch piece by piece; terms are kept for the results if they can be."""
    boxes = grid.boxes(batch)
    places = range(len(boxes))

    def read(rows: Any) -> Iterator[FloatArray]:
        return (grid.load(source[box])[rows] for box in boxes)

    m = np.maximum.reduce(for_each(lambda box: grid.largest(source[box]), boxes, parallel=True), axis=0)
    kept: list[Terms | None] = [None] * len(boxes)
    room = kind.keeps_terms and len(m) * grid.columns <= KEPT

    def sums_of(place: int) -> tuple[list[FloatArray], int]:
        terms = kind.tier.terms(grid.load(source[boxes[place]]), m)
        if room:
            kept[place] = terms
        return kind.sums(terms), terms[0].shape[1]

    parts = for_each(sums_of, places, parallel=True)
    found = kind.found(m, [words for words, _ in parts], grid.columns, max(n for _, n in parts), read)

    def finish(place: int, *, write: bool) -> _Doubts:
        """Compute a piece, and give what is doubted there."""
        box, terms = boxes[place], kept[place]
        values = grid.load(source[box]) if terms is None else None
        if terms is not None and not write:
            terms = tuple(term.copy(order="K") for term in terms)
        results, doubts = kind.results(values, terms, found)
        doubted = _NONE
        if doubts.any():
            spots = marked(doubts)
            x, row, back = distinct(grid.load(source[box])[spots], spots[0])
            doubted = _Doubts(doubts, x, row, back)
        if write:
            grid.save(results, target[box])
        return doubted

    doubted = for_each(functools.partial(finish, write=not in_place), places, parallel=True)
    x, row = (np.concatenate(each) for each in zip(*((each.x, each.row) for each in doubted), strict=True))
    settled = kind.settled(x, row, found, read) if x.size else x
    if in_place:
        for_each(functools.partial(finish, write=True), places, parallel=True)
    cuts = np.cumsum([len(each.x) for each in doubted])
    for box, each, values in zip(boxes, doubted, np.split(settled, cuts[:-1]), strict=True):
        if values.size:
            _patch(grid, target[box], marked(each.mask), values[each.back])


def _patch(grid: Grid, block: npt.NDArray[Any], at: Any, values: FloatArray) -> None:
    """Write single results into a block."""
    split = len(grid.batch_shape)
    shapes = block.shape[:split], block.shape[split:]
    parts = (np.unravel_index(i, shape) for i, shape in zip(at, shapes, strict=True) if shape)
    index: Any = tuple(each for part in parts for each in part)
    # The values are numbers of the block's type already.
    block[index] = values.astype(block.dtype)
