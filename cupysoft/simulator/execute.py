"""Runs the blocks of a launch: contexts, a pool of threads, blocks that are set aside and taken up again."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, partial
from typing import Any

from ..workers import handed_over, thread_count
from .context import Slot, Status
from .stagnation import Stagnation, Watch
from .workspace import Workspace

__all__ = ["Schedule", "execute"]

#: Parts of each thread's share of the blocks that are left, of which it takes one at a time.
_SHARES = 4
#: How long a thread runs machine code at a time, about: not less than it costs to come back, and not so long that a
#: user who interrupts it would wait.
_BRIEF_SECONDS = 2e-4
_AWAY_SECONDS = 0.2
#: Blocks that may be set aside at one time. A device with more resident blocks does not exist.
_RESIDENT = 4096
_RESIDENT_BYTES = 1 << 29
#: How long a thread works before others are woken to help it, which takes them about as long; where the last launch
#: took long, they are woken at once.
_ALONE_SECONDS = 1e-4
_LONG_SECONDS = 5e-4
#: How long blocks below a failed one may go on before they are stopped: they may wait for it for ever.
_GRACE_SECONDS = 2.0
_FENV_BYTES = 512  # more than any C library's fenv_t


@cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this process: those of its parent are not there after a fork."""
    return ThreadPoolExecutor(threads, thread_name_prefix="cupysoft-simulator", initializer=_default_arithmetic)


@cache
def _environment() -> tuple[Any, ctypes.c_void_p] | None:
    """The library of ``fesetenv``, and the default floating-point environment, where C has them."""
    found = ctypes.util.find_library("m")
    if os.name != "posix" or found is None:
        return None
    library = ctypes.CDLL(found)
    if sys.platform == "darwin":
        default = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(library, "_FE_DFL_ENV")))
    else:
        default = ctypes.c_void_p(-1)  # FE_DFL_ENV of glibc and musl
    library.fesetenv.argtypes = library.fegetenv.argtypes = [ctypes.c_void_p]
    return library, default


def _default_arithmetic() -> None:
    """Round to nearest and keep subnormal numbers in this thread, whatever another library has set."""
    environment = _environment()
    if environment is not None:
        library, default = environment
        library.fesetenv(default)


def _here(work: Callable[[], None]) -> None:
    """Work in this thread, in the arithmetic that those of the pool have, and leave its own as it was.

    The machine code comes back from time to time, so that the thread can be interrupted.
    """
    environment = _environment()
    before = ctypes.create_string_buffer(_FENV_BYTES)
    if environment is not None:
        environment[0].fegetenv(before)
    _default_arithmetic()
    try:
        work()
    finally:
        if environment is not None:
            environment[0].fesetenv(before)


class Schedule:
    """Which blocks are still to be run; shared by the threads of a launch.

    Parameters
    ----------
    ranges : list of (int, int)
        Ranges of blocks, taken from the front.
    threads : int
        How many threads share them.
    ordered : bool
        Whether they are in order. Then nothing behind a failed block is begun.
    together : bool
        Whether all of them are to be on the device at one time, however many they are: they wait for each other.
    """

    def __init__(
        self, ranges: list[tuple[int, int]], threads: int = 1, ordered: bool = True, together: bool = False
    ) -> None:
        self.together = together
        self.threads = threads
        self._ranges = deque(ranges)
        self._ordered = ordered
        self._lock = threading.Lock()
        self.stop = ctypes.c_int32(0)
        #: The lowest block that failed.
        self.failed: int | None = None
        self._grace = 0.0  # when those below it are stopped

    @property
    def stop_address(self) -> int:
        """Where the machine code looks whether it shall stop."""
        return ctypes.addressof(self.stop)

    def take(self, least: int, most: int) -> tuple[int, int] | None:
        """The next blocks: a part of a thread's share of what is left, but from `least` to `most` if there are so many.

        So all threads end at about one time, and take blocks seldom.
        """
        with self._lock:
            if not self._ranges:
                return None
            first, last = self._ranges[0]
            if self.failed is not None:
                if not self._ordered or first >= self.failed:
                    return None
                most = min(most, self.failed - first)
            self._ranges.popleft()
            share = (last - first) // (self.threads * _SHARES)
            end = min(last, first + min(max(share, least), most))
            if end < last:
                self._ranges.appendleft((end, last))
            return first, end

    def give_back(self, first: int, last: int) -> None:
        """Return the rest of a range whose first block was set aside."""
        if first < last:
            with self._lock:
                self._ranges.appendleft((first, last))

    def fail(self, block: int) -> None:
        """Note that a block failed."""
        with self._lock:
            if self.failed is None:
                self._grace = time.monotonic() + _GRACE_SECONDS
            self.failed = block if self.failed is None else min(self.failed, block)

    def hurry(self) -> None:
        """Stop all threads if a block failed some time ago."""
        if self.failed is not None and time.monotonic() > self._grace:
            self.stop.value = 1


