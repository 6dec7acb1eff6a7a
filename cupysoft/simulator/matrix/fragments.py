"""Where the lanes of a warp hold the matrices of ``mma``, and the way between there and whole columns.

Lane ``4 g + t`` holds row g of each band of 8 rows of A; of the columns it holds number t of every 4, or where two
elements share a register the numbers ``2 t`` and ``2 t + 1`` of every 8. Of B it holds the same of column g. Of C and D
it holds the columns ``2 t`` and ``2 t + 1`` of row g::

    A  0 . . . t . . .       B  0 . . g . .       C, D  0 . . 2t 2t+1 . .
       .       |                .     |                 .      |
       g - - (lane)             t - (lane)              g - (lane)

Registers lie in memory one after the other, each with its 32 lanes side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..code import LANES
from ..opcodes.vector import Vector, halves, joined
from ..ptx import SIZES
from .forms import COLUMNS, Form
from .rows import Rows, shuffle

__all__ = ["columns_of_a", "columns_of_c", "store_d"]

_BAND, _GROUP = 8, 4


def columns_of_a(rows: Rows, form: Form) -> Iterator[Vector]:
    """Yield the columns of A, which is at ``%a``, in the bits of their elements."""
    type_ = _word(form.kind)
    for block in range(form.depth // form.reach):
        bands = [rows.load("%a", type_, LANES * (form.bands * block + band), LANES) for band in range(form.bands)]
        for t in range(_GROUP):
            column = _gather(rows, bands, t)
            yield from halves(column, "i16") if form.packed == 2 else (column,)


def columns_of_c(rows: Rows, form: Form) -> Iterator[Vector]:
    """Yield the 8 columns of C, which is at ``%c``, in the bits of their elements."""
    type_, step = _word(form.total), _step(form)
    words = [rows.load("%c", type_, LANES * number, LANES) for number in range(step * form.bands)]
    for t in range(_GROUP):
        for odd in range(step):
            column = _gather(rows, words[odd::step], t)
            yield from halves(column, "i16") if step == 1 else (column,)


def store_d(rows: Rows, form: Form, columns: list[Vector]) -> None:
    """Put the columns of D into the registers at ``%d``."""
    step = _step(form)
    if step == 1:
        columns = [joined(*columns[n : n + 2]) for n in range(0, COLUMNS, 2)]
    for odd in range(step):
        _scatter(rows, columns[odd::step], odd, step)


def _word(kind: str) -> str:
    """Return the integer type of a register with elements of a type."""
    return f"i{max(32, 8 * SIZES[kind])}"


def _step(form: Form) -> int:
    """Return how many registers hold the two neighbours of a lane in C and D."""
    return 1 if form.total == "f16" else 2


def _gather(rows: Rows, bands: list[Vector], t: int) -> Vector:
    """Return the column of the lanes at position `t` of their groups, from one register for each band."""
    picks = [LANES * band + _GROUP * g + t for band in range(len(bands)) for g in range(_BAND)]
    return shuffle(rows, bands[0], bands[1] if len(bands) == 2 else None, LANES, picks)


def _scatter(rows: Rows, columns: list[Vector], first: int, step: int) -> None:
    """Store four columns, one for each position in a group, as one register for each band of rows."""
    height = rows.W
    left, right = (shuffle(rows, columns[n], columns[n + 1], height, range(2 * height)) for n in (0, 2))
    for band in range(height // _BAND):
        picks = [height * t + _BAND * band + g for g in range(_BAND) for t in range(_GROUP)]
        lanes = shuffle(rows, left, right, 2 * height, picks)
        rows.store(lanes, "%d", LANES * (first + step * band), LANES)
