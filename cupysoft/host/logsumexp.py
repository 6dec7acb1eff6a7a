"""logsumexp of any axes, with weights and signs, correctly rounded.

Rows are summed block by block. A row whose rounding the first tier does not vouch for is computed again by the next
ones (`tiers`), all such rows of a block at once, and by integers of rising size (`exact`) at last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host import complex_rows, exact, tiers
from cupysoft.host.blocks import Box, Grid
from cupysoft.host.exponential import log_words
from cupysoft.host.first_tier import LOG_ERROR, first_tier
from cupysoft.host.nearest import between
from cupysoft.host.rounding import store
from cupysoft.host.softmax import is_plain
from cupysoft.host.states import anchored
from cupysoft.host.sums import Sums, added, row_sums, top
from cupysoft.host.threads import for_each, ieee_arithmetic
from cupysoft.host.tiers import Tier
from cupysoft.host.words import FloatArray, compress, two_sum

__all__ = ["logsumexp"]

Places = npt.NDArray[np.intp]

KNOWN = 2.0**-10
"""A sum whose error is more than this part of it has no logarithm worth taking."""


class Rows(NamedTuple):
    """Results of rows, and the signs of their sums."""

    result: FloatArray
    sign: FloatArray


def logsumexp(
    a: npt.NDArray[Any],
    axes: tuple[int, ...],
    b: npt.NDArray[Any] | None,
    out: npt.NDArray[Any],
    sign_out: npt.NDArray[Any] | None,
) -> None:
    """Write log(abs(sum(b exp(a)))) over `axes` to `out`, and the sum's sign to `sign_out`.

    Parameters
    ----------
    a : ndarray
        Real or complex, of any strides.
    axes : tuple of int
        Axes in ``range(a.ndim)``.
    b : ndarray or None
        Weights that broadcast to the shape of `a`.
    out : ndarray
        Array of the shape of `a` without `axes`. Complex for a complex logarithm, real where the sign is asked too.
    sign_out : ndarray or None
        Same shape. If None, a negative sum of real terms gives NaN.
    """
    grid = Grid(a, axes, plain=is_plain(out.dtype))
    b = None if b is None else np.broadcast_to(b, a.shape)
    target = grid.ordered_batch(out)
    signs = None if sign_out is None else grid.ordered_batch(sign_out)
    if grid.columns == 0:
        out.fill(-np.inf)
        if sign_out is not None:
            sign_out.fill(0)
        return
    is_complex = a.dtype.kind == "c" or (b is not None and b.dtype.kind == "c")
    views = [grid.ordered(each) for each in ([a] if b is None else [a, b])]
    alone = len(grid.pieces()) == 1

    def rows(batch: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        if is_complex:
            return complex_rows.rows(grid, views, batch, signed=signs is not None)
        result, sign = (_unweighted if b is None else _weighted)(grid, views, grid.boxes(batch), out.dtype)
        if signs is None:
            result[sign < 0] = np.nan
        return result, sign

    def one_block(batch: Box) -> None:
        result, sign = rows(batch)
        _save(result, target, batch)
        if signs is not None:
            _save(sign, signs, batch)

    if alone:
        for_each(one_block, grid.batches(), parallel=grid.parallel)
        return
    with ieee_arithmetic():
        for batch in grid.batches():
            one_block(batch)


def _save(values: npt.NDArray[Any], target: npt.NDArray[Any], batch: Box) -> None:
    key: Any = (*batch, ...)  # the dots make a view even of an array without axes
    part = target[key]
    store(values.reshape(part.shape), part)


def _unweighted(grid: Grid, views: list[npt.NDArray[Any]], boxes: list[Box], dtype: np.dtype[Any]) -> Rows:
    """Compute the rows that lie in boxes."""
    (view,) = views
    tier = first_tier(dtype)
    alone = len(boxes) == 1

    def read(rows: Places) -> Iterator[FloatArray]:
        return (grid.load(view[box])[rows] for box in boxes)

    if not alone:
        m = np.maximum.reduce(for_each(lambda box: grid.largest(view[box]), boxes, parallel=True), axis=0)

    def sums_of(box: Box) -> tuple[list[FloatArray], int, FloatArray]:
        values = grid.load(view[box])
        largest = np.maximum.reduce(values, axis=1) if alone else m
        return tier.rest_sums(tier.terms(values, largest)), values.shape[1], largest

    parts = for_each(sums_of, boxes, parallel=not alone)
    m = parts[0][2]
    total = tier.rest_total([words for words, _, _ in parts], grid.columns, max(n for _, n, _ in parts))
    result, good = _added_up(m, *tier.logarithm(total, read), dtype)
    sign = np.where(np.isneginf(m), 0.0, np.where(np.isnan(m), np.nan, 1.0))
    endless = ~np.isfinite(m)
    result[endless] = m[endless]
    left = np.flatnonzero(~good & ~endless)
    for wider in tiers.wider(dtype):
        if left.size:
            sums = tiers.total(wider, read, left, m[left])
            result[left], good = _added_up(m[left], *tiers.logarithm(wider, sums, read, left), dtype)
            left = left[~good]
    for i in left:
        result[i] = exact.log_sum(np.concatenate(list(read(np.array([i]))), axis=1)[0], dtype)
    return Rows(result, sign)


def _added_up(
    m: FloatArray, words: list[FloatArray], slack: FloatArray, dtype: np.dtype[Any]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Round m + words to the dtype, and tell where that is decided."""
    if len(words) == 2:
        hi, error = two_sum(anchored(m), words[0])
        return between(hi, error + words[1], slack, dtype)
    hi, lo, rest = compress([anchored(m), *words], 3)
    return between(hi, lo, slack + np.abs(rest), dtype)


