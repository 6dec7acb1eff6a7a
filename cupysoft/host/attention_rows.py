"""The online softmax of some queries: products of matrices of one shape, and the running state (m, l, o).

A BLAS may add the terms of a product in another order when the shape of its matrices changes, or give its work to
threads when they are large. So every product here has LANES rows, filled up with zeros where there are fewer queries,
and is small enough for one thread: a query's answer depends on nothing but its own row and the keys. Sums are cut into
short ones, too, so that rounding errors that all point the same way cannot add up.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import numpy as np
import numpy.typing as npt

from cupysoft.host.words import FloatArray

__all__ = ["LANES", "Effort", "RowStates", "padded", "times"]

LANES = 8
"""Rows of a product: few enough to waste little on a single query, enough for nearly the speed of a large product."""

PRODUCT = 1 << 18
"""Multiplications in a product; OpenBLAS gives more of them to its threads (interface/gemm.c)."""

DEPTH = {True: 64, False: 16}
"""Terms of a score that are summed in one go, where results are narrower than float64 (True) and where they are not."""

KEYS = {True: 128, False: 32}
"""Terms of an output that are summed in one go."""


LOWERED = 2.0**-64
"""What weights are multiplied by where their sum with values leaves the range of float64."""

LARGEST = np.finfo(np.float64).max


def padded(rows: int) -> int:
    """Give the next multiple of `LANES`."""
    return -(-rows // LANES) * LANES


def times(a: FloatArray, b: FloatArray, depth: int) -> FloatArray:
    """Multiply matrices, at most `depth` terms in one sum: (entries, rows, terms) by (entries, terms, columns)."""
    entries, rows, terms = a.shape
    columns = b.shape[2]
    result = np.empty((entries, rows, columns))
    lanes = a.reshape(entries, rows // LANES, LANES, terms)
    target = result.reshape(entries, rows // LANES, LANES, columns)
    width = PRODUCT // (LANES * depth)
    for left in range(0, columns, width):
        place = np.s_[..., left : left + width]
        for first in range(0, terms, depth):
            pair = lanes[..., first : first + depth], b[:, None, first : first + depth, left : left + width]
            if first == 0:
                np.matmul(*pair, out=target[place])
            else:
                target[place] += np.matmul(*pair)
    return result


class Effort(Enum):
    """How a walk over the keys is made."""

    QUICK = "as if all values were finite"
    APART = "what is not finite is set apart"
    LOWERED = "that, and weights are lowered, so that no sum leaves the range"


class RowStates:
    """What some queries have seen so far: their largest score m, l = sum of exp(s - m), o = sum of exp(s - m) v.

    Attributes
    ----------
    m, l : ndarray
        (entries, rows, 1); each entry of the batch has keys and values of its own. Lowered weights lower l and o alike.
    o : ndarray
        (entries, rows filled up to a multiple of LANES, value_dim).
    """

    def __init__(self, entries: int, rows: int, value_dim: int, *, plain: bool, effort: Effort = Effort.QUICK) -> None:
        self.rows = rows
        self._keys = KEYS[plain]
        self._effort = effort
        self.m = np.full((entries, rows, 1), -np.inf)
        self.l = np.zeros((entries, rows, 1))
        self.o = np.zeros((entries, padded(rows), value_dim))
        self._infinite: FloatArray | float = 0.0

    def fold(self, scores: FloatArray, values: FloatArray, repair: Callable[[FloatArray], None] | None) -> None:
        """Take in further keys.

        Parameters
        ----------
        scores : ndarray
            (entries, rows filled up, keys), -inf where a key takes no part. It is used up.
        values : ndarray
            (entries, keys, value_dim)
        repair : callable, optional
            Called with the scores of the rows if there is a NaN among them: it may take out what is none of theirs.
        """
        s = scores[:, : self.rows]
        m = np.maximum.reduce(s, axis=2, keepdims=True)
        if repair is not None and np.isnan(m).any():
            repair(s)
            m = np.maximum.reduce(s, axis=2, keepdims=True)
        np.maximum(m, self.m, out=m)
        if self._effort is not Effort.QUICK:
            values = self._set_apart(s > -np.inf, values)
        # Where there is no key yet, 0 stands for the maximum: -inf - -inf would be NaN.
        anchor = np.where(np.isneginf(m), 0.0, m)
        s -= anchor
        np.exp(s, out=s)
        if self._effort is Effort.LOWERED:
            s *= LOWERED
        total = np.add.reduce(s, axis=2, keepdims=True)
        if (m != self.m).any():
            factor = np.exp(self.m - anchor)
            self.l *= factor
            self.o[:, : self.rows] *= factor
        self.l += total
        self.o += times(scores, values, self._keys)
        self.m = m

    def _set_apart(self, live: npt.NDArray[np.bool_], values: FloatArray) -> FloatArray:
        """Note which rows see infinite values and NaN, and give the values without them: 0 times NaN would be NaN."""
        for special, kind in ((np.inf, np.isposinf), (-np.inf, np.isneginf), (np.nan, np.isnan)):
            seen = kind(values)
            if seen.any():
                count = np.matmul(live.astype(np.float64), seen.astype(np.float64))
                self._infinite = self._infinite + np.where(count > 0, special, 0.0)
        return np.where(np.isfinite(values), values, 0.0)

    def result(self, walked: Callable[[Effort], RowStates]) -> tuple[FloatArray, FloatArray]:
        """Give the outputs (entries, rows, value_dim) and lse (entries, rows); 0 and -inf where there was no key.

        Parameters
        ----------
        walked : callable
            Gives the states of the same rows after another walk. An output that is not finite, though the scores are,
            has met a value that is not, be it 0 times, or its sum has left the range, which no mean does.
        """
        o, apart = self._means(), self._infinite
        for effort in (Effort.APART, Effort.LOWERED):
            odd = ~np.isfinite(o) & (self.m < np.inf)
            if not odd.any():
                break
            other = walked(effort)
            means, apart = other._means(), other._infinite
            if effort is Effort.LOWERED:
                means = np.clip(means, -LARGEST, LARGEST)
            np.copyto(o, means, where=odd)
        lse = np.where(np.isposinf(self.m), np.inf, self.m + np.log(self.l))
        return o + apart, lse[..., 0]

    def _means(self) -> FloatArray:
        """Give the outputs as far as values are finite."""
        return self.o[:, : self.rows] / np.where(self.l == 0, 1.0, self.l)
