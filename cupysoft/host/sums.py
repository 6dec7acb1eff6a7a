"""The state of weighted rows: signed sums of b exp(a - m), and how much they cancel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cupysoft.host.exponential import LOWEST, exp_words
from cupysoft.host.states import State, anchored, merge_all, row_state, shifted
from cupysoft.host.words import FloatArray, exponent_above, sum_words, two_product

__all__ = ["Sums", "merge_sizes", "merge_sums", "row_sums"]

WILD_HIGH, WILD_LOW = 2.0**400, 2.0**-400
"""Weights outside of these could over- or underflow in products; their rows are left to exact arithmetic."""


class Sums(NamedTuple):
    """Signed sum of the terms of rows, and the sum of their sizes, both relative to exp(state.m).

    Where m is not finite the sum says all: plus or minus infinity, NaN, or 0. A row for exact arithmetic has an
    infinite size.
    """

    state: State
    size: FloatArray


def merge_sums(sums: list[Sums]) -> Sums:
    """Give the sums of the terms of all."""
    return Sums(merge_all([each.state for each in sums]), merge_sizes([(each.state.m, each.size) for each in sums]))


def merge_sizes(sizes: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """Add sizes, each given with its anchor; an infinite one stays, however low its anchor."""
    merged = merge_all([State(m, size, np.zeros_like(size)) for m, size in sizes]).l_hi
    return np.where(np.isinf([size for _, size in sizes]).any(axis=0), np.inf, merged)


def row_sums(a: FloatArray, b: FloatArray | None, *, plain: bool) -> Sums:
    """Give the sums of the rows of (rows, columns) `a` with weights `b`; both are used up."""
    if b is None:
        state = row_state(a, plain=plain)
        return Sums(state, state.l_hi)
    a[b == 0] = -np.inf
    infinite = _infinite_terms(a, b)
    m = np.maximum.reduce(a, axis=1)
    size_of_b = np.abs(b)
    wild = np.maximum.reduce(size_of_b, axis=1) > WILD_HIGH
    size_of_b[b == 0] = 1.0
    wild |= np.minimum.reduce(size_of_b, axis=1) < WILD_LOW
    hi, lo, size = _finite_sums(a, b, anchored(m)[:, None], plain=plain)
    hi, size = np.where(wild, 1.0, hi), np.where(wild, np.inf, size)
    given = ~np.isfinite(infinite)
    hi = np.where(given, infinite, np.where(np.isneginf(m), 0.0, hi))
    m = np.where(np.isnan(infinite), np.nan, np.where(given, np.inf, m))
    return Sums(State(m, hi, np.where(np.isfinite(hi) & ~wild, lo, 0.0)), size)


def _infinite_terms(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sum the terms that are infinite or NaN: infinity with their sign, NaN, or 0 where all are finite."""
    ordinary = np.isfinite(b) & (a < np.inf)
    if ordinary.all():
        return np.zeros(len(a))
    factor = np.where(np.isfinite(a), 1.0, np.exp(a))
    return np.asarray(np.where(ordinary, 0.0, b * factor).sum(axis=1))


def _finite_sums(
    a: FloatArray, b: FloatArray, anchor: FloatArray, *, plain: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the two-word sum of b exp(a - anchor) and the sum of its terms' sizes."""
    low = None
    if plain:
        terms = b * np.exp(a - anchor)
    else:
        d, d_lo = shifted(a, anchor)
        e, e_lo = exp_words(np.clip(d, LOWEST, 0.0), d_lo)
        terms, error = two_product(b, e)
        low = error + b * e_lo
    sizes = np.abs(terms)
    scale = exponent_above(np.maximum.reduce(sizes, axis=1, keepdims=True))
    hi, lo = sum_words(terms, low, scale=scale, relative=not plain)
    return hi, lo, np.add.reduce(sizes, axis=1)
