"""Shuffles, votes, matches, reductions: full warps, parts of them, lanes that come late."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import SynccheckError
from tests.simulator.devices import every_device, ints, launch, unchecked

LANES = np.arange(32)


def source(mode: str, b: int, width: int, lane: int) -> int:
    """Return the lane that a shuffle reads, as CUDA's guide tells it."""
    first = lane // width * width
    wanted = {"idx": first + b % width, "up": lane - b, "down": lane + b, "xor": lane ^ b}[mode]
    if mode == "up":
        return wanted if wanted >= first else lane
    return wanted if wanted < first + width else lane


@every_device
@pytest.mark.parametrize("mode", ["idx", "up", "down", "xor"])
def test_shuffles_by_constants_and_by_registers(device: simulator.Device, mode: str) -> None:
    """Every segment width, with steps that the compiler knows and steps that it does not."""
    steps, widths = (0, 1, 3, 8, 17, 31), (2, 8, 16, 32)
    function = "__shfl_sync" if mode == "idx" else f"__shfl_{mode}_sync"
    y = ints(2, len(steps) * len(widths), 32)
    calls = [
        f"y[{32 * (n * len(widths) + m)} + i] = {function}(~0u, v, {b}, {w});"
        for n, b in enumerate(steps)
        for m, w in enumerate(widths)
    ]
    loop = f"""int steps[] = {{{", ".join(map(str, steps))}}}, widths[] = {{{", ".join(map(str, widths))}}};
    #pragma unroll 1
    for (int k = 0; k < {len(calls)}; k++)
        y[{32 * len(calls)} + 32 * k + i] = {function}(~0u, v, steps[k / {len(widths)}], widths[k % {len(widths)}]);"""
    launch(device, "int i = threadIdx.x, v = 3 * i + 1;\n" + "\n".join(calls) + loop, [y])
    want = [[3 * source(mode, b, w, lane) + 1 for lane in range(32)] for b in steps for w in widths]
    assert y[0].tolist() == want
    assert y[1].tolist() == want


@every_device
def test_a_step_of_its_own_in_each_lane(device: simulator.Device) -> None:
    """A gather over the warp, and a 64-bit value in two halves."""
    y = np.zeros((2, 32))
    body = """int i = threadIdx.x;
    y[i] = __shfl_sync(~0u, 10 * i, i * i + 3); y[32 + i] = __shfl_down_sync(~0u, 0.5 * i, i % 4);"""
    launch(device, body, [y], parameters="double* y")
    assert np.array_equal(y[0], 10 * ((LANES**2 + 3) % 32))
    assert np.array_equal(y[1], 0.5 * np.where(LANES + LANES % 4 < 32, LANES + LANES % 4, LANES))


@every_device
def test_the_predicate_of_a_shuffle(device: simulator.Device) -> None:
    """``d|p`` says whether the source lane was in range."""
    y = ints(2, 32)
    body = """int i = threadIdx.x, v, w, step = y[0] + 5;
    asm volatile("{ .reg .pred p; shfl.sync.down.b32 %0|p, %2, 5, 31, -1; selp.b32 %0, %0, -1, p;"
                 "shfl.sync.up.b32 %1|p, %2, %3, 0, -1; selp.b32 %1, %1, -1, p; }"
                 : "=&r"(v), "=&r"(w) : "r"(i), "r"(step));
    y[i] = v; y[32 + i] = w;"""
    launch(device, body, [y])
    assert np.array_equal(y[0], np.where(LANES + 5 < 32, LANES + 5, -1))
    assert np.array_equal(y[1], np.where(LANES >= 5, LANES - 5, -1))


@every_device
def test_votes(device: simulator.Device) -> None:
    """All, any, which; with every lane and with a part of them."""
    y = np.zeros((5, 32), np.uint32)
    body = """int i = threadIdx.x;
    y[i] = __ballot_sync(~0u, i % 5 == 3); y[32 + i] = __any_sync(~0u, i == 40) + 2 * __any_sync(~0u, i == 31);
    y[64 + i] = __all_sync(~0u, i < 32) + 2 * __all_sync(~0u, i < 31);
    if (i >= 8 && i < 20) { y[96 + i] = __ballot_sync(0xfff00, i & 1); y[128 + i] = __activemask(); }"""
    launch(device, body, [y], parameters="unsigned* y")
    assert set(y[0]) == {sum(1 << lane for lane in range(32) if lane % 5 == 3)}
    assert set(y[1]) == {2}
    assert set(y[2]) == {1}
    assert set(y[3, 8:20]) == {sum(1 << lane for lane in range(8, 20) if lane & 1)}
    assert set(y[4, 8:20]) == {0xFFF00}


@every_device
@pytest.mark.parametrize("type_", ["int", "unsigned long long"])
def test_matches(device: simulator.Device, type_: str) -> None:
    """Who holds the same value, and whether all do."""
    y = np.zeros((4, 32), np.uint32)
    body = f"""int i = threadIdx.x, same; {type_} big = ({type_})1 << (8 * sizeof({type_}) - 2);
    y[i] = __match_any_sync(~0u, ({type_})(i % 3) * big);
    y[32 + i] = __match_all_sync(~0u, big, &same) + same;
    y[64 + i] = __match_all_sync(~0u, ({type_})(i == 9), &same) + same;
    if (i < 4) y[96 + i] = __match_any_sync(0xf, ({type_})(i & 1));"""
    launch(device, body, [y], parameters="unsigned* y")
    assert y[0].tolist() == [sum(1 << lane for lane in range(32) if lane % 3 == k % 3) for k in range(32)]
    assert set(y[1]) == {0}  # every lane of the mask, plus one, wraps to zero
    assert set(y[2]) == {0}
    assert y[3, :4].tolist() == [0b0101, 0b1010, 0b0101, 0b1010]


