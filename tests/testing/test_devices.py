"""Strategies of simulated devices: what they draw, and what a failing example shrinks to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from cupysoft.errors import RacecheckError
from cupysoft.simulator import Device, RawKernel
from cupysoft.testing import strategies

#: Two warps read and write one place. Only where one of them cuts in between is an update lost.
LOST = RawKernel('extern "C" __global__ void f(int* y) { if (threadIdx.x % 32 == 0) *y += 1; }', "f")
#: The last of several stores to one place: without a seed that is the highest lane.
LAST = RawKernel('extern "C" __global__ void f(int* y) { *y = threadIdx.x; }', "f")
#: Wrong under any schedule.
WRONG = RawKernel('extern "C" __global__ void f(int* y) { *y = 7; }', "f")
#: A race in shared memory, which the checks see under any schedule.
RACE = RawKernel(
    'extern "C" __global__ void f(int* y) { __shared__ int s[64]; s[threadIdx.x] = 1; y[0] = s[63 - threadIdx.x]; }',
    "f",
)
THOROUGH = settings(max_examples=300, derandomize=True, database=None)


def result(kernel: RawKernel, device: Device) -> int:
    """What 64 threads of a kernel leave."""
    y = np.zeros(1, np.int32)
    with device:
        kernel((1,), (64,), (y,))
    return int(y[0])


@pytest.mark.parametrize(("kernel", "plain"), [(LOST, 2), (LAST, 63)], ids=["lost update", "last store"])
def test_a_race_that_only_some_schedules_show_is_found(kernel: RawKernel, plain: int) -> None:
    assert result(kernel, Device(check=False)) == plain
    found = find(strategies.devices(check=False), lambda device: result(kernel, device) != plain, settings=THOROUGH)
    assert found.seed is not None
    assert found.seed < 1000  # shrunk
    again = Device(arch=found.arch, check=found.check, seed=found.seed)
    assert result(kernel, again) != plain


@pytest.mark.parametrize("kernel", [WRONG, RACE], ids=["wrong", "race"])
def test_what_fails_anyway_shrinks_to_the_plain_device(kernel: RawKernel) -> None:
    def fails(device: Device) -> bool:
        try:
            return result(kernel, device) == 7
        except RacecheckError:
            return True

    found = find(strategies.devices(arch=["sm_80", "sm_90"], check=None), fails, settings=THOROUGH)
    assert repr(found) == "Device(arch='sm_80', check=True, seed=None)"


@pytest.mark.parametrize(
    "wanted",
    [
        lambda device: device.seed is None,
        lambda device: device.seed == 0,
        lambda device: (device.seed or 0) > 2**20,
        lambda device: not device.check,
        lambda device: device.arch == "sm_100",
    ],
)
def test_every_kind_of_device_comes_up(wanted: Callable[[Device], bool]) -> None:
    find(strategies.devices(arch=["sm_80", "sm_90", "sm_100"], check=None), wanted)


@given(strategies.devices(check=False, seed=5), strategies.devices(seed=st.integers(3, 4)))
def test_seeds_may_be_given(one: Device, other: Device) -> None:
    assert one.seed == 5
    assert not one.check
    assert other.seed in (3, 4)


def test_the_failing_example_names_the_device() -> None:
    @settings(THOROUGH, phases=[Phase.generate, Phase.shrink])
    @given(device=strategies.devices(check=False))
    def test(device: Device) -> None:
        assert result(LAST, device) == 63

    with pytest.raises(AssertionError) as caught:
        test()
    (note,) = (each for each in caught.value.__notes__ if "device=" in each)
    assert "device=Device(arch='sm_90', check=False, seed=" in note
