"""Machine code made in haste: used first where there is no fast version, with the same bits, and not for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.simulator import launch, machine
from cupysoft.simulator.checks import Checked
from cupysoft.simulator.compiled import CompiledKernel
from cupysoft.simulator.device import LoadedModule
from tests.simulator.harness import Array, same_bits
from tests.simulator.test_machine import PTX, Store, refuse, run

SOURCE = r"""
extern "C" __global__ void f(const float* x, const double* z, float* y, int n) {
    __shared__ float sums[64];
    float own = 0;
    for (int i = threadIdx.x; i < n; i += 64)
        own += i % 5 ? expf(x[i]) : (float)(z[i] / 3) + log1pf(fabsf(x[i]));
    for (int step = 16; step; step /= 2) own += __shfl_xor_sync(~0u, own, step);
    sums[threadIdx.x] = own;
    __syncthreads();
    y[threadIdx.x] = sums[(threadIdx.x + 32) % 64] / own;
    if (threadIdx.x < 7) atomicAdd(y + 64, __int2float_rn(threadIdx.x));
}"""


@pytest.mark.parametrize(
    "settings",
    [{"check": True}, {"check": False, "seed": 3}, {"check": False, "fast": False}],
    ids=["checked", "drawn", "masked"],
)
def test_the_same_bits_and_counts(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(0, 4, 1001).astype(np.float32), rng.normal(0, 1e3, 1001)
    results: list[Array] = []
    reports = []
    kernel = simulator.RawKernel(SOURCE, "f")
    ran: list[CompiledKernel] = []
    load = machine.load

    def noted(*given: Any) -> CompiledKernel:
        ran.append(load(*given))
        return ran[-1]

    monkeypatch.setattr(machine, "load", noted)
    monkeypatch.setattr(launch, "_PATIENCE", 0.0)
    for _ in range(2):
        y = np.zeros(65, np.float32)
        with simulator.Device(**settings) as device:
            kernel((1,), (64,), (x, z, y, np.int32(x.size)))
        results.append(y)
        reports.append(device.report.as_dict())
    assert [each.hasty for each in ran] == [True, False]
    same_bits("y", results[1], results[0])
    assert reports[0] == reports[1]


def test_kernels_for_speed_are_made_with_care() -> None:
    """A fast version is there for nothing else."""
    assert not machine.build(PTX, "f", fast=True, haste=True).hasty
    assert machine.build(PTX, "f", haste=True).hasty


def test_better_code_is_taken_where_there_is_some() -> None:
    store = Store()
    hasty = machine.build(PTX, "f", Checked(), "checked", store, haste=True)
    assert machine.build(PTX, "f", Checked(), "checked", store, haste=True, parsed=refuse).hasty
    careful = machine.build(PTX, "f", Checked(), "checked", store)
    assert (hasty.hasty, careful.hasty) == (True, False)
    assert not machine.build(PTX, "f", Checked(), "checked", store, haste=True, parsed=refuse).hasty
    assert len(store) == 2
    plain = machine.build(PTX, "f", haste=True)
    assert run(plain, 21) == 42


def test_patience_lasts_while_compiling_would_take_longer() -> None:
    loaded = LoadedModule(PTX).kernel("f", check=True)
    loaded.seconds = 1.9 * loaded.kernel.care
    assert 0 < loaded.seconds < 1
    assert not loaded.outgrown
    loaded.seconds *= 2
    assert loaded.outgrown
