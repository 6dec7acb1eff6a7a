"""A fork waits for threads that compile, so that the child can compile too."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cupysoft.forking import unforked

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def forked(status: int = 0) -> int:
    """Fork a child that ends at once with a status, and give that."""
    child = os.fork()
    if child == 0:
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_for_other_threads_and_not_for_its_own() -> None:
    events: list[str] = []
    begun = threading.Event()

    def work() -> None:
        with unforked(), unforked():
            begun.set()
            time.sleep(0.1)
            events.append("worked")

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    with unforked():
        assert forked(3) == 3
    events.append("forked")
    thread.join()
    assert events == ["worked", "forked"]


def test_nothing_is_held_after_an_error() -> None:
    with pytest.raises(KeyError), unforked():
        raise KeyError
    thread = threading.Thread(target=forked)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


CHILD = """
import os, signal, threading, time
import numpy as np, cupysoft
from cupysoft.runtime.compile import _locks

x = np.zeros((200, 200), np.float32)
thread = threading.Thread(target=cupysoft.softmax, args=(x, 1))
thread.start()
while not any(lock.locked() for lock in _locks.copy().values()):
    time.sleep(0.001)
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(not (cupysoft.softmax(x, 1) == np.float32(1 / 200)).all())
status = os.waitpid(child, 0)[1]
thread.join()
raise SystemExit(status != 0)
"""


def test_a_child_of_a_fork_during_the_first_call_computes(tmp_path: Path) -> None:
    environment = os.environ | {"CUPYSOFT_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
