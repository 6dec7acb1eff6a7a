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
