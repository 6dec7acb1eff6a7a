"""logsumexp of any axes, with weights and signs.

Rows are summed block by block. A row whose result is far smaller than what it was added from is then computed again,
first in wide arithmetic (`wide`), and, in the rare case that not even that is enough, in integers (`exact`).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host import complex_rows, exact
from cupysoft.host.blocks import Box, Grid
from cupysoft.host.exponential import LOWEST
from cupysoft.host.rounding import store
from cupysoft.host.softmax import is_plain
from cupysoft.host.states import anchored, log_total, shifted
from cupysoft.host.sums import Sums, merge_sums, row_sums
from cupysoft.host.threads import for_each, ieee_arithmetic
from cupysoft.host.wide import WIDE_ERROR, wide_exp, wide_log, wide_sums
from cupysoft.host.words import FloatArray, compress, exponent_above, two_product, two_sum

__all__ = ["log_sums", "logsumexp"]

# Error of log(l) for a sum without cancellation, and the error, relative to the result, that is let pass:
# far below half an ulp of float32, or a quarter of an ulp of float64.
ERROR = {True: 2.0**-46, False: 2.0**-57}
ACCEPTED = {True: 2.0**-34, False: 2.0**-54}
WIDE_ACCEPTED = 2.0**-57


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
    compute = complex_rows.rows if is_complex else functools.partial(_rows, plain=is_plain(out.dtype))
    alone = len(grid.pieces()) == 1

    def one_block(batch: Box) -> None:
        result, sign = compute(grid, views, batch, signed=signs is not None)
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


def _rows(grid: Grid, views: list[npt.NDArray[Any]], batch: Box, *, signed: bool, plain: bool) -> Rows:
    """Compute the rows of one box of the batch."""
    boxes = grid.boxes(batch)

    def sums_of(box: Box) -> Sums:
        a, *b = (grid.load(view[box]) for view in views)
        return row_sums(a, b[0] if b else None, plain=plain)

    parts = for_each(sums_of, boxes, parallel=len(boxes) > 1)
    sums = merge_sums(parts) if len(parts) > 1 else parts[0]
    rows, doubtful = log_sums(sums, weighted=len(views) > 1, plain=plain)
    if doubtful.any():
        places = np.flatnonzero(doubtful)
        finer = _refined(grid, views, boxes, places, sums)
        rows.result[places], rows.sign[places] = finer
    if not signed:
        rows.result[rows.sign < 0] = np.nan
    return rows


def log_sums(sums: Sums, *, weighted: bool, plain: bool) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Give m + log(abs(l)), the sign of l, and which results may have lost too much."""
    m, hi, lo = sums.state
    sign = np.sign(hi)
    log_hi, log_lo = log_total(sums.state._replace(l_hi=np.abs(hi), l_lo=lo * sign), plain=plain)
    finite = np.isfinite(m)
    result, error = two_sum(anchored(m), log_hi)
    result += np.where(np.isfinite(result), error + log_lo, 0.0)
    result = np.where(finite, result, np.log(np.abs(hi)))
    loss = np.abs(log_hi)
    if weighted:
        loss = loss + sums.size / np.abs(hi)
    # A sum of 0 says nothing: its terms may have covered others that are far smaller.
    settled = (hi != 0) & (ERROR[plain] * loss <= ACCEPTED[plain] * np.abs(result))
    doubtful = finite & (sums.size > 0) & ~settled
    return Rows(result, sign), doubtful


def _refined(
    grid: Grid, views: list[npt.NDArray[Any]], boxes: list[Box], places: npt.NDArray[np.intp], sums: Sums
) -> Rows:
    """Compute chosen rows in wide arithmetic, and in exact arithmetic where that is not enough."""
    m = sums.state.m[places]

    def partial_sums(box: Box) -> list[FloatArray]:
        a, *b = (grid.load(view[box])[places] for view in views)
        return _wide_terms(a, b[0] if b else None, m)

    words = [word for part in for_each(partial_sums, boxes, parallel=grid.parallel) for word in part]
    total = compress(words, 3)
    sign = np.sign(total[0])
    log = wide_log([word * sign for word in total])
    head, tail = compress([m, *log], 2)
    result = head + tail
    loss = sums.size[places] / np.abs(total[0]) * np.minimum(1.0, np.abs(log[0]) * 2.0**12)
    settled = (total[0] != 0) & (loss * WIDE_ERROR <= WIDE_ACCEPTED * np.abs(result))
    for i in np.flatnonzero(~settled):
        a, *b = (np.concatenate([grid.load(view[box])[places[i]] for box in boxes]) for view in views)
        weights = b[0] if b else np.ones_like(a)
        a[weights == 0] = -np.inf
        result[i], sign[i] = exact.real_logsumexp(a.tolist(), weights.tolist())
    return Rows(result, sign)


def _wide_terms(a: FloatArray, b: FloatArray | None, m: FloatArray) -> list[FloatArray]:
    """Give words whose sum is that of b exp(a - m) over each row."""
    if b is not None:
        a[b == 0] = -np.inf
    d, d_lo = shifted(a, m[:, None])
    words = wide_exp(np.clip(d, LOWEST, 0.0), d_lo)
    scale = np.ones((len(a), 1))
    if b is not None:
        words = [half for word in words for half in two_product(word, b)]
        scale = exponent_above(np.maximum.reduce(np.abs(b), axis=1, keepdims=True))
    return wide_sums(words, scale)
