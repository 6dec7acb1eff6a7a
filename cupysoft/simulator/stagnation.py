"""Finds launches that will never end: blocks that spin while nothing that they look at changes any more.

A block that is not done after its turn is set aside and taken up again. When no block has ended or begun for a while,
each thread of the launch compares the registers, shared and local memory of its blocks from one round to the next, as
Brent's algorithm for cycles does. Where the blocks of every thread have come to a state that they were in before, and
global memory is what it was then, all will do again what they did in between, for ever.

A loop that counts its turns, or reads a clock, never comes to the same state, and is not found.
"""

from __future__ import annotations

import ctypes
import hashlib
import threading
import time
from collections.abc import Sequence
from itertools import count

import numpy as np

from .context import BARRIER_FIELDS, BARRIER_IDS, ErrorKind, Slot
from .layout import StateOffset
from .memory import AddressMap
from .pcs import BLOCK_BITS, MEETING
from .workspace import Workspace

__all__ = ["Stagnation", "Watch"]

#: Seconds without a block that begins or ends before states are compared.
_PATIENCE = 2.0
_LANES = 32


class Stagnation:
    """What the threads of one launch know together.

    Parameters
    ----------
    memory : AddressMap
        Everything in global memory.
    starts : sequence of int
        Number of the first instruction of each basic block.
    """

    def __init__(self, memory: AddressMap, starts: Sequence[int]) -> None:
        self.progress = time.monotonic()
        self._memory = memory
        self.starts = starts
        self._lock = threading.Lock()
        self._names = count()
        self._rounds: dict[int, int] = {}
        self._seen = b""

    def watch(self) -> Watch:
        """The part of a thread that begins."""
        with self._lock:
            name = next(self._names)
            self._rounds[name] = 0
        return Watch(self, name)

    def leave(self, name: int) -> None:
        """Forget a thread that has no block left."""
        with self._lock:
            del self._rounds[name]

    def moves(self, name: int) -> None:
        """Hear that a thread's blocks came to a state that they were not in before."""
        with self._lock:
            self._rounds[name] = 0
            self._seen = b""

    def repeats(self, name: int) -> bool:
        """Hear that a thread's blocks are in a former state again, and tell whether nothing can change that."""
        with self._lock:
            self._rounds[name] += 1
            if not all(self._rounds.values()):
                return False
            self._rounds = dict.fromkeys(self._rounds, 0)
            before, self._seen = self._seen, self._content()
            return before == self._seen

    def _content(self) -> bytes:
        digest = hashlib.blake2b(digest_size=16)
        for region in self._memory.regions:
            if region is not None:
                digest.update(_bytes(region.address, region.size))
        return digest.digest()


class Watch:
    """What one thread remembers of its blocks."""

    def __init__(self, stagnation: Stagnation, name: int) -> None:
        self._stagnation = stagnation
        self._name = name
        self._marker: Workspace | None = None
        self._former = self._whole = b""
        self._steps, self._most = 0, 1

    def advances(self) -> None:
        """Note that a block begins or has ended."""
        self._stagnation.progress = time.monotonic()
        if self._marker is not None:
            self._marker = None
            self._stagnation.moves(self._name)

    def endless(self, space: Workspace, aside: Sequence[Workspace]) -> bool:
        """Hear of a block that is set aside, like those of `aside`; true, in one thread, when all is in vain.

        A seed is dropped in the end: with turns drawn at random no state would ever come back.
        """
        if time.monotonic() - self._stagnation.progress < _PATIENCE:
            return False
        space[Slot.SEED] = 0
        if self._marker is None:
            self._marker, self._former, self._whole, self._steps, self._most = space, b"", b"", 0, 1
        if space is not self._marker:
            return False
        now = _state(space)
        if now == self._former:
            return self._again(aside)
        self._steps += 1
        if self._steps == self._most:
            self._former, self._whole, self._steps = now, b"", 0
            self._most *= 2
            self._stagnation.moves(self._name)
        return False

    def _again(self, spaces: Sequence[Workspace]) -> bool:
        """One block repeats itself: look whether the others do."""
        everything = b"".join(_state(each) for each in spaces)
        same, self._whole = everything == self._whole, everything
        if not same:
            self._stagnation.moves(self._name)
            return False
        return self._stagnation.repeats(self._name)

    def blame(self, spaces: Sequence[Workspace]) -> int:
        """Fill the error record of the lowest block with a thread that spins, and where; return the block."""
        space = min(spaces, key=lambda each: each[Slot.BLOCK])
        thread, place = _spinning(space)
        space[Slot.ERROR_KIND] = ErrorKind.ENDLESS
        space[Slot.ERROR_BLOCK] = space[Slot.BLOCK]
        space[Slot.ERROR_THREAD] = thread
        space[Slot.ERROR_INSTRUCTION] = self._stagnation.starts[place]
        return space[Slot.BLOCK]

    def leave(self) -> None:
        """The thread has no block left."""
        self._stagnation.leave(self._name)


def _state(space: Workspace) -> bytes:
    """A hash of all that decides what the threads of a block do next, but global memory."""
    digest = hashlib.blake2b(digest_size=16)
    warps = space[Slot.WARPS]
    for slot, size in (
        (Slot.STATES, space[Slot.STATE_STRIDE] * warps),
        (Slot.SHARED_HOST, space[Slot.SHARED_BYTES]),
        (Slot.LOCAL_HOST, space[Slot.LOCAL_STRIDE] * warps * _LANES),
    ):
        digest.update(_bytes(space[slot], size))
    digest.update(_bytes(space.address + 8 * Slot.BARRIERS, 8 * BARRIER_IDS * BARRIER_FIELDS))
    return digest.digest()


def _bytes(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_char * size).from_address(address))


def _spinning(space: Workspace) -> tuple[int, int]:
    """A thread that goes round in a loop, the first if there are several, and its basic block."""
    stride = space[Slot.STATE_STRIDE]
    for warp in range(space[Slot.WARPS]):
        place = space[Slot.STATES] + warp * stride + StateOffset.COUNTERS
        counters = np.frombuffer(_bytes(place, 4 * _LANES), np.uint32)
        runs = np.flatnonzero(counters < MEETING)
        if runs.size:
            return warp * _LANES + int(runs[0]), int(counters[runs[0]]) & BLOCK_BITS
    return 0, 0
