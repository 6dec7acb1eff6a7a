"""The fast version: what it keeps as scalars, what it masks, and how it hands a warp over and takes it back."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.runtime.compile import compile
from cupysoft.simulator.fast.regions import Plan, plan
from cupysoft.simulator.flow import Flow, analyse
from cupysoft.simulator.inline import inlined
from cupysoft.simulator.layout import place
from cupysoft.simulator.parser import parse
from cupysoft.simulator.translate import translate
from tests.simulator.devices import every_device, ints, launch

LANES = np.arange(32)


def planned(body: str, parameters: str = "int* y, int n") -> tuple[Flow, Plan]:
    """Plan the fast version of a kernel."""
    source = f'extern "C" __global__ void f({parameters}) {{ {body} }}'
    module = parse(compile(source, arch="sm_90", our_rules=False).code.decode())
    kernel = inlined(module, "f")
    flow = analyse(kernel)
    return flow, plan(flow, place(kernel, module.variables, flow.crossing), linear=True)


def test_what_depends_on_the_thread_is_no_scalar() -> None:
    flow, made = planned("y[threadIdx.x] = blockIdx.x * n + gridDim.x;")
    stored = flow.blocks[-1].instructions[-2]
    address, value = stored.operands
    assert stored.opcode == "st"
    assert value.name in made.uniform  # type: ignore[union-attr]
    assert address.base.name not in made.uniform  # type: ignore[union-attr]


def test_a_branch_on_the_thread_makes_a_region_and_one_on_a_parameter_does_not() -> None:
    _, made = planned("if (threadIdx.x > 5) y[threadIdx.x] = n; y[40 + threadIdx.x] = 1;")
    assert len({id(region) for region in made.regions.values()}) == 1
    _, made = planned("if (n > 5) y[threadIdx.x] = n; y[40 + threadIdx.x] = 1;")
    assert not made.regions


def test_a_loop_of_the_thread_is_a_region_with_all_that_is_inside() -> None:
    body = "int s = 0; for (int i = threadIdx.x; i < n; i += 32) { if (y[i] & 1) s += y[i] * i; } y[threadIdx.x] = s;"
    _, made = planned(body)
    regions = {id(region): region for region in made.regions.values()}.values()
    assert len(regions) == 1
    (region,) = regions
    assert region.join == max(region.blocks) + 1


def test_what_waits_for_others_is_in_no_region() -> None:
    _, made = planned("if (threadIdx.x > 5) { __syncwarp(0xffffffc0); y[threadIdx.x] = n; } y[40] = 1;")
    assert not made.regions
    _, made = planned("__shared__ int s[64]; if (n) { s[threadIdx.x] = 1; __syncthreads(); } y[threadIdx.x] = s[5];")
    assert not made.regions


def test_registers_written_under_a_mask_are_no_scalars() -> None:
    flow, made = planned("int k = 3; if (threadIdx.x > 5) k = n; y[threadIdx.x] = k;")
    stored = flow.blocks[-1].instructions[-2]
    assert stored.operands[1].name not in made.uniform  # type: ignore[union-attr]


@every_device
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 100, 1000])
def test_loops_whose_lanes_end_at_different_times(device: simulator.Device, n: int) -> None:
    y = ints(32)
    body = """int i = threadIdx.x, s = 0, turns = 0;
    for (int k = i; k < n; k += 32) { s += k; turns++; if (k % 3 == 0) continue; s ^= turns; }
    y[i] = s;"""
    launch(device, body, [y, np.int32(n)], parameters="int* y, int n")
    expected = []
    for lane in range(32):
        total = turns = 0
        for k in range(lane, n, 32):
            total, turns = total + k, turns + 1
            total ^= turns if k % 3 else 0
        expected.append(total)
    assert y.tolist() == expected


@every_device
def test_a_lane_that_waits_for_another_of_its_warp(device: simulator.Device) -> None:
    """A lock that each lane takes in turn: a region would spin for ever if its budget did not end."""
    y = ints(40)
    body = """int i = threadIdx.x; bool done = false;
    while (!done) {
        if (atomicCAS(&y[32], 0, 1) == 0) { y[i] = y[33]++; __threadfence(); atomicExch(&y[32], 0); done = true; }
    }"""
    launch(device, body, [y])
    assert sorted(y[:32].tolist()) == list(range(32))


@every_device
def test_warps_that_wait_for_one_another(device: simulator.Device) -> None:
    """All the lanes of one warp spin until another warp has written, in a loop that parts them too."""
    y = ints(96)
    body = """__shared__ volatile int turn; int i = threadIdx.x, w = i / 32;
    if (i == 0) turn = 0; __syncthreads();
    int spins = 0;
    while (turn != w) { if (spins++ % 2 == (i & 1)) spins += 2; }
    y[i] = w; __syncwarp();
    if (i % 32 == 0) turn = w + 1;"""
    launch(device, body, [y], block=96)
    assert y.tolist() == np.repeat([0, 1, 2], 32).tolist()


@every_device
def test_barriers_in_loops_and_after_lanes_parted(device: simulator.Device) -> None:
    y = ints(128)
    body = """__shared__ int s[128]; int i = threadIdx.x, v = i;
    for (int k = 0; k < 5; k++) {
        if ((i + k) % 3 == 0) v = v * 5 + k; else if (i & 4) v ^= k;
        s[i] = v; __syncthreads(); v += s[(i + 37) % 128]; __syncthreads();
    }
    y[i] = v;"""
    launch(device, body, [y], block=128)
    v = np.arange(128)
    for k in range(5):
        v = np.where((np.arange(128) + k) % 3 == 0, v * 5 + k, np.where(np.arange(128) & 4, v ^ k, v))
        v = v + v[(np.arange(128) + 37) % 128]
    assert y.tolist() == v.astype(np.int32).tolist()


@every_device
def test_a_scalar_that_lanes_have_changed_apart(device: simulator.Device) -> None:
    """Lanes leave a loop with a barrier in different turns: what was one number for all no longer is."""
    y = ints(64)
    body = """int i = threadIdx.x, k = 0;
    for (; k < n; k++) { if (k == i % 4) break; __syncwarp(__activemask()); }
    y[i] = k; __syncwarp(); y[32 + i] = k * 2 + __shfl_sync(~0u, k, 3);"""
    launch(
        simulator.Device(check=False) if device.check else device, body, [y, np.int32(3)], parameters="int* y, int n"
    )
    k = np.minimum(LANES % 4, 3)
    assert y.tolist() == [*k, *(2 * k + 3)]


@every_device
@pytest.mark.parametrize("uniform", [0, 1])
def test_switches(device: simulator.Device, uniform: int) -> None:
    y = ints(32)
    body = """int i = threadIdx.x, v = 0;
    switch (uniform ? y[3] + 5 : i % 9) {
        case 0: v = i * 3; break; case 1: v = i ^ 5; break; case 2: v = 7; break; case 3: v = -i; break;
        case 4: v = i << 3; case 5: v += 11; break; case 6: v = y[0] - i; break; case 7: v = 1 << (i & 7); break; }
    __syncwarp(); y[i] = v;"""
    launch(device, body, [y, np.int32(uniform)], parameters="int* y, int uniform")
    expected = np.zeros((9, 32), np.int32)
    expected[:8] = [
        3 * LANES,
        LANES ^ 5,
        0 * LANES + 7,
        -LANES,
        8 * LANES + 11,
        0 * LANES + 11,
        -LANES,
        1 << (LANES & 7),
    ]
    assert y.tolist() == expected[0 * LANES + 5 if uniform else LANES % 9, LANES].tolist()


@every_device
@pytest.mark.parametrize("threads", [1, 31, 32, 33, 64, 95])
def test_warps_that_are_not_full(device: simulator.Device, threads: int) -> None:
    y = ints(96)
    body = "int i = threadIdx.x; if (i % 2) { y[i] = i * n; return; } y[i] = -i; __syncthreads(); y[i] -= 1;"
    launch(
        simulator.Device(check=False) if device.check else device, body, [y, np.int32(5)], 1, threads, "int* y, int n"
    )
    i = np.arange(threads)
    assert y[:threads].tolist() == np.where(i % 2, 5 * i, -i - 1).tolist()


def test_indices_are_known_by_their_first_lane() -> None:
    flow, made = planned("for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = i; y[4 * threadIdx.x] = n;")
    stores = [each for block in flow.blocks for each in block.instructions if each.opcode == "st"]
    addresses = [each.operands[0].base.name for each in stores]  # type: ignore[union-attr]
    kept = {name for block in flow.blocks for name in block.live_out}
    assert 1 in {made.steps.get(name) for name in kept}, "the index of the loop"
    assert [made.steps[name] for name in addresses] == [4, 16]


@every_device
@pytest.mark.parametrize("n", [0, 40, 2**31 - 41, 2**31 - 94, 2**31, 2**32 - 41, 2**32 - 1])
@pytest.mark.parametrize("step", [1, 3, -3])
def test_indices_that_wrap(device: simulator.Device, n: int, step: int) -> None:
    """What rises from lane to lane in 32 bits does not always do so in 64."""
    y = np.zeros(64, np.int64)
    body = f"unsigned i = threadIdx.x, k = n + {step} * i; y[i] = (int)k; y[32 + i] = k;"
    launch(device, body, [y, np.uint32(n)], parameters="long long* y, unsigned n")
    k = (n + step * LANES) % 2**32
    assert y.tolist() == [*(k - (k >= 2**31) * 2**32), *k]


@every_device
@pytest.mark.parametrize("n", [0, 5, 64, 70, 100])
def test_indices_that_lanes_leave_a_loop_with(device: simulator.Device, n: int) -> None:
    y = ints(64)
    body = """int i = threadIdx.x, k = i, turns = 0;
    for (; k < n; k += 32) turns++;
    y[i] = k; y[32 + i] = turns * 100 + k / 32;"""
    launch(device, body, [y, np.int32(n)], parameters="int* y, int n")
    turns = np.maximum(-(-(n - LANES) // 32), 0)
    k = LANES + 32 * turns
    assert y.tolist() == [*k, *(turns * 100 + k // 32)]


@every_device
@pytest.mark.parametrize("block", [(16, 4, 1), (64, 2, 1), (33, 2, 1), (8, 2, 4), (96, 1, 1), (1, 32, 2), (32, 1, 3)])
def test_blocks_whose_warps_lie_in_rows_or_across_them(device: simulator.Device, block: tuple[int, int, int]) -> None:
    threads = block[0] * block[1] * block[2]
    y = ints(threads)
    body = """int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    y[t] = threadIdx.x + 100 * threadIdx.y + 10000 * threadIdx.z;"""
    launch(device, body, [y], block=block)
    z, rest = np.divmod(np.arange(threads), block[0] * block[1])
    assert y.tolist() == (rest % block[0] + 100 * (rest // block[0]) + 10000 * z).tolist()


@every_device
def test_entries_of_a_table_and_hints(device: simulator.Device) -> None:
    """Each lane looks up 16 bytes of its own; a hint may name any address."""
    table, found = np.arange(64.0), np.zeros(128)
    body = """int i = threadIdx.x;
    asm volatile("prefetch.global.L2 [%0];" :: "l"(found + 4 * i));
    asm volatile("prefetch.global.L1 [%0];" :: "l"(found + (1 << 24) + (i * i) * 64));
    const double2 e = table[i * 7 & 31];
    const float4 f = reinterpret_cast<const float4*>(table)[i * i & 31];
    found[i] = e.x; found[32 + i] = e.y;
    found[64 + i] = __hiloint2double(__float_as_int(f.y), __float_as_int(f.x));
    if (i % 3) found[96 + i] = table[i * 5 & 31].y;"""
    launch(device, body, [table, found], parameters="const double2* __restrict__ table, double* found")
    entry = LANES * 7 % 32
    some = np.where(LANES % 3, 2.0 * (LANES * 5 % 32) + 1, 0.0)
    np.testing.assert_array_equal(found, [*2.0 * entry, *2.0 * entry + 1, *2.0 * (LANES**2 % 32), *some])


@every_device
@pytest.mark.parametrize("start", [0, 40])
def test_shared_memory_around_an_index(device: simulator.Device, start: int) -> None:
    """Stores before and behind one register, forwards and backwards; the first is not at the lowest place."""
    y = ints(4, 32)
    body = """__shared__ int s[256];
    int i = threadIdx.x;
    for (int k = i; k < 256; k += 32) s[k] = 0;
    __syncwarp();
    int at = 64 + start + i, back = 64 + start + 31 - i;
    s[at + 32] = 1000 + i; s[at] += i; s[at - 64] = 2000 + i;
    __syncwarp();
    y[i] = s[back]; y[32 + i] = s[back + 32]; y[64 + i] = s[back - 64];
    s[back + 64] = i;
    __syncwarp();
    y[96 + i] = s[at + 64];"""
    launch(device, body, [y, np.int32(start)], parameters="int* y, int start")
    down = LANES[::-1]
    assert y.tolist() == [[*down], [*1000 + down], [*2000 + down], [*down]]


def test_long_kernels_have_no_fast_version(monkeypatch: pytest.MonkeyPatch) -> None:
    source = compile('extern "C" __global__ void f(int* y) { y[threadIdx.x] = 1; }', arch="sm_90", our_rules=False)
    module = parse(source.code.decode())
    assert "@fast(" in translate(module, "f", fast=True).text
    monkeypatch.setattr("cupysoft.simulator.translate._LONGEST_FAST", 3)
    assert "@fast(" not in translate(module, "f", fast=True).text
