"""What is reported of asynchronous copies: who does not wait, what is in no order, addresses that are not right."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import MemcheckError, RacecheckError
from tests.simulator.copying import CHECKED, FAULTS, PIPELINE, ZERO, numbered, run, sums


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_pipeline_is_reported(fault: str) -> None:
    x, _ = sums(7)
    with pytest.raises(RacecheckError, match=r"Race (?s:.*)byte \d+ of 's'"):
        run(CHECKED, PIPELINE.replace(*FAULTS[fault]), np.zeros(64, np.int32), x, np.int32(7))


ONE = """__shared__ int s[64]; int t = threadIdx.x; s[t] = 0; __syncthreads();
    COPY("ca", "4", s + t, x + 4 * t); COMMIT(); {0} __syncthreads();"""
PENDING = [
    pytest.param("if (t == 63) y[0] = s[40];", "Read", id="read"),
    pytest.param("if (t == 63) s[40] = 1;", "Write", id="write"),
    pytest.param("if (t == 63) atomicAdd(s + 40, 1);", "Atomic", id="atomic"),
    pytest.param("if (t == 40) y[0] = s[40];", "Read", id="by the thread itself"),
    pytest.param("if (t == 40) s[40] = 1;", "Write", id="write by the thread itself"),
    pytest.param('if (t == 40) COPY("ca", "4", s + 40, x);', "Copy", id="copied twice"),
    pytest.param('if (t == 2) COPY("ca", "4", s + 40, x);', "Copy", id="copied by two"),
]


def test_a_copy_is_pending_however_much_time_goes_by() -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    body = """__shared__ int s[32]; int t = threadIdx.x; COPY("ca", "4", s + t, x + 4 * t);
        for (int k = 0; k < n; ++k) __syncwarp();
        {0} __syncwarp(); y[t] = s[t ^ 1];"""
    run(CHECKED, body.format("WAIT_ALL();"), y, x, np.int32(1 << 20), block=32)
    with pytest.raises(RacecheckError, match="not been waited for"):
        run(CHECKED, body.format(""), y, x, np.int32(1 << 20), block=32)


@pytest.mark.parametrize(("access", "verb"), PENDING)
def test_who_touches_the_target_before_the_wait_is_told_of_the_copy(access: str, verb: str) -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    text = (
        rf"{verb} access of size 4 bytes and Write access by an asynchronous copy of thread \(40, 0, 0\), .*byte 160 of"
    )
    with pytest.raises(RacecheckError, match=text):
        run(CHECKED, ONE.format("") + access, y, x, ZERO)
    run(CHECKED, ONE.format('WAIT("0");') + access + "WAIT_ALL();", y, x, ZERO)


ORDER = [
    pytest.param('COPY("ca", "4", s + t, x + 4 * t); WAIT_ALL(); {0} y[t] = s[t ^ {1}];', id="copy then read"),
    pytest.param(
        's[t] = t; {2} y[t] = s[t ^ {1}]; {0} COPY("ca", "4", s + t, x + 4 * t); WAIT_ALL();', id="read then copy"
    ),
    pytest.param('s[t ^ {1}] = t; {0} COPY("ca", "4", s + t, x + 4 * t); WAIT_ALL();', id="write then copy"),
]


@pytest.mark.parametrize("body", ORDER)
@pytest.mark.parametrize(("other", "barrier"), [(1, "__syncwarp();"), (33, "__syncthreads();")])
def test_barriers_order_a_copy_and_what_other_threads_do(body: str, other: int, barrier: str) -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    body = "__shared__ int s[64]; int t = threadIdx.x; " + body
    run(CHECKED, body.format(barrier, other, "__syncthreads();"), y, x, ZERO)
    for too_little in ("", "__syncwarp();")[: 1 + (other > 31)]:
        with pytest.raises(RacecheckError, match="Race reported"):
            run(CHECKED, body.format(too_little, other, "__syncthreads();"), y, x, ZERO)


def test_a_barrier_before_the_wait_orders_nothing_after_it() -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    body = """__shared__ int s[32]; int t = threadIdx.x;
        if (t < 32) COPY("ca", "4", s + t, x + 4 * t);
        __syncthreads();
        if (t < 32) WAIT_ALL();
        {0} if (t >= 32) y[t] = s[t - 32];"""
    run(CHECKED, body.format("__syncthreads();"), y, x, ZERO)
    with pytest.raises(RacecheckError, match="Race reported"):
        run(CHECKED, body.format(""), y, x, ZERO)


def test_the_same_bytes_may_be_copied_twice_at_once() -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    body = """__shared__ int s[8]; int t = threadIdx.x;
        COPY("ca", "4", s + t / 8, x + 4 * (t / {0})); WAIT_ALL(); __syncthreads(); y[t] = s[t / 8];"""
    run(CHECKED, body.format(8), y, x, ZERO)
    np.testing.assert_array_equal(y, np.repeat(x.view(np.int32)[:8], 8))
    with pytest.raises(RacecheckError, match="and Write access by"):
        run(CHECKED, body.format(4), y, x, ZERO)


ADDRESSES = [
    pytest.param(
        "s + t", "x + 4 * (t + 1)", "Invalid __global__ copy of size 4 bytes: element 256 of argument 1", id="source"
    ),
    pytest.param(
        "s + t",
        "x + 4 * t + 2",
        "Invalid __global__ copy of size 4 bytes: element 2 of .* misaligned",
        id="source misaligned",
    ),
    pytest.param("s + t + 1", "x + 4 * t", "Invalid __shared__ copy of size 4 bytes: byte 256 of 's'", id="target"),
    pytest.param(
        "(char*)s + 4 * t + 1",
        "x + 4 * t",
        "Invalid __shared__ copy of size 4 bytes: byte 1 of .* misaligned",
        id="target misaligned",
    ),
]


@pytest.mark.parametrize(("target", "source", "text"), ADDRESSES)
def test_addresses_are_checked_when_a_copy_is_issued(target: str, source: str, text: str) -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    with pytest.raises(MemcheckError, match=text):
        run(CHECKED, f'__shared__ int s[64]; int t = threadIdx.x; COPY("ca", "4", {target}, {source});', y, x, ZERO)


PARTIAL = """__shared__ __align__(16) int s[256]; int t = threadIdx.x;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" :: "r"(SHARED(s + 4 * t)), "l"(x + {0}), "r"({1}));
    WAIT_ALL(); y[t] = s[4 * t + 3];"""


def test_only_the_bytes_that_are_read_must_exist() -> None:
    x, y = numbered(64 * 16 - 5), np.zeros(64, np.int32)
    with simulator.Device() as device:
        run(device, PARTIAL.format("16 * t", "min(16, n - 16 * t)"), y, x, np.int32(x.size))
    assert device.report.kernels["f"].arguments["argument 1"].walks_read == 1
    assert device.report.kernels["f"].memory["global read"].bytes == x.size
    np.testing.assert_array_equal(y, np.append(x, np.zeros(5, np.uint8)).view(np.int32)[3::4])
    with pytest.raises(MemcheckError, match="Invalid __global__ copy of size 12 bytes"):
        run(CHECKED, PARTIAL.format("16 * t", "min(16, n - 16 * t + 1)"), y, x, np.int32(x.size))
    with pytest.raises(MemcheckError, match="Invalid __global__ copy of size 3 bytes: element 8 of .* misaligned"):
        run(CHECKED, PARTIAL.format("16 * t + 8", "3"), y, x, np.int32(x.size))
