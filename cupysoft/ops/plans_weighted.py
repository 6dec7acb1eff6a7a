"""Plans of the general logsumexp: with weights, with a sign, of complex numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import Layout, is_bfloat16
from cupysoft.ops.plans_view import View, by_columns, general_view_of, view_of
from cupysoft.runtime.plan import Argument, Extent, KernelRef, Plan, Scratch, Step

__all__ = ["element_type", "general_logsumexp", "type_number"]

# Threads of a block, but where its rows lie side by side (WEIGHTED_WARPS in kernels/softmax/dealt.cuh).
_THREADS = 128
# Threads for each row of a block whose 32 rows lie side by side.
_COLUMN_SIZE = 8
# The longest row that 1, 8 and 32 lanes take, and that a thread alone takes where rows lie side by side. Lanes without
# an element cost as much as those that have one.
_LANES = ((4, 1), (64, 8), (1024, 32))
_ALONE = 16
# Longer rows are cut into parts, a quarter as long. An element costs a thread a hundred operations, of complex numbers
# thousands: so parts are shorter than those of a plain logsumexp.
_SPLIT_ROWS = 16384
_SPLIT_COLUMNS = 4096
_PARTS = 4
# Rows that a block of the second tier looks at (OPEN_ROWS in kernels/softmax/cancelled.cuh), and one of the last
# (SETTLE_WEIGHTED_ROWS in kernels/softmax/settle_weighted.cu).
_OPEN_ROWS = 16
_SETTLE = "softmax/settle_weighted.cu"
# Type in kernels/softmax/any_elements.cuh.
_TYPES = ("Float16", "Bfloat16", "float", "double")


@dataclass(frozen=True)
class _Family:
    """The kernels of real or of complex rows; `state` and `walk` are the words that each part of a row leaves."""

    source: str
    name: str
    state: int
    walk: int


_REAL = _Family("softmax/weighted.cu", "logsumexp_weighted", 6, 9)
_COMPLEX = _Family("softmax/complex.cu", "logsumexp_complex", 11, 15)


@dataclass(frozen=True)
class _Deal:
    """Which threads share a row: a team of kernels/online/teams.cuh."""

    team: str
    block: Extent
    rows: int  # of a block
    part_size: int  # 0 for rows that are not cut


def general_logsumexp(
    layout: Layout, dtype: np.dtype[Any], *, weighted: bool, signed: bool, first_tier: int = 1
) -> Plan:
    """Plan a logsumexp that is weighted, signed, or complex; parameters as for `cupysoft.ops.plans.logsumexp`."""
    if layout.rows == 0:
        return Plan(())
    call = _Call(layout, dtype, weighted, signed, first_tier)
    deal = _deal(layout)
    plan = call.whole(deal) if deal.part_size == 0 else call.in_parts(deal)
    return plan if dtype.kind == "c" else Plan((*plan.steps, call.settle()), plan.scratch)


def _deal(layout: Layout) -> _Deal:
    """Choose by the length of a row, and by what lies close together in memory."""
    columns = layout.columns
    if by_columns(layout) and columns > _ALONE:
        part_size = _SPLIT_COLUMNS // _PARTS if columns > _SPLIT_COLUMNS else 0
        return _Deal(f"ColumnTeam<{_COLUMN_SIZE}>", (32, _COLUMN_SIZE, 1), 32, part_size)
    lanes = 1 if by_columns(layout) else next((lanes for longest, lanes in _LANES if columns <= longest), 0)
    if lanes:
        return _Deal(f"WarpTeam<{lanes}>", (_THREADS, 1, 1), _THREADS // lanes, 0)
    part_size = _SPLIT_ROWS // _PARTS if columns > _SPLIT_ROWS else 0
    return _Deal(f"BlockTeam<{_THREADS // 32}>", (_THREADS, 1, 1), 1, part_size)


@dataclass(frozen=True)
class _Call:
    """One call, and the steps that it takes."""

    layout: Layout
    dtype: np.dtype[Any]
    weighted: bool
    signed: bool
    first_tier: int

    @property
    def family(self) -> _Family:
        """The kernels that compute it."""
        return _COMPLEX if self.dtype.kind == "c" else _REAL

    @property
    def view(self) -> View:
        """How they see its arrays."""
        return view_of(self.layout, 2 + self.weighted + self.signed)

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """What they read. An array that is not there is stood in for by one that is; no kernel looks at it."""
        return "x", "b" if self.weighted else "x", self.view.value

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """What they write: results, and which rows are left open for the second tier."""
        return "out", "sign" if self.signed else "out", "open"

    @property
    def tier(self) -> tuple[Argument, ...]:
        """What kernels of real rows are told: the first tier that counts."""
        return () if self.dtype.kind == "c" else (np.int32(self.first_tier),)

    def whole(self, deal: _Deal) -> Plan:
        """A team a row, then the second tier."""
        grid = (-(-self.layout.rows // deal.rows), 1, 1)
        kernel = self._kernel("", "weighted", "signed", deal.team)
        first = Step(kernel, grid, deal.block, 0, (*self.inputs, *self.outputs, *self.tier))
        return Plan((first, self._refine("open", 0)), (self._scratch("open", 2, 1),))

    def in_parts(self, deal: _Deal) -> Plan:
        """A team a part, and their states merged in a fixed order; then the second tier, its first walk in parts."""
        rows, parts = self.layout.rows, -(-self.layout.columns // deal.part_size)
        cut = np.int64(deal.part_size), np.int64(parts)
        block = (_THREADS, 1, 1)
        split = Step(
            self._kernel("_split", "weighted", deal.team),
            (-(-rows // deal.rows) * parts, 1, 1),
            deal.block,
            0,
            (*self.inputs, *cut, "states"),
        )
        arguments: tuple[Argument, ...] = ("states", self.view.value, cut[1], *self.outputs, *self.tier)
        merge = Step(self._kernel("_merge", "weighted", "signed"), (rows, 1, 1), block, 0, arguments)
        arguments = (*self.inputs, *cut, "open", "walks")
        walk = Step(self._kernel("_walk", "weighted"), (rows * parts, 1, 1), block, 0, arguments)
        scratch = (
            self._scratch("open", 2, 1),
            self._scratch("states", self.family.state, parts),
            self._scratch("walks", self.family.walk, parts, np.uint64),
        )
        return Plan((split, merge, walk, self._refine("walks", parts)), scratch)

    def _refine(self, walks: str, parts: int) -> Step:
        """The second tier of the rows that the first left open."""
        grid = (-(-self.layout.rows // _OPEN_ROWS), 1, 1)
        kernel = self._kernel("_refine", "weighted", "signed", "true" if parts else "false")
        arguments = (*self.inputs, *self.outputs, walks, np.int64(parts), *self.tier)
        return Step(kernel, grid, (_THREADS, 1, 1), 0, arguments)

    def settle(self) -> Step:
        """The last tier of the rows that the second left open."""
        grid = (-(-self.layout.rows // _OPEN_ROWS), 1, 1)
        view = general_view_of(self.layout, 2 + self.weighted + self.signed)
        flags = f"{str(self.weighted).lower()}, {str(self.signed).lower()}"
        kernel = KernelRef(_SETTLE, f"settle_weighted<{flags}, {view.type}>")
        x, b, _ = self.inputs
        kind = np.int32(type_number(self.dtype))
        return Step(kernel, grid, (_THREADS, 1, 1), 0, (x, b, view.value, *self.outputs, kind))

    def _kernel(self, name: str, *arguments: str) -> KernelRef:
        """A kernel of the family; the flags of the call are named by their attributes."""
        flags = {"weighted": self.weighted, "signed": self.signed}
        told = [str(flags[each]).lower() if each in flags else each for each in arguments]
        listed = ", ".join([element_type(self.dtype), *told, self.view.type])
        return KernelRef(self.family.source, f"{self.family.name}{name}<{listed}>")

    def _scratch(self, name: str, words: int, parts: int, dtype: type[np.generic] = np.float64) -> Scratch:
        return Scratch(name, np.dtype(dtype), words * self.layout.rows * parts)


def element_type(dtype: np.dtype[Any]) -> str:
    """Name the C++ type of a dtype in the kernels; of a complex one, the type of its parts."""
    if is_bfloat16(dtype):
        return "Bfloat16"
    names = {
        "float16": "Float16",
        "float32": "float",
        "float64": "double",
        "complex64": "float",
        "complex128": "double",
    }
    return names[dtype.name]


def type_number(dtype: np.dtype[Any]) -> int:
    """Number a type as kernels do that are told it when they run."""
    return _TYPES.index(element_type(dtype))
