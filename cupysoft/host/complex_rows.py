"""logsumexp of complex rows: two signed sums that share their anchor, the largest real part."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host import exact
from cupysoft.host.blocks import Box, Grid
from cupysoft.host.exponential import LOWEST, exp_words, log_words
from cupysoft.host.states import State, anchored, merge_all, shifted
from cupysoft.host.sums import WILD_HIGH, WILD_LOW, merge_sizes
from cupysoft.host.threads import for_each
from cupysoft.host.trigonometric import WIDEST_ANGLE, cos_sin_words
from cupysoft.host.words import FloatArray, add_words, exponent_above, sum_words, two_product, two_sum

__all__ = ["rows"]

ComplexArray = npt.NDArray[np.complex128]

ERROR = 2.0**-57
"""Error of the sum, relative to the sum of the sizes of its terms."""

ON_AXIS = 2.0**-100
"""Imaginary part, relative to that sum of sizes, whose sign is not known: it may be 0."""

ACCEPTED = 2.0**-54
"""Error, relative to the modulus of the result, that is let pass."""


class ComplexSums(NamedTuple):
    """Sums of rows, relative to exp(re.m).

    `size` is the sum of the moduli of the terms, infinite where only exact arithmetic will do. Rows with infinities or
    NaN are `special`, and their sum is `direct`. Rows without imaginary parts are `real`.
    """

    re: State
    im: State
    size: FloatArray
    special: npt.NDArray[np.bool_]
    direct: ComplexArray
    real: npt.NDArray[np.bool_]


def rows(
    grid: Grid, views: list[npt.NDArray[Any]], batch: Box, *, signed: bool
) -> tuple[npt.NDArray[Any], ComplexArray]:
    """Compute the rows of one box: the complex logarithm, or with `signed` its real part; and sum / abs(sum)."""
    boxes = grid.boxes(batch)

    def sums_of(box: Box) -> ComplexSums:
        a, *b = (grid.load(view[box], np.complex128) for view in views)
        return _row_sums(a, b[0] if b else None)

    parts = for_each(sums_of, boxes, parallel=len(boxes) > 1)
    sums = _merged(parts) if len(parts) > 1 else parts[0]
    result, sign, doubtful = _logarithm(sums)
    if not signed:
        # Just below the negative axis the angle is near -pi, on it and above near pi.
        doubtful |= ~sums.real & ~sums.special & (sums.re.l_hi < 0) & (np.abs(sums.im.l_hi) <= ON_AXIS * sums.size)
    for i in np.flatnonzero(doubtful):
        a, *b = (np.concatenate([grid.load(view[box], np.complex128)[i] for box in boxes]) for view in views)
        result[i], sign[i] = exact.complex_logsumexp(a.tolist(), (b[0] if b else np.ones_like(a)).tolist())
    return (result.real if signed else result), sign


def _row_sums(a: ComplexArray, b: ComplexArray | None) -> ComplexSums:
    if b is not None:
        a[b == 0] = -np.inf
    empty = a.real == -np.inf
    ordinary = np.isfinite(a) | empty
    if b is not None:
        ordinary &= np.isfinite(b)
    special = ~ordinary.all(axis=1)
    direct = np.zeros(len(a), np.complex128)
    if special.any():
        terms = np.exp(a[special]) if b is None else b[special] * np.exp(a[special])
        direct[special] = np.where(empty[special] & ordinary[special], 0.0, terms).sum(axis=1)
    m = np.maximum.reduce(a.real, axis=1)
    # Whatever is not finite has been dealt with: zeros keep it from spoiling a row that shares the block.
    angle = np.where(np.isfinite(a.imag) & ~empty, a.imag, 0.0)
    wild = np.maximum.reduce(np.abs(angle), axis=1) > WIDEST_ANGLE
    real = ~np.logical_or.reduce(angle, axis=1)
    d, d_lo = shifted(a.real, anchored(m)[:, None])
    e, e_lo = exp_words(np.clip(d, LOWEST, 0.0), d_lo)
    (c, c_lo), (s, s_lo) = cos_sin_words(np.where(wild[:, None], 0.0, angle))
    re, im = [_times(e, e_lo, c, c_lo)], [_times(e, e_lo, s, s_lo)]
    if b is not None:
        real &= ~np.where(empty, 0.0, b.imag).any(axis=1)
        moduli = np.abs(b)
        wild |= np.maximum.reduce(moduli, axis=1) > WILD_HIGH
        wild |= np.minimum.reduce(np.where(moduli == 0, 1.0, moduli), axis=1) < WILD_LOW
        re, im = _weighted(re[0], im[0], b.real, b.imag)
        e = e * moduli
    size = np.add.reduce(e, axis=1)
    scale = exponent_above(np.maximum.reduce(e, axis=1, keepdims=True))
    parts = (functools.reduce(_added, (sum_words(*p, scale=scale, relative=True) for p in part)) for part in (re, im))
    gone = np.isneginf(m)
    m = np.where(special | np.isnan(m), np.inf, m)
    # A row for exact arithmetic gets any finite sum that is not 0.
    states = [State(m, *(np.where(gone | special, 0.0, np.where(wild, 1.0, word)) for word in part)) for part in parts]
    size = np.where(wild, np.inf, np.where(gone, 0.0, size))
    return ComplexSums(states[0], states[1], size, special, direct, real)


_Words = tuple[FloatArray, FloatArray]


def _times(a: FloatArray, a_lo: FloatArray, b: FloatArray, b_lo: FloatArray) -> _Words:
    p, error = two_product(a, b)
    return p, error + (a * b_lo + a_lo * b)


def _weighted(re: _Words, im: _Words, b_re: FloatArray, b_im: FloatArray) -> tuple[list[_Words], list[_Words]]:
    """Multiply re + i im by b_re + i b_im; each part comes as two products, to be added as sums."""
    zero = np.zeros_like(b_re)
    return (
        [_times(*re, b_re, zero), _times(*im, -b_im, zero)],
        [_times(*re, b_im, zero), _times(*im, b_re, zero)],
    )


def _added(first: _Words, second: _Words) -> _Words:
    return add_words(*first, *second)


def _merged(parts: list[ComplexSums]) -> ComplexSums:
    return ComplexSums(
        merge_all([part.re for part in parts]),
        merge_all([part.im for part in parts]),
        merge_sizes([(part.re.m, part.size) for part in parts]),
        np.any([part.special for part in parts], axis=0),
        np.sum([part.direct for part in parts], axis=0),
        np.logical_and.reduce([part.real for part in parts]),
    )


def _logarithm(sums: ComplexSums) -> tuple[ComplexArray, ComplexArray, npt.NDArray[np.bool_]]:
    """Give the complex logarithm of each sum, the sum over its modulus, and which rows may have lost too much."""
    m, (re, re_lo), (im, im_lo) = sums.re.m, sums.re[1:], sums.im[1:]
    im = im + 0.0  # a negative zero would turn the angle pi into -pi
    square_hi, square_lo = add_words(*_times(re, re_lo, re, re_lo), *_times(im, im_lo, im, im_lo))
    log_hi, log_lo = log_words(square_hi, square_lo)
    log_hi, log_lo = 0.5 * log_hi, 0.5 * log_lo
    size, error = two_sum(anchored(m), log_hi)
    size += np.where(np.isfinite(size), error + log_lo, 0.0)
    result = np.empty(len(m), np.complex128)
    result.real, result.imag = size, np.arctan2(im, re)
    modulus = np.hypot(re, im)
    sign = np.where(modulus == 0, 0.0, (re + 1j * im) / np.where(modulus == 0, 1.0, modulus))
    loss = sums.size / modulus + np.abs(log_hi)
    # A sum of 0, or whose square is, says nothing: its terms may have covered others that are far smaller.
    settled = np.isfinite(size) & (ERROR * loss <= ACCEPTED * np.abs(result))
    doubtful = (sums.size > 0) & ~sums.special & ~settled
    result[sums.special] = np.log(sums.direct[sums.special])
    sign[sums.special] = np.sign(sums.direct[sums.special])
    return result, np.asarray(sign, np.complex128), doubtful