def _weighted(grid: Grid, views: list[npt.NDArray[Any]], boxes: list[Box], dtype: np.dtype[Any]) -> Rows:
    """Compute the rows that lie in boxes, with weights."""
    parallel = len(boxes) > 1
    m: FloatArray = np.empty(0)

    def load(box: Box, rows: Any = slice(None)) -> list[FloatArray]:
        return [grid.load(view[box])[rows] for view in views]

    def sums(tier: Tier | None, rows: Any) -> Sums:
        def part(box: Box) -> Sums:
            a, b = load(box, rows)
            largest = top(a, b)
            return row_sums(a, b, m[rows] if m.size else largest, tier)

        return added(for_each(part, boxes, parallel=parallel))

    if parallel:  # else the one box finds it
        m = np.maximum.reduce(for_each(lambda box: top(*load(box)), boxes, parallel=True), axis=0)
    plain = is_plain(dtype)
    first = sums(None if plain else tiers.DOUBLE, slice(None))
    m = first.m
    rows, good = _signed(first, _plain_log if plain else tiers.DOUBLE.log, dtype)
    left = np.flatnonzero(~good)
    wild = np.isinf(first.slack)
    for wider in tiers.wider(dtype):
        tried = left[~wild[left]]
        if tried.size:
            (rows.result[tried], rows.sign[tried]), good = _signed(sums(wider, tried), wider.log, dtype)
            left = np.setdiff1d(left, tried[good])
    for i in left:
        a, b = (np.concatenate(each, axis=1)[0] for each in zip(*(load(box, [i]) for box in boxes), strict=True))
        a[b == 0] = -np.inf
        rows.result[i], rows.sign[i] = exact.real_logsumexp(a.tolist(), b.tolist(), dtype)
    return rows


def _plain_log(words: list[FloatArray]) -> tuple[list[FloatArray], FloatArray]:
    hi, lo = log_words(*compress(words, 2))
    return [hi, lo], LOG_ERROR * np.abs(hi)


def _signed(
    sums: Sums, log: Callable[[list[FloatArray]], tuple[list[FloatArray], FloatArray]], dtype: np.dtype[Any]
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Give m + log(abs(sum)) and the sign of the sum, and tell where both are decided."""
    words = compress(sums.words, 3 if len(sums.words) > 2 else 2)
    sign = np.sign(words[0])
    known = sums.slack < KNOWN * np.abs(words[0])
    logs, error = log([np.where(known, word * sign, float(i == 0)) for i, word in enumerate(words)])
    slack = np.where(known, error + sums.slack / np.abs(words[0]) * (1 + 2 * KNOWN), 1.0)
    result, good = _added_up(sums.m, logs, slack, dtype)
    good &= known
    # No terms leave nothing, and infinite ones whatever they say.
    empty = np.isneginf(sums.m) & (sums.infinite == 0)
    result[empty], sign[empty], good[empty] = -np.inf, 0.0, True
    endless = sums.infinite != 0
    result[endless], sign[endless] = np.abs(sums.infinite[endless]), np.sign(sums.infinite[endless])
    good[endless] = True
    return Rows(result, sign), good
