"""Work spread over threads, each in IEEE arithmetic whatever another library has set."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from cupysoft.workers import handed_over, thread_count

__all__ = ["for_each", "ieee_arithmetic"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_FENV_BYTES = 512  # more than any C library's fenv_t
# By its bits: while numbers are flushed, Python reads 5e-324 as 0.
_SMALLEST = np.array([1], np.int64).view(np.float64)


@functools.cache
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    # The process is part of the key: a forked child has the pool's object but none of its threads.
    return ThreadPoolExecutor(threads, thread_name_prefix="cupysoft-host")


def for_each(task: Callable[[_Item], _Result], items: Iterable[_Item], *, parallel: bool) -> list[_Result]:
    """Give ``[task(item) for item in items]``, by several threads if `parallel` and there is more than one item."""

    def quiet(item: _Item) -> _Result:
        with ieee_arithmetic():
            return task(item)

    items = list(items)
    threads = thread_count() if parallel and len(items) > 1 else 1
    inside = threading.current_thread().name.startswith("cupysoft-host")
    if threads == 1 or inside:
        with ieee_arithmetic():
            return [task(item) for item in items]
    jobs = handed_over(_pool(os.getpid(), threads), [functools.partial(quiet, item) for item in items])
    try:
        return [job.result() for job in jobs] + [quiet(item) for item in items[len(jobs) :]]
    finally:
        for job in jobs:
            job.cancel()


@contextmanager
def ieee_arithmetic() -> Iterator[None]:
    """Keep subnormals, and keep NumPy from warning, inside the block."""
    with np.errstate(all="ignore"):
        if not _flushes():
            yield
            return
        library, before = _c_environment()
        try:
            yield
        finally:
            library.fesetenv(before)


def _flushes() -> bool:
    """Whether this thread treats subnormal numbers as zero."""
    return not (_SMALLEST * 1.0)[0] > 0.0 or not (_SMALLEST * 2.0**52)[0] > 0.0


def _c_environment() -> tuple[Any, Any]:
    """Set the C library's default floating-point environment; give the library and the environment before.

    Raises
    ------
    RuntimeError
        If subnormal numbers are still flushed then.
    """
    library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
    before = ctypes.create_string_buffer(_FENV_BYTES)
    library.fegetenv(before)
    # FE_DFL_ENV is the pointer -1 in glibc and musl on x86 and ARM.
    library.fesetenv(ctypes.c_void_p(-1))
    if _flushes():
        raise RuntimeError(
            "cupysoft: this thread flushes subnormal numbers to zero, and that cannot be undone here; "
            "switch it off in the library that set it, for example torch.set_flush_denormal(False)"
        )
    return library, before
