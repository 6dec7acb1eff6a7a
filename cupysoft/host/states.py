"""The softmax state (m, l): the largest element and the sum of exp(x - m), the sum in two words.

A state is three float64 arrays of one shape: `m`, `l_hi`, `l_lo`. The identity is (-inf, 0, 0). One `merge` serves
pieces of a row, streams and threads. m = inf goes with l = inf, and a NaN element makes m and l NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cupysoft.host.exponential import LOWEST, exp_words
from cupysoft.host.words import FloatArray, add_words, fast_two_sum, two_product, two_sum

__all__ = ["State", "anchored", "merge", "merge_all", "shifted"]


class State(NamedTuple):
    """Largest element and two-word sum of exponentials, for each row."""

    m: FloatArray
    l_hi: FloatArray
    l_lo: FloatArray


def merge(first: State, second: State) -> State:
    """Give the state of the elements of both."""
    m = np.maximum(first.m, second.m)
    a_hi, a_lo = _rescaled(first, m)
    b_hi, b_lo = _rescaled(second, m)
    rough = a_hi + b_hi
    hi, lo = add_words(a_hi, a_lo, b_hi, b_lo)
    finite = np.isfinite(rough)
    return State(m, np.where(finite, hi, rough), np.where(finite, lo, 0.0))


def merge_all(states: list[State]) -> State:
    """Give the state of the elements of all; neighbours are merged in rounds, all pairs of a round at once."""
    stacked = State(*(np.stack(words) for words in zip(*states, strict=True)))
    while (count := len(stacked.m)) > 1:
        half = count // 2
        merged = merge(*(State(*(word[start : 2 * half : 2] for word in stacked)) for start in (0, 1)))
        stacked = State(*(np.concatenate(pair) for pair in zip(merged, (w[2 * half :] for w in stacked), strict=True)))
    return State(*(word[0] for word in stacked))


def _rescaled(state: State, m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give l exp(state.m - m) in two words."""
    d, d_lo = shifted(state.m, m)
    s_hi, s_lo = exp_words(np.clip(d, LOWEST, 0.0), d_lo)
    p, e = two_product(state.l_hi, s_hi)
    hi, lo = fast_two_sum(p, e + (state.l_hi * s_lo + state.l_lo * s_hi))
    # Equal anchors keep the sum as it is, infinite and NaN ones too; an empty part adds nothing.
    same, empty = state.m == m, state.l_hi == 0
    hi = np.where(same | empty, state.l_hi, hi)
    hi = np.where(np.isneginf(d) & ~same, 0.0, hi)
    return hi, np.where(same | empty, state.l_lo, np.where(np.isfinite(lo), lo, 0.0))


def anchored(m: FloatArray) -> FloatArray:
    """Give m where it is finite and 0 elsewhere: what can be subtracted without making NaN."""
    return np.where(np.isfinite(m), m, 0.0)


def shifted(x: FloatArray, m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give x - m as two words; the low word is 0 where the first underflows exp, or is not finite."""
    d, d_lo = two_sum(x, -m)
    d_lo[~(d > LOWEST)] = 0.0
    return d, d_lo
