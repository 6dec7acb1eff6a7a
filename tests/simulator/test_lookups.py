"""Reads of shared memory wherever lanes want: what is noted at once is what is noted lane by lane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import SimulatorError
from cupysoft.simulator.checks import shared
from cupysoft.simulator.checks.lookups import lookup_check
from cupysoft.simulator.checks.text import Routine

# The table is of 8 bytes; that its first words are written in halves makes cells of 4.
SOURCE = r"""
extern "C" __global__ void f(const int* steps, const int* places, int n, double* out) {
    __shared__ double table[64];
    float* halves = reinterpret_cast<float*>(table);
    halves[2 * threadIdx.x] = halves[2 * threadIdx.x + 1] = 1.0f;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const int place = places[i * 64 + threadIdx.x];
        if (steps[i] == 0) sum += place < 0 ? 0 : table[place];
        else if (steps[i] == 1) { if (place >= 0) table[place] = i; }
        else if (steps[i] == 2) __syncwarp();
        else __syncthreads();
    }
    out[threadIdx.x] = sum;
}"""


def programs(rng: np.random.Generator) -> tuple[Any, Any]:
    """Draw reads by all or some lanes, now and then a write by one of them, and meetings."""
    steps = rng.choice([0, 1, 2, 3], size=8, p=[0.55, 0.15, 0.15, 0.15]).astype(np.int32)
    places = rng.integers(0, rng.choice([2, 8, 64]), (8, 64)).astype(np.int32)
    places[rng.random((8, 64)) < rng.choice([0.0, 0.5])] = -1
    for step in np.flatnonzero(steps == 1):
        places[step, np.arange(64) != rng.integers(64)] = -1
    return steps, places


def outcome(kernel: simulator.RawKernel, steps: Any, places: Any) -> str:
    """Run a program; give the report, or nothing."""
    out = np.zeros(64)
    try:
        with simulator.Device():
            kernel((1,), (64,), (steps, places, np.int32(8), out))
    except SimulatorError as error:
        return str(error)
    return ""


def test_reports_are_those_of_lane_by_lane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    at_once = simulator.RawKernel(SOURCE, "f")
    drawn = [programs(np.random.default_rng(seed)) for seed in range(150)]
    found = [outcome(at_once, *each) for each in drawn]
    never = Routine("check_lookup_8", lookup_check(8).text.split("entry:")[0] + "  ret i1 false\n}\n")
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(shared, "lookup_check", lambda size: never if size == 8 else lookup_check(size))
    lane_by_lane = simulator.RawKernel(SOURCE + "// again", "f")
    assert found == [outcome(lane_by_lane, *each) for each in drawn]
    assert 30 < sum(map(bool, found)) < 120
