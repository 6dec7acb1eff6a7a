"""Cooperative launches: all blocks at one time, and the barrier of the whole grid."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import DeadlockError, LaunchError, TrapError
from cupysoft.simulator import stagnation
from cupysoft.simulator.profile.processors import of_architecture
from tests.simulator.devices import every_device

SOURCE = r"""
#include <cooperative_groups.h>
namespace cg = cooperative_groups;

// Each thread adds what its neighbours of the round before have, n times: wrong if one of them is a round behind.
extern "C" __global__ void rounds(long long* a, long long* b, int n) {
    cg::grid_group grid = cg::this_grid();
    long long i = grid.thread_rank(), size = grid.size();
    for (int round = 0; round < n; ++round) {
        b[i] = a[i] + a[(i + 1) % size] - a[(i + size / 2) % size];
        grid.sync();
        long long* c = a; a = b; b = c;
    }
}
extern "C" __global__ void dot(const double* x, const double* y, double* parts, double* out, int n) {
    cg::grid_group grid = cg::this_grid();
    __shared__ double s[64];
    double sum = 0;
    for (long long i = grid.thread_rank(); i < n; i += grid.size()) sum += x[i] * y[i];
    s[threadIdx.x] = sum;
    __syncthreads();
    for (int k = 32; k; k >>= 1) {
        if (threadIdx.x < k) s[threadIdx.x] += s[threadIdx.x + k];
        __syncthreads();
    }
    if (threadIdx.x == 0) parts[blockIdx.x] = s[0];
    auto token = grid.barrier_arrive();
    grid.barrier_wait(cuda::std::move(token));
    if (grid.thread_rank() == 0) {
        double total = 0;
        for (int k = 0; k < gridDim.x; ++k) total += parts[k];
        *out = total;
    }
}
extern "C" __global__ void valid(int* y) { y[0] = cg::this_grid().is_valid() ? 1 : -1; }
extern "C" __global__ void absent(int* y) { if (blockIdx.x != 3) cg::this_grid().sync(); atomicExch(y, 1); }
extern "C" __global__ void large(int* y) {
    extern __shared__ int s[];
    s[threadIdx.x] = threadIdx.x;
    cg::this_grid().sync();
    atomicAdd(y, s[threadIdx.x ^ 0]);
}"""
OPTIONS = ("--std=c++17",)
MODULE = simulator.RawModule(code=SOURCE, options=OPTIONS, enable_cooperative_groups=True)
PLAIN = simulator.RawModule(code=SOURCE, options=OPTIONS)


def after(a: np.ndarray[tuple[int], np.dtype[np.int64]], n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """What the rounds make of an array."""
    for _ in range(n):
        a = a + np.roll(a, -1) - np.roll(a, -(a.size // 2))
    return a


@every_device
@pytest.mark.parametrize(
    ("grid", "block"), [((1,), (32,)), ((2,), (64,)), ((3, 2, 5), (5, 4, 3)), ((200,), (32,)), ((17,), (1000,))]
)
def test_a_grid_waits_for_all_its_blocks(
    device: simulator.Device, grid: tuple[int, ...], block: tuple[int, ...]
) -> None:
    size = int(np.prod(grid) * np.prod(block))
    first = np.random.default_rng(0).integers(-9, 9, size)
    arrays = [first.copy(), np.zeros(size, np.int64)]
    with device:
        MODULE.get_function("rounds")(grid, block, (*arrays, np.int32(5)))
    np.testing.assert_array_equal(arrays[1], after(first, 5))


def test_it_does_so_where_more_blocks_are_together_than_are_set_aside_otherwise() -> None:
    first = np.arange(132 * 32 * 32)
    arrays = [first.copy(), np.zeros(first.size, np.int64)]
    with simulator.Device(check=False):
        MODULE.get_function("rounds")((132 * 32,), (32,), (*arrays, np.int32(3)))
    np.testing.assert_array_equal(arrays[1], after(first, 3))


@every_device
def test_arriving_and_waiting_may_be_apart(device: simulator.Device) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(-50, 50, (2, 10007)).astype(np.float64)
    out = np.zeros(1)
    with device:
        MODULE.get_function("dot")((30,), (64,), (x, y, np.zeros(30), out, np.int32(x.size)))
    assert out[0] == x @ y


@pytest.mark.parametrize("check", [False, True])
def test_a_plain_launch_has_no_grid_barrier(check: bool) -> None:
    y = np.zeros(1, np.int32)
    with simulator.Device(check=check):
        MODULE.get_function("valid")((1,), (1,), (y,))
        assert y[0] == 1
        PLAIN.get_function("valid")((1,), (1,), (y,))
        assert y[0] == -1
        with pytest.raises(
            TrapError, match="executed trap; the barrier of a whole grid .*enable_cooperative_groups=True"
        ):
            PLAIN.get_function("absent")((4,), (32,), (y,))
        kernel = simulator.RawKernel(SOURCE, "valid", OPTIONS, enable_cooperative_groups=True)
        kernel((1,), (1,), (y,))
        assert y[0] == 1


@pytest.mark.parametrize("seed", [None, 1])
def test_a_block_that_never_comes_is_reported(monkeypatch: pytest.MonkeyPatch, seed: int | None) -> None:
    monkeypatch.setattr(stagnation, "_PATIENCE", 0.1)
    with simulator.Device(seed=seed), pytest.raises(DeadlockError, match=r"(?s)spin for ever.*ld\.acquire\.gpu"):
        MODULE.get_function("absent")((8,), (64,), (np.zeros(1, np.int32),))


def test_a_grid_too_large_for_the_device_is_refused() -> None:
    y = np.zeros(1, np.int32)
    kernel = MODULE.get_function("large")
    kernel.max_dynamic_shared_size_bytes = 80_000  # two blocks of them fit a processor
    with simulator.Device(arch="sm_80", check=False):
        kernel((216,), (32,), (y,), shared_mem=80_000)
        assert y[0] == 216 * 31 * 16
        with pytest.raises(LaunchError, match="large: a cooperative grid of 217 blocks .*A100.* holds at most 216"):
            kernel((217,), (32,), (y,), shared_mem=80_000)
        PLAIN.get_function("valid")((217,), (32,), (y,))


def test_the_gpu_that_stands_for_an_architecture() -> None:
    names = {arch: of_architecture(arch).name for arch in ("sm_75", "sm_86", "sm_89", "sm_90a", "sm_103", "sm_120")}
    assert list(names.values()) == ["A100", "A100", "RTX 4090", "H100", "B200", "RTX 5090"]
