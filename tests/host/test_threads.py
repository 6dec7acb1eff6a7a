"""Threads, and arithmetic that another library has bent."""

from __future__ import annotations

import ctypes
import multiprocessing
import platform
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.host import threads
from cupysoft.host.threads import for_each, ieee_arithmetic
from cupysoft.workers import thread_count

LARGE = np.random.default_rng(0).normal(0, 30, (300, 1000)).astype("f4")


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for count in ("1", "2", "5"):
        monkeypatch.setenv("CUPYSOFT_THREADS", count)
        assert thread_count() == int(count)
        results.append(
            [cupysoft.softmax(LARGE, 0), cupysoft.log_softmax(LARGE.astype("f8"), 1), cupysoft.softmax(LARGE)]
        )
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


def test_for_each_keeps_the_order_and_hands_on_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPYSOFT_THREADS", "3")
    assert for_each(lambda i: i * i, range(20), parallel=True) == [i * i for i in range(20)]
    with pytest.raises(ZeroDivisionError):
        for_each(lambda i: 1 // i, range(3), parallel=True)


def test_tasks_inside_tasks_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPYSOFT_THREADS", "2")

    def outer(i: int) -> list[int]:
        return for_each(lambda j: i + j, range(3), parallel=True)

    assert for_each(outer, range(4), parallel=True) == [[i, i + 1, i + 2] for i in range(4)]


def test_no_warning_reaches_the_user() -> None:
    x = np.array([[np.inf, -np.inf, np.nan, 0.0], [1e308, -1e308, 5e-324, 0.0]])
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for y in (x, x[:1].astype("f4"), np.tile(x, (200, 100))):
            cupysoft.softmax(y, 1)
            cupysoft.log_softmax(y, 1)
            cupysoft.logsumexp(y, 1)
            cupysoft.logsumexp(y, 1, y, return_sign=True)


def _softmax_in_child(queue: multiprocessing.Queue[float]) -> None:
    queue.put(float(cupysoft.softmax(LARGE, 1).sum()))


@pytest.mark.skipif(not hasattr(sys, "getandroidapilevel") and sys.platform == "win32", reason="no fork on Windows")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_makes_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPYSOFT_THREADS", "2")
    cupysoft.softmax(LARGE, 1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_softmax_in_child, args=(queue,))
    child.start()
    assert abs(queue.get(timeout=60) - 300) < 1
    child.join()


class Flushing:
    """Sets flush-to-zero and denormals-are-zero in this thread, as another library might."""

    def __enter__(self) -> None:
        self.library = ctypes.CDLL(None)
        self.before = ctypes.create_string_buffer(512)
        self.library.fegetenv(self.before)
        raw = bytearray(self.before.raw)
        control = int.from_bytes(raw[28:32], "little") | 0x8040  # MXCSR's place in glibc's fenv_t
        raw[28:32] = control.to_bytes(4, "little")
        self.library.fesetenv(ctypes.create_string_buffer(bytes(raw), 512))

    def __exit__(self, *_: object) -> None:
        self.library.fesetenv(self.before)


needs_glibc = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="knows the layout of glibc's fenv_t only",
)


@needs_glibc
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_subnormal_results_survive_flush_to_zero(dtype: str) -> None:
    depth = {"f4": 95.0, "f8": 740.0}[dtype]
    x = np.array([[0.0, -depth, -depth + 3]], dtype)
    tiny = np.array([1e-310])
    expected = cupysoft.softmax(x, 1)
    assert (expected > 0).all()
    with Flushing():
        assert (tiny * 1.0)[0] == 0
        result = cupysoft.softmax(x, 1)
        assert (tiny * 1.0)[0] == 0, "the caller's setting comes back"
    np.testing.assert_array_equal(result.view("i" + dtype[1]), expected.view("i" + dtype[1]))


@needs_glibc
def test_threads_born_under_flush_to_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPYSOFT_THREADS", "7")  # a pool that no other test has made
    x = LARGE.copy()
    x[:, 0] = x.max(axis=1) + 95
    expected = cupysoft.softmax(x, 1)
    assert ((expected > 0) & (expected < 1e-39)).any()
    threads._pool.cache_clear()
    with Flushing():
        result = cupysoft.softmax(x, 1)
    np.testing.assert_array_equal(result.view("i4"), expected.view("i4"))


@needs_glibc
def test_an_import_under_flush_to_zero() -> None:
    source = Path(threads.__file__).read_text()
    module: dict[str, Any] = {"__name__": "imported_under_flush_to_zero"}
    with Flushing():
        exec(compile(source, "threads.py", "exec"), module)
        with module["ieee_arithmetic"]():
            assert (np.array([1e-310]) * 0.5)[0] > 0
    assert not module["_flushes"]()


@needs_glibc
def test_what_cannot_be_undone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_flushes", lambda: True)
    with pytest.raises(RuntimeError, match="flushes subnormal"), ieee_arithmetic():
        pass
    assert threading.current_thread() is threading.main_thread()
