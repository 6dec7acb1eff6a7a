"""How many threads work on one call, and how they get their work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["handed_over", "thread_count"]

_Result = TypeVar("_Result")


def thread_count() -> int:
    """Give the number of threads that large arrays use: ``CUPYSOFT_THREADS``, or the cores this process may use."""
    asked = os.environ.get("CUPYSOFT_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def handed_over(pool: ThreadPoolExecutor, calls: Iterable[Callable[[], _Result]]) -> list[Future[_Result]]:
    """Give calls to a pool.

    There are fewer futures than calls, or none, where the main thread has ended: Python then refuses new work to pools,
    but threads that it waits for, and functions that were left for its end, may still call this package.
    """
    jobs: list[Future[_Result]] = []
    try:
        for call in calls:
            jobs.append(pool.submit(call))
    except RuntimeError as error:
        if "cannot schedule new futures" not in str(error):
            raise
    return jobs
