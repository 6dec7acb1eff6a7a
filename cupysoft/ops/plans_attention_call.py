"""A call of attention as its kernels take it: a structure of numbers, template arguments, and the width of accesses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cupysoft.arrays import MAX_AXES
from cupysoft.attention_layout import ROLES, AttentionLayout, AttentionOptions, Role
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.plan import Argument

__all__ = ["KernelCall", "count_of", "heads_as_queries", "padded", "width_of"]

# Numbers of batch axes that kernels are compiled for. More axes than the last are compiled for as they come.
_AXES = (1, 2, MAX_AXES)
# To make an exponent of two of a score.
_LOG2_E = 1 / math.log(2)
# Further than any key: what stands for no limit at all.
_OPEN = 1 << 40
# The widest access of a thread.
_VECTOR_BYTES = 16
_VECTORS: tuple[Role, ...] = ("q", "k", "v", "out")
# Columns of tiles of queries, keys and values for matrix instructions.
_SIZES = (32, 64, 96, 128, 192, 256)
# Bytes of keys and values that a block reads of a part: long beside the time to start it. Keys of a part are a power of
# two between these; but for some products of 16-bit types, whose tiles have 48 keys or 64, a multiple of both.
_PART_BYTES = 1 << 18
_PART_KEYS = (256, 1024)
_BOTH_TILES = 192


@dataclass(frozen=True)
class KernelCall:
    """The structure ``Call`` of kernels/attention/call.cuh, and what template arguments follow from the layout.

    Attributes
    ----------
    axes : int
        Batch axes that the kernel is compiled for.
    value : numpy.void
        The structure.
    parts : int
        Parts of the keys, of which each has a block; 1 where a block has all.
    options, form : str
        C++ types of kernels/attention/scores.cuh.
    """

    axes: int
    value: np.void
    parts: int
    options: str
    form: str

    @classmethod
    def of(cls, layout: AttentionLayout, few: bool) -> KernelCall:
        """Pack a layout; with `few` queries the keys are shared out, and so are very many keys."""
        options = layout.options
        part = _keys_of_part(layout) if few else _keys_of_long_part(layout)
        parts = -(-layout.kv_len // part)
        axes = next((n for n in _AXES if n >= len(layout.batch)), len(layout.batch))
        sizes = [axis.size for axis in reversed(layout.batch)] + [1] * (axes - len(layout.batch))
        steps = [
            step
            for role in ROLES
            for step in [*reversed(layout.batch_strides(role)), *[0] * (axes - len(layout.batch))]
        ]
        whole = [
            layout.q_len, layout.kv_len, layout.head_dim, layout.value_dim,
            _distance(options.left), _distance(options.right),
            int(options.top_left), layout.kv_len if parts == 1 else part, parts,
        ]  # fmt: skip
        biased = layout.bias_dtype is not None
        form = "CAPPED" if options.softcap is not None else "SCALED" if biased or options.scale <= 0 else "FOLDED"
        real = _numbers_of_scores(options, form, layout.lse_dtype)
        rest = [*sizes, *steps, *(step for pair in layout.strides for step in pair)]
        packed = b"".join(
            np.array(numbers, dtype).tobytes()
            for numbers, dtype in ((whole, np.int64), (real, np.float64), (rest, np.int64))
        )
        masked = "true" if layout.has("mask") else "false"
        return cls(axes, np.void(packed), parts, f"Options<{form}, {masked}, {_bias_type(layout)}>", form)

    def arguments(self, layout: AttentionLayout) -> tuple[Argument, ...]:
        """Arguments of the kernels that compute attention."""
        null = np.uint64(0)
        given: list[Argument] = [role if layout.has(role) else null for role in ROLES]
        parts: list[Argument] = ["parts_o", "parts_m", "parts_l"] if self.parts > 1 else [null] * 3
        return (*given, *parts, self.value)


def _numbers_of_scores(options: AttentionOptions, form: str, accumulator: np.dtype[Any]) -> list[float]:
    """Give multiplier, softcap, factor and natural of a call: finite, and not 0 if need be, in the accumulators' type.

    What is beyond that has no meaning there but would make NaN: infinity times a product that is 0.
    """
    limits = np.finfo(accumulator)
    largest = float(limits.max)

    def held(number: float) -> float:
        return min(max(number, -largest), largest)

    if form == "FOLDED":
        return [1.0, 0.0, max(held(options.scale * _LOG2_E), float(limits.smallest_subnormal)), options.scale]
    if form == "SCALED":
        return [held(options.scale), 0.0, _LOG2_E, 1.0]
    # So large a bound is none; and the multiplier would have fewer digits.
    bound = min(held(options.softcap or 0.0), abs(options.scale) / float(limits.smallest_normal))
    return [held(options.scale / bound) if bound else 0.0, bound, _LOG2_E, 1.0]


def padded(size: int) -> int:
    """The smallest size of a tile that is not below `size`."""
    return next(each for each in _SIZES if each >= size)


def _keys_of_part(layout: AttentionLayout) -> int:
    """Keys of a part; it follows from dtype, head_dim and value_dim."""
    of_key = layout.dtype.itemsize * (padded(layout.head_dim) + padded(layout.value_dim))
    keys = min(max(1 << (_PART_BYTES // of_key).bit_length() - 1, _PART_KEYS[0]), _PART_KEYS[1])
    both = layout.dtype.itemsize == 2 and padded(layout.value_dim) == 128
    return keys // _BOTH_TILES * _BOTH_TILES if both else keys


def _keys_of_long_part(layout: AttentionLayout) -> int:
    """Keys of a part where queries are many: as many as can be added up, a tile at a time, within the bound.

    Where all weights are alike each tile may add an error of the same sign, so there may be 4 sqrt(kv_len) of them.
    """
    size, value, precision = layout.dtype.itemsize, padded(layout.value_dim), layout.options.precision
    if size == 2 or (size == 4 and precision == "tf32"):
        return layout.kv_len  # the bound has room for anything
    if size == 8:
        terms = 32 if value <= 64 else 16 if value <= 128 else 64
    else:  # tf32x3 may err four times as much as float32
        terms = 64 if precision == "ieee" or value > 64 else 128
    parts = max(1, -(-math.isqrt(layout.kv_len) // (4 * terms)))
    return -(-layout.kv_len // (parts * _BOTH_TILES)) * _BOTH_TILES


def heads_as_queries(layout: AttentionLayout) -> AttentionLayout:
    """Take heads that share keys and values for queries, where each has one, so that keys are read once for all.

    The place of a query must not matter then.
    """
    options = layout.options
    reaches_all = options.right is None or (options.right >= 0 and not options.top_left)
    if layout.q_len > 1 or options.left is not None or not reaches_all:
        return layout
    shared = [ROLES.index(role) for role in ("k", "v", "kv_lengths")]
    for at, axis in enumerate(layout.batch):
        if not any(axis.strides[role] for role in shared):
            strides = tuple((step, inner) for step, (_, inner) in zip(axis.strides, layout.strides, strict=True))
            keep = {ROLES.index(role): layout.steps(role) for role in ("k", "v")}
            return replace(
                layout,
                batch=layout.batch[:at] + layout.batch[at + 1 :],
                q_len=axis.size,
                strides=tuple(keep.get(number, pair) for number, pair in enumerate(strides)),
                options=replace(options, right=None),
            )
    return layout


def _distance(side: int | None) -> int:
    """How far keys may be from the diagonal."""
    return _OPEN if side is None else max(-_OPEN, min(side, _OPEN))


def count_of(layout: AttentionLayout) -> int:
    """Entries of the batch."""
    return int(np.prod([axis.size for axis in layout.batch], dtype=object)) if layout.batch else 1


def _bias_type(layout: AttentionLayout) -> str:
    """The C++ type of an element of the bias."""
    if layout.bias_dtype is None:
        return "None"
    if layout.bias_dtype.kind not in "iu":
        return element_type(layout.bias_dtype)
    sign = "unsigned " if layout.bias_dtype.kind == "u" else "signed " if layout.bias_dtype.itemsize == 1 else ""
    return sign + {1: "char", 2: "short", 4: "int", 8: "long long"}[layout.bias_dtype.itemsize]


def width_of(layout: AttentionLayout, *, whole: bool) -> int:
    """How many elements go at once: rows of q, k, v and out start at a multiple of so many; if `whole`, have one."""
    size = layout.dtype.itemsize
    width = _VECTOR_BYTES // size
    while width > 1 and not all(_fits(layout, role, width, whole) for role in _VECTORS):
        width //= 2
    return width


def _fits(layout: AttentionLayout, role: Role, width: int, whole: bool) -> bool:
    row, column = layout.steps(role)
    columns = layout.head_dim if role in ("q", "k") else layout.value_dim
    steps = (row, *layout.batch_strides(role), *((columns,) if whole else ()))
    aligned = layout.alignment(role) % (width * layout.dtype.itemsize) == 0
    return column == 1 and aligned and all(step % width == 0 for step in steps)
