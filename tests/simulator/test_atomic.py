"""Atomic operations: every type in global and shared memory, with two threads of the CPU at work."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import MemcheckError
from tests.simulator.devices import every_device, ints, launch
from tests.simulator.harness import Array

BLOCKS, THREADS = 8, 96
NUMBERS = np.arange(BLOCKS * THREADS)
INTEGERS = {"int": np.int32, "unsigned": np.uint32, "unsigned long long": np.uint64, "long long": np.int64}


def mixed(i: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the operand of each thread."""
    return i * 2654435761 % 10007 - 5000


@every_device
@pytest.mark.parametrize("space", ["global", "shared", "generic"])
@pytest.mark.parametrize("name", INTEGERS)
def test_integer_operations(device: simulator.Device, name: str, space: str) -> None:
    """The result does not depend on the order of threads."""
    type_ = INTEGERS[name]
    operations = ["Min", "Max", "And", "Or", "Xor", "Add"]
    if name == "long long":
        operations.remove("Add")  # CUDA has only the unsigned one
    start = np.array([77, 77, -1, 0, 0, 5][: len(operations)]).astype(type_)
    y = np.tile(start, (BLOCKS, 1))
    count, to_global = len(operations), space == "global"
    mine = f"y + {count} * blockIdx.x"
    where = {"global": "y", "shared": "s", "generic": f"(blockIdx.x % 2 ? {mine} : s)"}[space]
    calls = "".join(f"atomic{each}(p + {k}, v);" for k, each in enumerate(operations))
    body = f"""__shared__ {name} s[{count}]; int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    if (t < {count} && {int(not to_global)}) s[t] = y[{count} * blockIdx.x + t];
    __syncthreads();
    {name} v = ({name})((i * 2654435761ll) % 10007 - 5000);
    {name}* p = {where};
    {calls}
    __syncthreads();
    if (t < {count} && p == s) y[{count} * blockIdx.x + t] = s[t];"""
    launch(device, body, [y], grid=BLOCKS, block=THREADS, parameters=f"{name}* y")
    v = mixed(NUMBERS).astype(type_)
    functions = [np.minimum, np.maximum, np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.add][:count]
    for block in range(1 if to_global else BLOCKS):
        used = v if to_global else v[block * THREADS : (block + 1) * THREADS]
        want = [reduce(function, used, first) for function, first in zip(functions, start, strict=True)]
        assert y[block].tolist() == [each.item() for each in want]


@every_device
def test_old_values_are_all_different(device: simulator.Device) -> None:
    """A counter gives every thread a number of its own, though blocks run at the same time."""
    count, y = ints(3), ints(BLOCKS * THREADS)
    body = """int n = atomicAdd(count, 1); y[n] = blockIdx.x * blockDim.x + threadIdx.x;
    atomicInc((unsigned*)count + 1, 10); atomicDec((unsigned*)count + 2, 6);"""
    launch(device, body, [y, count], grid=BLOCKS, block=THREADS, parameters="int* y, int* count")
    assert sorted(y) == NUMBERS.tolist()
    assert count.tolist() == [y.size, y.size % 11, -y.size % 7]


@every_device
@pytest.mark.parametrize(
    ("name", "type_", "add"),
    [
        ("float", np.float32, "atomicAdd(y, 0.5f)"),
        ("double", np.float64, "atomicAdd(y, 0.5)"),
        ("__half", np.float16, "atomicAdd(y, __float2half(0.125f))"),
        ("__half2", np.float16, "atomicAdd(y, __floats2half2_rn(0.125f, 0.25f))"),
    ],
)
def test_floating_sums(device: simulator.Device, name: str, type_: type, add: str) -> None:
    """Sums that are exact in any order."""
    y: Array = np.zeros(2, type_)
    launch(device, add + ";", [y], grid=BLOCKS, block=THREADS, parameters=f"{name}* y", before="#include <cuda_fp16.h>")
    step = 0.5 if name in ("float", "double") else 0.125
    second = 0.25 if name == "__half2" else 0
    assert y.tolist() == [NUMBERS.size * step, NUMBERS.size * second]


@every_device
def test_float32_sums_lose_subnormal_numbers_in_global_memory_alone(device: simulator.Device) -> None:
    """So says the manual; a generic address is of the memory that it leads to."""
    tiny, normal = 0x000116C2, 0x00800000
    y = np.array([tiny, -(2**31) | tiny, normal, tiny, 0, 0], np.int32)
    body = """__shared__ int s[2]; int i = threadIdx.x; s[i] = y[0]; __syncwarp();
    float t = __int_as_float(s[i]), *place = (float*)(i ? y + 3 : s); __syncwarp();
    if (i) { atomicAdd((float*)y, 0.0f); atomicAdd((float*)y + 1, -t); atomicAdd((float*)y + 2, -0x1.8p-126f); }
    else atomicAdd((float*)s + 1, t);
    __syncwarp();
    atomicAdd(place, t); __syncwarp(); y[4 + i] = s[i];"""
    launch(device, body, [y], block=2)
    assert y.tolist() == [0, -(2**31), -(2**31), 0, 2 * tiny, 2 * tiny]


@every_device
def test_bfloat16_sums_keep_subnormal_numbers(device: simulator.Device) -> None:
    """A sum of subnormal numbers, and one that rounds to even each time."""
    y = np.array([0x0001, 0x3F80, 0x3F81], np.uint16)
    before = "#include <cuda_bf16.h>"
    body = """__nv_bfloat16* z = (__nv_bfloat16*)y;
    atomicAdd(z, __ushort_as_bfloat16(0x0002)); atomicAdd(z + 1, __ushort_as_bfloat16(0x3b80));
    atomicAdd(z + 2, __ushort_as_bfloat16(0x3b80));"""
    launch(device, body, [y], grid=1, block=20, parameters="unsigned short* y", before=before)
    assert y.tolist() == [41, 0x3F80, 0x3F82]  # 1 + 2^-8 lies in the middle and goes back to 1, 1.0078125 up once


