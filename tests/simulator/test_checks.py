"""Planted faults are each caught and named; the same kernels without the fault pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import (
    InitcheckError,
    MemcheckError,
    RacecheckError,
    SimulatorError,
    TrapError,
)


@pytest.fixture(autouse=True)
def device() -> Iterator[simulator.Device]:
    with simulator.Device() as made:
        yield made


def launch(body: str, *args: object, block: int = 64, grid: int = 1, shared: int = 0) -> None:
    """Run ``f(int* x, int n)`` with a body, line 2 of the source."""
    source = 'extern "C" __global__ void f(int* x, int n) { int t = threadIdx.x;\n' + body + "\n}"
    x = np.arange(256, dtype=np.int32)
    given = args or (x, np.int32(64))
    simulator.RawKernel(source, "f", ("-DMASK=0xffffffffu",))((grid,), (block,), given, shared_mem=shared)


REVERSE = "__shared__ int s[64]; s[t] = x[t]; {0} x[t] = s[63 - t];"
TREE = """__shared__ int s[64]; s[t] = x[t]; __syncthreads();
for (int step = 32; step; step >>= 1) { int v = t + step < 64 ? s[t + step] : 0; BARRIER s[t] += v; __syncthreads(); }
if (t == 0) x[0] = s[0];"""
PAIRS = "__shared__ int s[64]; s[t] = x[t]; {0} x[t] = s[t ^ 1];"
STEPS = """volatile __shared__ int s[64]; s[t] = x[t]; __syncthreads(); if (t >= 32) return; int sum = s[t] + s[t + 32];
for (int step = 16; step; step /= 2) {{ {0} s[t] = sum; {0} sum += s[t ^ step]; }} x[t] = sum;"""
SPLIT = "if (t < 16) x[t] = __shfl_sync({0}, t, 3); else x[t] = 0;"

RACES = [
    pytest.param(REVERSE.format(""), REVERSE.format("__syncthreads();"), id="barrier"),
    pytest.param(REVERSE.format("__syncwarp();"), REVERSE.format("__syncthreads();"), id="warp barrier between warps"),
    pytest.param(TREE.replace("BARRIER", ""), TREE.replace("BARRIER", "__syncthreads();"), id="tree"),
    pytest.param(PAIRS.format(""), PAIRS.format("__syncwarp();"), id="within a warp"),
    pytest.param(PAIRS.format(""), PAIRS.format("x[t] = __shfl_sync(MASK, t, 0);"), id="ordered by a shuffle"),
    pytest.param(
        "__shared__ int s[2]; s[t & 1] = t; __syncthreads(); x[t] = s[0];",
        "__shared__ int s[2]; s[t & 1] = t & 1; __syncthreads(); x[t] = s[0];",
        id="one instruction, different values",
        marks=pytest.mark.filterwarnings("default"),
    ),
    pytest.param(
        "__shared__ int s; if (t == 0) s = 0; atomicAdd(&s, 1); __syncthreads(); x[t] = s;",
        "__shared__ int s; if (t == 0) s = 0; __syncthreads(); atomicAdd(&s, 1); __syncthreads(); x[t] = s;",
        id="atomics and a plain write",
    ),
    pytest.param(
        STEPS.format(""), STEPS.format("__syncwarp();"), id="volatile accesses of lanes that are to move in step"
    ),
    pytest.param(
        "__shared__ char s[64]; s[t] = t; __syncthreads(); s[t ^ 1] += s[t];",
        "__shared__ char s[64]; s[t] = t; __syncthreads(); s[t] += s[t]; __syncthreads(); x[t] = s[t ^ 1];",
        id="bytes",
    ),
]


@pytest.mark.parametrize(("faulty", "correct"), RACES)
def test_races(faulty: str, correct: str) -> None:
    if "s[t & 1] = t & 1" in correct:
        # Both warps write the same values to one place: within a warp that is no race, between warps it is.
        launch(correct, block=32)
        with pytest.raises(RacecheckError, match="Write access of size 4 bytes and Write access by thread"):
            launch(faulty, block=32)
        return
    launch(correct)
    with pytest.raises(RacecheckError, match=r"Race reported between .*(?s:'s'.*)line [23]"):
        launch(faulty)


@pytest.mark.parametrize("index", ["256", "1 << 20", "-1", "-(1 << 20)", "n * 4"])
def test_an_index_outside_an_array_is_named(index: str) -> None:
    with pytest.raises(
        MemcheckError,
        match=r"f: Invalid __global__ write of size 4 bytes: element -?\d+ of argument 0 .*is out of bounds",
    ) as caught:
        launch(f"if (t == 37 || t == 50) x[{index}] = t; else x[t] = t;")
    assert "by thread (37, 0, 0) in block (0, 0, 0)" in str(caught.value)
    assert "PTX instruction: st.global" in str(caught.value)
    assert "line 2" in str(caught.value)


def test_the_last_element_is_inside() -> None:
    launch("x[255 - t] = x[t];")


def test_two_arrays_and_a_vector_across_the_end() -> None:
    source = """extern "C" __global__ void f(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }"""
    kernel = simulator.RawKernel(source, "f")
    memory = np.zeros(64 + 4, np.float32)
    start = -(memory.ctypes.data // 4) % 4
    x, y = memory[start : start + 64], np.zeros((16, 4), np.float32)
    kernel((1,), (16,), (x, y))
    with pytest.raises(MemcheckError, match="Invalid __global__ read of size 16 bytes: element 60 of argument 0"):
        kernel((1,), (16,), (x[:63], y))
    with pytest.raises(MemcheckError, match=r"Invalid __global__ read of size 16 bytes: .* is misaligned"):
        kernel((1,), (8,), (memory[start + 1 :], y))


def test_misaligned_access() -> None:
    launch("*(int*)((char*)x + 4 * t) = t;")
    with pytest.raises(MemcheckError, match=r"Invalid __global__ write of size 4 bytes: byte 37 of .* is misaligned"):
        launch("*(int*)((char*)x + 4 * t + (t == 9)) = t;")


def test_read_only_arrays_null_pointers_and_strangers() -> None:
    fixed = np.arange(64, dtype=np.int32)
    fixed.flags.writeable = False
    with pytest.raises(MemcheckError, match=r"Invalid __global__ write .*element 0 of argument 0 .* is read-only"):
        launch("x[t] = 0;", fixed, 0)
    with pytest.raises(MemcheckError, match="null pointer"):
        launch("x[t] = 0;", None, 0)
    stranger = np.zeros(64, np.int32)
    with pytest.raises(MemcheckError, match="belongs to no array"):
        launch("x[t] = 0;", int(stranger.ctypes.data), 0)


def test_one_array_passed_read_only_and_writable() -> None:
    source = 'extern "C" __global__ void f(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }'
    x = np.arange(32, dtype=np.int32)
    fixed = x.view()
    fixed.flags.writeable = False
    for given in ((fixed, x), (x, x)):
        before = x.copy()
        simulator.RawKernel(source, "f")((1,), (32,), given)
        assert np.array_equal(x, before + 1)


def test_a_host_address_of_an_argument_is_fine() -> None:
    source = 'extern "C" __global__ void f(int* x, int* same) { same[threadIdx.x] = x[threadIdx.x] + 1; }'
    x = np.arange(32, dtype=np.int32)
    simulator.RawKernel(source, "f")((1,), (32,), (x, int(x.ctypes.data)))
    assert x.tolist() == list(range(1, 33))


def test_shared_and_local_memory_have_ends() -> None:
    fine = "__shared__ int s[64]; s[t] = t; __syncthreads(); x[t] = s[63 - t];"
    launch(fine)
    with pytest.raises(MemcheckError, match="Invalid __shared__ write of size 4 bytes: byte 256 of 's' .256 bytes"):
        launch("__shared__ int s[64]; s[t + (t == 63)] = t; __syncthreads(); x[t] = s[63 - t];")
    dynamic = "extern __shared__ int s[]; s[t] = t; __syncthreads(); x[t] = s[63 - t];"
    launch(dynamic, shared=256)
    with pytest.raises(MemcheckError, match="byte 252 of dynamic shared memory .252 bytes"):
        launch(dynamic, shared=252)
    local = "int own[8]; for (int i = 0; i < 8; ++i) own[(i * n) & 7] = i; x[t] = own[(x[t] * 5 + {0}) & 15];"
    launch(local.replace("& 15", "& 7").format(0), np.zeros(64, np.int32), np.int32(1))
    with pytest.raises(MemcheckError, match="thread's local memory"):
        launch(local.format(8), np.zeros(64, np.int32), np.int32(1))


NEIGHBOURS = [
    ("x[t] = a[t + n];", "read of size 4 bytes: byte 32 of 'a' .32 bytes, shared memory., 0 bytes behind its end"),
    ("b[t - n] = 1;", "write of size 4 bytes: byte -4 of 'b' .36 bytes, shared memory., 4 bytes before its first"),
    ("int* p = a + 2; if (n & 1) p += t; atomicAdd(p + 5 * n, 1);", "atomic of size 4 bytes: byte 32 of 'a'"),
    ("x[t] = *(int*)(a + (t & 6) + 1 * n);", None),
    ("int* p = n ? a : b; x[t] = p[t + 1 - n];", None),
    ("x[t] = b[&a[t] - &a[0] + n];", None),
    ("int* p = b; for (int k = 0; k <= t; k++) p++; x[t] = p[-n];", None),
]


def test_a_variable_of_shared_memory_ends_where_the_next_begins() -> None:
    cases = " ".join(f"case {place}: {{ {access} break; }}" for place, (access, _) in enumerate(NEIGHBOURS))
    source = f"""extern "C" __global__ void f(int* x, int n, int which) {{
    __shared__ int a[8], b[9]; int t = threadIdx.x;
    a[t] = b[t] = t; if (t == 0) b[8] = 0; __syncthreads(); x[t] = a[7 - t] + b[8 - t]; __syncthreads();
    switch (which) {{ {cases} }} }}"""
    kernel = simulator.RawKernel(source, "f")
    for place, (_, says) in enumerate(NEIGHBOURS):
        if says is None:
            kernel((1,), (8,), (np.zeros(8, np.int32), 1, place))
            continue
        with pytest.raises(MemcheckError, match=f"(?s){says}.*by thread .[017], 0, 0. in block"):
            kernel((1,), (8,), (np.zeros(8, np.int32), 1, place))


def test_generic_addresses_are_checked_in_their_memory() -> None:
    body = "__shared__ int s[64]; s[t] = t; __syncthreads(); int* p = t & 1 ? s : x; p[{0}] = p[t] + 1;"
    launch(body.format("t"))
    with pytest.raises(MemcheckError, match="byte -4 of shared memory"):
        launch(body.format("t == 1 ? -1 : t"))
    with pytest.raises(MemcheckError, match="element 256 of argument 0"):
        launch(body.format("t == 2 ? 256 : t"))


def test_reads_of_what_nobody_wrote() -> None:
    body = "__shared__ int s[64]; if (t != {0}) s[t] = x[t]; __syncthreads(); x[t] = s[63 - t];"
    launch(body.format(64))
    with pytest.raises(
        InitcheckError, match=r"(?s)Uninitialized __shared__ memory read of size 4 bytes: byte 20 of 's'.*\(58, 0, 0\)"
    ):
        launch(body.format(5))
    with pytest.raises(InitcheckError, match="dynamic shared memory"):
        launch("extern __shared__ int s[]; if (t) s[t] = 0; __syncthreads(); x[t] = s[t];", shared=256)
    local = "int own[8]; for (int i = {0}; i < 8; ++i) own[(i * n) & 7] = i; x[t] = own[x[t] & 7];"
    launch(local.format(0), np.zeros(64, np.int32), np.int32(1))
    with pytest.raises(InitcheckError, match="local memory"):
        launch(local.format(1), np.zeros(64, np.int32), np.int32(1))


def test_a_block_does_not_inherit_what_another_one_wrote() -> None:
    with pytest.raises(InitcheckError, match=r"block \(1, 0, 0\)"):
        launch(
            "__shared__ int s[64]; if (blockIdx.x == 0) s[t] = t; __syncthreads(); x[32 * blockIdx.x + t] = s[t];",
            grid=2,
            block=32,
        )


def test_of_many_faults_the_lowest_block_is_reported() -> None:
    for _ in range(5):
        with pytest.raises(TrapError, match=r"thread \(3, 0, 0\) in block \(17, 0, 0\)"):
            launch("if (blockIdx.x % 20 == 17 && t == 3) __trap();", grid=400, block=32)


def test_the_device_goes_on_after_an_error() -> None:
    with pytest.raises(SimulatorError):
        launch("x[t + 1000] = 0;")
    x = np.zeros(64, np.int32)
    launch("x[t] = t;", x, 0)
    assert x.tolist() == list(range(64))


def test_a_seed_finds_what_the_usual_order_hides() -> None:
    # Warp 1 reads what warp 0 wrote with nothing between them; in order of the warps the result looks right.
    source = r"""
    extern "C" __global__ void f(int* x) {
        __shared__ int s[64];
        volatile int* p = s;
        p[threadIdx.x] = -1;
        __syncthreads();
        if (threadIdx.x < 32) p[threadIdx.x] = threadIdx.x;
        else x[threadIdx.x - 32] = p[threadIdx.x - 32];
    }"""
    kernel = simulator.RawKernel(source, "f")

    def run(seed: int | None) -> list[int]:
        x = np.zeros(32, np.int32)
        with simulator.Device(check=False, seed=seed):
            kernel((1,), (64,), (x,))
        return x.tolist()

    assert run(None) == list(range(32))
    results = [run(seed) for seed in range(20)]
    assert any(result == [-1] * 32 for result in results)
    assert results == [run(seed) for seed in range(20)]


def test_a_report_leads_from_a_header_to_the_kernel() -> None:
    """Through functions that were inlined and such that were not, to a variable by its name."""
    body = """extern __shared__ float4 s[]; __pipeline_memcpy_async(s + t, z + 4 * t, 16);
    __pipeline_wait_prior(0);
    x[t] = space::get(n + t);"""
    before = """#include <cuda_pipeline.h>
    namespace space { __device__ int table[64]; __device__ __noinline__ void put(int i) {
    table[i] = i; } __device__ __forceinline__ int get(int i) { put(i); return
    table[i]; } }
    """
    source = f'{before}extern "C" __global__ void f(int* x, const int* z, int n) {{ int t = threadIdx.x;\n{body}\n}}'
    kernel, x = simulator.RawKernel(source, "f"), np.zeros(64, np.int32)
    z = np.zeros(256, np.int32)
    with pytest.raises(MemcheckError, match=r"(?s)byte 256 of table \(256 bytes\), 0 bytes behind") as caught:
        kernel((1,), (64,), (x, z, np.int32(1)), shared_mem=1024)
    assert str(caught.value).splitlines()[3:] == [
        "  CUDA source: kernel.cu, line 3",
        "    called from kernel.cu, line 3",
        "    called from kernel.cu, line 8",
    ]
    with pytest.raises(MemcheckError, match="Invalid __shared__ copy") as caught:
        kernel((1,), (64,), (x, z, np.int32(0)), shared_mem=1008)
    lines = str(caught.value).splitlines()
    assert "cuda_pipeline_helpers.h" in lines[3]
    assert lines[-1] == "    called from kernel.cu, line 6"


def test_volatile_accesses_that_wait_for_each_other_are_fine() -> None:
    """Lanes that poll each other's flags, that stop at the first one's word, that read what they stored themselves."""
    launch("""volatile __shared__ int s[64]; s[t] = 0; __syncthreads();
        s[t] = t + 1; int own = s[t]; while (!s[t ^ 1]); x[t] = own;""")
    launch("""volatile __shared__ int stop; if (t == 0) stop = 0; __syncthreads();
        for (int i = t; i < 256 && !stop; i += n) if (i > 66) stop = 1; x[t] = 0;""")


def test_many_warp_barriers_do_not_wear_the_race_check_out() -> None:
    # The clock of the race check is renumbered after a million ticks; what it knows must survive.
    spin = "for (int i = 0; i < 600000; ++i) __syncwarp();"
    body = "__shared__ int s[64]; s[t] = 0; __syncthreads(); " + spin + " {0} x[t] = s[t ^ 32];"
    launch(body.format(""))
    with pytest.raises(RacecheckError):
        launch(body.format("s[t] = 1;"))
