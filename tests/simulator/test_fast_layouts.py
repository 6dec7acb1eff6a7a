"""The fast version and code that is laid out as no compiler does, but PTX allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cupysoft import simulator
from cupysoft.simulator.device import LoadedModule
from tests.simulator.devices import every_device, ints
from tests.simulator.harness import Array

LANES = np.arange(32)
HEAD = """.version 8.0
.target sm_80
.address_size 64
.visible .entry f(.param .u64 y, .param .u32 n)
{
.reg .pred %p<4>;
.reg .b32 %r<10>;
.reg .b64 %y<3>;
ld.param.u64 %y0, [y];
ld.param.u32 %r1, [n];
mov.u32 %r0, %tid.x;
mad.wide.u32 %y1, %r0, 4, %y0;
"""


def launch(device: simulator.Device, body: str, arguments: Sequence[Array | np.generic], block: int = 32) -> None:
    """Run PTX with the thread's number in ``%r0``, ``n`` in ``%r1`` and the address of ``y[%r0]`` in ``%y1``."""
    device.run(LoadedModule(f"{HEAD}{body}\n}}\n"), "f", (1, 1, 1), (block, 1, 1), arguments)


@every_device
def test_lanes_come_back_to_a_block_in_front(device: simulator.Device) -> None:
    """What a masked block has loaded is not known behind it, where nobody may have run it."""
    y = ints(32)
    body = """setp.gt.u32 %p0, %r0, 5;
    mov.u32 %r2, 3;
    @%p0 bra $far;
    $join: add.u32 %r2, %r2, %r1;
    st.global.u32 [%y1], %r2;
    ret;
    $far: mad.lo.u32 %r2, %r1, 16, %r0;
    bra.uni $join;"""
    launch(device, body, [y, np.uint32(7)])
    assert y.tolist() == np.where(LANES > 5, 16 * 7 + LANES + 7, 10).tolist()


@every_device
def test_lanes_with_another_mask_at_the_same_vote_are_not_met(device: simulator.Device) -> None:
    """Lanes that left a loop vote for its next round with the full mask, while the others still go around."""
    y = ints(32)
    body = """and.b32 %r2, %r0, 3;
    mov.u32 %r3, 0;
    mov.u32 %r4, 0;
    $outer: mov.b32 %r5, 0xffffffff;
    mov.u32 %r6, 0;
    $inner: setp.lt.u32 %p0, %r6, %r2;
    vote.sync.ballot.b32 %r7, %p0, %r5;
    @%p0 bra $body;
    add.u32 %r4, %r4, 1;
    setp.lt.u32 %p1, %r4, %r1;
    @%p1 bra $outer;
    st.global.u32 [%y1], %r3;
    ret;
    $body: mov.b32 %r5, %r7;
    popc.b32 %r8, %r7;
    add.u32 %r3, %r3, %r8;
    add.u32 %r6, %r6, 1;
    bra.uni $inner;"""
    launch(device, body, [y, np.uint32(3)])
    assert y.tolist() == [0, 3 * 24, 3 * 40, 3 * 48] * 8


@every_device
def test_lanes_that_come_together_with_different_masks_vote_apart(device: simulator.Device) -> None:
    """Eight lanes vote among themselves, and then with the others, who have been waiting for that at the same place."""
    y = ints(32)
    body = """setp.lt.u32 %p0, %r0, 8;
    selp.b32 %r5, 0xff, 0xffffffff, %p0;
    mov.u32 %r6, 0;
    $vote: and.b32 %r2, %r0, 1;
    or.b32 %r2, %r2, %r6;
    setp.ne.u32 %p1, %r2, 0;
    vote.sync.ballot.b32 %r7, %p1, %r5;
    setp.eq.u32 %p2, %r5, 0xffffffff;
    mov.b32 %r5, 0xffffffff;
    add.u32 %r6, %r6, 1;
    @!%p2 bra $vote;
    st.global.u32 [%y1], %r7;
    ret;"""
    launch(device, body, [y, np.uint32(0)])
    assert y.view(np.uint32).tolist() == [0xAAAAAAFF] * 32
