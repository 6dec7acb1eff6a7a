"""Runs the blocks of a launch: contexts, a pool of threads, blocks that are set aside and taken up again."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
import threading
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

#: Parts into which each thread's share of the blocks is cut, so that no thread is left with the long end.
_PARTS = 8
#: Blocks that may be set aside at one time. A device with more resident blocks does not exist.
_RESIDENT = 4096
_RESIDENT_BYTES = 1 << 29
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
    """Do in this thread what is for those of the pool, and leave its arithmetic as it was."""
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
    ordered : bool
        Whether they are in order. Then nothing behind a failed block is begun.
    together : bool
        Whether all of them are to be on the device at one time, however many they are: they wait for each other.
    """

    def __init__(self, ranges: list[tuple[int, int]], ordered: bool = True, together: bool = False) -> None:
        self.together = together
        self._ranges = deque(ranges)
        self._ordered = ordered
        self._lock = threading.Lock()
        self.stop = ctypes.c_int32(0)
        #: The lowest block that failed.
        self.failed: int | None = None

    @property
    def stop_address(self) -> int:
        """Where the machine code looks whether it shall stop."""
        return ctypes.addressof(self.stop)

    def take(self) -> tuple[int, int] | None:
        """The next range, unless it begins behind a block that failed."""
        with self._lock:
            if not self._ranges or (
                self.failed is not None and not (self._ordered and self._ranges[0][0] < self.failed)
            ):
                return None
            return self._ranges.popleft()

    def give_back(self, first: int, last: int) -> None:
        """Return the rest of a range whose first block was set aside."""
        if first < last:
            with self._lock:
                self._ranges.appendleft((first, last))

    def fail(self, block: int) -> None:
        """Note that a block failed."""
        with self._lock:
            self.failed = block if self.failed is None else min(self.failed, block)


def ranges_of(blocks: int, threads: int) -> list[tuple[int, int]]:
    """Cut the blocks of a grid into ranges."""
    step = max(1, blocks // (threads * _PARTS))
    return [(first, min(first + step, blocks)) for first in range(0, blocks, step)]


def execute(
    schedule: Schedule,
    threads: int,
    run: Callable[[int, int, int], int],
    workspace: Callable[[], Workspace],
    stagnation: Stagnation,
) -> list[Workspace]:
    """Run every block; return the workspaces that were used, for their records.

    Parameters
    ----------
    schedule : Schedule
        The blocks.
    threads : int
        How many threads take part.
    run : callable
        The kernel's machine code.
    workspace : callable
        Gives a workspace that is ready for a block.
    stagnation : Stagnation
        Hears of blocks that do not end.
    """
    used: list[Workspace] = []
    pool = _pool(os.getpid(), thread_count())
    work = partial(_work, schedule, run, workspace, used, stagnation)
    jobs = handed_over(pool, [work] * threads)
    if not jobs:
        _here(work)
    try:
        _await(jobs, schedule)
    except BaseException:
        schedule.stop.value = 1
        wait(jobs)
        raise
    for job in jobs:
        job.result()
    return used


def _await(jobs: list[Future[None]], schedule: Schedule) -> None:
    """Wait for the threads; after a failure not for ever."""
    while wait(jobs, timeout=_GRACE_SECONDS).not_done:
        if schedule.failed is not None:
            wait(jobs, timeout=_GRACE_SECONDS)
            schedule.stop.value = 1


def _work(
    schedule: Schedule,
    run: Callable[[int, int, int], int],
    workspace: Callable[[], Workspace],
    used: list[Workspace],
    stagnation: Stagnation,
) -> None:
    """Take ranges until none is left and every block that was set aside is done."""
    watch = stagnation.watch()
    try:
        _run_blocks(schedule, run, workspace, used, watch)
    finally:
        watch.leave()


def _run_blocks(
    schedule: Schedule,
    run: Callable[[int, int, int], int],
    workspace: Callable[[], Workspace],
    used: list[Workspace],
    watch: Watch,
) -> None:
    aside: deque[Workspace] = deque()
    free: list[Workspace] = []
    # A new block is begun when all those set aside have had a turn: one of them may wait for a block not yet begun.
    turns = 0
    while True:
        crowded = len(aside) >= _RESIDENT or (aside and len(aside) * aside[0].nbytes > _RESIDENT_BYTES)
        waits = not schedule.together and (crowded or turns < len(aside))
        part = None if waits else schedule.take()
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
        status = run(space.address, first, last)
        if status == Status.YIELD:
            schedule.give_back(space[Slot.BLOCK] + 1, last)
            aside.append(space)
            if watch.endless(space, aside):
                schedule.fail(watch.blame(aside))
                schedule.stop.value = 1
                return
        elif status == Status.DONE:
            free.append(space)
            watch.advances()
        elif status == Status.ERROR:
            schedule.fail(space[Slot.ERROR_BLOCK])
            aside = deque(each for each in aside if each[Slot.BLOCK] < space[Slot.ERROR_BLOCK])
        else:
            return
