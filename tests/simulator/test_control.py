"""Flow of control: divergence, loops, early ends, spinning, barriers, tables of labels."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import DeadlockError, SimulatorError, TrapError, UnknownInstructionError
from tests.simulator.devices import every_device, ints, launch, unchecked


def collatz(start: int) -> int:
    """Return the steps from `start` down to 1."""
    steps = 0
    while start != 1:
        start = 3 * start + 1 if start % 2 else start // 2
        steps += 1
    return steps


@every_device
def test_lanes_take_paths_of_their_own(device: simulator.Device) -> None:
    """A loop with a branch in it, of a different length in each thread."""
    y = ints(100)
    body = """int n = threadIdx.x + 1, steps = 0;
    while (n != 1) { if (n & 1) n = 3 * n + 1; else n /= 2; steps++; }
    y[threadIdx.x] = steps;"""
    launch(device, body, [y], block=100)
    assert y.tolist() == [collatz(k + 1) for k in range(100)]


@every_device
def test_nested_branches_and_early_ends(device: simulator.Device) -> None:
    """Threads leave from inside nested loops; the others go on undisturbed."""
    y = ints(64)
    body = """int i = threadIdx.x;
    for (int a = 0; a < 8; a++) {
        if (i % 8 == a) { y[i] += 100 * a; if (i & 8) return; }
        for (int b = 0; b <= a; b++) {
            if (i == a * b) { y[i] = -1; return; }
            if ((i ^ b) % 5 == 0) continue;
            y[i] += b; }
    }
    y[i] += 7;"""
    launch(device, body, [y], block=64)
    want = ints(64)
    for i in range(64):
        want[i] = nested(i)
    assert y.tolist() == want.tolist()


def nested(i: int) -> int:
    """Do what one thread of the test above does."""
    y = 0
    for a in range(8):
        if i % 8 == a:
            y += 100 * a
            if i & 8:
                return y
        for b in range(a + 1):
            if i == a * b:
                return -1
            if (i ^ b) % 5:
                y += b
    return y + 7


@every_device
def test_threads_are_where_they_are(device: simulator.Device) -> None:
    """Three-dimensional grids and blocks, with a last warp that is not full."""
    y = ints(24, 5, 4, 3)
    body = """int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[60 * b + i] = 1000 * b + threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z;"""
    launch(device, body, [y], grid=(2, 3, 4), block=(3, 4, 5))
    z, t, x = np.meshgrid(np.arange(5), np.arange(4), np.arange(3), indexing="ij")
    want = 1000 * np.arange(24)[:, None, None, None] + x + 10 * t + 100 * z
    assert np.array_equal(y, want)


TABLE = """unsigned v; unsigned i = threadIdx.x;
asm volatile("{ .reg .u32 t; and.b32 t, %1, 3;\\n places: .branchtargets A, B, C, D;\\n brx.idx t, places;\\n"
    "A: add.u32 %0, %1, 10; bra END;\\n B: add.u32 %0, %1, 20; bra END;\\n C: mov.u32 %0, 5;\\n"
    "D: add.u32 %0, %1, 40;\\n"
    "END: }" : "=r"(v) : "r"(i));
