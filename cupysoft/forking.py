"""A process may fork while another of its threads compiles: the child has none of its threads, but all of its locks.

What such a thread holds, in compilers too, nobody in the child would ever give back. So a fork waits until no thread is
inside an `unforked` block.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["unforked"]

#: Compiling takes a few seconds. Whoever takes much longer may be waiting for the thread that forks.
_PATIENCE_SECONDS = 60.0

_gate = threading.Condition()
_inside = 0
_own = threading.local()


@contextmanager
def unforked() -> Iterator[None]:
    """Let no other thread fork this process inside the block."""
    global _inside
    with _gate:
        _inside += 1
        _own.inside = getattr(_own, "inside", 0) + 1
    try:
        yield
    finally:
        with _gate:
            _inside -= 1
            _own.inside -= 1
            _gate.notify_all()


def _wait() -> None:
    """Wait for the other threads, and let none begin until the fork is done."""
    _gate.acquire()
    _gate.wait_for(lambda: _inside <= getattr(_own, "inside", 0), _PATIENCE_SECONDS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait, after_in_parent=_gate.release, after_in_child=_gate.release)
