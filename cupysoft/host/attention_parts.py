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

__all__ = ["Part", "attention_part", "finish_attention", "join_attention"]


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
        m = np.maximum(first.m, second.m)
        total, o = np.zeros_like(first.total), np.zeros_like(first.o)
        for part in (first, second):
            empty = np.isneginf(part.m)
            weight = np.where(empty, 0.0, np.exp(part.m - m))
            total += weight * part.total
            # What an empty part holds does not matter.
            o += weight[..., None] * np.where(empty[..., None], 0.0, part.o)
        return Part(m, total, o)


def finish_attention(part: Part, out: npt.NDArray[Any], lse: npt.NDArray[Any]) -> None:
    """Write the result of a part to `out`, and its logsumexp to `lse`."""
    with ieee_arithmetic():
        empty = np.isneginf(part.m)
        store(np.where(empty[..., None], 0.0, part.o / np.where(empty, 1.0, part.total)[..., None]), out)
        store(np.where(np.isinf(part.m), part.m, part.m + np.log(part.total)), lse)