def execute(
    schedule: Schedule,
    run: Callable[[int, int, int], int],
    workspace: Callable[[], Workspace],
    stagnation: Stagnation,
    before: float = 0.0,
) -> list[Workspace]:
    """Run every block; return the workspaces that were used, for their records.

    Parameters
    ----------
    schedule : Schedule
        The blocks, and how many threads share them.
    run : callable
        The kernel's machine code.
    workspace : callable
        Gives a workspace that is ready for a block.
    stagnation : Stagnation
        Hears of blocks that do not end.
    before : float
        How many seconds the last launch of the kernel took, which is what is known of this one.
    """
    used: list[Workspace] = []
    work = partial(_work, schedule, run, workspace, used, stagnation)
    others = _Others(work, schedule.threads - 1, 0.0 if before > _LONG_SECONDS else _ALONE_SECONDS)
    try:
        _here(partial(work, others.called))
        jobs = others.begun()
        wait(jobs)
    except BaseException:
        schedule.stop.value = 1
        wait(others.begun())
        raise
    for job in jobs:
        job.result()
    return used


class _Others:
    """The threads that help the one of the launch, after a time that would not be worth waking them."""

    def __init__(self, work: Callable[[], None], number: int, alone: float) -> None:
        self._jobs: list[Future[None]] = []
        self._work = work
        self._number = number
        self._due = time.perf_counter() + alone

    def called(self) -> None:
        """Call them if it is time."""
        if self._number and time.perf_counter() > self._due:
            self._jobs = handed_over(_pool(os.getpid(), thread_count()), [self._work] * self._number)
            self._number = 0

    def begun(self) -> list[Future[None]]:
        """What they have begun; who has not by now would find nothing to do."""
        return [job for job in self._jobs if not job.cancel()]


def _work(
    schedule: Schedule,
    run: Callable[[int, int, int], int],
    workspace: Callable[[], Workspace],
    used: list[Workspace],
    stagnation: Stagnation,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Take ranges until none is left and every block that was set aside is done; do something `between` them."""
    watch = stagnation.watch()
    try:
        _run_blocks(schedule, run, workspace, used, watch, between)
    finally:
        watch.leave()


def _run_blocks(
    schedule: Schedule,
    run: Callable[[int, int, int], int],
    workspace: Callable[[], Workspace],
    used: list[Workspace],
    watch: Watch,
    between: Callable[[], None],
) -> None:
    aside: deque[Workspace] = deque()
    free: list[Workspace] = []
    # A new block is begun when all those set aside have had a turn: one of them may wait for a block not yet begun.
    turns = 0
    least = most = 1  # until it is known how long a block takes
    while True:
        crowded = len(aside) >= _RESIDENT or (aside and len(aside) * aside[0].nbytes > _RESIDENT_BYTES)
        waits = not schedule.together and (crowded or turns < len(aside))
        part = None if waits else schedule.take(least, most)
        if part is not None:
            first, last = part
            turns = 0
            watch.advances()
            if free:
                space = free.pop()
            else:
                space = workspace()
                used.append(space)
            space[Slot.RESUME] = 0
        elif aside:
            space = aside.popleft()
            turns += 1
            first = space[Slot.BLOCK]
            last = first + 1
            space[Slot.RESUME] = 1
        else:
            return
        began = time.perf_counter()
        status = run(space.address, first, last)
        seconds = time.perf_counter() - began
        between()
        if status == Status.YIELD:
            schedule.give_back(space[Slot.BLOCK] + 1, last)
            aside.append(space)
            schedule.hurry()
            if watch.endless(space, aside):
                schedule.fail(watch.blame(aside))
                schedule.stop.value = 1
                return
        elif status == Status.DONE:
            free.append(space)
            watch.advances()
            pace = (last - first) / max(seconds, 1e-9)
            least, most = max(1, int(pace * _BRIEF_SECONDS)), max(1, int(pace * _AWAY_SECONDS))
        elif status == Status.ERROR:
            schedule.fail(space[Slot.ERROR_BLOCK])
            aside = deque(each for each in aside if each[Slot.BLOCK] < space[Slot.ERROR_BLOCK])
        else:
            return