@every_device
@pytest.mark.parametrize("name", ["unsigned short", "unsigned", "unsigned long long"])
def test_compare_and_swap(device: simulator.Device, name: str) -> None:
    """A sum made of compare-and-swap loops; exchanges lose nothing."""
    width = {"unsigned short": 16, "unsigned": 32, "unsigned long long": 64}[name]
    y = np.zeros(2, f"u{width // 8}")
    body = f"""{name} old = *(volatile {name}*)y, seen;
    while ((seen = atomicCAS(y, old, ({name})(old + threadIdx.x))) != old) old = seen;"""
    launch(device, body, [y], grid=BLOCKS, block=THREADS, parameters=f"{name}* y")
    assert y[0] == BLOCKS * sum(range(THREADS)) % 2**width


@every_device
def test_exchanges_hand_on(device: simulator.Device) -> None:
    """What each thread gets back, and what is left, are all the values that were put in."""
    y = ints(NUMBERS.size + 1)
    body = "int i = blockIdx.x * blockDim.x + threadIdx.x; y[i] = atomicExch(y + gridDim.x * blockDim.x, i + 1);"
    launch(device, body, [y], grid=BLOCKS, block=THREADS)
    assert sorted(y) == list(range(NUMBERS.size + 1))


@every_device
def test_reductions_without_a_result(device: simulator.Device) -> None:
    """``red`` does what ``atom`` does, and gives nothing back."""
    y = np.array([0, 0], np.float16).view(np.uint16)
    body = """unsigned short v = __half_as_ushort(__int2half_rn((int)threadIdx.x - 7)), old;
    asm volatile("atom.global.add.noftz.f16 %0, [%1], %2;" : "=h"(old) : "l"(y), "h"(v) : "memory");
    asm volatile("red.global.add.noftz.f16 [%0], %1;" :: "l"(y + 1), "h"(v) : "memory");"""
    launch(device, body, [y], block=20, parameters="unsigned short* y", before="#include <cuda_fp16.h>")
    assert y.view(np.float16).tolist() == [sum(range(-7, 13))] * 2


VECTORS = [
    ("float4", "make_float4(1, 2, 3, 4)", np.float32, 4),
    ("float2", "make_float2(1, 2)", np.float32, 2),
]


@pytest.mark.parametrize(("type_", "value", "dtype", "parts"), VECTORS)
@every_device
def test_vectors_are_added_element_by_element(
    device: simulator.Device, type_: str, value: str, dtype: type, parts: int
) -> None:
    y: Array = np.zeros((40, parts), dtype)
    body = f"int i = threadIdx.x; {type_} old = atomicAdd(y + 1, {value}); if (i == 0 && blockIdx.x == 0) y[39] = old;"
    launch(device, body, [y], grid=3, block=33, parameters=f"{type_}* y")
    assert y[1].tolist() == [99 * (part + 1) for part in range(parts)]
    if device.seed is None:  # no more than each element for itself is promised to be atomic
        assert y[39].tolist() == [y[39, 0] * (part + 1) for part in range(parts)]
    assert all(old % (part + 1) == 0 and 0 <= old < 99 * (part + 1) for part, old in enumerate(y[39].tolist()))


def test_a_vector_beyond_the_end_is_caught() -> None:
    y = np.zeros(6, np.float32)
    with pytest.raises(MemcheckError, match="Invalid __global__ atomic of size 16 bytes: element 4 of argument 0"):
        launch(simulator.Device(), "atomicAdd(y + 1, make_float4(1, 2, 3, 4));", [y], block=1, parameters="float4* y")


@every_device
def test_compare_and_swap_and_exchange_of_16_bytes(device: simulator.Device) -> None:
    y = np.zeros((3, 2), np.uint64)
    before = r"""
    struct alignas(16) Pair { unsigned long long low, high; };
    __device__ Pair swap(Pair* p, Pair e, Pair v) {
        Pair r;
        asm volatile("{ .reg .b128 e, v, r; mov.b128 e, {%2, %3}; mov.b128 v, {%4, %5}; atom.cas.b128 r, [%6], e, v; "
                     "mov.b128 {%0, %1}, r; }" : "=l"(r.low), "=l"(r.high)
                     : "l"(e.low), "l"(e.high), "l"(v.low), "l"(v.high), "l"(p) : "memory");
        return r;
    }"""
    body = """Pair seen = y[0];
    while (true) {
        Pair next = {seen.low + 1, seen.high + (1ull << 40)}, old = swap(y, seen, next);
        if (old.low == seen.low && old.high == seen.high) break;
        seen = old;
    }
    unsigned long long a, b;
    asm volatile("{ .reg .b128 v, r; mov.b128 v, {%2, %3}; atom.exch.b128 r, [%4], v; mov.b128 {%0, %1}, r; }"
                 : "=l"(a), "=l"(b) : "l"(1ull), "l"(2ull), "l"(y + 1) : "memory");
    atomicAdd(&y[2].low, a); atomicAdd(&y[2].high, b);"""
    launch(device, body, [y], grid=2, block=40, parameters="Pair* y", before=before)
    assert y.tolist() == [[80, 80 << 40], [1, 2], [79, 158]]
