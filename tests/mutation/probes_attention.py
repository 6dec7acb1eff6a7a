"""Probes of attention, and of the kernels by element that join its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import cupysoft
from cupysoft import simulator
from tests.mutation.probe import BFLOAT16, Array, Probe
from tests.simulator.without_cupy import without_cupy

__all__ = ["ATTENTION"]


def _attended(
    dtype: Any, lengths: tuple[int, int], dims: tuple[int, int], bias: str | None = None, **options: Any
) -> Callable[[], Iterator[Array]]:
    """Two heads of three sequences, of which one is empty; what is not finite is where none looks, then where one does.

    First with a mask, by which one query attends to nothing, then by places alone.
    """

    def call() -> Iterator[Array]:
        rng = np.random.default_rng([*lengths, *dims])
        shapes = (3, 2, lengths[0], dims[0]), (3, 1, lengths[1], dims[0]), (3, 2, lengths[1], dims[1])
        q, k, v = (rng.normal(size=shape).astype(dtype) for shape in shapes)
        kv_lengths = np.array([[lengths[1]], [0], [lengths[1] - 9]])
        mask = rng.random(lengths) < 0.8
        mask[0], mask[:, lengths[1] // 2] = False, False
        added = None
        if bias:
            added = rng.normal(size=(2, *lengths)).astype(bias)
            added[..., 1::5] = -np.inf
        k[..., lengths[1] // 2, :], v[..., lengths[1] // 2, :] = np.inf, np.nan
        k[2, ..., -9:, :], v[2, ..., -9:, :] = np.nan, np.inf
        yield from cupysoft.attention(q, k, v, mask=mask, kv_lengths=kv_lengths, return_lse=True, bias=added, **options)
        window = (lengths[1] // 3, 3)
        yield from cupysoft.attention(q, k, v, causal=True, window=window, kv_lengths=kv_lengths, return_lse=True)
        k[..., lengths[1] // 2, :] = 0
        yield from cupysoft.attention(q, k, v, causal="top-left", scale=0.7, return_lse=True)
        v[..., lengths[1] // 2, :] = 1
        q[0, 0, 0], q[0, 1, -1] = np.inf, np.nan
        yield cupysoft.attention(q, k, v)

    return call


def _odd(dtype: Any, **options: Any) -> Callable[[], Iterator[Array]]:
    """Rows cut out of wider ones; infinities of keys beside later ones that lead by far; scores without digits."""

    def call() -> Iterator[Array]:
        rng = np.random.default_rng(5)
        wide = [np.full((2, rows, 24), np.nan) for rows in (40, 150, 150)]
        for each in wide:
            each[..., :18] = rng.normal(size=(*each.shape[:2], 18))
        q, k, v = (each.astype(dtype)[..., :18] for each in wide)
        out = np.zeros((2, 40, 36), dtype)[..., ::2]
        yield cupysoft.attention(q, k, v, out=out, **options)
        finite = v.copy()
        v[0, 3, :4], v[0, 5, 2:6], v[1, 2, 0] = np.inf, -np.inf, np.inf
        k[1, 7, 4] = np.inf
        yield cupysoft.attention(q, k, v, **options)
        k[1, 7, 4] = 0
        for first, steps in ((0, 30), (1, 1)):  # to 600, and beside a million to 20 more
            q[..., 0], k[..., 0], q[..., first], k[..., first] = 1000, 1000, steps, 20 * np.linspace(0, 1, 150)
            for values in (v, finite):
                yield from cupysoft.attention(q, k, values, scale=1.0, return_lse=True, **options)

    return call


def _parts() -> Iterator[Array]:
    """Parts joined, of which some saw no key, and some something that is not finite."""
    rng = np.random.default_rng(12)
    for dtype in ("f2", BFLOAT16, "f4", "f8"):
        q, k, v = (rng.normal(size=(2, n, 8)).astype(dtype) for n in (5, 9, 9))
        k[0, 1], v[1, 7, 3] = np.nan, np.inf
        mask = rng.random((5, 9)) < 0.4
        parts = [
            cupysoft.AttentionState.from_arrays(q, k[:, some], v[:, some], mask=mask[:, some])
            for some in (slice(0, 1), slice(1, 4), slice(4, 9))
        ]
        whole = parts[0].merge(parts[1]).merge(parts[2])
        yield from (whole.output(), whole.logsumexp(), whole.merge(parts[0]).output())
        results = [(each.output(), each.logsumexp()) for each in parts]
        yield from cupysoft.merge_attention(*results[0], *results[2])
        yield from cupysoft.merge_attention(*results[1], *results[0])


def _pointwise() -> Iterator[Array]:
    """Kernels by element over arrays of all layouts, with the headers that stand for CuPy's."""
    x = np.arange(60.0, dtype="f4").reshape(3, 4, 5)
    picked = simulator.ElementwiseKernel("raw T x, T y", "T z", "z = x[x.size() - 1 - i] + x[{0, 1}] + y", "picked")
    plain = simulator.ElementwiseKernel("T x, T y", "T z", "z = x - 2 * y", "plain")
    total = simulator.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "total")
    with without_cupy():
        for view in (x, x[::-1, ::2], x.transpose(2, 0, 1), np.broadcast_to(x[:1, :1], x.shape)):
            yield plain(view, view[..., ::-1])
            yield plain(view, view[0, 0, 0])
            yield from (total(view, axis=axis) for axis in (None, 1, (0, 2)))
        yield picked(x[0], x[1])
        yield picked(x[0].T, x[1].T)


ATTENTION = (
    Probe("attention, ieee", _attended("f4", (35, 70), (20, 20), precision="ieee", bias="f4", softcap=5.0), seed=7),
    Probe("attention, float16", _attended("f2", (70, 150), (40, 64), bias="f8", window=(60, None))),
    Probe("attention, float16, drawn", _attended("f2", (70, 150), (64, 64)), seed=8),
    Probe("attention, bfloat16, one query", _attended(BFLOAT16, (1, 700), (64, 64))),
    Probe("attention, three products", _attended("f4", (40, 90), (33, 32), softcap=3.0), seed=9),
    Probe("attention, float64", _attended("f8", (20, 70), (16, 24), bias="f8"), seed=10),
    Probe("attention, float16, one stage", _attended("f2", (70, 150), (256, 128))),
    Probe("attention, float16, wide values", _attended("f2", (70, 150), (32, 128))),
    Probe("attention, float64, one stage", _attended("f8", (70, 70), (128, 128))),
    Probe("attention in parts", _attended("f4", (3, 2100), (16, 16), precision="ieee")),
    *(
        Probe(f"attention, odd, {np.dtype(dtype).name}, {options}", _odd(dtype, **options))
        for dtype, options in (("f2", {}), (BFLOAT16, {}), ("f4", {}), ("f8", {}), (BFLOAT16, {"precision": "ieee"}))
    ),
    Probe("attention, odd, float32, ieee", _odd("f4", precision="ieee")),
    Probe("attention, odd, float32, capped", _odd("f4", precision="ieee", softcap=50.0)),
    Probe("attention, parts joined", _parts),
    Probe("kernels by element", _pointwise),
)
