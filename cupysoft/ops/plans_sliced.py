"""Plans of states: folding elements in, and what is made of them. kernels/states has the kernels.

No kernel is compiled for a dtype: each is told it when it runs. A state has the same bits whoever adds its elements up
in whatever order, so rows are dealt to threads by their length alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cupysoft.arrays import Layout
from cupysoft.host.sliced import WORDS
from cupysoft.ops.plans_view import general_view_of
from cupysoft.ops.plans_weighted import type_number
from cupysoft.runtime.plan import Argument, KernelRef, Plan, Scratch, Step

__all__ = ["fold", "logsumexp", "settle", "totals"]

_FOLD = "states/fold.cu"
_RESULTS = "states/results.cu"
# Threads of a block (FOLD_THREADS in fold.cu).
_THREADS = 128
# The longest row that 1, 8 and 32 lanes take; longer ones have a block.
_LANES = ((4, 1), (64, 8), (512, 32))
# Rows longer than this are cut into parts, a quarter as long: an element takes hundreds of instructions.
_SPLIT = 8192
_PART = 2048


def fold(layout: Layout, dtype: np.dtype[Any]) -> Plan:
    """Plan the states of rows.

    Parameters
    ----------
    layout : Layout
        Rows and columns; strides of x and of ``m``, which those of each of the ``sums`` equal.
    dtype : numpy.dtype
        float16, bfloat16, float32 or float64, in native byte order.

    Returns
    -------
    Plan
        Roles ``"x"``, ``"m"``, ``"sums"``.
    """
    rows, columns = layout.rows, layout.columns
    if rows == 0:
        return Plan(())
    part_size = columns if columns <= _SPLIT else _PART
    parts = -(-columns // part_size)
    lanes = next((lanes for longest, lanes in _LANES if columns <= longest), 0)
    team = f"WarpTeam<{lanes}>" if lanes else f"BlockTeam<{_THREADS // 32}>"
    view = general_view_of(layout, 2)
    kernel = KernelRef(_FOLD, f"fold_states<{team}, {view.type}>")
    grid = (-(-rows * parts * (lanes or _THREADS) // _THREADS), 1, 1)
    block = (_THREADS, 1, 1)
    told: tuple[Argument, ...] = (view.value, np.int32(type_number(dtype)), np.int64(part_size), np.int64(parts))
    if parts == 1:
        return Plan((Step(kernel, grid, block, 0, ("x", *told, "m", "sums")),))
    split = Step(kernel, grid, block, 0, ("x", *told, "m of parts", "sums of parts"))
    scratch = (
        Scratch("m of parts", np.dtype(np.float64), rows * parts),
        Scratch("sums of parts", np.dtype(np.uint64), WORDS * rows * parts),
    )
    arguments: tuple[Argument, ...] = ("m of parts", "sums of parts", np.int64(rows), np.int64(parts), "m", "sums")
    join = Step(KernelRef(_FOLD, f"join_parts<BlockTeam<{_THREADS // 32}>>"), (rows, 1, 1), block, 0, arguments)
    return Plan((split, join), scratch)


def logsumexp(rows: int, dtype: np.dtype[Any]) -> Plan:
    """Plan the logarithms of so many states, in a dtype: roles ``"m"``, ``"sums"``, ``"out"``, ``"undecided"``."""
    told = np.int64(rows), "out", "undecided", np.int32(type_number(dtype))
    return _by_thread("logsumexp_of_states", rows, "m", "sums", *told)


def totals(rows: int) -> Plan:
    """Plan the sums of so many states over exp(m): roles ``"m"``, ``"sums"``, ``"l_hi"``, ``"l_lo"``."""
    return _by_thread("state_totals", rows, "m", "sums", np.int64(rows), "l_hi", "l_lo")


def settle(layout: Layout, states: int, dtype: np.dtype[Any]) -> Plan:
    """Plan the shares that were left open.

    Parameters
    ----------
    layout : Layout
        No reduced axis; strides of x, out, open, and of ``m`` with 0 along the axes that states reduce.
    states : int
        How many states there are.
    dtype : numpy.dtype
        Of x and out.

    Returns
    -------
    Plan
        Roles ``"x"``, ``"out"``, ``"undecided"``, ``"m"``, ``"sums"``.
    """
    view = general_view_of(layout, 4)
    told = np.int64(states), np.int32(type_number(dtype))
    return _by_thread(
        "settle_shares", layout.rows, "x", view.value, "out", "undecided", "m", "sums", *told, more=f", {view.type}"
    )


def _by_thread(name: str, count: int, *arguments: Argument, more: str = "") -> Plan:
    """One thread for each of so many."""
    kernel = KernelRef(_RESULTS, f"{name}<{_THREADS}{more}>")
    return Plan((Step(kernel, (-(-count // _THREADS), 1, 1), (_THREADS, 1, 1), 0, arguments),))
