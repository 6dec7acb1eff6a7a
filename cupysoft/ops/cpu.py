"""Large NumPy arrays by the CUDA kernels, run on the CPU; what these leave in doubt is settled by `host`."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias

import numpy as np

from cupysoft import host
from cupysoft.arrays import Layout
from cupysoft.errors import MissingDependencyError
from cupysoft.forking import unforked
from cupysoft.ops import device_states
from cupysoft.ops.arguments import address
from cupysoft.ops.device import is_readable, readable, rows_of
from cupysoft.ops.plans_loops import loops
from cupysoft.ops.target import StateArrays
from cupysoft.runtime.launch import run

__all__ = ["Way", "computed", "only", "state_of"]

Way: TypeAlias = Literal["host", "kernels"]

# Arrays of fewer elements are done sooner by `host` (benchmarks/softmax.py).
_LEAST_ELEMENTS = 1 << 14

# Elements of rows in doubt that are copied at a time, and from how many on kernels look at them before `host` does.
_SETTLED_ELEMENTS = 1 << 20
_WIDE_ELEMENTS = 1 << 20

_chosen: ContextVar[Way | None] = ContextVar("cupysoft.ops.cpu", default=None)
_plan = functools.lru_cache(1024)(loops)


@contextmanager
def only(way: Way) -> Iterator[None]:
    """Compute NumPy arrays of every size in one way, inside the block."""
    token = _chosen.set(way)
    try:
        yield
    finally:
        _chosen.reset(token)


def computed(name: str, x: Any, axes: tuple[int, ...], out: Any) -> bool:
    """Write an operation on `x` over `axes` to `out`, unless that is left to `host`.

    Parameters
    ----------
    name : {"Softmax", "LogSoftmax", "LogSumExp"}
        The operation.
    x : ndarray
        With elements, in a dtype that the kernels have.
    axes : tuple of int
        What is reduced.
    out : ndarray
        Of the shape of `x`, or for LogSumExp without the reduced axes. It may be `x`, else shares no memory with it.

    Returns
    -------
    bool
        Whether it was done.
    """
    device = _device_for(x)
    if device is None:
        return False
    source, target = readable(x), out if is_readable(out) else out.copy()
    rows = rows_of(name, source, axes, target)
    plan = _plan(name, rows, x.dtype, device.arch, in_place=address(source) == address(target))
    if plan is None:
        return False
    is_open = np.empty(rows.rows, np.int32)
    try:
        run(plan, {"x": source, "out": target, "open": is_open}, device)
    except MissingDependencyError:  # no compiler, and this kernel is not in the cache
        return False
    found = np.flatnonzero(is_open)
    whole = found.size == rows.rows and address(source) != address(target)
    if whole:
        found = _left_by_two_words(device, name, rows, source, target)
    at_once = max(1, _SETTLED_ELEMENTS // rows.columns)
    for begin in range(0, found.size, at_once):
        _settle(None if whole else device, name, rows, found[begin : begin + at_once], source, target)
    if target is not out:
        out[...] = target
    return True


def state_of(x: Any, axes: tuple[int, ...]) -> StateArrays | None:
    """Give the state of the rows of `x`, or None if that is left to `host`, which takes 4 to 12 times as long."""
    device = _device_for(x)
    try:
        return None if device is None else device_states.state_of(device, np, x, axes)
    except MissingDependencyError:
        return None


def _device_for(x: Any) -> Any | None:
    """The device for an array, None where `host` computes."""
    way = _chosen.get()
    return None if way == "host" or (way is None and x.size < _LEAST_ELEMENTS) else _device()


@functools.cache
def _device() -> Any | None:
    """The device on which all such calls run, None where there is no LLVM that does."""
    with unforked():
        # Imported here: small arrays, which most are, need none of it.
        from cupysoft.simulator import Device
        from cupysoft.simulator.llvm import available

        return Device(check=False) if available() else None


def _settle(device: Any | None, name: str, rows: Layout, found: Any, x: Any, out: Any) -> None:
    """Compute rows that were left open; without a device, by the tiers of `host` alone."""
    batch = [axis.size for axis in rows.batch] or [1]
    where = np.unravel_index(found, batch)
    taken = _as_rows(x, rows, 0)[where]
    lines = taken.reshape(len(found), -1)
    place = _as_rows(out, rows, 1)
    if name == "LogSumExp":
        results = np.empty(len(found), out.dtype)
        _decide(device, name, lines, results)
        place[(*where, *(0 for _ in rows.reduced))] = results
    else:
        results = np.empty_like(lines)
        _decide(device, name, lines, results)
        place[where] = results.reshape(taken.shape)


def _decide(device: Any | None, name: str, lines: Any, results: Any) -> None:
    """Compute rows that lie one after the other."""
    left: Any = slice(None)
    if device is not None:
        left = _left_by_two_words(device, name, rows_of(name, lines, (1,), results), lines, results)
        if not left.size:
            return
    decided = results[left]
    if name == "LogSumExp":
        host.logsumexp(lines[left], (1,), None, decided, None)
    else:
        (host.log_softmax if name == "LogSoftmax" else host.softmax)(lines[left], (1,), decided)
    results[left] = decided


def _left_by_two_words(device: Any, name: str, rows: Layout, x: Any, out: Any) -> Any:
    """Compute many elements by kernels that are hardly ever in doubt; give the rows that are left, or all if few."""
    everything = np.arange(rows.rows)
    if x.size < _WIDE_ELEMENTS or x.itemsize == 8:
        return everything
    plan = _plan(name, rows, x.dtype, device.arch, wide=True)
    is_open = np.empty(rows.rows, np.int32)
    try:
        run(plan, {"x": x, "out": out, "open": is_open}, device)  # type: ignore[arg-type]  # rows no longer than before
    except MissingDependencyError:
        return everything
    return np.flatnonzero(is_open)


def _as_rows(array: Any, rows: Layout, number: int) -> Any:
    """See one of the arrays of a layout with the axes that its rows and columns have."""
    axes = [(axis.size, axis.strides[number] * array.itemsize) for axis in rows.batch] or [(1, 0)]
    axes += [(axis.size, axis.strides[number] * array.itemsize) for axis in rows.reduced]
    return np.lib.stride_tricks.as_strided(array, [size for size, _ in axes], [step for _, step in axes])
