"""Calls that reach every kernel, small enough to be run for every mutant.

What a call gives on the simulated device with the sources as they are is what a mutant has to give: that this is right
is for the other tests to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np

import cupysoft
from cupysoft import simulator
from cupysoft.arrays import layout
from cupysoft.demo import ladder_softmax
from cupysoft.ops import plans_loops
from cupysoft.ops.device import alignments
from cupysoft.ops.ladder import RUNGS
from cupysoft.ops.plans import logsumexp
from cupysoft.ops.plans_loops import loops
from cupysoft.runtime.launch import run
from cupysoft.testing.near_ties import weighted_tie
from tests.kernels.test_weighted_tiers import BESIDE_ONE, known, seen_by_one
from tests.mutation.probe import BFLOAT16, FUNCTIONS, Array, Probe, near_tie_rows, special_rows
from tests.mutation.probes_attention import ATTENTION
from tests.mutation.probes_states import STATES

__all__ = ["PROBES"]


def _all(x: Array, axis: Any, functions: Any = FUNCTIONS) -> Iterator[Array]:
    for function in functions:
        yield np.asarray(function(x, axis=axis))


def _rows_of(dtype: Any, columns: int, take: Callable[[Array], Array] = lambda x: x) -> Callable[[], Iterator[Array]]:
    return lambda: _all(take(special_rows(dtype, columns)), 1)


def _columns_of(dtype: Any, columns: int) -> Callable[[], Iterator[Array]]:
    return lambda: _all(np.ascontiguousarray(np.repeat(special_rows(dtype, columns), 3, axis=0).T), 0)


def _long(dtype: Any, shape: tuple[int, int], axis: int, start: int = 0) -> Callable[[], Iterator[Array]]:
    """Long rows, of which one has a NaN at its end and one cancels."""

    def call() -> Iterator[Array]:
        x = np.random.default_rng(shape).normal(size=shape)
        rows = np.moveaxis(x, axis, 1)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        rows[0] += 3
        if len(rows) > 2:
            rows[2, -1] = np.nan
        yield from _all(x.astype(dtype).reshape(-1)[start:][: x.size - start].reshape(-1, x.shape[1] - start), axis)

    return call


def _little_more_than_one() -> Iterator[Array]:
    """The sum of a row in parts, seen from another maximum than a thread's own."""
    x = np.full((2, 65540), -np.inf)
    x[:, [100, 40_000, 60_000]] = [[0, -40, -41.5], [-41.5, 0, -40]]
    yield from _all(x, 1)


def _views() -> Iterator[Array]:
    x = np.random.default_rng(5).normal(size=(4, 10, 6, 14)).astype("f4")
    yield from _all(x[::-1, ::2, :, ::-3], 3)
    yield from _all(x.transpose(3, 1, 0, 2), (0, 2))
    yield from _all(np.broadcast_to(x[0, 0, :, :1], (6, 14)), 1)
    yield from _all(x[:, ::3, ::2, ::2], (1, 2, 3))


def _doubtful(dtype: Any, columns: int) -> Callable[[], Iterator[Array]]:
    """Of all threads that share a row, one sees that the row is in doubt."""
    return lambda: (
        result for each in FUNCTIONS for result in _all(near_tie_rows(each.__name__, dtype, columns), 1, (each,))
    )


def _loops(dtype: Any, columns: int, *, in_place: bool = False, part: int = 1 << 16) -> Callable[[], Iterator[Array]]:
    """Run the kernels that NumPy arrays have on the CPU; what they leave open is left open.

    Rows of more than twice the length of a part are cut.
    """

    def call() -> Iterator[Array]:
        device = simulator.current()
        assert device is not None
        for function, name in zip(FUNCTIONS, ("Softmax", "LogSoftmax", "LogSumExp"), strict=True):
            x = np.concatenate([special_rows(dtype, columns), near_tie_rows(function.__name__, dtype, columns)])
            out = x if in_place else device.empty(x.shape[:1] if name == "LogSumExp" else x.shape, x.dtype)
            steps = (1, 0) if name == "LogSumExp" else (columns, 1)
            rows = layout(x.shape, (1,), [(columns, 1), steps])
            with patch.multiple(plans_loops, _IN_PARTS=2 * part, _PART=part):
                plan = loops(name, rows, x.dtype, device.arch, in_place=in_place)
            assert plan is not None
            is_open = device.empty(len(x), np.int32)
            if not (in_place and name == "LogSumExp"):
                run(plan, {"x": x, "out": out, "open": is_open}, device)
                if not in_place:
                    out[is_open != 0] = 0  # what is there is not said; in place it is x
                yield from (out, is_open)

    return call


