"""One operation on a device, simulated or CuPy's: the arrays' layout, the plan for it, and its launch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from cupysoft.arrays import Layout, layout
from cupysoft.ops import plans
from cupysoft.ops import plans_fast as fast_plans
from cupysoft.ops.arguments import address
from cupysoft.ops.plans_float32 import prefers_float32, prefers_integers
from cupysoft.runtime.launch import run
from cupysoft.runtime.limits import limits_of
from cupysoft.runtime.plan import Plan

__all__ = ["logsumexp", "plan_logsumexp", "plan_softmax", "readable", "rows_of", "softmax", "spread", "strides"]

# The widest access of a kernel; a higher alignment is of no use.
WIDEST = 16

# A plan is a value that follows from its arguments: the same call need not be planned twice.
_softmax_plan = functools.lru_cache(1024)(plans.softmax)
_fast_plan = functools.lru_cache(1024)(fast_plans.fast)
_logsumexp_plan = functools.lru_cache(1024)(plans.logsumexp)


def softmax(device: Any, x: Any, axes: tuple[int, ...], out: Any, *, log: bool, fast: bool = False) -> None:
    """Write softmax, or its logarithm, of `x` over `axes` to `out`."""
    x, target = readable(x), out if is_readable(out) else out.copy()
    plan = plan_fast("LogSoftmax" if log else "Softmax", x, axes, target) if fast else None
    run(plan or plan_softmax(x, axes, target, log=log, arch=device.arch), {"x": x, "out": target}, device)
    if target is not out:
        out[...] = target


def logsumexp(
    device: Any, a: Any, axes: tuple[int, ...], b: Any | None, out: Any, sign: Any | None, *, fast: bool = False
) -> None:
    """Write the logarithm of sum(b exp(a)) over `axes` to `out`, and its sign to `sign`."""
    results = {"out": out} if sign is None else {"out": out, "sign": sign}
    targets = {role: array if is_readable(array) else array.copy() for role, array in results.items()}
    inputs = {"x": readable(a)} if b is None else {"x": readable(a), "b": readable(b)}
    plain = fast and b is None and sign is None
    plan = plan_fast("LogSumExp", inputs["x"], axes, targets["out"]) if plain else None
    run(plan or plan_logsumexp([*inputs.values()], axes, [*targets.values()]), {**inputs, **targets}, device)
    for role, array in results.items():
        if targets[role] is not array:
            array[...] = targets[role]


def plan_softmax(x: Any, axes: tuple[int, ...], out: Any, *, log: bool, arch: str) -> Plan:
    """Plan softmax, or its logarithm, for an architecture; only the places of the elements are looked at."""
    rows = rows_of("LogSoftmax" if log else "Softmax", x, axes, out)
    return _softmax_plan(
        rows,
        x.dtype,
        alignments(x, out),
        log=log,
        in_place=address(x) == address(out),
        float32=prefers_float32(x.dtype, arch),
        integers=prefers_integers(x.dtype, arch),
        shared=limits_of(arch).shared,
    )


def plan_fast(function: str, x: Any, axes: tuple[int, ...], out: Any) -> Plan | None:
    """Plan an operation of one input in float32, where that is faster than the exact kernels."""
    return _fast_plan(function, rows_of(function, x, axes, out), x.dtype, alignments(x, out))


def plan_logsumexp(inputs: Sequence[Any], axes: tuple[int, ...], results: Sequence[Any]) -> Plan:
    """Plan logsumexp of x, or of x and b, all in one shape; the results are out, or out and the sign."""
    x = inputs[0]
    seen = [*map(strides, inputs), *(spread(strides(array), axes, x.ndim) for array in results)]
    return _logsumexp_plan(
        layout(x.shape, axes, seen),
        x.dtype,
        alignments(*inputs, *results),
        weighted=len(inputs) > 1,
        signed=len(results) > 1,
    )


def rows_of(function: str, x: Any, axes: tuple[int, ...], out: Any) -> Layout:
    """See x and out of an operation of one input as rows and columns; a LogSumExp has one result for each row."""
    steps = spread(strides(out), axes, x.ndim) if function == "LogSumExp" else strides(out)
    return layout(x.shape, axes, [strides(x), steps])


def strides(array: Any) -> tuple[int, ...]:
    """Give strides in elements."""
    size = array.dtype.itemsize
    return tuple(step // size for step in array.strides)


def spread(kept: Sequence[int], axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    """Put stride 0 in the place of each reduced axis."""
    steps = iter(kept)
    return tuple(0 if i in axes else next(steps) for i in range(ndim))


def alignments(*arrays: Any) -> tuple[int, ...]:
    """For each array the largest power of two, up to the widest access, that divides its address."""
    return tuple(min(WIDEST, (at & -at) or WIDEST) for at in map(address, arrays))


def readable(array: Any) -> Any:
    """Give `array`, or a copy of it if its elements do not lie at multiples of their size, as in packed records."""
    return array if is_readable(array) else array.copy()


def is_readable(array: Any) -> bool:
    """Whether kernels can read the elements where they are."""
    size = array.dtype.itemsize
    return address(array) % size == 0 and all(
        step % size == 0 for step, n in zip(array.strides, array.shape, strict=True) if n > 1
    )
