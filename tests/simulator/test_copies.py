"""Asynchronous copies: what they bring, and when they take effect."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import InitcheckError, RacecheckError, UnknownInstructionError
from tests.simulator.copying import FAULTS, PIPELINE, PLAIN, ZERO, numbered, run, sums
from tests.simulator.devices import every_device

SIZES = [("ca", 4), ("ca", 8), ("ca", 16), ("cg", 16)]


@every_device
@pytest.mark.parametrize(("how", "size"), SIZES)
def test_copies_bring_all_their_bytes(device: simulator.Device, how: str, size: int) -> None:
    words = size // 4
    x, y = numbered(64 * size), np.zeros(64 * words, np.int32)
    body = f"""__shared__ __align__(16) int s[64 * {words}];
        int t = threadIdx.x;
        COPY("{how}", "{size}", s + t * {words}, x + t * {size});
        COMMIT();
        WAIT("0");
        __syncthreads();
        for (int k = 0; k < {words}; ++k) y[(63 - t) * {words} + k] = s[(63 - t) * {words} + k];"""
    run(device, body, y, x, ZERO)
    assert y.tobytes() == x.tobytes()


@every_device
@pytest.mark.parametrize(("how", "size"), SIZES)
def test_what_is_not_read_becomes_zero(device: simulator.Device, how: str, size: int) -> None:
    x, y = numbered(64 * size), np.zeros((64, 16), np.uint8)
    body = f"""__shared__ __align__(16) unsigned char s[64][16];
        int t = threadIdx.x;
        for (int k = 0; k < 16; ++k) s[t][k] = 255;
        asm volatile("cp.async.{how}.shared.global [%0], [%1], {size}, %2;"
                     :: "r"(SHARED(s[t])), "l"(x + t * {size}), "r"(t % {size + 1}) : "memory");
        WAIT_ALL();
        for (int k = 0; k < 16; ++k) y[t * 16 + k] = s[t][k];"""
    run(device, body.replace("y[", "((unsigned char*)y)["), y, x, ZERO)
    expected = np.full((64, 16), 255, np.uint8)
    expected[:, :size] = np.where(
        np.arange(size) < np.arange(64)[:, None] % (size + 1), x.reshape(64, size), np.uint8(0)
    )
    np.testing.assert_array_equal(y, expected)


@every_device
def test_a_source_that_is_ignored_may_be_anywhere(device: simulator.Device) -> None:
    x, y = numbered(32 * 4), np.zeros(64, np.int32)
    body = """__shared__ int s[64];
        int t = threadIdx.x;
        s[t] = -1;
        asm volatile("{ .reg .pred p; setp.ge.u32 p, %2, 32; cp.async.ca.shared.global [%0], [%1], 4, p; }"
                     :: "r"(SHARED(s + t)), "l"(t < 32 ? x + 4 * t : nullptr), "r"(t) : "memory");
        WAIT_ALL();
        y[t] = s[t];"""
    run(device, body, y, x, ZERO)
    np.testing.assert_array_equal(y, np.concatenate([x.view(np.int32), np.zeros(32, np.int32)]))


@every_device
@pytest.mark.parametrize("modifiers", ["ca.shared.global.L2::128B", "cg.shared::cta.global.L2::256B"])
def test_hints_change_nothing(device: simulator.Device, modifiers: str) -> None:
    x, y = numbered(64 * 16), np.zeros(64, np.int32)
    body = f"""__shared__ int4 s[64];
        int t = threadIdx.x;
        asm volatile("{{ .reg .b64 c; createpolicy.fractional.L2::evict_last.b64 c, 1.0;"
                     "cp.async.{modifiers.replace(".L2", ".L2::cache_hint.L2")} [%0], [%1], 16, 12, c; }}"
                     :: "r"(SHARED(s + t)), "l"(x + 16 * t) : "memory");
        WAIT_ALL();
        y[t] = s[t].z + s[t].w;"""
    run(device, body, y, x, ZERO)
    np.testing.assert_array_equal(y, x.view(np.int32)[2::4])


GROUPS = """__shared__ int s[4][64];
    int t = threadIdx.x, lane = t % 32;
    for (int g = 0; g < 4; ++g) s[g][t] = -1;
    for (int g = 0; g < 3; ++g) {{ COPY("ca", "4", &s[g][t], x + 4 * (64 * g + t)); COMMIT(); }}
    COPY("ca", "4", &s[3][t], x + 4 * (64 * 3 + t));
    {0}
    for (int g = 0; g < 4; ++g) y[64 * g + t] = s[g][t];"""


@pytest.mark.parametrize(
    ("waits", "done"),
    [
        ("", 0),
        ('WAIT("3");', 0),
        ('WAIT("2");', 1),
        ('WAIT("1");', 2),
        ('WAIT("0");', 3),
        ('COMMIT(); WAIT("1");', 3),
        ('COMMIT(); WAIT("0");', 4),
        ("WAIT_ALL();", 4),
    ],
)
def test_a_copy_takes_effect_at_its_wait(waits: str, done: int) -> None:
    x, y = numbered(4 * 64 * 4), np.zeros((4, 64), np.int32)
    run(PLAIN, GROUPS.format(waits), y, x, ZERO)
    expected = x.view(np.int32).reshape(4, 64).copy()
    expected[done:] = -1
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(("waits", "done"), [('WAIT("1");', 2), ('WAIT("0");', 3), ("WAIT_ALL();", 4)])
def test_with_a_seed_it_takes_effect_at_any_time_before(waits: str, done: int) -> None:
    x = numbered(4 * 64 * 4)
    whole = x.view(np.int32).reshape(4, 64)
    early = np.zeros((4, 64), bool)
    late = np.zeros((4, 64), bool)
    for seed in range(30):
        y = np.zeros((4, 64), np.int32)
        run(simulator.Device(check=False, seed=seed), GROUPS.format(waits), y, x, ZERO)
        came = y == whole
        assert np.all(came | (y == -1))
        assert np.all(came[:done])
        early |= came
        late |= ~came
    assert np.all(early)
    assert np.all(late[done:])


def test_lanes_have_groups_of_their_own() -> None:
    x, y = numbered(4 * 64 * 4), np.zeros((4, 64), np.int32)
    body = """__shared__ int s[4][64];
        int t = threadIdx.x, copies = t % 4 + 1;
        for (int g = 0; g < 4; ++g) s[g][t] = -1;
        for (int g = 0; g < copies; ++g) { COPY("ca", "4", &s[g][t], x + 4 * (64 * g + t)); COMMIT(); }
        if (t & 8) { WAIT("1"); } else { WAIT("2"); }
        for (int g = 0; g < 4; ++g) y[64 * g + t] = s[g][t];"""
    run(PLAIN, body, y, x, ZERO)
    t = np.arange(64)
    done = np.maximum(t % 4 + 1 - np.where(t & 8, 1, 2), 0)
    expected = np.where(np.arange(4)[:, None] < done, x.view(np.int32).reshape(4, 64), -1)
    np.testing.assert_array_equal(y, expected)


@every_device
@pytest.mark.parametrize("tiles", [1, 2, 7])
def test_a_pipeline_of_two_stages(device: simulator.Device, tiles: int) -> None:
    x, expected = sums(tiles)
    y = np.zeros((3, 64), np.int32)
    run(device, PIPELINE, y, x, np.int32(tiles), grid=3)
    np.testing.assert_array_equal(y, np.broadcast_to(expected, (3, 64)))


@pytest.mark.parametrize("fault", ["wait", "wait for too few", "commit"])
def test_a_missing_wait_gives_wrong_values(fault: str) -> None:
    x, expected = sums(7)
    y = np.zeros(64, np.int32)
    run(PLAIN, PIPELINE.replace(*FAULTS[fault]), y, x, np.int32(7))
    assert np.any(y != expected)


@pytest.mark.parametrize("fault", FAULTS)
def test_some_schedule_makes_each_fault_give_wrong_values(fault: str) -> None:
    x, expected = sums(7)
    for seed in range(40):
        y = np.zeros(64, np.int32)
        run(simulator.Device(check=False, seed=seed), PIPELINE.replace(*FAULTS[fault]), y, x, np.int32(7))
        if np.any(y != expected):
            return
    pytest.fail("every schedule gave the right values")


@every_device
def test_more_copies_than_the_queue_holds(device: simulator.Device) -> None:
    x, y = numbered(4 * 32 * 300), np.zeros((300, 32), np.int32)
    body = """__shared__ int s[300][32];
        int t = threadIdx.x;
        for (int k = 0; k < 300; ++k) COPY("ca", "4", &s[k][t], x + 4 * (32 * k + t));
        WAIT_ALL();
        for (int k = 0; k < 300; ++k) y[32 * k + t] = s[k][t];"""
    run(device, body, y, x, ZERO, block=32)
    np.testing.assert_array_equal(y, x.view(np.int32).reshape(300, 32))


@pytest.mark.parametrize("seed", [None, *range(5)])
def test_a_copy_of_a_thread_that_exits_takes_effect(seed: int | None) -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    body = """__shared__ int s[64];
        int t = threadIdx.x;
        if (t < 32) { COPY("ca", "4", s + t, x + 4 * t); return; }
        for (int turns = 0; turns < 100000 && ((volatile int*)s)[t - 32] == -1; ++turns) {}
        y[t] = ((volatile int*)s)[t - 32];"""
    run(simulator.Device(check=False, seed=seed), body, y, x, ZERO)
    np.testing.assert_array_equal(y[32:], x.view(np.int32)[:32])
    with pytest.raises(
        (RacecheckError, InitcheckError), match="Read access of size 4 bytes|memory read of size 4 bytes"
    ):
        run(simulator.Device(seed=seed), body, y, x, ZERO)


@every_device
def test_pipeline_primitives_and_cooperative_groups(device: simulator.Device) -> None:
    source = r"""
    #include <cuda_pipeline.h>
    #include <cooperative_groups.h>
    #include <cooperative_groups/memcpy_async.h>
    namespace cg = cooperative_groups;
    extern "C" __global__ void primitives(const float* x, float* y) {
        __shared__ float4 s[64];
        __shared__ float z[64];
        int t = threadIdx.x;
        __pipeline_memcpy_async(s + t, (const float4*)x + t, 16);
        __pipeline_memcpy_async(z + t, x + t, 4, 4 * (t % 2));
        __pipeline_commit();
        __pipeline_wait_prior(0);
        __syncthreads();
        y[t] = s[63 - t].y + z[63 - t];
    }
    extern "C" __global__ void groups(const float* x, float* y, int n) {
        __shared__ __align__(16) float s[256];
        auto block = cg::this_thread_block();
        cg::memcpy_async(block, s, x, sizeof(float) * n);
        cg::wait(block);
        for (int k = threadIdx.x; k < n; k += 64) y[k] = s[n - 1 - k];
    }
    extern "C" __global__ void tiles(const float* x, float* y) {
        __shared__ __align__(16) float s[256];
        auto tile = cg::tiled_partition<16>(cg::this_thread_block());
        int first = 64 * tile.meta_group_rank();
        cg::memcpy_async(tile, s + first, x + first, sizeof(float) * 64);
        cg::wait_prior<0>(tile);
        for (int k = tile.thread_rank(); k < 64; k += 16) y[first + k] = s[first + 63 - k];
    }"""
    module = simulator.RawModule(code=source, options=("--std=c++17",))
    x = np.arange(256, dtype=np.float32)
    with device:
        y = np.zeros(64, np.float32)
        module.get_function("primitives")((1,), (64,), (x, y))
        t = np.arange(64)
        np.testing.assert_array_equal(y, x[1::4][::-1] + np.where((63 - t) % 2, 0, x[:64][::-1]))
        for n in (1, 4, 63, 64, 255, 256):
            y = np.zeros(n, np.float32)
            module.get_function("groups")((1,), (64,), (x, y, np.int32(n)))
            np.testing.assert_array_equal(y, x[:n][::-1])
        y = np.zeros(256, np.float32)
        module.get_function("tiles")((1,), (64,), (x, y))
        np.testing.assert_array_equal(y, x.reshape(4, 64)[:, ::-1].ravel())


@pytest.mark.parametrize(
    "instruction",
    [
        "cp.async.mbarrier.arrive.shared.b64 [%0];",
        "cp.async.bulk.commit_group;",
        "cp.async.bulk.prefetch.L2.global [%1], 16;",
    ],
)
def test_other_copies_are_refused_by_name(instruction: str) -> None:
    x, y = numbered(256), np.zeros(64, np.int32)
    body = f'__shared__ long long s[64]; asm volatile("{instruction}" :: "r"(SHARED(s)), "l"(x));'
    name = instruction.split(" ")[0].rstrip(";").replace(".", r"\.")
    with pytest.raises(UnknownInstructionError, match=name):
        run(PLAIN, body, y, x, ZERO)
