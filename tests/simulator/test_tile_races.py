"""Races between lanes of one warp: a meeting of some of them orders nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupysoft import simulator
from cupysoft.errors import RacecheckError

THREADS, STEPS, CELLS = 64, 5, 24
NOTHING, READ, WRITE, ATOMIC = range(4)
#: The lanes with whom a thread meets after a step, as a kernel and as the model say it; 0 for no meeting.
GROUPS: dict[int, Callable[[int], int]] = {
    0: lambda lane: 0,
    1: lambda lane: 0xFFFFFFFF,
    2: lambda lane: 0xFF << (lane & 24),
    3: lambda lane: 0x55555555 << (lane & 1),
    4: lambda lane: 0xFFFF if lane < 16 else 0,
}
BLOCK = len(GROUPS)

SOURCE = r"""
extern "C" __global__ void play(const int* operations, const int* cells, const unsigned* masks, const int* kinds,
                                int* sink, int* outside) {
    __shared__ int inside[24];
    int t = threadIdx.x, sum = 0;
    if (t < 24) inside[t] = 0;
    __syncthreads();
    for (int step = 0; step < 5; ++step) {
        int operation = operations[step * 64 + t], *cell = MEMORY + cells[step * 64 + t];
        if (operation == 1) sum += *cell;
        if (operation == 2) *cell = step * 64 + t;
        if (operation == 3) atomicAdd(cell, 1);
        unsigned mask = masks[step * 64 + t];
        if (kinds[step] == 5) __syncthreads();
        else if (mask) MEET;
    }
    sink[t] = sum;
}"""
KERNELS = {
    (memory, meeting): simulator.RawKernel(SOURCE, "play", (f"-DMEMORY={memory}", f"-DMEET={meeting}"))
    for memory, meeting in (("inside", "__syncwarp(mask)"), ("outside", "sum += __shfl_sync(mask,sum,t)"))
}


def pairs(operations: npt.NDArray[Any], cells: npt.NDArray[Any], kinds: npt.NDArray[Any]) -> tuple[bool, bool]:
    """Whether two accesses race; and whether some do that are the only ones to their cell."""
    known = np.zeros((THREADS, THREADS), int)
    touched: dict[int, list[tuple[int, int, int]]] = {}
    racing: dict[int, bool] = {}
    for step in range(STEPS):
        for thread in range(THREADS):
            operation, cell = int(operations[step, thread]), int(cells[step, thread])
            if operation == NOTHING:
                continue
            for other, when, what in touched.setdefault(cell, []):
                harmless = what == operation and operation in (READ, ATOMIC)
                if other != thread and not harmless and known[thread, other] <= when:
                    racing[cell] = True
            touched[cell].append((thread, step, operation))
        before = known.copy()
        np.fill_diagonal(before, step + 1)
        known = before.copy()
        for thread in range(THREADS):
            if kinds[step] == BLOCK:
                known[thread] = before.max(axis=0)
            elif mask := GROUPS[int(kinds[step])](thread % 32):
                friends = [thread // 32 * 32 + lane for lane in range(32) if mask >> lane & 1]
                known[thread] = before[friends].max(axis=0)
    return bool(racing), any(len(touched[cell]) == 2 for cell in racing)


@pytest.mark.parametrize("kind", KERNELS)
@settings(max_examples=max(30, settings().max_examples))
@given(data=st.data())
def test_lanes_are_ordered_by_meetings_that_both_attend(kind: tuple[str, str], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32), label="seed"))
    busy = data.draw(st.sampled_from([0.01, 0.03, 0.1, 0.5]), label="busy")
    own = np.broadcast_to(np.arange(THREADS) % 32 % CELLS, (STEPS, THREADS))
    drawn = rng.integers(0, CELLS, (STEPS, THREADS))
    cells = np.where(
        rng.random((STEPS, THREADS)) < data.draw(st.sampled_from([0.0, 0.5, 1.0]), label="own"), own, drawn
    )
    chosen = rng.choice([READ, WRITE, ATOMIC], size=(STEPS, THREADS), p=rng.dirichlet([0.5, 0.5, 0.3]))
    operations = np.where(rng.random((STEPS, THREADS)) < busy, chosen, NOTHING)
    if rng.random() < 0.8:
        operations[:, 32:] = NOTHING
    kinds = rng.integers(0, BLOCK + 1, STEPS)
    masks = np.array(
        [[GROUPS[k](t % 32) if k != BLOCK else 0 for t in range(THREADS)] for k in kinds.tolist()], np.uint32
    )
    given_arrays = [np.ascontiguousarray(each, np.int32) for each in (operations, cells)]
    sink, outside = np.zeros(THREADS, np.int32), np.zeros(CELLS, np.int32)
    races, plainly = pairs(operations, cells, kinds)
    with simulator.Device(seed=data.draw(st.sampled_from([None, 1]), label="seed of the schedule")):
        try:
            KERNELS[kind]((1,), (THREADS,), (*given_arrays, masks, kinds.astype(np.int32), sink, outside))
        except RacecheckError:
            assert races, "reported a race where there is none"
        else:
            assert not plainly, "missed a race"


MEETINGS = [
    "__syncwarp(0xffff << (i & 16));",
    "if (i < 16) __syncwarp(0xffff); else __syncwarp(0xffff0000);",
    "i += __all_sync(i < 16 ? 0xffff : 0xffff0000, 0);",
    "if (i < 16) __syncwarp(0xffff);",
]


@pytest.mark.parametrize("meeting", MEETINGS)
def test_who_reads_beyond_its_tile_is_told(meeting: str) -> None:
    code = f"""extern "C" __global__ void f(const int* from, int* y) {{
        __shared__ int s[32];
        int i = threadIdx.x;
        s[i] = i;
        {meeting}
        y[i] = i < 16 ? s[from[i]] : 0;
    }}"""
    kernel = simulator.RawKernel(code, "f")
    lanes, y = np.arange(32, dtype=np.int32), np.zeros(32, np.int32)
    with simulator.Device():
        kernel((1,), (32,), (lanes ^ 15, y))
        assert y.tolist() == [*range(15, -1, -1), *[0] * 16]
        with pytest.raises(
            RacecheckError, match=r"Read access of size 4 bytes and Write access by thread \(31, 0, 0\)"
        ):
            kernel((1,), (32,), (lanes ^ 31, y))
