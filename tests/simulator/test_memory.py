"""Memory: every space, width and vector, generic addresses, variables and their contents."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.devices import every_device, ints, launch, unchecked
from tests.simulator.harness import Array

TYPES = {
    "signed char": np.int8,
    "unsigned char": np.uint8,
    "short": np.int16,
    "unsigned short": np.uint16,
    "int": np.int32,
    "unsigned": np.uint32,
    "float": np.float32,
    "long long": np.int64,
    "double": np.float64,
}


@every_device
@pytest.mark.parametrize("name", TYPES)
def test_any_order_of_addresses(device: simulator.Device, name: str) -> None:
    """Neighbours, strides, reversed, scattered, one for all; with lanes that do not take part."""
    count = 45
    x = np.random.default_rng(1).integers(-100, 100, count).astype(TYPES[name])
    y = np.zeros((5, count), TYPES[name])
    body = f"""int i = threadIdx.x, n = {count};
    if (i >= n || i == 3) return;
    y[i] = x[i]; y[n + i] = x[2 * i % n]; y[3 * n - 1 - i] = x[n - 1 - i];
    y[3 * n + i * 7 % n] = x[i]; y[4 * n + i] = x[5];"""
    launch(device, body, [x, y], block=64, parameters=f"const {name}* x, {name}* y")
    i = np.delete(np.arange(count), 3)
    want = np.zeros_like(y)
    want[0, i], want[1, i], want[2, count - 1 - i] = x[i], x[2 * i % count], x[count - 1 - i]
    want[3, i * 7 % count], want[4, i] = x[i], x[5]
    assert np.array_equal(y, want)


@every_device
@pytest.mark.parametrize(
    ("vector", "type_", "count"),
    [
        ("float4", np.float32, 4),
        ("int2", np.int32, 2),
        ("double2", np.float64, 2),
        ("uchar4", np.uint8, 4),
        ("short2", np.int16, 2),
    ],
)
@pytest.mark.parametrize("threads", [32, 50])
def test_vectors(device: simulator.Device, vector: str, type_: type, count: int, threads: int) -> None:
    """Several elements in one access, of full and of partial warps, in order and not."""
    x: Array = np.arange(count * 64).reshape(64, count).astype(type_)
    y, z = np.zeros_like(x), np.zeros_like(x)
    body = f"""if (threadIdx.x >= n) return;
    {vector} v = x[threadIdx.x]; v.x += 1; y[threadIdx.x] = v;
    z[threadIdx.x * 5 % 64] = x[63 - threadIdx.x];"""
    arguments: list[Array | np.generic] = [x, y, z, np.int32(threads)]
    launch(device, body, arguments, block=64, parameters=f"const {vector}* x, {vector}* y, {vector}* z, int n")
    i = np.arange(threads)
    want_y, want_z = np.zeros_like(x), np.zeros_like(x)
    want_y[i] = x[i]
    want_y[i, 0] += 1
    want_z[i * 5 % 64] = x[63 - i]
    assert np.array_equal(y, want_y)
    assert np.array_equal(z, want_z)


@unchecked
def test_the_last_lane_wins(device: simulator.Device) -> None:
    """Lanes that store to one address: one of them stays, the last unless the seed draws another."""
    y = ints(4)
    launch(device, "y[threadIdx.x / 16] = threadIdx.x;", [y])
    if device.seed is None:
        assert y.tolist() == [15, 31, 0, 0]
    assert (y // 16).tolist() == [0, 1, 0, 0]


@every_device
def test_generic_addresses(device: simulator.Device) -> None:
    """One function works on local, shared and global memory."""
    y, g = ints(96), ints(96 * 20)
    before = """__device__ __noinline__ void fill(int* p, int n) { for (int k = 0; k < n; k++) p[k] += k * n; }"""
    body = """__shared__ int s[96 * 20]; int a[20]; int i = threadIdx.x;
    for (int k = 0; k < 20; k++) a[k] = s[20 * i + k] = g[20 * i + k] = i;
    int* p = i % 3 == 0 ? a : i % 3 == 1 ? s + 20 * i : g + 20 * i;
    fill(p, 3 + i % 17);
    int sum = __isShared(p) + 2 * __isLocal(p) + 4 * __isGlobal(p);
    for (int k = 0; k < 20; k++) sum += p[(7 * k + i) % 20] * k;
    y[i] = sum;"""
    launch(device, body, [y, g], block=96, parameters="int* y, int* g", before=before)
    for i in range(96):
        n = 3 + i % 17
        a = [i + (k * n if k < n else 0) for k in range(20)]
        where = [2, 1, 4][i % 3]
        assert y[i] == where + sum(a[(7 * k + i) % 20] * k for k in range(20))


@every_device
def test_variables_of_the_module(device: simulator.Device) -> None:
    """Constants, globals, pointers to them as initial contents, a value kept from block to block."""
    y = np.zeros(32, np.float32)
    before = """__device__ int g[4] = {1, 2, 3, 4}; __device__ int* p = g + 2;
    __constant__ float c[3] = {1.5f, 2.5f, -1}; __device__ unsigned short h = 7; __device__ int total;"""
    body = """int i = threadIdx.x; atomicAdd(&total, 1); y[i] = c[i % 3] + *p + g[i % 4] + h;"""
    launch(device, body, [y], parameters="float* y", before=before)
    i = np.arange(32)
    assert np.array_equal(y, np.array([1.5, 2.5, -1])[i % 3] + 3 + (i % 4 + 1) + 7)


@every_device
def test_static_and_dynamic_shared_memory(device: simulator.Device) -> None:
    """Both live side by side; every block has its own."""
    y = np.zeros((3, 64))
    before = "extern __shared__ double dynamic[];"
    body = """__shared__ int fixed[64]; int i = threadIdx.x;
    fixed[i] = i * (blockIdx.x + 1); dynamic[i] = 0.5 * i; __syncthreads();
    y[64 * blockIdx.x + i] = fixed[63 - i] + dynamic[(i + 1) % 64];"""
    launch(device, body, [y], grid=3, block=64, parameters="double* y", before=before, shared=512)
    i = np.arange(64)
    assert np.array_equal(y, [(63 - i) * (b + 1) + 0.5 * ((i + 1) % 64) for b in range(3)])


@every_device
def test_parameters_by_value(device: simulator.Device) -> None:
    """Scalars of all sizes and a structure, which the kernel indexes at run time."""
    y = np.zeros(32)
    before = "struct P { int a; double b[3]; short c; };"
    record = np.zeros((), np.dtype([("a", "i4"), ("b", "f8", 3), ("c", "i2")], align=True))
    record["a"], record["b"], record["c"] = 5, [1, 2, 3], -4
    body = "int i = threadIdx.x; y[i] = p.a + p.b[i % 3] * n + p.c + (flag ? f : 0);"
    arguments: list[Array | np.generic] = [y, np.int8(-3), record[()], np.float32(0.25), np.bool_(True)]
    parameters = "double* y, signed char n, const __grid_constant__ P p, float f, bool flag"
    launch(device, body, arguments, parameters=parameters, before=before)
    assert np.array_equal(y, 5 - 3 * (np.arange(32) % 3 + 1.0) - 4 + 0.25)


@every_device
def test_moves_between_scalars_and_vectors(device: simulator.Device) -> None:
    """64 bits from two halves and back, 32 bits from bytes."""
    y = np.zeros((2, 32), np.uint64)
    body = """unsigned i = threadIdx.x, lo, hi; unsigned long long v; unsigned short a, b;
    asm("mov.b64 %0, {%1, %2};" : "=l"(v) : "r"(i), "r"(~i));
    asm("mov.b64 {%0, %1}, %2;" : "=r"(lo), "=r"(hi) : "l"(v * 3));
    asm("mov.b32 {%0, %1}, %2;" : "=h"(a), "=h"(b) : "r"(0x10001u * i + 0x50000u));
    y[i] = v; y[32 + i] = lo + hi + a + 1000ull * b;"""
    launch(device, body, [y], parameters="unsigned long long* y")
    for i in range(32):
        v = i | (~i & 0xFFFFFFFF) << 32
        tripled = 3 * v & 0xFFFFFFFFFFFFFFFF
        assert int(y[0, i]) == v
        assert int(y[1, i]) == ((tripled & 0xFFFFFFFF) + (tripled >> 32) + i & 0xFFFFFFFF) + 1000 * (i + 5)


@every_device
@pytest.mark.parametrize("type_", ["unsigned char", "short", "float", "double"])
@pytest.mark.parametrize("first", [0, 1, 3])
def test_lanes_that_are_16_bytes_apart(device: simulator.Device, type_: str, first: int) -> None:
    """One element of each lane's own vector; the last lane's ends where the array ends, and nothing else is written."""
    dtype = np.dtype({"unsigned char": "u1", "short": "i2", "float": "f4", "double": "f8"}[type_])
    step = 16 // dtype.itemsize
    x = np.arange(1, 31 * step + 1 + first + 1).astype(dtype)
    y = np.zeros_like(x)
    code = f"int i = threadIdx.x; if (i < n) y[first + i * {step}] = x[first + i * {step}];"
    for lanes in (32, 31, 7):
        y[:] = 0
        parameters = f"const {type_}* x, {type_}* y, int first, int n"
        launch(device, code, [x, y, np.int32(first), np.int32(lanes)], parameters=parameters)
        expected = np.zeros_like(x)
        expected[first::step][:lanes] = x[first::step][:lanes]
        np.testing.assert_array_equal(y, expected)
