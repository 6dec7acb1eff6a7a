"""How often each kernel walks over memory, as the simulated device counts it."""

from __future__ import annotations

import numpy as np
import pytest

import cupysoft
from cupysoft import simulator

# Shape, axis, reads of x by softmax; logsumexp reads once always.
WALKS = [
    ((6, 20), 1, 1), ((6, 500), 1, 1), ((4, 1000), 1, 1), ((2, 9000), 1, 1), ((1, 28000), 1, 1), ((1, 59000), 1, 2),
    ((1, 66000), 1, 2),
    ((12, 40), 0, 1), ((100, 40), 0, 1), ((300, 40), 0, 2), ((4100, 9), 0, 2),
]  # fmt: skip


def walks(device: simulator.Device, argument: str) -> tuple[float, float]:
    """Reads and writes of an argument, summed over the kernels of a call."""
    found = [kernel.arguments[argument] for kernel in device.report.kernels.values() if argument in kernel.arguments]
    return sum(each.walks_read for each in found), sum(each.walks_written for each in found)


@pytest.mark.parametrize(("shape", "axis", "reads"), WALKS)
def test_walks(shape: tuple[int, int], axis: int, reads: int) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype("f4")
    for function, expected in ((cupysoft.softmax, reads), (cupysoft.log_softmax, reads), (cupysoft.logsumexp, 1)):
        with simulator.Device() as device:
            function(x, axis=axis)
        assert walks(device, "x") == (expected, 0)
        assert walks(device, "out") == (0, 1)


@pytest.mark.parametrize(("shape", "axis"), [((4, 1024), 1), ((2, 8192), 1), ((64, 64), 0), ((512, 64), 0)])
def test_accesses_are_coalesced(shape: tuple[int, int], axis: int) -> None:
    x, out = np.zeros(shape, "f4"), np.zeros(shape, "f4")
    with simulator.Device() as device:
        cupysoft.softmax(x, axis=axis, out=out)
    for kernel in device.report.kernels.values():
        assert sum(traffic.excess for name, traffic in kernel.memory.items() if name.startswith("global")) == 0
        assert kernel.bank_conflicts == 0
