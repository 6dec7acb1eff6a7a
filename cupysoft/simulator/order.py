"""Who knows of whose accesses to memory: the books of fences, and of what atomic accesses hand on, for one launch.

It is kept warp by warp. A clock tells, for each warp, before which time all that it did has happened. Each warp has a
clock of what it knows, and one of what it has fenced. An atomic access (volatile, relaxed and release stores count as
such) leaves the latter where it was made; an atomic access or a like load that finds it there adds it to what its warp
knows. Barriers join the clocks of the warps that pass them. The machine code keeps what warps know of their own block,
in the head of its shadow memory, and calls `Ordering` for everything else: only kernels with fences, or with accesses
that acquire or release, do.

To find something released counts as acquiring it, with a fence behind the load or without: programs leave that one out,
and processors do not mind. Lanes of one warp are not told apart.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks.clock import NARROW_SHIFT, SIZE_SHIFT, Event
from .checks.layout import MARK_SHIFT, MARKS, Common, ShadowField
from .context import Slot
from .workspace import Workspace

__all__ = ["Ordering"]

_Times = npt.NDArray[np.int64]
_Rows = npt.NDArray[np.int32]

_LANES = 32
#: Bytes of clocks that one launch may keep. Beyond that the order between blocks is not looked at any more.
_MOST_BYTES = 1 << 29
_EVENT_BITS = (1 << NARROW_SHIFT) - 1


@dataclass
class _Clock:
    """What a warp, or a barrier, knows or has fenced.

    Attributes
    ----------
    fenced, narrow : ndarray
        Times of the own block's warps, fenced for the device and fenced for the block.
    far, far_fenced : ndarray or None
        Times of every warp of the grid, known and fenced; never changed in place.
    """

    fenced: _Times
    narrow: _Times
    far: _Rows | None = None
    far_fenced: _Rows | None = None

    def add(self, other: _Clock) -> None:
        """Learn what another one knows."""
        np.maximum(self.fenced, other.fenced, out=self.fenced)
        np.maximum(self.narrow, other.narrow, out=self.narrow)
        self.far = _joined(self.far, other.far)
        self.far_fenced = _joined(self.far_fenced, other.far_fenced)


def _joined(one: _Rows | None, other: _Rows | None) -> _Rows | None:
    if one is None or other is None or one is other:
        return other if one is None else one
    return np.maximum(one, other)


@dataclass
class _Block:
    """The running block of a workspace."""

    number: int
    warps: int
    clocks: list[_Clock] = field(init=False)
    arrived: dict[int, _Clock] = field(default_factory=dict)
    places: dict[int, _Times] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clocks = [self.clock() for _ in range(self.warps)]

    def clock(self) -> _Clock:
        """A clock that knows nothing."""
        return _Clock(np.zeros(self.warps, np.int64), np.zeros(self.warps, np.int64))


class Ordering:
    """What the blocks of one launch tell each other.

    Parameters
    ----------
    blocks, warps : int
        Blocks of the grid, and warps of a block.

    Attributes
    ----------
    size : int
        Warps of the grid.
    error : BaseException or None
        What went wrong in here, where nobody can catch it.
    """

    def __init__(self, blocks: int, warps: int) -> None:
        self.size, self._warps = blocks * warps, warps
        self._common = np.zeros(Common.MARKS + MARKS, np.uint8)
        self._count = self._common[:8].view(np.int64)
        self._lock = threading.Lock()
        self._spaces: dict[int, Workspace] = {}
        self._blocks: dict[int, _Block] = {}
        self._places: dict[int, _Rows] = {}
        self.error: BaseException | None = None
        kinds = (ctypes.c_int64, ctypes.c_int32, ctypes.c_int32, ctypes.c_uint32, ctypes.c_int64)
        self._listener = ctypes.CFUNCTYPE(None, *kinds)(self._hear)

    def attach(self, space: Workspace) -> None:
        """Listen to the blocks that run in a workspace."""
        head = space.head
        head[ShadowField.GRID_WARPS] = self._warps
        head[ShadowField.COMMON] = self._common.__array_interface__["data"][0]
        head[ShadowField.LISTENER] = ctypes.cast(self._listener, ctypes.c_void_p).value or 0
        self._spaces[space.address] = space

    def _hear(self, context: int, what: int, warp: int, mask: int, addresses: int) -> None:
        """Take a call of the machine code."""
        if self._common[Common.BLIND]:
            return
        try:
            space = self._spaces[context]
            with self._lock:
                block = self._blocks.get(context)
                if block is None or block.number != space[Slot.BLOCK]:
                    block = self._blocks[context] = _Block(space[Slot.BLOCK], self._warps)
                _Heard(self, space.head, block, warp).take(what, mask, addresses)
                if (len(self._places) + len(self._blocks)) * self.size * 4 > _MOST_BYTES:
                    self._common[Common.BLIND] = 1
                    self._places.clear()
        except BaseException as error:
            self.error = self.error or error
            self._common[Common.BLIND] = 1

    def leave(self, keys: list[int], rows: _Rows) -> None:
        """Leave a clock at places in memory, beside those that are there."""
        for key in keys:
            joined = _joined(self._places.get(key), rows)
            assert joined is not None
            self._places[key] = joined

    def mark(self, places: list[int]) -> None:
        """Let the machine code know that something was left at addresses."""
        for place in places:
            self._common[Common.MARKS + (place >> MARK_SHIFT) % MARKS] = 1
        self._count[0] += 1

    def found(self, key: int) -> _Rows | None:
        """The clock that was left at a place."""
        return self._places.get(key)


class _Heard:
    """One event of a warp."""

    def __init__(self, ordering: Ordering, head: _Times, block: _Block, warp: int) -> None:
        self._ordering, self._head, self._block, self._warp = ordering, head, block, warp
        self._clock = block.clocks[warp]
        self._known = head[ShadowField.KNOWN : ShadowField.ARRIVED].reshape(_LANES, _LANES)[:, : block.warps]

    def take(self, what: int, mask: int, addresses: int) -> None:
        """Do what an event asks for."""
        event, narrow, size = Event(what & _EVENT_BITS), bool(what >> NARROW_SHIFT & 1), what >> SIZE_SHIFT
        match event:
            case Event.FENCE | Event.BLOCK_FENCE:
                self._fence(event is Event.FENCE)
            case Event.PUBLISH | Event.RELEASE:
                self._publish(_addresses(mask, addresses), size, narrow, event is Event.RELEASE)
            case Event.ACQUIRE:
                self._acquire(_addresses(mask, addresses), size, narrow)
            case Event.BARRIER:
                self._barrier()
            case Event.ARRIVE:
                self._block.arrived.setdefault(mask, self._block.clock()).add(self._clock)
            case Event.OPEN:
                self._open(mask, addresses)

    def _knows(self) -> _Times:
        """Times of the own block's warps before which this warp knows all; of itself it knows all until now."""
        times: _Times = np.maximum(self._known[self._warp], self._head[ShadowField.START])
        times[self._warp] = self._head[ShadowField.NOW] + 1
        return times

    def _fence(self, wide: bool) -> None:
        self._clock.narrow = self._knows()
        if wide:
            self._clock.fenced = self._knows()
            self._clock.far_fenced = self._clock.far
        self._head[ShadowField.UNSETTLED] = 1

    def _publish(self, places: list[int], size: int, narrow: bool, releases: bool) -> None:
        clock = self._clock
        own = self._knows() if releases else clock.narrow
        if not own.any():
            return
        keys = _keys(places, size)
        for key in keys:
            self._block.places[key] = np.maximum(own, self._block.places.get(key, 0))
        wide = self._knows() if releases else clock.fenced
        if not narrow and wide.any():
            far = clock.far if releases else clock.far_fenced
            rows = np.zeros(self._ordering.size, np.int32) if far is None else far.copy()
            mine = self._of_own_block(rows)
            np.maximum(mine, np.maximum(wide - self._head[ShadowField.FIRST] + 1, 0), out=mine, casting="unsafe")
            self._ordering.leave(keys, rows)
        self._ordering.mark(places)

    def _acquire(self, places: list[int], size: int, narrow: bool) -> None:
        first = self._head[ShadowField.FIRST]
        row = self._known[self._warp]
        before = row.copy()
        for key in _keys(places, size):
            if key in self._block.places:
                np.maximum(row, self._block.places[key], out=row)
            rows = None if narrow else self._ordering.found(key)
            if rows is not None:
                own = self._of_own_block(rows).astype(np.int64)
                np.maximum(row, np.where(own > 0, own + first - 1, 0), out=row)
                self._clock.far = _joined(self._clock.far, rows)
        if not np.array_equal(row, before):
            self._head[ShadowField.PARTED + self._warp] = self._head[ShadowField.NOW] + 1
        self._show(self._warp)
        self._head[ShadowField.UNSETTLED] = 1

    def _barrier(self) -> None:
        together = self._block.clock()
        for clock in self._block.clocks:
            together.add(clock)
        for warp, clock in enumerate(self._block.clocks):
            clock.add(together)
            self._show(warp)
        self._head[ShadowField.UNSETTLED] = 0

    def _open(self, barrier: int, warps: int) -> None:
        arrived = self._block.arrived.pop(barrier, None)
        for warp in range(self._block.warps):
            if arrived is not None and warps >> warp & 1:
                self._block.clocks[warp].add(arrived)
                self._show(warp)
        self._head[ShadowField.UNSETTLED] = 1

    def _show(self, warp: int) -> None:
        """Let the machine code see what a warp knows of other blocks."""
        far = self._block.clocks[warp].far
        self._head[ShadowField.ACQUIRED + warp] = 0 if far is None else far.__array_interface__["data"][0]

    def _of_own_block(self, rows: _Rows) -> _Rows:
        first = self._block.number * self._block.warps
        return rows[first : first + self._block.warps]


def _addresses(mask: int, place: int) -> list[int]:
    """The different addresses of the lanes in a mask."""
    every: Any = (ctypes.c_int64 * _LANES).from_address(place)
    return list({every[lane]: None for lane in range(_LANES) if mask >> lane & 1})


def _keys(places: list[int], size: int) -> list[int]:
    """Names of the words that accesses of `size` bytes touch."""
    return [word for place in places for word in range(place >> 2, (place + size + 3) >> 2)]
