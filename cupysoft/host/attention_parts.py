"""Attention over different keys, joined: (m, l, o) as in a row's walk over its keys, in float64.

A result (o, lse) is the part (m, l, o) = (lse, 1, o): all that matters is l exp(m), and o exp(m).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cupysoft.host.rounding import store
from cupysoft.host.threads import ieee_arithmetic
from cupysoft.host.words import FloatArray

__all__ = ["Part", "attention_part", "finish_attention", "join_attention", "merge_attention"]


class Part(NamedTuple):
    """Largest exponent, -inf where there was no key; sum of weights; with one axis more, sum of weighted values."""

    m: FloatArray
    total: FloatArray
    o: FloatArray


def attention_part(o: npt.NDArray[Any], lse: npt.NDArray[Any]) -> Part:
    """Give the part that a result stands for."""
    return Part(lse.astype(np.float64), np.ones(lse.shape), o.astype(np.float64))


def join_attention(first: Part, second: Part) -> Part:
    """Give the part of the keys of both."""
    with ieee_arithmetic():
        m, weights = _weighed(first, second)
        total, o = np.zeros_like(first.total), np.zeros_like(first.o)
        for part, weight in zip((first, second), weights, strict=True):
            total += weight * part.total
            o += weight[..., None] * _known(part)
        return Part(m, total, o)


def finish_attention(part: Part, out: npt.NDArray[Any], lse: npt.NDArray[Any]) -> None:
    """Write the result of a part to `out`, and its logsumexp to `lse`."""
    with ieee_arithmetic():
        empty = np.isneginf(part.m)
        store(np.where(empty[..., None], 0.0, part.o / np.where(empty, 1.0, part.total)[..., None]), out)
        store(np.where(np.isinf(part.m), part.m, part.m + np.log(part.total)), lse)


def merge_attention(first: Part, second: Part, out: npt.NDArray[Any], lse: npt.NDArray[Any]) -> None:
    """Write the result over the keys of two results, as the parts that they stand for, to `out` and `lse`.

    What outputs are multiplied by adds up to 1, so that the largest numbers do not overflow.
    """
    with ieee_arithmetic():
        m, weights = _weighed(first, second)
        total = weights[0] + weights[1]
        o = np.zeros_like(first.o)
        for part, weight in zip((first, second), weights, strict=True):
            o += (weight / np.where(total == 0, 1.0, total))[..., None] * _known(part)
        store(o, out)
        store(np.where(np.isinf(m), m, m + np.log(total)), lse)


def _weighed(first: Part, second: Part) -> tuple[FloatArray, list[FloatArray]]:
    """Give the larger exponent, and what the sums of each part are multiplied by."""
    m = np.maximum(first.m, second.m)
    return m, [np.where(np.isneginf(part.m), 0.0, np.exp(part.m - m)) for part in (first, second)]


def _known(part: Part) -> FloatArray:
    """Give the outputs of a part; what an empty one holds does not matter."""
    return np.where(np.isneginf(part.m)[..., None], 0.0, part.o)
