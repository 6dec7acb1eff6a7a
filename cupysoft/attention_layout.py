"""One call of attention after validation, as a value: what is computed, and where every array lies.

Score, mask and output of a query i and a key j, of the n keys that the query has:

    s = scale q.k;  s = softcap tanh(s / softcap), if there is a softcap;  s = s + bias
    j takes part  <=>  j < n  and  i + diagonal - left <= j <= i + diagonal + right  and  mask  and  s > -inf (or NaN)
    diagonal = n - q_len, so that the last query is level with the last key;  0 if `top_left`

    lse = log(sum of exp(s));  o = sum of exp(s - lse) v, where no key takes part 0, with lse = -inf
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from cupysoft.arrays import Axis

__all__ = ["PRECISIONS", "ROLES", "AttentionLayout", "AttentionOptions", "Precision", "Role"]

Precision: TypeAlias = Literal["tf32x3", "ieee", "tf32"]
Role: TypeAlias = Literal["q", "k", "v", "out", "lse", "mask", "bias", "kv_lengths"]

PRECISIONS: tuple[Precision, ...] = ("tf32x3", "ieee", "tf32")
"""How float32 is multiplied; the other types have one way each."""

ROLES: tuple[Role, ...] = ("q", "k", "v", "out", "lse", "mask", "bias", "kv_lengths")
"""The arrays of a call, in the order of the strides of an `AttentionLayout`."""


@dataclass(frozen=True)
class AttentionOptions:
    """What is computed, whatever the arrays.

    Attributes
    ----------
    scale : float
        Factor of q.k.
    softcap : float or None
        Bound of the scores before the bias; finite and above 0.
    left, right : int or None
        How far from the diagonal keys take part, to either side, the ends included; None is any distance.
        A causal call has ``right=0``.
    top_left : bool
        Whether the diagonal starts at the first key, rather than end at the last.
    precision : str
        One of `PRECISIONS`; it has a say in float32 only.
    """

    scale: float
    softcap: float | None = None
    left: int | None = None
    right: int | None = None
    top_left: bool = False
    precision: Precision = "tf32x3"

    def diagonal(self, q_len: int, keys: int) -> int:
        """Give j - i on the diagonal, for a query that has so many keys."""
        return 0 if self.top_left else keys - q_len

    def reach(self, first: int, stop: int, q_len: int, keys: int) -> tuple[int, int]:
        """Give the first key, and the one after the last, that a query of ``range(first, stop)`` may attend to.

        The range is empty, first = stop, where there is none.
        """
        diagonal = self.diagonal(q_len, keys)
        low = 0 if self.left is None else min(max(first + diagonal - self.left, 0), keys)
        high = keys if self.right is None else min(stop + diagonal + self.right, keys)
        return low, max(low, high)

    def whole(self, first: int, stop: int, q_len: int, keys: int) -> tuple[int, int]:
        """Give the range of keys that no query of ``range(first, stop)`` leaves out by its place; empty as in `reach`.

        Tiles inside it need no comparison of places.
        """
        diagonal = self.diagonal(q_len, keys)
        low = 0 if self.left is None else min(max(stop - 1 + diagonal - self.left, 0), keys)
        high = keys if self.right is None else min(first + 1 + diagonal + self.right, keys)
        return low, max(low, high)


@dataclass(frozen=True)
class AttentionLayout:
    """Where every array of a call lies, in elements.

    Attributes
    ----------
    batch : tuple of Axis
        Batch axes, none of size 1, neighbours joined where all arrays allow it, the widest step of q first. Each has a
        stride for each of `ROLES`: 0 where the array is absent or stands still. Heads that share a key and a value are
        an axis of their own, along which k and v stand still.
    q_len, kv_len, head_dim, value_dim : int
        Numbers of queries and keys (at least 1 of each), and the lengths of their vectors.
    strides : tuple of pairs of int
        For each of `ROLES` the strides of the last two axes: q and out by (query, column), k and v by (key, column),
        mask and bias by (query, key), lse by (query, 0). 0 where the array is absent or is broadcast. Along an axis of
        one element they are 0, or 1 if it holds the columns of q, k, v or out.
    alignments : tuple of int
        For each of `ROLES` the largest power of two, up to 16, that divides the address of its first element; 16 where
        it is absent.
    present : tuple of bool
        For each of `ROLES` whether there is such an array.
    dtype : numpy.dtype
        Of q, k, v and out: float16, bfloat16, float32 or float64.
    bias_dtype : numpy.dtype or None
        Of the bias: float16, bfloat16, float32, float64 or an integer type. The mask is bool, kv_lengths are int64.
    options : AttentionOptions
        What is computed.
    """

    batch: tuple[Axis, ...]
    q_len: int
    kv_len: int
    head_dim: int
    value_dim: int
    strides: tuple[tuple[int, int], ...]
    alignments: tuple[int, ...]
    present: tuple[bool, ...]
    dtype: np.dtype[Any]
    bias_dtype: np.dtype[Any] | None
    options: AttentionOptions

    @property
    def lse_dtype(self) -> np.dtype[Any]:
        """dtype of lse."""
        return np.dtype(np.float64 if self.dtype == np.float64 else np.float32)

    def has(self, role: Role) -> bool:
        """Whether the call has this array."""
        return self.present[ROLES.index(role)]

    def steps(self, role: Role) -> tuple[int, int]:
        """Strides of an array along its last two axes, as in `strides`."""
        return self.strides[ROLES.index(role)]

    def batch_strides(self, role: Role) -> tuple[int, ...]:
        """Strides of an array along the batch axes."""
        return tuple(axis.strides[ROLES.index(role)] for axis in self.batch)

    def alignment(self, role: Role) -> int:
        """Alignment of an array, as in `alignments`."""
        return self.alignments[ROLES.index(role)]