def _ladder() -> Iterator[Array]:
    device = simulator.current()
    for rung in RUNGS:
        yield ladder_softmax(rung, special_rows("f4", 7)[:3], device)
        yield ladder_softmax(rung, np.random.default_rng(1).normal(size=(130, 5)).astype("f4"), device)


def _fast(dtype: str, columns: int) -> Callable[[], Iterator[Array]]:
    def call() -> Iterator[Array]:
        x = special_rows(dtype, columns)
        x[-1] = np.nan
        for view in (x, x[:, 1:], x[:, ::2]):
            yield from (function(view, axis=1, precision="fast") for function in FUNCTIONS)

    return call


def _weighted(dtype: str, shape: tuple[int, int], axis: int) -> Callable[[], Iterator[Array]]:
    """Weights of both signs and all sizes, that cancel in some rows, and in some of them exactly."""

    def call() -> Iterator[Array]:
        rng = np.random.default_rng([*shape, 3])
        count, columns = shape[1 - axis], shape[axis]
        a, b = rng.normal(size=(2, count, columns)) * 3
        values, kind = (a, dtype) if dtype[0] == "f" else (a + 1j * rng.normal(size=a.shape), dtype)
        a, b = values.astype(kind), (b + 1j * rng.normal(size=b.shape) if dtype[0] == "c" else b).astype(kind)
        if count > 10 and columns > 4:
            half = columns // 2
            b[0, ::3], a[0, 3], b[1, 1], a[2, 2], a[2, 3] = 0, np.nan, np.inf, np.inf, -np.inf
            b[0, 3], b[3], a[4, 1] = 0, 0, np.nan
            for row in (5, 6, 7):  # what is left is one term, far smaller in the last
                a[row, half : 2 * half], b[row, half : 2 * half] = a[row, :half], -b[row, :half]
                a[row, 0] += (1e-6, 0, -60)[row - 5]
                a[row, 1], b[row, 1], b[row, half + 1] = np.nan, 0, 0
                a[row, 2 * half :] = -np.inf
            a[8], b[8] = a[8] - 900, b[8] * 2.0**100
            a[9], b[9] = -np.inf, 1
            a[10, :2], b[10], b[10, :2] = (0, 1e-25), 0, (1, 1e-25)
        a, b = (each if axis == 1 else np.ascontiguousarray(each.T) for each in (a, b))
        for weights, signed in ((b, True), (b, False), (None, True)):
            found = cupysoft.logsumexp(a, axis=axis, b=weights, return_sign=signed)
            yield from map(np.asarray, found if signed else (found,))

    return call


def _cancelling() -> Iterator[Array]:
    """What only the last tier of weighted sums decides: at several widths, of either sign, and that nothing is left."""
    rng = np.random.default_rng(7)
    rows = [weighted_tie(rng, 9, np.dtype("f8"), nothing=nothing) for nothing in (False, True) for _ in range(4)]
    a, b = (np.array([row[i] for row in rows]) for i in (0, 1))
    a[0, :3], b[0], b[0, :3] = (1e-300, 0, -1e-300), 0, (-1, 2, -1)
    yield from cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)
    half = rng.normal(size=(2, 200))
    a = np.concatenate([half, half, [[-30.0], [-np.inf]]], axis=1)
    yield from cupysoft.logsumexp(a, axis=1, b=np.repeat([1.0, -1.0, 1.0], [200, 200, 1]), return_sign=True)


def _known_sums() -> Iterator[Array]:
    """Of the tests of tiers: what is next to 1; and what one thread sees, one after the other."""
    for a, b in (known(BESIDE_ONE), seen_by_one()):
        yield from cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)


def _unweighted() -> Iterator[Array]:
    """Sums without weights whose signs are asked for, by their last tier."""
    device = simulator.current()
    x = np.array([[0.0, -0.5, 3.0], [-1.5, -0.25, -900.0], [-np.inf, 2.0, 2.0], [1e300, -1e300, 0.0]])
    out, sign = np.zeros((2, len(x)))
    rows = layout(x.shape, (1,), [(3, 1), (1, 0), (1, 0)])
    plan = logsumexp(rows, x.dtype, alignments(x, out, sign), weighted=False, signed=True, first_tier=3)
    run(plan, {"x": x, "out": out, "sign": sign}, device)
    yield from (out, sign)


