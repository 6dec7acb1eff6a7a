"""Launches that would never end are ended with an error; those that only look like it are left alone."""

from __future__ import annotations

import pytest

from cupysoft import simulator
from cupysoft.errors import DeadlockError
from cupysoft.simulator import stagnation
from tests.simulator.devices import every_device, ints, launch

V = "volatile int* v = y; int t = threadIdx.x; "

ENDLESS = {
    "a flag that nobody sets": (V + "while (v[t] != 5);", 3, 64),
    "an empty loop": ("for (;;);", 1, 1),
    "a lock that is taken twice": ("while (atomicCAS(y, 0, 1)); while (atomicCAS(y, 0, 1));", 1, 1),
    "blocks that wait for each other": (V + "int b = blockIdx.x; while (v[1 - b] == 0); v[b] = 1;", 2, 32),
    "a grid barrier that one block misses": (
        "if (threadIdx.x == 0) { atomicAdd(y, 1); while (atomicAdd(y, 0) <= (int)gridDim.x); } __syncthreads();",
        20,
        64,
    ),
    "a warp barrier that others never reach": (
        V + "if (t < 8) { __syncwarp(); v[0] = 1; } else while (v[0] != 1);",
        1,
        32,
    ),
    "a block barrier that others never reach": (
        V + "if (t < 32) { __syncthreads(); v[0] = 1; } else while (v[0] != 1) __nanosleep(100);",
        1,
        64,
    ),
    "loops of several lengths": (
        V + "int k = 0, n = t / 32 + 2; while (v[k % n] != 5) k = (k + 1) % n;",
        1,
        128,
    ),
}


@pytest.mark.parametrize("what", ENDLESS)
@every_device
def test_an_endless_launch_is_ended(device: simulator.Device, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stagnation, "_PATIENCE", 0.05)
    body, grid, block = ENDLESS[what]
    message = (
        r"(?s)spin for ever.*by thread \(\d+, 0, 0\) in block \(\d+, 0, 0\).*PTX instruction: .*CUDA source: .*line"
    )
    with pytest.raises(DeadlockError, match=message):
        launch(device, body, [ints(256)], grid=grid, block=block)
    launch(device, "y[threadIdx.x] = 1;", [ints(32)])


@every_device
def test_who_spins_where_is_told_of_every_block(device: simulator.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stagnation, "_PATIENCE", 0.05)
    body = """volatile int* v = y; if (blockIdx.x == 1) return;
    if (threadIdx.x >= 32) __syncwarp(); else while (v[0] != 5); __syncthreads();"""
    with pytest.raises(DeadlockError) as caught:
        launch(device, body, [ints(4)], grid=3, block=64)
    text = str(caught.value)
    assert "block (0, 0, 0) and 1 more like it:" in text
    assert "threads 32 to 63 (warp 1) wait at barrier 0" in text
    assert "threads 0 to 31 (warp 0) run at kernel.cu, line 4" in text


@every_device
def test_waiting_for_others_that_work_is_not_endless(device: simulator.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block 0 waits for the last one, whose only warp at work computes for long; memory changes at its end only."""
    monkeypatch.setattr(stagnation, "_PATIENCE", 0.0)
    y = ints(4)
    body = """volatile int* v = y;
    if (blockIdx.x != gridDim.x - 1) { while (v[0] == 0); atomicAdd(y + 1, 1); }
    else { unsigned k = threadIdx.x; for (int i = 0; i < 3000000; ++i) k = k * 1664525u + 1013904223u;
           if (threadIdx.x == 0) { v[2] = k; v[0] = 1; } }"""
    launch(device, body, [y], grid=8, block=32)
    assert y[0] == 1
    assert y[1] == 7 * 32


@every_device
def test_progress_through_memory_alone_is_not_endless(
    device: simulator.Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two blocks hand a number to and fro; no register but those of one block ever changes."""
    monkeypatch.setattr(stagnation, "_PATIENCE", 0.0)
    y = ints(4)
    body = """volatile int* v = y; int b = blockIdx.x;
    while (v[0] < 300) { if ((v[0] & 1) == b) v[0] = v[0] + 1; }"""
    launch(device, body, [y], grid=2, block=1)
    assert y[0] in (300, 301)
