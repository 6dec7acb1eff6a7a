"""Attention by its formula, in arithmetic wider than that of the dtype, and the bounds that results must keep.

Scores stand in memory as a whole here, so this is for small arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["EPSILON", "Expected", "assert_close", "expected", "live_keys", "naive", "over_batch", "units"]

Array = npt.NDArray[Any]

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
"""An ulp of 1."""

SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}
"""The smallest number of a dtype, which results below its normal numbers are rounded to multiples of."""


def units(dtype: np.dtype[Any], precision: str | None = None) -> float:
    """Give u of the bound: that of the arithmetic in which a dtype is computed."""
    if dtype == np.float64:
        return 2.0**-53
    return 2.0**-24 if dtype == np.float32 and precision == "ieee" else 2.0**-22


@dataclass(frozen=True)
class Expected:
    """The true answer, and what the bounds are made of.

    Attributes
    ----------
    o, lse : ndarray
    spread : ndarray
        sum_j p_j abs(v_j), of the shape of o.
    reach : ndarray
        A = max_j (scale sum abs(q k_j) + abs(bias_j)) over the keys that take part, of the shape of lse.
    live : ndarray
        Which keys take part, (..., q_len, kv_len).
    """

    o: Array
    lse: Array
    spread: Array
    reach: Array
    live: Array

    def bound(self, dtype: np.dtype[Any], precision: str | None, head_dim: int) -> Array:
        """Give the largest error that an element of o may have."""
        kv_len = self.live.shape[-1]
        factor = units(dtype, precision) * (4 * math.sqrt(head_dim) * self.reach + 4 * math.sqrt(kv_len) + 16)
        if dtype.itemsize == 2:
            factor = factor + 4 * EPSILON[dtype.name]
        with np.errstate(invalid="ignore"):
            return np.asarray(factor[..., None] * self.spread)

    def lse_bound(self, dtype: np.dtype[Any], precision: str | None, head_dim: int) -> Array:
        """Give the largest error that an element of lse may have: that of the scores, and of rounding it."""
        kv_len = self.live.shape[-1]
        factor = 4 * math.sqrt(head_dim) * self.reach + 4 * math.sqrt(kv_len) + 16 + np.abs(self.lse)
        return np.asarray(units(dtype, precision) * factor)


def over_batch(array: Array, batch: tuple[int, ...], own: int) -> Array:
    """Repeat what heads share, and broadcast to the batch."""
    lead, rest = array.shape[: array.ndim - own], array.shape[array.ndim - own :]
    if lead and batch and 1 < lead[-1] < batch[-1]:
        array = np.repeat(array, batch[-1] // lead[-1], axis=len(lead) - 1)
    return np.broadcast_to(array, (*batch, *rest))


def batch_of(q: Array, k: Array, v: Array) -> tuple[int, ...]:
    """Leading axes of the result."""
    heads = [array.shape[-3] for array in (q, k, v) if array.ndim > 2]
    leads = [array.shape[:-3] for array in (q, k, v)]
    return (*np.broadcast_shapes(*leads), 0 if 0 in heads else max(heads)) if heads else ()


def live_keys(
    batch: tuple[int, ...],
    q_len: int,
    kv_len: int,
    *,
    causal: Any = False,
    window: Any = None,
    mask: Any = None,
    kv_lengths: Any = None,
    **_: Any,
) -> Array:
    """Which keys the options let take part, (..., q_len, kv_len)."""
    live = np.ones((*batch, q_len, kv_len), bool)
    lengths = np.broadcast_to(kv_len if kv_lengths is None else np.asarray(kv_lengths), batch)
    left, right = (None, None) if window is None else window
    i, j = np.ogrid[:q_len, :kv_len]
    for entry in np.ndindex(batch):
        keys = int(lengths[entry])
        level = i if causal == "top-left" else i + keys - q_len
        takes_part = (j < keys) & (i >= 0)
        if causal:
            takes_part = takes_part & (j <= level)
        if left is not None:
            takes_part = takes_part & (j >= level - left)
        if right is not None:
            takes_part = takes_part & (j <= level + right)
        live[entry] = takes_part
    return live if mask is None else live & np.asarray(mask)


def expected(
    q: Array, k: Array, v: Array, *, scale: float | None = None, bias: Any = None, softcap: Any = None, **options: Any
) -> Expected:
    """Compute attention by its formula; options as those of `cupysoft.attention`."""
    wide = np.longdouble if q.dtype == np.float64 else np.float64
    batch = batch_of(q, k, v)
    factor = wide(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    with np.errstate(all="ignore"):
        q, k, v = (over_batch(array.astype(wide), batch, 2) for array in (q, k, v))
        turned = np.swapaxes(k, -1, -2)
        scores = factor * np.matmul(q, turned)
        reach = np.abs(factor) * np.matmul(np.abs(q), np.abs(turned))
        if softcap is not None:
            scores = wide(softcap) * np.tanh(scores / wide(softcap))
        if bias is not None:
            added: Array = np.asarray(bias).astype(wide)
            scores, reach = scores + added, reach + np.abs(added)
        live = live_keys(batch, q.shape[-2], k.shape[-2], **options)
        if bias is not None:
            live &= ~np.isneginf(added)
        live &= ~(scores == -np.inf)
        scores = np.where(live, scores, -np.inf)
        top = np.max(scores, axis=-1, keepdims=True, initial=-np.inf)
        p = np.where(live, np.exp(scores - np.where(top == -np.inf, 0, top)), 0)
        total = p.sum(axis=-1, keepdims=True)
        lse = (top + np.log(total))[..., 0]
        p = p / np.where(total == 0, 1, total)
        # A softcap makes a finite score of an infinite product, with no error.
        reach = np.max(np.where(live & np.isfinite(reach), reach, 0), axis=-1, initial=0)
        return Expected(_summed(p, v, live), lse, _summed(p, np.abs(v), live), reach, live)


def _summed(p: Array, v: Array, live: Array) -> Array:
    """Sum p_j v_j over the keys that take part, whatever the others hold."""
    if np.isfinite(v).all():
        return np.asarray(np.matmul(p, v))
    return np.asarray(np.where(live[..., None], p[..., None] * v[..., None, :, :], 0).sum(axis=-2))


def assert_close(o: Array, lse: Array | None, true: Expected, precision: str | None, head_dim: int) -> None:
    """Every element within its bound, and not finite exactly where the true one is not."""
    dtype = o.dtype
    assert o.shape == true.o.shape
    finite = np.isfinite(true.o)
    np.testing.assert_array_equal(np.isfinite(o.astype("f8")), finite)
    error = np.abs(o[finite].astype(true.o.dtype) - true.o[finite])
    bound = true.bound(dtype, precision, head_dim)[finite] + SMALLEST[dtype.name]
    assert (error <= bound).all(), f"{float((error / np.maximum(bound, 1e-300)).max()):.3g} of the bound"
    none = ~true.live.any(axis=-1)
    assert (np.abs(o[none].astype("f8")) == 0).all()
    if lse is None:
        return
    assert lse.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert (lse[none] == -np.inf).all()
    some = np.isfinite(true.lse)
    error = np.abs(lse[some].astype(true.o.dtype) - true.lse[some])
    assert (error <= true.lse_bound(dtype, precision, head_dim)[some]).all()
    assert not np.isfinite(lse[~some]).any()


def naive(q: Array, k: Array, v: Array) -> Array:
    """Attention as it is written down in NumPy, all of it in the dtype of the arrays."""
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) * q.dtype.type(1 / math.sqrt(q.shape[-1]))
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(np.matmul(scores / scores.sum(axis=-1, keepdims=True), v))