"""


@every_device
def test_a_branch_through_a_table(device: simulator.Device) -> None:
    """``brx.idx`` sends each lane to the label that its index names, twice in one kernel."""
    y = ints(2, 64)
    launch(device, "{" + TABLE + "y[i] = v;}{" + TABLE + "y[i + 64] = 2 * v;}", [y], block=64)
    i = np.arange(64)
    want = i + np.array([10, 20, 40, 40])[i % 4]
    assert np.array_equal(y, [want, 2 * want])


@unchecked
def test_a_lock_between_lanes_of_a_warp(device: simulator.Device) -> None:
    """Every thread gets the lock in the end, though lanes of one warp contend for it."""
    y = ints(2)
    body = """bool done = false;
    while (!done) if (atomicCAS(y, 0, 1) == 0) {
        int v = *(volatile int*)(y + 1); *(volatile int*)(y + 1) = v + 1;
        __threadfence(); atomicExch(y, 0); done = true; }"""
    launch(device, body, [y], grid=3, block=96)
    assert y[1] == 3 * 96


@unchecked
def test_lanes_and_blocks_that_wait_for_others(device: simulator.Device) -> None:
    """31 lanes spin on what one lane of the warp writes after a loop; blocks wait for the one before."""
    y = ints(50)
    body = """volatile int* flag = y; int b = blockIdx.x;
    if (threadIdx.x == 5) {
        while (b && flag[b - 1] == 0);
        int sum = 0; for (int k = 0; k <= 100 * b; k++) sum += k;
        __threadfence(); flag[b] = sum + 1;
    } else { while (flag[b] == 0); if (threadIdx.x == 31) y[b + 20] = flag[b]; }"""
    launch(device, body, [y], grid=20)
    assert y[20:40].tolist() == [100 * b * (100 * b + 1) // 2 + 1 for b in range(20)]


@unchecked
def test_lanes_that_wait_for_each_other_in_turn(device: simulator.Device) -> None:
    """Two groups of a warp hand a number to and fro: whichever stands lower in the code waits half of the time."""
    y = ints(1)
    body = """volatile int* turn = y;
    if (threadIdx.x < 9)
        for (int k = 0; k < 10; k += 2) { while (*turn < k); __threadfence(); *turn = k + 1; moved_on(y, k); }
    else
        for (int k = 1; k < 10; k += 2) { while (*turn < k); __threadfence(); *turn = k + 1; moved_on(y, k); }"""
    before = "__device__ __noinline__ void moved_on(volatile int* y, int k) { if (*y < k) __trap(); }"
    launch(device, body, [y], before=before)
    assert y[0] == 10


@unchecked
def test_barriers_count_the_threads_that_are_left(device: simulator.Device) -> None:
    """After an early return the others still meet, from different places of the code."""
    y = ints(100)
    body = """__shared__ int s[100]; int i = threadIdx.x;
    if (i >= 90) return;
    s[i] = i;
    if (i & 1) { __syncthreads(); } else { s[i] += 100; __syncthreads(); }
    y[i] = s[89 - i];"""
    launch(device, body, [y], block=100)
    i = np.arange(90)
    assert np.array_equal(y[:90], np.where(i & 1, i, i + 100)[::-1])


@every_device
def test_barriers_that_reduce(device: simulator.Device) -> None:
    """Count, and, or: over all the threads of the block, again and again."""
    y = ints(3, 3, 70)
    body = """int i = threadIdx.x;
    for (int k = 0; k < 3; k++) {
        y[k * 210 + i] = __syncthreads_count(i % (k + 2) == 0);
        y[k * 210 + 70 + i] = __syncthreads_and(i < 70 - (k == 1));
        y[k * 210 + 140 + i] = __syncthreads_or(i == 69 * k); }"""
    launch(device, body, [y], block=70)
    for k in range(3):
        assert set(y[k, 0]) == {len(range(0, 70, k + 2))}
        assert set(y[k, 1]) == {int(k != 1)}
        assert set(y[k, 2]) == {int(k != 2)}


@every_device
def test_a_count_on_one_of_two_paths(device: simulator.Device) -> None:
    """The register of the result holds a constant on the other path."""
    y = ints(2, 40)
    body = """int n = 7; if (blockIdx.x) n = __syncthreads_count(threadIdx.x & 1);
    y[blockIdx.x * 40 + threadIdx.x] = n;"""
    launch(device, body, [y], grid=2, block=40)
    assert set(y[0]) == {7}
    assert set(y[1]) == {20}


@every_device
def test_named_barriers_let_producers_go_on(device: simulator.Device) -> None:
    """``bar.arrive`` does not wait; the consumers of a register-named barrier do."""
    y = ints(2, 32)
    body = """__shared__ int s[32]; int w = threadIdx.x / 32, l = threadIdx.x % 32, id = 3 + (blockIdx.x & 1);
    if (w == 1) { s[l] = 7 * l; __threadfence_block(); asm volatile("bar.arrive %0, 64;" :: "r"(id) : "memory"); }
    else { asm volatile("bar.sync %0, 64;" :: "r"(id) : "memory"); y[blockIdx.x * 32 + l] = s[31 - l]; }"""
    launch(device, body, [y], grid=2, block=64)
    assert np.array_equal(y, [7 * np.arange(31, -1, -1)] * 2)


@every_device
def test_a_barrier_with_a_count_counts_whole_warps(device: simulator.Device) -> None:
    """A warp of fewer than 32 threads, or whose last lanes are gone, counts for 32, as the PTX manual says."""
    y = ints(4, 84)
    body = """__shared__ volatile int s; int t = threadIdx.x; if (t == 0) s = 0; __syncthreads();
    if (t >= 40 && t < 64) return;
    if (t < 64) { if (t == 0) s = 7; asm volatile("bar.arrive 1, 96;" ::: "memory"); }
    else asm volatile("bar.sync 1, 96;" ::: "memory");
    int all, some; asm volatile("{ .reg .pred p, q; setp.lt.s32 p, %2, 84; "
        "bar.red.and.pred q, 2, 96, p; selp.s32 %0, 1, 0, q; bar.red.popc.u32 %1, 3, 96, p; }"
        : "=r"(all), "=r"(some) : "r"(t));
    y[t] = t < 64 ? 0 : s; y[84 + t] = all; y[168 + t] = some;"""
    launch(device, body, [y], block=84)
    here = np.r_[0:40, 64:84]
    assert y[0, 64:].tolist() == [7] * 20
    assert y[1, here].tolist() == [1] * 60
    assert y[2, here].tolist() == [60] * 60


def test_barriers_that_never_open() -> None:
    """Two warps that wait at different barriers are told of, not waited for."""
    body = """if (threadIdx.x < 32) asm volatile("bar.sync 1;"); else asm volatile("bar.sync 2;");"""
    with pytest.raises(DeadlockError, match="bar.sync"):
        launch(simulator.Device(check=False), body, [ints(1)], block=64)


def test_trap_names_the_thread() -> None:
    """A trap ends the launch, at the lane that took it."""
    with pytest.raises(TrapError, match=r"thread \(?37"):
        launch(simulator.Device(check=False), "if (threadIdx.x == 37) __trap(); y[0] = 1;", [ints(1)], block=64)


def test_an_unknown_instruction_names_itself() -> None:
    """The message has the instruction and where it stands."""
    body = 'asm volatile("wgmma.fence.sync.aligned;");'
    with pytest.raises(UnknownInstructionError, match=r"wgmma\.fence\.sync\.aligned.*PTX line"):
        launch(simulator.Device(arch="sm_90", check=False), body, [ints(1)])


def test_recursion_is_refused() -> None:
    """A function that calls itself cannot be inlined."""
    before = "__device__ __noinline__ int g(int n) { return n < 2 ? n : 3 * g(n - 1) + g(n - 2); }"
    with pytest.raises(SimulatorError, match="recursion"):
        launch(simulator.Device(check=False), "y[0] = g(y[1]);", [ints(2)], before=before)


@every_device
def test_called_functions(device: simulator.Device) -> None:
    """Functions that the compiler keeps apart, with structures in and out, in divergent code."""
    y = np.zeros(64)
    before = """struct Pair { double a; int b; };
    __device__ __noinline__ Pair g(Pair p, int n) { if (p.b & 1) return {p.a * 3, n}; return {p.a + p.b, p.b + n}; }"""
    body = """int i = threadIdx.x; Pair p = g({0.5 * i, i}, 4); if (i > 7) p = g(p, i); y[i] = p.a + p.b;"""
    launch(device, body, [y], block=64, parameters="double* y", before=before)

    def g(a: float, b: int, n: int) -> tuple[float, int]:
        return (3 * a, n) if b & 1 else (a + b, b + n)

    pairs = [g(*g(0.5 * i, i, 4), i) if i > 7 else g(0.5 * i, i, 4) for i in range(64)]
    assert y.tolist() == [sum(pair) for pair in pairs]


@every_device
def test_clocks_run_and_sleep_yields(device: simulator.Device) -> None:
    """Time goes forward from one reading to the next."""
    t = np.zeros((2, 32), np.int64)
    body = """long long a = clock64(); __nanosleep(50); long long b = clock64();
    t[threadIdx.x] = a; t[32 + threadIdx.x] = b;"""
    launch(device, body, [t], parameters="long long* t")
    assert (t[1] > t[0]).all()
