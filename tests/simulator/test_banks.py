"""Passes through the banks of shared memory, as counted, against their definition on addresses drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cupysoft.simulator as simulator

BANKS, ROUNDS, BYTES = 32, 8, 40000

SOURCE = """
__device__ int take(int v) { return v; }
__device__ int take(long long v) { return (int)(v ^ v >> 32); }
__device__ int take(int4 v) { return v.x + v.y + v.z + v.w; }
extern "C" __global__ void f(const int* place, const int* wanted, int* sink) {
    extern __shared__ int4 memory[];
    for (int i = threadIdx.x; i < 2500; i += 32) memory[i] = make_int4(0, 0, 0, 0);
    __syncwarp();
    const TYPE* elements = (const TYPE*)memory;
    for (int i = threadIdx.x; i < 8 * 32; i += 32)
        if (wanted[i]) sink[threadIdx.x] += take(elements[place[i]]);
}"""

TYPES = {1: "char", 4: "int", 8: "long long", 16: "int4"}
KERNELS = {size: simulator.RawKernel(SOURCE, "f", (f"-DTYPE={type_}",)) for size, type_ in TYPES.items()}


def passes(places: npt.NDArray[Any], wanted: npt.NDArray[Any], size: int) -> int:
    """How often a warp's request goes through the banks: 8 and 16 bytes half and a quarter of a warp at a time."""
    phases = max(1, size // 4)
    total = 0
    for part in np.split(np.where(wanted, places * size, -1), phases):
        words = {int(place) // 4 + k for place in part if place >= 0 for k in range(phases)}
        total += int(np.bincount([word % BANKS for word in words], minlength=BANKS).max()) if words else 0
    return total


@pytest.mark.parametrize("size", TYPES)
@given(data=st.data())
def test_passes_are_the_most_words_wanted_of_one_bank(size: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32), label="seed"))
    spread = data.draw(st.sampled_from([32, 40, 64, 1000, 8192, 8300, BYTES]), label="spread")
    step = data.draw(st.sampled_from([1, 2, 32, 33]), label="step")
    busy = data.draw(st.sampled_from([0.1, 0.5, 1.0]), label="busy")
    most = max(1, spread // size // step)
    first = rng.integers(0, BYTES // size - most * step + 1)
    places = (first + step * rng.integers(0, most, (ROUNDS, 32))).astype(np.int32)
    wanted = (rng.random((ROUNDS, 32)) < busy).astype(np.int32)
    with simulator.Device() as device:
        kernel = KERNELS[size]
        kernel((1,), (32,), (places, wanted, np.zeros(32, np.int32)), shared_mem=BYTES)
    counted = device.report.kernels["f"].memory["shared read"]
    assert counted.units == sum(passes(p, w, size) for p, w in zip(places, wanted.astype(bool), strict=True))
