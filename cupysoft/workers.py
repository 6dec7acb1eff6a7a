"""How many threads work on one call."""

from __future__ import annotations

import os

__all__ = ["thread_count"]


def thread_count() -> int:
    """Give the number of threads that large arrays use: ``CUPYSOFT_THREADS``, or the cores this process may use."""
    asked = os.environ.get("CUPYSOFT_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
