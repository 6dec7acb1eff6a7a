"""Elements that the first tier left undecided, decided one tier after the other.

An element's own exponential is taken again, from x and m without any rounding; a row's sum comes from the first tier at
first, which settles most of what the quick look at bits had to doubt, then from each wider one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host import exact, tiers
from cupysoft.host.nearest import decided, just_below, nearest
from cupysoft.host.tiers import NOTHING, Read, Tier, Total
from cupysoft.host.words import FloatArray, compress, two_product, two_sum

__all__ = ["distinct", "settle_logs", "settle_shares", "tier_shares"]

Places = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

FEW = 1 << 13
"""Up to so many doubted elements, to look for equal ones takes longer than to settle each."""

QUOTIENT_ERROR = 2.0**-150


def settle_shares(
    x: FloatArray, row: Places, m: FloatArray, first: Total, read: Read, dtype: np.dtype[Any]
) -> FloatArray:
    """Give exp(x - m) over the sum of its row, correctly rounded.

    Parameters
    ----------
    x, row : (elements,) arrays
        Finite elements, or -inf, and the rows that they are from.
    m, first
        Largest elements, which are finite where an element is asked for, and totals, of all rows.
    read : callable
        Gives chosen rows again.
    """
    x, row, back = distinct(x, row)
    result, left = _alike(first, row, m, x == m[row], read, dtype)
    for tier, totals in _steps(first, m, read, dtype):
        if left.size:
            rows, at = np.unique(row[left], return_inverse=True)
            result[left], good = tier_shares(tier, x[left], m[row[left]], totals(rows).at(at), dtype)
            left = left[~good]
    for i in np.unique(row[left]):
        mine = left[row[left] == i]
        result[mine] = exact.shares(_whole(read, i), x[mine].tolist(), dtype)
    return np.asarray(result[back])


def settle_logs(
    x: FloatArray,
    row: Places,
    m: FloatArray,
    first: Total,
    logs: tuple[list[FloatArray], FloatArray],
    read: Read,
    dtype: np.dtype[Any],
) -> FloatArray:
    """Give x - m less the logarithm of the sum of its row, correctly rounded; `logs` are the first tier's."""
    x, row, back = distinct(x, row)
    result, left = _vanishing(x == m[row], row, m, logs, read)
    if dtype.itemsize < 8 and left.size:
        # Where one element leads by far, x - m is often a tie itself, and the logarithm next to nothing.
        d, d_lo = two_sum(x[left], -m[row[left]])
        result[left], good = just_below(d, dtype)
        log = (logs[0][0] + np.abs(logs[0][1]) + logs[1])[row[left]]
        left = left[~(good & (d_lo == 0) & (log > logs[1][row[left]]) & (log < 2.0**-55 * np.abs(d)))]
    for tier, totals in _steps(first, m, read, dtype):
        if left.size:
            rows, at = np.unique(row[left], return_inverse=True)
            if tier is None:
                words, slack = [word[rows] for word in logs[0]], logs[1][rows]
            else:
                words, slack = tiers.logarithm(tier, totals(rows), read, rows)
            difference = [x[left], -m[row[left]], *(-word[at] for word in words)]
            result[left], good = decided(difference, slack[at], dtype)
            left = left[~good]
    for i in np.unique(row[left]):
        mine = left[row[left] == i]
        result[mine] = exact.log_shares(_whole(read, i), x[mine].tolist(), dtype)
    return np.asarray(result[back])


def _steps(
    first: Total, m: FloatArray, read: Read, dtype: np.dtype[Any]
) -> Iterator[tuple[Tier | None, Callable[[Places], Total]]]:
    """Give the first tier's totals of chosen rows, and the ways to get those of every wider tier."""
    yield None, first.at
    for tier in tiers.wider(dtype):
        yield tier, lambda rows, tier=tier: tiers.total(tier, read, rows, m[rows])  # type: ignore[misc]