PROBES = (
    Probe("ladder", _ladder),
    *(Probe(f"rows of 33, {dtype}", _rows_of(dtype, 33)) for dtype in ("f2", BFLOAT16, "f4", "f8")),
    Probe("rows of 3", _rows_of("f4", 3)),
    Probe("rows of 1", _rows_of("f8", 1)),
    Probe("rows of 260 halves", _rows_of("f2", 260)),
    Probe("rows of 257, one by one", _rows_of("f4", 514, lambda x: x[:, ::2])),
    Probe("rows of 700", _rows_of("f4", 700)),
    Probe("rows of 700, drawn", _rows_of("f4", 700), seed=1),
    Probe("rows of 699 side by side", _rows_of("f4", 700, lambda x: x[:, 1:])),
    Probe("rows of 699 side by side, drawn", _rows_of("f4", 700, lambda x: x[:, 1:]), seed=2),
    Probe("rows of 699 halves side by side", _rows_of("f2", 700, lambda x: x[:, 1:])),
    Probe("rows of 1000 in float64", _rows_of("f8", 1000)),
    *(Probe(f"rows of 700 in doubt, {dtype}", _doubtful(dtype, 700)) for dtype in ("f2", "f4", "f8")),
    *(Probe(f"loops over {n}, {dtype}", _loops(dtype, n)) for n in (9, 100) for dtype in ("f2", "f4", "f8")),
    *(Probe(f"loops over {n} in place", _loops("f4", n, in_place=True), seed=11) for n in (9, 100)),
    *(
        Probe(f"loops over parts of {part}, {dtype}", _loops(dtype, 100, part=part))
        for dtype, part in (("f2", 40), ("f4", 2), ("f8", 40))
    ),
    Probe("loops over parts of 40 in place", _loops("f4", 100, in_place=True, part=40), seed=13),
    Probe("views", _views),
    *(Probe(f"fast rows of {n}, {dtype}", _fast(dtype, n)) for n in (3, 33, 699, 700, 9000) for dtype in ("f2", "f4")),
    Probe("rows in shared memory", _long("f4", (3, 8200), 1)),
    Probe("rows in shared memory, side by side", _long("f4", (1, 8202), 1, start=1), seed=3),
    Probe("rows of halves in shared memory", lambda: _all(special_rows("f2", 8200)[:4], 1, FUNCTIONS[:1]), seed=12),
    Probe("rows walked twice", lambda: _all(special_rows("f4", 24200)[:2, ::2], 1)),
    Probe("rows of halves in parts", _long("f2", (1, 65540), 1)),
    Probe("rows in parts", _long("f4", (1, 65540), 1)),
    Probe("rows in parts, float64", _long("f8", (1, 65540), 1)),
    Probe("rows in parts, little more than 1", _little_more_than_one),
    *(Probe(f"columns of {n}", _columns_of("f4", n)) for n in (3, 9, 65)),
    Probe("columns of 65, drawn", _columns_of("f4", 65), seed=4),
    Probe("columns of 20 in float64", _columns_of("f8", 20)),
    Probe("columns walked twice", _long("f4", (300, 35), 0)),
    Probe("columns in parts", _long("f4", (4100, 9), 0)),
    *STATES,
    *(
        Probe(f"weights, {dtype}, {shape}, axis {axis}", _weighted(dtype, shape, axis), seed)
        for dtype in ("f4", "f8", "c8", "c16")
        for shape, axis, seed in (((200, 3), 1, None), ((40, 40), 1, None), ((40, 40), 0, 5), ((12, 1030), 1, 6))
    ),
    Probe("weights in doubt", _cancelling),
    Probe("weights, known cases", _known_sums),
    Probe("no weights, in doubt", _unweighted),
    Probe("weights in columns and in parts, c8", _weighted("c8", (4100, 9), 0)),
    *(Probe(f"weights in parts, {dtype}", _weighted(dtype, (1, 20000), 1)) for dtype in ("f4", "c8")),
    *ATTENTION,
)
