"""States on a device, simulated or CuPy's: elements folded in, and what is made of them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cupysoft.arrays import layout
from cupysoft.host.sliced import WORDS
from cupysoft.ops import plans_sliced, pointwise
from cupysoft.ops.device import readable, spread, strides
from cupysoft.ops.pointwise import Factory
from cupysoft.ops.target import StateArrays
from cupysoft.runtime.launch import run
from cupysoft.runtime.plan import Plan

__all__ = ["logsumexp", "plan_state", "plans_of_results", "softmax", "state_of"]

# A plan is a value that follows from its arguments: the same call need not be planned twice.
_fold = functools.lru_cache(1024)(plans_sliced.fold)
_settle = functools.lru_cache(1024)(plans_sliced.settle)


def state_of(device: Any, xp: Any, x: Any, axes: tuple[int, ...]) -> StateArrays:
    """Give the state of the rows of `x`, in new arrays."""
    x = readable(x)
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    m, sums = xp.empty(kept, "f8"), xp.empty((WORDS, *kept), "u8")
    run(plan_state(x, axes, m), {"x": x, "m": m, "sums": sums}, device)
    return m, sums


def logsumexp(device: Any, state: StateArrays, out: Any, undecided: Any) -> None:
    """Write the logarithm of the state's sum of exponentials to `out`, and whether its rounding is undecided."""
    m, sums = state
    plan = plans_sliced.logsumexp(m.size, out.dtype)
    run(plan, {"m": m, "sums": sums, "out": out, "undecided": undecided}, device)


def softmax(
    device: Any, factory: Factory, xp: Any, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any, undecided: Any
) -> None:
    """Write exp(x) over the state's sum of exponentials to `out`, and whether its rounding is undecided."""
    (m, sums), x = state, readable(x)
    l_hi, l_lo = xp.empty(m.shape, "f8"), xp.empty(m.shape, "f8")
    run(plans_sliced.totals(m.size), {"m": m, "sums": sums, "l_hi": l_hi, "l_lo": l_lo}, device)
    pointwise.share(factory, xp, (m, l_hi, l_lo), x, axes, out, undecided)
    plan = _plan_settle(x, axes, m, out, undecided)
    run(plan, {"x": x, "out": out, "undecided": undecided, "m": m, "sums": sums}, device)


def plan_state(x: Any, axes: tuple[int, ...], m: Any) -> Plan:
    """Plan the states of rows; `m` stands for the words of the sums, too, which are laid out alike."""
    return _fold(layout(x.shape, axes, [strides(x), spread(strides(m), axes, x.ndim)]), x.dtype)


def plans_of_results(x: Any, axes: tuple[int, ...], m: Any) -> tuple[Plan, ...]:
    """Plan all that is made of the states of rows."""
    undecided = np.broadcast_to(np.zeros((), np.bool_), x.shape)
    results = plans_sliced.logsumexp(m.size, x.dtype), plans_sliced.totals(m.size)
    return *results, _plan_settle(x, axes, m, x, undecided)


def _plan_settle(x: Any, axes: tuple[int, ...], m: Any, out: Any, undecided: Any) -> Plan:
    steps = [*map(strides, (x, out, undecided)), spread(strides(m), axes, x.ndim)]
    return _settle(layout(x.shape, (), steps), m.size, x.dtype)