def distinct(x: FloatArray, row: Places) -> tuple[FloatArray, Places, Any]:
    """Give each element of a row once: a row of many equal ones near a tie has as many doubts. And the way back."""
    if len(x) < FEW:
        return x, row, slice(None)
    values, which = np.unique(x, return_inverse=True)
    _, place, back = np.unique(row * len(values) + which, return_index=True, return_inverse=True)
    return x[place], row[place], back


def _whole(read: Read, row: int) -> FloatArray:
    whole: FloatArray = np.concatenate(list(read(np.array([row]))), axis=1)[0]
    return whole


def tier_shares(
    tier: Tier | None, x: FloatArray, m: FloatArray, sums: Total, dtype: np.dtype[Any]
) -> tuple[FloatArray, BoolArray]:
    """Divide the exponentials of elements by the sums of their rows, and round."""
    d, d_lo = two_sum(x, -m)
    nothing = d < NOTHING
    d_lo[nothing] = 0.0
    tier = tier or tiers.DOUBLE  # the first tier's totals go with terms of two words
    words, power = tier.exp(np.maximum(d, NOTHING, out=d), d_lo)
    shares = quotient(words, sums.words)
    slack = np.abs(shares[0]) * ((tier.exp_error + sums.slack / sums.words[0]) * (1 + 2.0**-20) + QUOTIENT_ERROR)
    values, good = decided(shares, slack, dtype, power)
    return np.where(nothing, 0.0, np.abs(values)), good | nothing


def quotient(a: list[FloatArray], b: list[FloatArray]) -> list[FloatArray]:
    """Divide sums of words: three words, each the quotient of what the ones before it left."""
    result = []
    for _ in range(3):
        word = a[0] / b[0]
        result.append(word)
        a = compress([*a, *(-part for each in b for part in two_product(word, each))], 3)
    return result


def _alike(
    first: Total, row: Places, m: FloatArray, top: BoolArray, read: Read, dtype: np.dtype[Any]
) -> tuple[FloatArray, Places]:
    """Settle rows whose finite elements are all equal, and give the places of the others.

    Their 1/n is rational, and 2^-25 a tie of float16. The quotient of whole numbers below 2^31 is half way between two
    numbers, or 2^-85 of itself or more from there. Three words know it to 2^-150, and hold it where n is a power of 2.
    """
    result, places = np.empty(len(row)), np.arange(len(row))
    whole = (first.words[0] == np.rint(first.words[0])) & (first.words[1] == 0)
    rows = np.unique(row[whole[row] & top])
    if not rows.size:
        return result, places
    counts, same = np.zeros(len(rows), np.int64), np.ones(len(rows), np.bool_)
    for piece in read(rows):
        largest = piece == m[rows, None]
        counts += np.count_nonzero(largest, axis=1)
        same &= (largest | np.isneginf(piece)).all(axis=1)
    at = np.flatnonzero(np.isin(row, rows[same]) & top)
    n = counts[np.searchsorted(rows, row[at])].astype(np.float64)
    result[at] = nearest(quotient([np.ones_like(n)], [n]), dtype)
    return result, np.setdiff1d(places, at)


def _vanishing(
    top: BoolArray, row: Places, m: FloatArray, logs: tuple[list[FloatArray], FloatArray], read: Read
) -> tuple[FloatArray, Places]:
    """Settle the largest elements of rows whose others are so far below that the result is -0, and leave the rest."""
    result, places = np.full(len(row), -0.0), np.arange(len(row))
    rows = np.unique(row[top & (2 * logs[1][row] > logs[0][0][row])])
    if not rows.size:
        return result, places
    second, leaders = np.full(len(rows), -np.inf), np.zeros(len(rows), np.int64)
    for piece in read(rows):
        leads = piece == m[rows, None]
        leaders += np.count_nonzero(leads, axis=1)
        np.maximum(second, np.where(leads, -np.inf, piece).max(axis=1), out=second)
    far = (leaders == 1) & (second > -np.inf) & (second - m[rows] < NOTHING)
    at = np.flatnonzero(np.isin(row, rows[far]) & top)
    return result, np.setdiff1d(places, at)
