"""Sums of weighted rows, b exp(a - m): signed, with the sum of their terms' sizes and a bound of their error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cupysoft.host import plain
from cupysoft.host.exponential import scale_by_power
from cupysoft.host.states import State, anchored, merge_all
from cupysoft.host.tiers import Tier
from cupysoft.host.words import FloatArray, compress, exponent_above, two_product, two_sum

__all__ = ["WILD_HIGH", "WILD_LOW", "Sums", "added", "merge_sizes", "row_sums", "top"]

WILD_HIGH, WILD_LOW = 2.0**400, 2.0**-400
"""Weights outside of these could over- or underflow in products; their rows are left to exact arithmetic."""

LOST = 2.0**-550
"""More than a term below exp(LOWEST) weighs, or underflow takes: beside sizes above WILD_LOW next to nothing."""


class Sums(NamedTuple):
    """Sums of rows over exp(m) as words, the sizes of their terms, a bound of the error, and what infinite terms make.

    `infinite` is plus or minus infinity, NaN, or 0 where all terms are finite. A row for exact arithmetic has an
    infinite slack.
    """

    m: FloatArray
    words: list[FloatArray]
    size: FloatArray
    slack: FloatArray
    infinite: FloatArray


def merge_sizes(sizes: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """Add sizes, each given with its anchor; an infinite one stays, however low its anchor."""
    merged = merge_all([State(m, size, np.zeros_like(size)) for m, size in sizes]).l_hi
    return np.where(np.isinf([size for _, size in sizes]).any(axis=0), np.inf, merged)


def top(a: FloatArray, b: FloatArray) -> FloatArray:
    """Give the largest exponent of each row that has a weight; -inf is written over those that have none."""
    a[b == 0] = -np.inf
    return np.asarray(np.maximum.reduce(a, axis=1))


def added(parts: list[Sums]) -> Sums:
    """Give the sums of the terms of all; they have one anchor."""
    m, words = parts[0][:2]
    for part in parts[1:]:
        words = compress([*words, *part.words], 4)
    rest = (np.add.reduce([part[i] for part in parts], axis=0) for i in (2, 3, 4))
    return Sums(m, words, *rest)


def row_sums(a: FloatArray, b: FloatArray, m: FloatArray, tier: Tier | None) -> Sums:
    """Sum the rows of (rows, columns) `a` with weights `b` and the anchor `m`; in one word where the tier is None.

    Weights of zero must have been seen to by `top`. Both arrays are used up.
    """
    columns = a.shape[1]
    infinite = _infinite_terms(a, b)
    size_of_b = np.abs(b)
    wild = np.maximum.reduce(size_of_b, axis=1) > WILD_HIGH
    size_of_b[b == 0] = 1.0
    wild |= np.minimum.reduce(size_of_b, axis=1) < WILD_LOW
    anchor = anchored(m)[:, None]
    words, size, error, scale = _plain(a, b, anchor) if tier is None else _wider(a, b, anchor, tier)
    slack = error * size * (1 + 2.0**-20) + columns * LOST
    if tier is not None:
        slack += tier.sum_floor * scale
    return Sums(m, words, size, np.where(wild, np.inf, slack), infinite)


def _infinite_terms(a: FloatArray, b: FloatArray) -> FloatArray:
    """Sum the terms that are infinite or NaN: infinity with their sign, NaN, or 0 where all are finite."""
    ordinary = np.isfinite(b) & (a < np.inf)
    if ordinary.all():
        return np.zeros(len(a))
    factor = np.where(np.isfinite(a), 1.0, np.exp(a))
    return np.asarray(np.where(ordinary, 0.0, b * factor).sum(axis=1))


def _plain(a: FloatArray, b: FloatArray, anchor: FloatArray) -> tuple[list[FloatArray], FloatArray, float, FloatArray]:
    """Sum in one word. x - m is off by at most 700 u, exp by EXP_ERROR, and the product with b by one rounding."""
    terms = plain.exp_word(plain.lowered(a, anchor))
    terms *= b
    sizes = np.abs(terms)
    scale = exponent_above(np.maximum.reduce(sizes, axis=1, keepdims=True))
    hi, lo = plain.sums(terms, scale)
    error = plain.U * (-plain.LOWEST + plain.EXP_ERROR + 1.01 + plain.depth(a.shape[1]))
    return [hi, lo], np.add.reduce(sizes, axis=1), error, scale[:, 0]


def _wider(
    a: FloatArray, b: FloatArray, anchor: FloatArray, tier: Tier
) -> tuple[list[FloatArray], FloatArray, float, FloatArray]:
    """Sum in the words of a tier, whose products with the weights are exact."""
    d, d_lo = two_sum(a, -anchor)
    d_lo[~(d >= plain.LOWEST)] = 0.0
    words, power = tier.exp(np.maximum(d, plain.LOWEST, out=d), d_lo)
    terms = [half for word in words for half in two_product(scale_by_power(word, power), b)]
    sizes = np.abs(terms[0])
    scale = exponent_above(np.maximum.reduce(np.abs(b), axis=1, keepdims=True))
    return tier.sums(terms, 2 * scale), np.add.reduce(sizes, axis=1), tier.sum_error, 2 * scale[:, 0]
