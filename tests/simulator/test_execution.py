"""How launches are carried out: threads, interruption, the order of blocks, the arithmetic of the CPU."""

from __future__ import annotations

import _thread
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import MemcheckError
from cupysoft.simulator import execute
from cupysoft.simulator.execute import Schedule, _pool

FOREVER = r"""
extern "C" __global__ void forever(int* x) { while (atomicAdd(x, 0) == 0) { } }"""


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, even where a shell in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("check", [True, False])
def test_a_kernel_that_never_ends_can_be_interrupted(check: bool) -> None:
    kernel = simulator.RawKernel(FOREVER, "forever")
    kernel((1,), (32,), (np.ones(1, np.int32),))
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    began = time.monotonic()
    with simulator.Device(check=check), pytest.raises(KeyboardInterrupt):
        kernel((50,), (64,), (np.zeros(1, np.int32),))
    assert time.monotonic() - began < 10
    timer.join()


def test_launches_from_several_threads_at_once() -> None:
    source = 'extern "C" __global__ void add(int* x, int a) { atomicAdd(&x[threadIdx.x], a); }'
    kernel = simulator.RawKernel(source, "add")
    results = [np.zeros(64, np.int32) for _ in range(8)]

    devices = [simulator.Device(check=bool(number % 2)) for number in range(8)]

    def work(number: int) -> None:
        with devices[number]:
            for _ in range(10):
                kernel((20,), (64,), (results[number], np.int32(number)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, result in enumerate(results):
        assert (result == 200 * number).all()
    for device in devices[1::2]:
        report = device.report.kernels["add"]
        assert (report.launches, report.memory["global atomic"].requests) == (10, 400)
        assert report.arguments["argument 0"].walks_written == 20


def test_a_device_is_current_only_in_its_own_thread() -> None:
    seen: list[object] = []
    with simulator.Device():
        thread = threading.Thread(target=lambda: seen.append(simulator.current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_threads_may_share_a_device_and_leave_it_in_any_order() -> None:
    device, meeting, seen = simulator.Device(), threading.Barrier(2, timeout=20), []

    def work(last: bool) -> None:
        with simulator.Device() as outer:
            with device:
                meeting.wait()
                seen.append(simulator.current() is device)
                if last:
                    meeting.wait()
            seen.append(simulator.current() is outer)
            if not last:
                meeting.wait()
        seen.append(simulator.current() is None)

    threads = [threading.Thread(target=work, args=(last,)) for last in (False, True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 6


def test_a_seed_draws_the_order_of_blocks_and_draws_it_again() -> None:
    source = 'extern "C" __global__ void f(int* next, int* when) { when[blockIdx.x] = atomicAdd(next, 1); }'
    kernel = simulator.RawKernel(source, "f")

    def order(seed: int) -> list[int]:
        next_, when = np.zeros(1, np.int32), np.zeros(50, np.int32)
        with simulator.Device(seed=seed):
            kernel((50,), (1,), (next_, when))
        return when.tolist()

    first = order(1)
    assert sorted(first) == list(range(50))
    assert first != list(range(50))
    assert first == order(1)
    assert first != order(2)


def test_two_launches_of_a_seeded_device_differ_and_repeat() -> None:
    source = 'extern "C" __global__ void f(int* next, int* when) { when[blockIdx.x] = atomicAdd(next, 1); }'
    kernel = simulator.RawKernel(source, "f")

    def orders() -> list[list[int]]:
        found = []
        with simulator.Device(seed=5):
            for _ in range(3):
                next_, when = np.zeros(1, np.int32), np.zeros(50, np.int32)
                kernel((50,), (1,), (next_, when))
                found.append(when.tolist())
        return found

    found = orders()
    assert found[0] != found[1] != found[2]
    assert found == orders()


def test_the_blocks_of_a_grid_are_shared_out_in_order() -> None:
    """In fewer and fewer at a time, but from `least` to `most`."""
    for blocks in (1, 2, 7, 64, 1000):
        for threads in (1, 2, 16):
            for least, most in ((1, 1), (1, 99), (10, 50), (9999, 99999)):
                schedule = Schedule([(0, blocks)], threads)
                parts: list[tuple[int, int]] = []
                while (part := schedule.take(least, most)) is not None:
                    parts.append(part)
                assert [block for first, last in parts for block in range(first, last)] == list(range(blocks))
                sizes = [last - first for first, last in parts]
                assert sizes == sorted(sizes, reverse=True)
                assert max(sizes) <= most
                assert min(sizes[:-1], default=least) >= min(least, most)
                assert len(sizes) == 1 or most == 1 or sizes[0] * threads <= max(blocks, least * threads)


COUNT = r"""
extern "C" __global__ void count(int* x) { atomicAdd(&x[threadIdx.x], 1); }"""


@pytest.mark.parametrize(("alone", "long"), [(60.0, 60.0), (-1.0, 60.0), (60.0, -1.0)])
def test_others_are_woken_for_what_takes_a_while(alone: float, long: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that find nothing to do any more are not waited for."""
    workers: list[ThreadPoolExecutor] = []

    def pool(*given: int) -> ThreadPoolExecutor:
        workers.append(_pool(*given))
        return workers[-1]

    monkeypatch.setenv("CUPYSOFT_THREADS", "3")
    monkeypatch.setattr(execute, "_pool", pool)
    monkeypatch.setattr(execute, "_ALONE_SECONDS", alone)
    monkeypatch.setattr(execute, "_LONG_SECONDS", long)
    kernel = simulator.RawKernel(COUNT, "count")
    for blocks in (1, 2, 7, 1000):
        x = np.zeros(64, np.int32)
        with simulator.Device(check=False):
            kernel((blocks,), (64,), (x,))
        assert (x == blocks).all()
    assert bool(workers) == (min(alone, long) < 0)


def test_blocks_below_a_failed_one_are_stopped_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may wait for it for ever, each time in another state."""
    source = r"""
    extern "C" __global__ void f(int* x, int* flag) {
        if (blockIdx.x == 0) while (atomicAdd(flag, 0) == 0) x[0]++;
        else x[1 << 20] = 1;
    }"""
    monkeypatch.setenv("CUPYSOFT_THREADS", "2")
    monkeypatch.setattr(execute, "_GRACE_SECONDS", 0.1)
    kernel = simulator.RawKernel(source, "f")
    began = time.monotonic()
    with simulator.Device(), pytest.raises(MemcheckError, match=r"block \(1, 0, 0\)"):
        kernel((2,), (1,), (np.zeros(2, np.int32), np.zeros(1, np.int32)))
    assert time.monotonic() - began < 10


def test_nothing_behind_a_failed_block_is_begun() -> None:
    schedule = Schedule([(0, 15)])
    assert schedule.take(5, 5) == (0, 5)
    schedule.fail(7)
    assert schedule.take(5, 5) == (5, 7)
    assert schedule.take(5, 5) is None
    schedule.give_back(6, 7)
    assert schedule.take(5, 5) == (6, 7)


@pytest.mark.usefixtures("interruptible")
def test_a_long_launch_can_be_interrupted_on_the_way() -> None:
    """Blocks that all come to an end, but not soon."""
    source = r"""
    extern "C" __global__ void f(double* x, int n) {
        double sum = blockIdx.x;
        for (int i = 0; i < n; i++) sum = sqrt(sum + 2);
        x[blockIdx.x] = sum;
    }"""
    kernel = simulator.RawKernel(source, "f")
    x = np.zeros(1 << 20)
    with simulator.Device(check=False):
        kernel((1,), (32,), (x, np.int32(1)))
        timer = threading.Timer(0.5, _thread.interrupt_main)
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            kernel((1 << 20,), (32,), (x, np.int32(100000)))  # some minutes
    assert time.monotonic() - began < 5
    timer.join()


FLUSHING = r"""
import ctypes, ctypes.util
import numpy as np
import cupysoft.simulator as simulator
x = np.full(64, 1e-40, np.float32)
library = ctypes.CDLL(ctypes.util.find_library("m"))
environment = (ctypes.c_uint32 * 8)()
library.fegetenv(environment)
environment[7] |= 0x8040  # flush to zero, denormals are zero: new threads inherit it
library.fesetenv(environment)
assert np.float32(1e-45) * np.float32(8) == 0
halve = 'asm("mul.rn.f32 %0, %0, 0f3F000000;" : "+f"(x[threadIdx.x]));'
kernel = simulator.RawKernel('extern "C" __global__ void f(float* x) { ' + halve + ' }', "f")
kernel((1,), (64,), (x,))
print(x.view(np.uint32)[0])
"""


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="sets the register of an x86 CPU")
def test_a_process_that_flushes_subnormal_numbers_does_not_change_kernels() -> None:
    done = subprocess.run([sys.executable, "-c", FLUSHING], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == (np.float32(1e-40) * np.float32(0.5)).view(np.uint32)


def test_results_are_the_same_with_and_without_checks() -> None:
    source = r"""
    extern "C" __global__ void mix(const float* x, float* y, int n) {
        __shared__ float s[128];
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        float v = i < n ? x[i] : 0;
        s[threadIdx.x] = sinf(v) * expf(v);
        __syncthreads();
        float sum = 0;
        for (int k = 0; k <= threadIdx.x % 7; ++k) sum += s[(threadIdx.x + k) % 128] / (k + 0.3f);
        sum += __shfl_xor_sync(0xffffffffu, sum, 5);
        if (i < n) y[i] = sum;
    }"""
    kernel = simulator.RawKernel(source, "mix")
    x = np.random.default_rng(3).standard_normal(1000).astype(np.float32)
    for seed in (None, 1):  # which chooses the approximate functions
        results = []
        for check in (True, False):
            y = np.zeros_like(x)
            with simulator.Device(check=check, seed=seed):
                kernel((8,), (128,), (x, y, 1000))
            results.append(y.tobytes())
        assert len(set(results)) == 1
