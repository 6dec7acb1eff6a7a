"""Any CUDA C++ kernel runs on the simulated device, called as CuPy calls it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import CompileError, LaunchError, TrapError


@pytest.fixture(params=[True, False], ids=["checked", "unchecked"], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[simulator.Device]:
    with simulator.Device(check=request.param) as made:
        yield made


def test_a_histogram_by_atomics_in_shared_and_global_memory() -> None:
    source = r"""
    extern "C" __global__ void histogram(const unsigned char* x, int n, unsigned int* bins) {
        __shared__ unsigned int mine[64];
        if (threadIdx.x < 64) mine[threadIdx.x] = 0;
        __syncthreads();
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
            atomicAdd(&mine[x[i] & 63], 1u);
        __syncthreads();
        if (threadIdx.x < 64) atomicAdd(&bins[threadIdx.x], mine[threadIdx.x]);
    }"""
    x = np.random.default_rng(1).integers(0, 64, 10_007).astype(np.uint8)
    bins = np.zeros(64, np.uint32)
    simulator.RawKernel(source, "histogram")((7,), (96,), (x, np.int32(x.size), bins))
    assert np.array_equal(bins, np.bincount(x, minlength=64))


@pytest.mark.parametrize("size", [1, 31, 32, 33, 255, 256, 257, 1000])
def test_a_reduction_by_shuffles(size: int) -> None:
    source = r"""
    extern "C" __global__ void total(const double* x, int n, double* out) {
        __shared__ double part[8];
        double sum = 0;
        for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
        for (int step = 16; step; step >>= 1) sum += __shfl_down_sync(0xffffffffu, sum, step);
        if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
        __syncthreads();
        if (threadIdx.x == 0) {
            double all = 0;
            for (int warp = 0; warp < 8; ++warp) all += part[warp];
            *out = all;
        }
    }"""
    x = np.arange(size, dtype=np.float64)
    out = np.zeros((), np.float64)
    simulator.RawKernel(source, "total")((1,), (256,), (x, np.int32(size), out))
    assert out == x.sum()


TRANSPOSE = r"""
template <bool DYNAMIC>
__global__ void transpose(const float* x, float* y, int rows, int columns) {
    __shared__ float fixed[DYNAMIC ? 1 : 16 * 17];
    extern __shared__ float asked[];
    float* tile = DYNAMIC ? asked : fixed;
    int column = blockIdx.x * 16 + threadIdx.x, row = blockIdx.y * 16 + threadIdx.y;
    if (row < rows && column < columns) tile[threadIdx.y * 17 + threadIdx.x] = x[row * columns + column];
    __syncthreads();
    int to_column = blockIdx.y * 16 + threadIdx.x, to_row = blockIdx.x * 16 + threadIdx.y;
    if (to_row < columns && to_column < rows) y[to_row * rows + to_column] = tile[threadIdx.x * 17 + threadIdx.y];
}"""


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_transpose_with_two_dimensional_blocks(dynamic: bool) -> None:
    name = f"transpose<{'true' if dynamic else 'false'}>"
    module = simulator.RawModule(code=TRANSPOSE, options=("-std=c++17",), name_expressions=[name])
    x = np.random.default_rng(2).standard_normal((37, 50)).astype(np.float32)
    y = np.zeros((50, 37), np.float32)
    module.get_function(name)((4, 3), (16, 16), (x, y, 37, 50), shared_mem=16 * 17 * 4 if dynamic else 0)
    assert np.array_equal(y, x.T)


def test_three_dimensional_grids_and_blocks() -> None:
    source = r"""
    extern "C" __global__ void where(int* out) {
        int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
        int z = blockIdx.z * blockDim.z + threadIdx.z;
        out[(z * gridDim.y * blockDim.y + y) * gridDim.x * blockDim.x + x] = 10000 * z + 100 * y + x;
    }"""
    out = np.zeros((4 * 2, 3 * 3, 2 * 5), np.int32)
    simulator.RawKernel(source, "where")((2, 3, 4), (5, 3, 2), (out,))
    z, y, x = np.indices(out.shape)
    assert np.array_equal(out, 10000 * z + 100 * y + x)


def test_threads_that_return_early_and_loops_of_different_length() -> None:
    source = r"""
    extern "C" __global__ void collatz(const int* x, int* steps, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i >= n) return;
        long long value = x[i];
        int count = 0;
        while (value != 1) { value = value % 2 ? 3 * value + 1 : value / 2; ++count; }
        steps[i] = count;
    }"""

    def collatz(value: int) -> int:
        count = 0
        while value != 1:
            value, count = (3 * value + 1 if value % 2 else value // 2), count + 1
        return count

    x = np.arange(1, 131, dtype=np.int32)
    steps = np.zeros(130, np.int32)
    simulator.RawKernel(source, "collatz")((5,), (32,), (x, steps, 130))
    assert steps.tolist() == [collatz(int(each)) for each in x]


LOCK = r"""
__device__ int lock;
extern "C" __global__ void count(int* total) {
    for (int lane = 0; lane < 32; ++lane)
        if (threadIdx.x % 32 == lane) {
            while (atomicCAS(&lock, 0, 1) != 0) { }
            __threadfence();
            *(volatile int*)total = *(volatile int*)total + 1;
            __threadfence();
            atomicExch(&lock, 0);
        }
}"""


def test_a_spin_lock_between_blocks_warps_and_lanes() -> None:
    total = np.zeros((), np.int32)
    simulator.RawKernel(LOCK, "count")((20,), (64,), (total,))
    assert total == 20 * 64


def test_every_block_waits_for_all_others() -> None:
    source = r"""
    extern "C" __global__ void meet(int* arrived, int* seen) {
        if (threadIdx.x == 0) {
            atomicAdd(arrived, 1);
            while (atomicAdd(arrived, 0) < gridDim.x) { }
        }
        __syncthreads();
        if (threadIdx.x == 0) seen[blockIdx.x] = *(volatile int*)arrived;
    }"""
    arrived, seen = np.zeros((), np.int32), np.zeros(24, np.int32)
    simulator.RawKernel(source, "meet")((24,), (64,), (arrived, seen))
    assert seen.tolist() == [24] * 24


def test_trap_names_block_and_thread() -> None:
    source = 'extern "C" __global__ void stop(int at) { if (blockIdx.x * 64 + threadIdx.x == at) __trap(); }'
    with pytest.raises(TrapError, match=r"thread \(5, 0, 0\) in block \(2, 0, 0\)"):
        simulator.RawKernel(source, "stop")((4,), (64,), (133,))


STRUCTURE = r"""
struct Shape { double scale; int offset; float weights[3]; };
extern "C" __global__ void apply(double* x, Shape shape, bool flip, signed char sign) {
    int i = threadIdx.x;
    x[i] = (x[i] * shape.scale + shape.offset + shape.weights[i % 3]) * (flip ? sign : 1);
}"""


def test_structures_booleans_and_small_integers_by_value() -> None:
    layout = np.dtype([("scale", "f8"), ("offset", "i4"), ("weights", "f4", 3)], align=True)
    shape = np.array((0.5, 3, (1, 2, 4)), layout)[()]
    x = np.arange(9.0)
    expected = -(x * 0.5 + 3 + np.tile([1, 2, 4], 3))
    simulator.RawKernel(STRUCTURE, "apply")((1,), (9,), (x, shape, True, np.int8(-1)))
    assert np.array_equal(x, expected)


def test_variables_live_as_long_as_their_module() -> None:
    source = r"""
    __constant__ float table[4] = {1, 2, 4, 8};
    __device__ int calls = 5;
    __device__ int* pointer = &calls;
    extern "C" __global__ void look(float* x, int* seen) {
        x[threadIdx.x] = table[threadIdx.x & 3];
        if (threadIdx.x == 0) *seen = atomicAdd(pointer, 1);
    }"""
    module = simulator.RawModule(code=source)
    look = module.get_function("look")
    x, seen = np.zeros(8, np.float32), np.zeros((), np.int32)
    for call in range(3):
        look((1,), (8,), (x, seen))
        assert seen == 5 + call
    assert x.tolist() == [1, 2, 4, 8] * 2
    assert module.get_global("calls").view(np.int32)[0] == 8
    module.get_global("table").view(np.float32)[1] = 7
    look((1,), (8,), (x, seen))
    assert x[1] == 7


def test_views_are_passed_by_their_first_element() -> None:
    source = 'extern "C" __global__ void back(const int* x, int* y) { y[threadIdx.x] = x[-(int)threadIdx.x]; }'
    x, y = np.arange(10, dtype=np.int32), np.zeros(10, np.int32)
    simulator.RawKernel(source, "back")((1,), (10,), (x[::-1], y))
    assert np.array_equal(y, x[::-1])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((1.0,), "1 arguments were given, but the kernel has 2"),
        ((np.zeros(3, np.float32), 1), "argument 1 is the int 1"),
        ((np.zeros(3, np.float32), 1.0), "float64 of 8 bytes"),
        ((np.zeros(3, np.float32), np.int32(1)), "int32 of 4 bytes"),
        ((np.float32(1), np.float32(1)), "argument 0 is a float32"),
        (([1, 2], np.float32(1)), "builtins.list"),
        ((np.zeros(3, np.float32), np.zeros(3, np.float32)), "argument 1 is an array"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args: tuple[object, ...], says: str) -> None:
    kernel = simulator.RawKernel('extern "C" __global__ void f(float* x, float a) { x[0] = a; }', "f")
    with pytest.raises(LaunchError, match=says):
        kernel((1,), (1,), args)


@pytest.mark.parametrize(
    ("grid", "block", "shared", "says"),
    [
        ((1,), (1025,), 0, "block.x is 1025"),
        ((1,), (64, 32), 0, "has 2048 threads"),
        ((0,), (1,), 0, "grid.x is 0"),
        ((1,), (1,), 50_000, "max_dynamic_shared_size_bytes"),
        ((1, 1, 1, 1), (1,), 0, "one to three"),
    ],
)
def test_launches_that_do_not_fit_are_refused(
    grid: tuple[int, ...], block: tuple[int, ...], shared: int, says: str
) -> None:
    kernel = simulator.RawKernel('extern "C" __global__ void f() { }', "f")
    with pytest.raises(LaunchError, match=says):
        kernel(grid, block, (), shared_mem=shared)


def test_more_shared_memory_when_asked_for() -> None:
    source = r"""
    extern "C" __global__ void f(int* out, int n) {
        extern __shared__ int s[];
        s[n - 1 - threadIdx.x] = threadIdx.x;
        __syncthreads();
        out[threadIdx.x] = s[n - 32 + threadIdx.x];
    }"""
    kernel = simulator.RawKernel(source, "f")
    kernel.max_dynamic_shared_size_bytes = 200_000
    out = np.zeros(32, np.int32)
    kernel((1,), (32,), (out, 50_000), shared_mem=200_000)
    assert out.tolist() == list(range(31, -1, -1))
    assert kernel.attributes["max_dynamic_shared_size_bytes"] == 200_000


def test_a_name_that_is_not_there_and_code_that_does_not_compile() -> None:
    with pytest.raises(LaunchError, match="has no such kernel; it has f"):
        simulator.RawKernel('extern "C" __global__ void f() { }', "g")((1,), (1,), ())
    with pytest.raises(CompileError, match="undefined"):
        simulator.RawKernel('extern "C" __global__ void f() { nothing(); }', "f")((1,), (1,), ())
