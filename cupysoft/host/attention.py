"""Attention of NumPy arrays in tiles: some queries by some keys at a time, never all of both.

              keys ->  256    256    256        A task has up to 256 queries, of one head or of all heads that share
    queries  +------+------+------+             their keys; where there are fewer, of several entries of the batch. It
      256    |  o   |  o   |      |  task       walks over the keys once, and leaves out tiles that the diagonal and
             +------+------+------+             the window leave empty. Tiles begin at the same keys for every query,
      256    |  o   |  o   |  o   |  task       so whom a query shares its task with does not change its answer.
             +------+------+------+

All types are computed in float64, and rounded once at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.attention_layout import AttentionOptions, Role
from cupysoft.host.attention_rows import DEPTH, Rows, padded, times
from cupysoft.host.rounding import store
from cupysoft.host.threads import for_each
from cupysoft.host.words import FloatArray
from cupysoft.workers import thread_count

__all__ = ["attention"]

Array = npt.NDArray[Any]
Index = tuple[int, ...]

QUERIES = 256
TILE = 256
"""Queries of a task, and keys of a tile: 64 Ki scores in float64 stay in a core's own cache."""

ENTRIES = 16
"""Most entries of the batch in a task, where each has few queries: enough to be worth the calls of NumPy, and
few enough for their keys and values to stay in a cache."""

SMALL = 1 << 16
"""Up to so many scores are left to the calling thread."""


def attention(arrays: Mapping[Role, Array], options: AttentionOptions) -> None:
    """Write attention to ``arrays["out"]``, and its logsumexp to ``arrays["lse"]`` where that is given.

    Parameters
    ----------
    arrays : mapping
        As for `cupysoft.ops.attention_views.layout_of`, of any strides, with at least one key.
    options : AttentionOptions
    """
    call = _Call(arrays, options)
    for_each(call.run, call.tasks(), parallel=call.scores > SMALL)


@dataclass(frozen=True)
class _Task:
    """Rows first to stop of some entries of the batch."""

    entries: tuple[Index, ...]
    first: int
    stop: int


