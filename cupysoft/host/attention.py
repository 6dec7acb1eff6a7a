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
from cupysoft.host.attention_entries import Entries, Rows
from cupysoft.host.attention_rows import DEPTH, Effort, RowStates, padded, times
from cupysoft.host.rounding import store
from cupysoft.host.threads import for_each
from cupysoft.host.words import FloatArray
from cupysoft.workers import thread_count

__all__ = ["attention"]

Array = npt.NDArray[Any]

QUERIES = 256
TILE = 256
"""Queries of a task, and keys of a tile: 64 Ki scores in float64 stay in a core's own cache."""

KEYS = 16 * TILE
"""Most keys of a tile of all entries of a task, where each has few queries: enough to be worth the calls of NumPy, and
few enough for them and their values to stay in a cache."""

NUMBERS = 1 << 18
"""Most elements of the queries and outputs of such a task."""

TURNED = 64
"""Keys that are turned in one go: a column of more of them has too many lines for a core's first cache."""

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

    entries: slice
    first: int
    stop: int

    @property
    def count(self) -> int:
        """How many entries."""
        return int(self.entries.stop - self.entries.start)


class _Call:
    """The arrays with their axes in the order (entries of keys and values, queries, heads that share them, columns)."""

    def __init__(self, arrays: Mapping[Role, Array], options: AttentionOptions) -> None:
        q, k, v = arrays["q"], arrays["k"], arrays["v"]
        batch = q.ndim - 2
        shared = [i for i in range(batch) if k.strides[i] == v.strides[i] == 0]
        own = [i for i in range(batch) if i not in shared]
        order = [*own, batch, *shared]
        first_of_shared = tuple(0 if i in shared else slice(None) for i in range(batch))
        self.k, self.v = (Entries(array[first_of_shared], len(own), 1) for array in (k, v))

        def of_rows(array: Array) -> Entries:
            # The axes of the entries, those of the rows, and what there is for each row.
            return Entries(array.transpose(*order, *range(batch + 1, array.ndim)), len(own), len(order) - len(own))

        self.q, self.out = of_rows(q), of_rows(arrays["out"])
        self.lse, self.mask, self.bias = (
            of_rows(arrays[role]) if role in arrays else None for role in ("lse", "mask", "bias")
        )
        self.lengths = None
        if "kv_lengths" in arrays:
            self.lengths = of_rows(np.broadcast_to(arrays["kv_lengths"][..., None], q.shape[:-1]))
        self.options = options
        self.dtype = arrays["out"].dtype
        self.plain = self.dtype.itemsize < 8
        self.entries = math.prod(q.shape[i] for i in own)
        self.row_shape = tuple(q.shape[i] for i in order[len(own) :])
        self.rows = math.prod(self.row_shape)
        self.kv_len, self.head_dim, self.value_dim = k.shape[-2], q.shape[-1], v.shape[-1]
        self.scores = self.entries * self.rows * self.kv_len

    def tasks(self) -> Iterator[_Task]:
        """Give the tasks: large enough to be worth their while, and as many as there are threads, if that can be."""
        rows, keys = padded(min(self.rows, QUERIES)), min(self.kv_len, TILE)
        of_entry = rows * (self.head_dim + self.value_dim)
        room = min(QUERIES * TILE // (rows * keys), KEYS // keys, NUMBERS // of_entry)
        together = max(1, min(room, -(-self.entries // thread_count())))
        for place in range(0, self.entries, together):
            entries = slice(place, min(place + together, self.entries))
            for first in range(0, self.rows, QUERIES):
                yield _Task(entries, first, min(first + QUERIES, self.rows))

    def run(self, task: _Task) -> None:
        """Compute the outputs of a task."""
        where, low, high = self._places(task)
        count = task.stop - task.first
        q = np.zeros((task.count, padded(count), self.head_dim))
        q[:, :count] = self.q.of_rows(task.entries, where)

        def walked(effort: Effort) -> RowStates:
            rows = RowStates(task.count, count, self.value_dim, plain=self.plain, effort=effort)
            for first in range(low.min() // TILE * TILE, high.max() + 1, TILE):
                stop = min(first + TILE, self.kv_len)
                self._fold(rows, q, task, where, (first, stop), low, high)
            return rows

        o, lse = walked(Effort.QUICK).result(walked)
        _write(o, self.out, self.dtype, task, where)
        if self.lse is not None:
            _write(lse, self.lse, np.dtype(np.float32 if self.plain else np.float64), task, where)

    def _places(self, task: _Task) -> tuple[Rows, Array, Array]:
        """Give an index of the task's rows, and the first and last key of each, as (entries, rows, 1)."""
        numbers = np.arange(task.first, task.stop)
        place = np.unravel_index(numbers, self.row_shape)
        where = (slice(task.first, task.stop),) if len(self.row_shape) == 1 else place
        keys = np.full((1, len(numbers)), self.kv_len)
        if self.lengths is not None:
            keys = self.lengths.of_rows(task.entries, where)
        options = self.options
        level = place[0] + (0 if options.top_left else keys - self.row_shape[0])
        low = np.zeros_like(keys) if options.left is None else np.maximum(level - options.left, 0)
        high = keys - 1 if options.right is None else np.minimum(level + options.right, keys - 1)
        return where, low[..., None], high[..., None]

    def _fold(
        self,
        rows: RowStates,
        q: FloatArray,
        task: _Task,
        where: Rows,
        keys: tuple[int, int],
        low: Array,
        high: Array,
    ) -> None:
        """Take in a tile of keys."""
        span = slice(*keys)
        scores = times(q, self._turned_keys(task, span), DEPTH[self.plain])
        s = scores[:, : rows.rows]
        s *= self.options.scale
        if self.options.softcap is not None:
            s /= self.options.softcap
            np.tanh(s, out=s)
            s *= self.options.softcap
        repair = None
        if self.bias is not None:
            bias = self.bias.of_rows(task.entries, where, span).astype(np.float64)
            s += bias
            if np.isneginf(bias).any():

                def repair(s: FloatArray) -> None:
                    np.copyto(s, -np.inf, where=np.isneginf(bias))

        if low.max() > keys[0] or high.min() < keys[1] - 1:
            number = np.arange(*keys)
            np.copyto(s, -np.inf, where=(number < low) | (number > high))
        if self.mask is not None:
            np.copyto(s, -np.inf, where=~self.mask.of_rows(task.entries, where, span))
        values = np.empty((task.count, keys[1] - keys[0], self.value_dim))
        for some, view in self.v.views(task.entries):
            np.copyto(values[some], view[:, span], casting="unsafe")
        rows.fold(scores, values, repair)

    def _turned_keys(self, task: _Task, span: slice) -> FloatArray:
        """Copy a tile of keys, as (entries, head_dim, keys)."""
        count = span.stop - span.start
        keys = np.empty((task.count, self.head_dim, count))
        for some, view in self.k.views(task.entries):
            turned = view[:, span].swapaxes(1, 2)
            for first in range(0, count, TURNED):
                part = np.s_[..., first : first + TURNED]
                np.copyto(keys[some][part], turned[part], casting="unsafe")
        return keys


def _write(values: FloatArray, target: Entries, dtype: np.dtype[Any], task: _Task, where: Rows) -> None:
    """Round what belongs to the rows of a task to where it goes."""
    rounded = np.empty(values.shape, dtype)
    store(values, rounded)
    for some, view in target.views(task.entries):
        view[(slice(None), *where)] = rounded[some]
