"""Kernels written against the headers that CuPy and CUDA bring: each family of them runs, checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import SynccheckError
from tests.simulator.without_cupy import without_cupy


@pytest.fixture(autouse=True)
def device() -> Iterator[simulator.Device]:
    with simulator.Device() as made:
        yield made


def test_cupys_complex_numbers() -> None:
    source = r"""
    #include <cupy/complex.cuh>
    extern "C" __global__ void f(const complex<double>* z, complex<double>* w, double* size, complex<double> turn) {
        int i = threadIdx.x;
        w[i] = exp(z[i]) * turn + sqrt(z[i]) / conj(z[i]) - pow(z[i], 3.0) + complex<double>(0, 1);
        size[i] = abs(z[i]) + arg(z[i]) + z[i].real() * z[i].imag() + norm(z[i]);
    }"""
    z = np.linspace(-2, 3, 33) + 1j * np.linspace(4, -1, 33)
    w, size = np.empty_like(z), np.empty(33)
    simulator.RawKernel(source, "f")((1,), (33,), (z, w, size, 0.5 - 2j))
    assert np.allclose(w, np.exp(z) * (0.5 - 2j) + np.sqrt(z) / z.conj() - z**3 + 1j, rtol=1e-13)
    assert np.allclose(size, abs(z) + np.angle(z) + z.real * z.imag + abs(z) ** 2, rtol=1e-13)


@pytest.mark.parametrize("translated", [False, True])
def test_cucomplex_translated_and_as_it_is(translated: bool) -> None:
    source = r"""
    #include <cuComplex.h>
    extern "C" __global__ void f(const cuFloatComplex* z, cuFloatComplex* w) {
        int i = threadIdx.x;
        w[i] = cuCaddf(cuCmulf(z[i], make_cuFloatComplex(0, 2)), cuCdivf(cuConjf(z[i]), z[0]));
    #ifdef TRANSLATED
        w[i] = complex<float>(w[i].real(), cuCimagf(w[i]));
    #else
        w[i].x = cuCrealf(w[i]);
    #endif
    }"""
    z = (np.arange(1, 9) + 1j * np.arange(8)).astype(np.complex64)
    w = np.empty_like(z)
    options = ("-DTRANSLATED",) if translated else ()
    kernel = simulator.RawKernel(source, "f", options, translate_cucomplex=translated)
    kernel((1,), (8,), (z, w))
    assert np.allclose(w, z * 2j + z.conj() / z[0], rtol=1e-6)


def test_cupys_arrays() -> None:
    source = r"""
    #include <cupy/carray.cuh>
    extern "C" __global__ void f(float* x, float* y, long long rows, long long columns) {
        const ptrdiff_t shape[] = {rows, columns}, turned[] = {columns, rows}, strides[] = {4, 4 * columns};
        CArray<float, 2, true, true> a(x, shape);
        CArray<float, 2> b(y, turned, strides);
        CIndexer<2> at(shape);
        CUPY_FOR(i, a.size()) {
            at.set(i);
            const ptrdiff_t swapped[] = {at.get()[1], at.get()[0]};
            b[swapped] = a[at.get()] + a[i];
        }
    }"""
    x = np.arange(7 * 40, dtype=np.float32).reshape(7, 40)
    y = np.zeros_like(x)
    simulator.RawKernel(source, "f")((2,), (64,), (x, y, 7, 40))
    assert np.array_equal(y, 2 * x)


def test_cupys_half_numbers_and_atomics() -> None:
    source = r"""
    #include <cupy/carray.cuh>
    #include <cupy/atomics.cuh>
    #include <cupy/float16.cuh>
    extern "C" __global__ void f(const float16* x, float16* total, double* wide, float* most) {
        float16 value = x[threadIdx.x] * float16(2.0f);
        atomicAdd(total + threadIdx.x % 2, value);
        atomicAdd(wide, double(float(value)));
        atomicMax(most, float(value));
    }"""
    x = np.arange(32).astype(np.float16)
    total, wide, most = np.zeros(2, np.float16), np.zeros(1), np.zeros(1, np.float32)
    simulator.RawKernel(source, "f")((1,), (32,), (x, total, wide, most))
    assert total.tolist() == [2 * x[::2].sum(), 2 * x[1::2].sum()]
    assert (wide[0], most[0]) == (992, 62)


GROUPS = r"""
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
namespace cg = cooperative_groups;
extern "C" __global__ void f(const int* x, int* warps, int* before, int* odd, int* tiles) {
    cg::thread_block block = cg::this_thread_block();
    auto warp = cg::tiled_partition<32>(block);
    auto tile = cg::tiled_partition<8>(warp);
    const int rank = block.thread_rank(), mine = x[rank];
    const int sum = cg::reduce(warp, mine, cg::plus<int>());
    if (warp.thread_rank() == 0) warps[warp.meta_group_rank()] = sum;
    before[rank] = cg::exclusive_scan(tile, mine);
    tiles[rank] = tile.shfl(mine, 3) + tile.any(mine > 100) + tile.num_threads();
    if (mine % 2) {
        auto together = cg::coalesced_threads();
        odd[rank] = together.size() * 100 + together.thread_rank();
    }
    __shared__ int reversed[96];
    reversed[95 - rank] = mine;
    BARRIER;
    tiles[rank] += 1000 * reversed[rank];
}"""


@pytest.mark.parametrize("arch", ["sm_90", "sm_80", "sm_75"])
def test_cooperative_groups(arch: str) -> None:
    x = np.random.default_rng(3).integers(0, 120, 96).astype(np.int32)
    warps, before, odd, tiles = (np.zeros(size, np.int32) for size in (3, 96, 96, 96))
    with simulator.Device(arch=arch):
        simulator.RawKernel(GROUPS, "f", ("-DBARRIER=block.sync()",))((1,), (96,), (x, warps, before, odd, tiles))
    assert warps.tolist() == x.reshape(3, 32).sum(1).tolist()
    eights = x.reshape(12, 8)
    assert np.array_equal(before.reshape(12, 8), eights.cumsum(1) - eights)
    for lanes in range(0, 96, 32):
        rank = lanes + np.flatnonzero(x[lanes : lanes + 32] % 2)
        assert odd[rank].tolist() == [len(rank) * 100 + at for at in range(len(rank))]
    expected = eights[:, [3]] + (eights > 100).any(1, keepdims=True) + 8 + 1000 * x[::-1].reshape(12, 8)
    assert np.array_equal(tiles.reshape(12, 8), expected)


def test_a_group_that_does_not_meet_is_reported() -> None:
    source = r"""
    #include <cooperative_groups.h>
    extern "C" __global__ void f(int* x) {
        if (threadIdx.x == 40) return;
        cooperative_groups::this_thread_block().sync();
        x[threadIdx.x] = 1;
    }"""
    with pytest.raises(SynccheckError, match="exited"):
        simulator.RawKernel(source, "f")((1,), (64,), (np.zeros(64, np.int32),))


STANDARD = r"""
#include <cuda/std/array>
#include <cuda/std/cmath>
#include <cuda/std/complex>
#include <cuda/std/limits>
#include <cuda/std/tuple>
#include <cuda/std/type_traits>
template <typename T>
__global__ void f(const T* x, T* y) {
    static_assert(cuda::std::is_floating_point<T>::value, "");
    cuda::std::array<T, 4> a = {x[0], x[1], x[2], x[3]};
    const cuda::std::complex<T> z = cuda::std::complex<T>(a[0], a[1]) * cuda::std::complex<T>(a[2], a[3]);
    const auto both = cuda::std::make_tuple(z.real(), z.imag());
    y[0] = cuda::std::get<0>(both);
    y[1] = cuda::std::get<1>(both);
    y[2] = cuda::std::fmax(a[1], cuda::std::fmin(a[2], a[3]));
    y[3] = cuda::std::numeric_limits<T>::max();
    y[4] = cuda::std::hypot(a[0], a[1]);
}"""


@pytest.mark.parametrize("installed", [True, False], ids=["CuPy's copy", "the wheel's"])
def test_the_standard_library(installed: bool) -> None:
    with without_cupy(not installed):
        module = simulator.RawModule(code=STANDARD, name_expressions=["f<float>", "f<double>"])
        for name, dtype in (("f<float>", np.float32), ("f<double>", np.float64)):
            x, y = np.array([3, 4, -2, 7], dtype), np.zeros(5, dtype)
            module.get_function(name)((1,), (1,), (x, y))
            z = (3 + 4j) * (-2 + 7j)
            assert y.tolist() == [z.real, z.imag, 4, np.finfo(dtype).max, 5]


def test_atomic_references_of_the_library() -> None:
    source = r"""
    #include <cuda/atomic>
    extern "C" __global__ void f(int* count, int* last) {
        cuda::atomic_ref<int, cuda::thread_scope_device> all(*count);
        const int before = all.fetch_add(1, cuda::std::memory_order_acq_rel);
        if (before == gridDim.x * blockDim.x - 1) *last = all.load(cuda::std::memory_order_acquire);
    }"""
    count, last = np.zeros(1, np.int32), np.zeros(1, np.int32)
    simulator.RawKernel(source, "f")((5,), (48,), (count, last))
    assert (count[0], last[0]) == (240, 240)


def test_reductions_of_blocks_by_cub() -> None:
    source = r"""
    #include <cub/block/block_reduce.cuh>
    #include <cub/block/block_scan.cuh>
    extern "C" __global__ void f(const float* x, float* sum, int* before) {
        using Reduce = cub::BlockReduce<float, 96>;
        using Scan = cub::BlockScan<int, 96>;
        __shared__ union { typename Reduce::TempStorage reduce; typename Scan::TempStorage scan; } memory;
        const float mine = x[blockIdx.x * 96 + threadIdx.x];
        const float total = Reduce(memory.reduce).Sum(mine);
        if (threadIdx.x == 0) sum[blockIdx.x] = total;
        __syncthreads();
        int place;
        Scan(memory.scan).ExclusiveSum(mine > 40, place);
        before[blockIdx.x * 96 + threadIdx.x] = place;
    }"""
    x = np.random.default_rng(4).integers(0, 90, (3, 96)).astype(np.float32)
    total, before = np.zeros(3, np.float32), np.zeros((3, 96), np.int32)
    simulator.RawKernel(source, "f")((3,), (96,), (x, total, before))
    assert np.array_equal(total, x.sum(1))
    assert np.array_equal(before, (x > 40).cumsum(1) - (x > 40))