class _Call:
    """The arrays with their axes in the order (entries of keys and values, queries, heads that share them, columns)."""

    def __init__(self, arrays: Mapping[Role, Array], options: AttentionOptions) -> None:
        q, k, v = arrays["q"], arrays["k"], arrays["v"]
        batch = q.ndim - 2
        shared = [i for i in range(batch) if k.strides[i] == v.strides[i] == 0]
        own = [i for i in range(batch) if i not in shared]
        order = [*own, batch, *shared]
        first_of_shared = tuple(0 if i in shared else slice(None) for i in range(batch))
        self.k, self.v = k[first_of_shared], v[first_of_shared]
        # What belongs to a row: the axes of the entries, those of the rows, and what there is for each row.
        self.q, self.out = (a.transpose(*order, batch + 1) for a in (q, arrays["out"]))
        self.lse = arrays["lse"].transpose(order) if "lse" in arrays else None
        self.mask, self.bias = (
            arrays[role].transpose(*order, batch + 1) if role in arrays else None for role in ("mask", "bias")
        )
        self.lengths = None
        if "kv_lengths" in arrays:
            lengths = arrays["kv_lengths"][..., None]
            self.lengths = np.broadcast_to(lengths, q.shape[:-1]).transpose(order)
        self.options = options
        self.plain = self.out.dtype.itemsize < 8
        self.batch = tuple(q.shape[i] for i in own)
        self.row_shape = tuple(q.shape[i] for i in order[len(own) :])
        self.rows = math.prod(self.row_shape)
        self.scores = math.prod(self.batch) * self.rows * k.shape[-2]

    def tasks(self) -> Iterator[_Task]:
        """Give the tasks: large enough to be worth their while, and as many as there are threads, if that can be."""
        entries = list(np.ndindex(self.batch))
        together = max(1, min(QUERIES // padded(self.rows), ENTRIES, -(-len(entries) // thread_count())))
        for place in range(0, len(entries), together):
            for first in range(0, self.rows, QUERIES):
                yield _Task(tuple(entries[place : place + together]), first, min(first + QUERIES, self.rows))

    def run(self, task: _Task) -> None:
        """Compute the outputs of a task."""
        where, low, high = self._places(task)
        count = task.stop - task.first
        q = np.zeros((len(task.entries), padded(count), self.q.shape[-1]))
        q[:, :count] = _each(self.q, task, where)

        def walked(*, lowered: bool = False) -> Rows:
            rows = Rows(len(task.entries), count, self.v.shape[-1], plain=self.plain, lowered=lowered)
            for first in range(low.min() // TILE * TILE, high.max() + 1, TILE):
                stop = min(first + TILE, self.k.shape[-2])
                self._fold(rows, q, task, where, (first, stop), low, high)
            return rows

        o, lse = walked().result(lambda: walked(lowered=True))
        _write(o, self.out, task, where)
        if self.lse is not None:
            _write(lse, self.lse, task, where)

    def _places(self, task: _Task) -> tuple[tuple[Any, ...], Array, Array]:
        """Give an index of the task's rows, and the first and last key of each, as (entries, rows, 1)."""
        numbers = np.arange(task.first, task.stop)
        place = np.unravel_index(numbers, self.row_shape)
        where = (slice(task.first, task.stop),) if len(self.row_shape) == 1 else place
        keys = np.full((1, len(numbers)), self.k.shape[-2])
        if self.lengths is not None:
            keys = _each(self.lengths, task, where)
        options = self.options
        level = place[0] + (0 if options.top_left else keys - self.row_shape[0])
        low = np.zeros_like(keys) if options.left is None else np.maximum(level - options.left, 0)
        high = keys - 1 if options.right is None else np.minimum(level + options.right, keys - 1)
        return where, low[..., None], high[..., None]

    def _fold(
        self,
        rows: Rows,
        q: FloatArray,
        task: _Task,
        where: tuple[Any, ...],
        keys: tuple[int, int],
        low: Array,
        high: Array,
    ) -> None:
        """Take in a tile of keys."""
        span = slice(*keys)
        k = np.empty((len(q), q.shape[2], keys[1] - keys[0]))
        v = np.empty((len(q), keys[1] - keys[0], self.v.shape[-1]))
        for place, entry in enumerate(task.entries):
            np.copyto(k[place], self.k[entry][span].T, casting="unsafe")
            np.copyto(v[place], self.v[entry][span], casting="unsafe")
        scores = times(q, k, DEPTH[self.plain])
        s = scores[:, : rows.rows]
        s *= self.options.scale
        if self.options.softcap is not None:
            s /= self.options.softcap
            np.tanh(s, out=s)
            s *= self.options.softcap
        repair = None
        if self.bias is not None:
            bias = _each(self.bias[..., span], task, where).astype(np.float64)
            s += bias
            if np.isneginf(bias).any():

                def repair(s: FloatArray) -> None:
                    np.copyto(s, -np.inf, where=np.isneginf(bias))

        if low.max() > keys[0] or high.min() < keys[1] - 1:
            number = np.arange(*keys)
            np.copyto(s, -np.inf, where=(number < low) | (number > high))
        if self.mask is not None:
            np.copyto(s, -np.inf, where=~_each(self.mask[..., span], task, where))
        rows.fold(scores, v, repair)


def _each(array: Array, task: _Task, where: tuple[Any, ...]) -> Array:
    """Copy what belongs to the rows of a task; one row stands for all, and one entry, where they are the same."""
    entries = task.entries
    axes = len(entries[0])
    if not any(array.strides[:axes]):
        entries = entries[:1]
    rest = len(where) if len(where) > 1 else 1
    if not any(array.strides[axes : axes + rest]):
        where = (slice(0, 1), *(0,) * (rest - 1))
    return np.stack([array[entry][where] for entry in entries])


def _write(values: FloatArray, target: Array, task: _Task, where: tuple[Any, ...]) -> None:
    """Round what belongs to the rows of a task to where it goes."""
    for entry, of_entry in zip(task.entries, values, strict=True):
        rounded = np.empty(of_entry.shape, target.dtype)
        store(of_entry, rounded)
        target[entry][where] = rounded