@every_device
def test_reductions(device: simulator.Device) -> None:
    """Sums, extrema and bits over the whole warp and over a part."""
    y = np.zeros((8, 32), np.int32)
    body = """int i = threadIdx.x; int v = 7 * i - 50;
    y[i] = __reduce_add_sync(~0u, v); y[32 + i] = __reduce_min_sync(~0u, v); y[64 + i] = __reduce_max_sync(~0u, v);
    y[96 + i] = __reduce_max_sync(~0u, (unsigned)v); y[128 + i] = __reduce_and_sync(~0u, (unsigned)v | 8u);
    y[160 + i] = __reduce_or_sync(~0u, i & 12u); y[192 + i] = __reduce_xor_sync(~0u, (unsigned)v);
    if (i > 20) y[224 + i] = __reduce_min_sync(0xffe00000u, v);"""
    launch(device, body, [y])
    v = 7 * LANES - 50
    want = [v.sum(), v.min(), v.max(), -1, np.bitwise_and.reduce(v | 8), 12, np.bitwise_xor.reduce(v)]
    assert y[:7].tolist() == [[each] * 32 for each in want]
    assert set(y[7, 21:]) == {v[21]}


@every_device
def test_one_leader(device: simulator.Device) -> None:
    """``elect.sync`` chooses one lane of the mask."""
    y = ints(32)
    body = """unsigned leader, chosen; if (threadIdx.x > 4) {
    asm volatile("{ .reg .pred p; elect.sync %0|p, 0xffffffe0; selp.u32 %1, 1, 0, p; }" : "=r"(leader), "=r"(chosen));
    y[threadIdx.x] = leader + 100 * chosen; }"""
    launch(device, body, [y])
    assert y.tolist() == [0] * 5 + [105] + [5] * 26


@every_device
def test_lanes_wait_for_those_who_come_late(device: simulator.Device) -> None:
    """Half a warp is done at once, the other half comes after a loop."""
    y = ints(132)
    y[100:] = 1
    body = """int i = threadIdx.x, v = 0;
    if (i < 16) for (int k = 0; k < i; k++) v += y[100 + k]; else v = -i;
    y[i] = __shfl_xor_sync(~0u, v, 16);"""
    launch(device, body, [y])
    assert y[:32].tolist() == [-(i + 16) for i in range(16)] + list(range(16))


@every_device
def test_warp_barriers_of_different_places_meet(device: simulator.Device) -> None:
    """Lanes may wait for each other in both arms of a branch, several times."""
    y = ints(2, 32)
    body = """__shared__ int s[64]; int i = threadIdx.x;
    if (i % 2 == 0) {
        int t = 0; for (int k = 0; k < i; k++) t += k;
        s[i] = t; __syncwarp(); y[i] = s[i + 1]; __syncwarp(); s[32 + i] = 7 * i; __syncwarp();
    } else {
        s[i] = 3 * i; __syncwarp(); y[i] = s[i - 1]; __syncwarp(); __syncwarp(); y[32 + i] = s[31 + i];
    }"""
    launch(device, body, [y])
    even = LANES & ~1
    assert np.array_equal(y[0], np.where(LANES & 1, even * (even - 1) // 2, 3 * (LANES + 1)))
    assert np.array_equal(y[1], np.where(LANES & 1, 7 * even, 0))


def test_shuffles_of_different_places_do_not_meet() -> None:
    """Without checks each half goes on alone, with checks it is an error."""
    shuffle = 'asm volatile("shfl.sync.bfly.b32 %0, %0, 16, 31, 0xffffffff;" : "+r"(v));'
    body = f"""int i = threadIdx.x, v = i + y[i];
    if (i < 16) {{ {shuffle} y[i] = v; }} else {{ v *= 3; {shuffle} y[i] = 2 * v; }}"""
    launch(simulator.Device(check=False), body, [ints(32)])
    with pytest.raises(SynccheckError, match="shfl"):
        launch(simulator.Device(check=True), body, [ints(32)])


@unchecked
def test_lanes_that_have_exited_are_not_awaited(device: simulator.Device) -> None:
    """A full mask after an early return shuffles among those who are left."""
    y = ints(32)
    launch(device, "int i = threadIdx.x; if (i >= 20) return; y[i] = __shfl_down_sync(~0u, i, 1, 4);", [y])
    assert y[:19].tolist() == [source("down", 1, 4, lane) for lane in range(19)]


@every_device
def test_warp_barriers_order_memory(device: simulator.Device) -> None:
    """What a lane stores before ``__syncwarp`` the others see after it, on divergent paths too."""
    y = ints(2, 32)
    body = """__shared__ int s[32]; int i = threadIdx.x;
    if (i & 1) s[i] = i; else { int t = 0; for (int k = 0; k < i; k++) t += k; s[i] = t; }
    __syncwarp(); y[i] = s[31 - i];
    if (i < 8) { s[i] = 5 * i; __syncwarp(0xff); y[32 + i] = s[7 - i]; }"""
    if device.check:
        body = body.replace("if (i < 8)", "__syncwarp(); if (i < 8)")
    launch(device, body, [y])
    s = np.where(LANES & 1, LANES, LANES * (LANES - 1) // 2)
    assert np.array_equal(y[0], s[::-1])
    assert np.array_equal(y[1, :8], 5 * np.arange(7, -1, -1))
