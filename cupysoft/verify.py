"""A sweep that compares bits with the rigorous reference: by function, dtype, backend and family of input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft import SoftmaxState
from cupysoft.demo import Backend
from cupysoft.testing import quick_reference
from cupysoft.testing.trouble import FAMILIES, WEIGHTS, draw, draw_weights

__all__ = ["FUNCTIONS", "LENGTHS", "STATE", "WEIGHTED", "Count", "Step", "sweep"]

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")

WEIGHTED = "logsumexp with b"

#: What a state says of rows that came in parts.
STATE = ("SoftmaxState.softmax", "SoftmaxState.logsumexp")

#: Lengths of rows: one for each way in which kernels hold a row, and no more, since each is compiled.
LENGTHS = (1, 3, 37, 200, 1000, 5000, 20000)

#: Elements that are drawn at a time.
BATCH = 1 << 16


@dataclass(frozen=True)
class Count:
    """What a sweep found for one function, dtype, backend and family of input.

    Attributes
    ----------
    function, dtype, backend, family : str
    elements : int
        Elements of the input.
    results : int
        Results that were compared; those that a state calls undecided are not.
    mismatches : int
        Results whose bits are not those of the correctly rounded value; all NaNs count as one value.
    """

    function: str
    dtype: str
    backend: str
    family: str
    elements: int
    results: int
    mismatches: int


@dataclass(frozen=True)
class Step:
    """How far a sweep has come: steps done of all, what was done last, elements and mismatches so far."""

    done: int
    total: int
    name: str
    elements: int
    mismatches: int


def sweep(
    elements: int,
    seed: int,
    backends: Sequence[Backend],
    dtypes: Sequence[np.dtype[Any]],
    progress: Callable[[Step], None] = lambda step: None,
) -> list[Count]:
    """Compare every function on every backend with the reference.

    Parameters
    ----------
    elements : int
        Elements of input, of all dtypes and families together. Each is given to every function and backend.
    seed : int
        The same seed draws the same input.
    backends : sequence of Backend
    dtypes : sequence of dtype
    progress : callable
        Called after each family of each dtype.
    """
    families = [(family, False) for family in FAMILIES] + [(family, True) for family in WEIGHTS]
    pairs = [(dtype, family, weighted) for dtype in dtypes for family, weighted in families]
    counts: list[Count] = []
    for i, (dtype, family, weighted) in enumerate(pairs):
        share = elements * (i + 1) // len(pairs) - elements * i // len(pairs)
        rng = np.random.default_rng([seed, i])
        kind = _weighted if weighted else _of
        counts += kind(share, rng, family, dtype, backends)
        seen = elements * (i + 1) // len(pairs)
        wrong = sum(count.mismatches for count in counts)
        progress(Step(i + 1, len(pairs), f"{dtype.name}, {family}", seen, wrong))
    return counts


def _shapes(elements: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Draw shapes until there are enough elements."""
    while elements > 0:
        columns = int(rng.choice(LENGTHS))
        rows = max(1, min(BATCH, elements) // columns)
        if rows == 1 and columns > elements:  # the last elements make one shorter row
            columns = max(n for n in LENGTHS if n <= elements)
        yield rows, columns
        elements -= rows * columns


def _of(
    elements: int, rng: np.random.Generator, family: str, dtype: np.dtype[Any], backends: Sequence[Backend]
) -> list[Count]:
    found = {(function, backend.name): [0, 0, 0] for function in (*FUNCTIONS, *STATE) for backend in backends}
    for shape in _shapes(elements, rng):
        x = draw(family, rng, shape, dtype)
        cuts = np.sort(rng.integers(0, shape[1] + 1, size=2))
        true = {function: getattr(quick_reference, function)(x, 1) for function in FUNCTIONS}
        for backend in backends:
            for function in FUNCTIONS:
                ours = backend.get(backend.call(function, backend.put(x), axis=1))
                _add(found[function, backend.name], x.size, [(ours, true[function])])
            for name, (ours, undecided) in zip(STATE, _in_parts(backend, x, cuts), strict=True):
                wanted = true[name.removeprefix("SoftmaxState.")]
                _add(found[name, backend.name], x.size, [(ours[~undecided], wanted[~undecided])])
    return [Count(function, dtype.name, backend, family, *numbers) for (function, backend), numbers in found.items()]


def _in_parts(backend: Backend, x: Any, cuts: Any) -> Iterator[tuple[Any, Any]]:
    """Give the softmax and the logsumexp of rows from a state of their parts, each with what is undecided."""
    parts = [backend.put(np.ascontiguousarray(part)) for part in np.split(x, cuts, axis=1)]
    with backend.place():
        first, *others = parts
        state = SoftmaxState.from_array(others[0], axis=1).update(others[1])
        state = state.merge(SoftmaxState.from_array(first, axis=1))
        shares = [state.softmax(part, return_undecided=True) for part in parts]
        log_sum = state.logsumexp(return_undecided=True)
    results, undecided = zip(*shares, strict=True)
    yield np.concatenate([*map(backend.get, results)], axis=1), np.concatenate([*map(backend.get, undecided)], axis=1)
    yield backend.get(log_sum[0]), backend.get(log_sum[1])


def _weighted(
    elements: int, rng: np.random.Generator, family: str, dtype: np.dtype[Any], backends: Sequence[Backend]
) -> list[Count]:
    found = {backend.name: [0, 0, 0] for backend in backends}
    for shape in _shapes(elements, rng):
        a, b = draw_weights(family, rng, draw(str(rng.choice(list(FAMILIES))), rng, shape, dtype))
        true = quick_reference.logsumexp(a, 1, b, return_sign=True)
        for backend in backends:
            ours = backend.call("logsumexp", backend.put(a), axis=1, b=backend.put(b), return_sign=True)
            _add(found[backend.name], a.size, zip(map(backend.get, ours), true, strict=True))
    return [Count(WEIGHTED, dtype.name, backend, family, *numbers) for backend, numbers in found.items()]


def _add(numbers: list[int], elements: int, pairs: Any) -> None:
    """Add to (elements, results, mismatches)."""
    numbers[0] += elements
    for ours, true in pairs:
        kind = f"i{true.dtype.itemsize}"
        same = (np.ascontiguousarray(ours).view(kind) == np.ascontiguousarray(true).view(kind)).reshape(true.shape)
        same |= np.isnan(ours) & np.isnan(true)
        numbers[1] += true.size
        numbers[2] += int(np.count_nonzero(~same))
