"""Warp instructions that groups of lanes execute together, each with a member mask of its own."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import SynccheckError
from tests.simulator.devices import every_device, ints, launch

LANES = np.arange(32)
TILES = "unsigned i = threadIdx.x, mask = 0xffu << (i & 24);\n"


@every_device
def test_each_tile_has_its_own_mask(device: simulator.Device) -> None:
    """Tiles of eight lanes at one instruction: every lane gets what its tile gives."""
    y = ints(8, 32)
    body = """int p; y[i] = __reduce_add_sync(mask, i);
    y[32 + i] = __reduce_max_sync(mask, (int)i * ((i & 8) ? -1 : 1));
    y[64 + i] = __match_any_sync(mask, i & 1) >> (i & 24); y[96 + i] = __ballot_sync(mask, i & 2) >> (i & 24);
    __match_all_sync(mask, i >> 3, &p); y[128 + i] = p; y[160 + i] = __shfl_xor_sync(mask, i, 5);
    y[192 + i] = __all_sync(mask, i < 8); __syncwarp(mask); y[224 + i] = __any_sync(mask, i == 9);"""
    launch(device, TILES + body, [y])
    tiles = LANES.reshape(4, 8)
    assert y[0].tolist() == np.repeat(tiles.sum(1), 8).tolist()
    assert y[1].tolist() == np.repeat([7, -8, 23, -24], 8).tolist()
    assert y[2].tolist() == np.where(LANES & 1, 0xAA, 0x55).tolist()
    assert y[3].tolist() == [0xCC] * 32
    assert y[4].tolist() == [1] * 32
    assert y[5].tolist() == (LANES ^ 5).tolist()
    assert y[6].tolist() == (LANES < 8).tolist()
    assert y[7].tolist() == (LANES // 8 == 1).tolist()


@every_device
def test_a_result_may_take_the_place_of_its_mask(device: simulator.Device) -> None:
    """As where lanes leave a loop: ``mask = __ballot_sync(mask, ...)``."""
    y = ints(5, 32)
    body = """unsigned i = threadIdx.x, left = ~0u, turns = 0, sum = ~0u, all = ~0u, none = ~0u, one = ~0u;
    while ((left = __ballot_sync(left, turns < i)) >> i & 1) ++turns;
    asm volatile("redux.sync.add.u32 %0, %1, %0;" : "+r"(sum) : "r"(i));
    asm volatile("match.any.sync.b32 %0, %1, %0;" : "+r"(all) : "r"(i & 1));
    asm volatile("shfl.sync.idx.b32 %0, %1, 0, 31, %0;" : "+r"(none) : "r"(i));
    asm volatile("{ .reg .pred p; elect.sync %0|p, %0; }" : "+r"(one));
    y[i] = turns; y[32 + i] = sum; y[64 + i] = all; y[96 + i] = none; y[128 + i] = one;"""
    launch(device, body, [y])
    assert y[0].tolist() == LANES.tolist()
    assert y[1].tolist() == [496] * 32
    assert (y[2].astype(np.uint32) == np.where(LANES & 1, 0xAAAAAAAA, 0x55555555)).all()
    assert not y[3:].any()


@every_device
def test_a_complete_tile_does_not_wait_for_another(device: simulator.Device) -> None:
    """Half of the second tile waits for lanes that spin until the third tile has been through."""
    y = ints(32)
    body = """__shared__ volatile int ready; if (i == 0) ready = 0; __syncwarp();
    int v = i;
    if (i >= 12 && i < 16) while (!ready);
    if (i < 8) v += 100;
    v = __reduce_add_sync(mask, v);
    if (i == 16) ready = 1;
    y[i] = v;"""
    launch(device, TILES + body, [y])
    assert y.tolist() == np.repeat([828, 92, 156, 220], 8).tolist()


@every_device
def test_who_was_let_go_waits_again_at_the_next_meeting(device: simulator.Device) -> None:
    """Lanes wait for others that leave instead; what follows still waits for everyone."""
    y = ints(32)
    body = """int i = threadIdx.x, n = y[i];
    if (i >= 16) { for (int k = 0; k < 40; k++) n = n * 3 + 1; if (n != 7) return; }
    __syncwarp();
    if (i < 8) for (int k = 0; k < i + 20; k++) n += k * n + 1;
    asm volatile("" : "+r"(n));
    y[i] = __shfl_xor_sync(0xffff, i < 8 ? (n ? i : 0) : i, 8);"""
    launch(device, body, [y])
    assert y[1:8].tolist() == list(range(9, 16))
    assert y[9:16].tolist() == list(range(1, 8))


def test_a_lane_outside_of_its_own_mask_among_tiles() -> None:
    body = TILES + "if (i == 13) mask = 0xff; y[i] = __shfl_xor_sync(mask, i, 1);"
    with pytest.raises(SynccheckError, match="lane 13 execute"):
        launch(simulator.Device(), body, [ints(32)])


@pytest.mark.parametrize("arch", ["sm_75", "sm_90", "sm_120"])
@pytest.mark.parametrize("check", [True, False])
def test_addresses_of_32_bits_wrap(arch: str, check: bool) -> None:
    """A compiler may keep a negative part in the register and the positive one in the offset."""
    y = ints(32)
    body = """__shared__ int s[32]; int i = threadIdx.x; s[i] = i; __syncthreads();
    unsigned low = (unsigned)__cvta_generic_to_shared(s) - 4 * i - 400;
    asm volatile("ld.shared.b32 %0, [%1+524];" : "=r"(y[i]) : "r"(low));"""
    launch(simulator.Device(arch=arch, check=check), body, [y])
    assert y.tolist() == list(range(31, -1, -1))


@every_device
def test_warp_barriers_in_two_places_are_one_meeting_though_others_spin(device: simulator.Device) -> None:
    """Two groups meet at different barriers; a third one spins until the first has been through."""
    y = ints(32)
    body = """__shared__ volatile int ready; int i = threadIdx.x; if (i == 0) ready = 0; __syncwarp();
    for (int k = 1; k < 4; ++k) {
        if (i < 8) { __syncwarp(0xffff); y[i + 8] += 10; __syncwarp(0xffff); ready = k; }
        else if (i < 16) { y[i - 8] += 100; __syncwarp(0xffff); __syncwarp(0xffff); y[i] += 1000; }
        else { while (ready < k); y[i] += k; }
    }"""
    launch(device, body, [y])
    assert y.tolist() == [300] * 8 + [3030] * 8 + [6] * 16


@every_device
def test_masks_tell_warp_barriers_apart(device: simulator.Device) -> None:
    """Pairs of groups meet at barriers of their own while the lanes of a third pair are not there yet."""
    y = ints(32)
    body = """__shared__ volatile int ready; int i = threadIdx.x; if (i == 0) ready = 0; __syncwarp();
    unsigned mask = 0x00ff00ffu << (i & 8);
    if (i < 4) { __syncwarp(mask); y[i] = 1; }
    else if (i < 8) { while (!ready); __syncwarp(mask); y[i] = 2; }
    else if (i < 12) { __syncwarp(mask); y[i] = 3; }
    else if (i < 16) { y[i] = 4; __syncwarp(mask); ready = 1; }
    else if (i < 24) { __syncwarp(mask); y[i] = 5; }
    else { __syncwarp(mask); y[i] = 6; }"""
    launch(device, body, [y])
    assert y.tolist() == np.repeat([1, 2, 3, 4, 5, 5, 6, 6], 4).tolist()
