"""The race check against its definition: programs drawn at random, judged by comparing all pairs of accesses."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cupysoft.simulator as simulator
from cupysoft.errors import RacecheckError

THREADS, STEPS, CELLS = 64, 4, 40
NOTHING, READ, WRITE, ATOMIC = range(4)
NO_BARRIER, WARP_BARRIER, BLOCK_BARRIER = range(3)

SOURCE = r"""
extern "C" __global__ void play(const int* operations, const int* cells, const int* barriers, int stride, int* sink) {
    __shared__ TYPE memory[40 * 3];
    int t = threadIdx.x, sum = 0;
    for (int i = t; i < 40 * 3; i += 64) memory[i] = 0;
    __syncthreads();
    for (int step = 0; step < 4; ++step) {
        int operation = operations[step * 64 + t];
        TYPE* cell = memory + cells[step * 64 + t] * stride;
        if (operation == 1) sum += *cell;
        __syncwarp_of_nothing();
        if (operation == 2) *cell = step * 64 + t;
        if (operation == 3) ATOMIC(cell);
        if (barriers[step] == 1) __syncwarp();
        if (barriers[step] == 2) __syncthreads();
    }
    sink[t] = sum;
}""".replace("        __syncwarp_of_nothing();\n", "")

KERNELS = {
    "int": simulator.RawKernel(SOURCE, "play", ("-DTYPE=int", "-DATOMIC(p)=atomicAdd(p,1)")),
    "double": simulator.RawKernel(SOURCE, "play", ("-DTYPE=double", "-DATOMIC(p)=atomicAdd(p,1.0)")),
    # One narrow access more makes the cells of the shadow narrower than the accesses.
    "narrow": simulator.RawKernel(
        SOURCE.replace("    sink[t] = sum;", "    __shared__ char own[64]; own[t] = sum; sink[t] = own[t];"),
        "play",
        ("-DTYPE=int", "-DATOMIC(p)=atomicAdd(p,1)"),
    ),
}


Accesses = list[tuple[int, int, int]]


def accesses_of_cells(
    operations: npt.NDArray[Any], cells: npt.NDArray[Any], barriers: npt.NDArray[Any]
) -> list[Accesses]:
    """For each cell between two block barriers: thread, interval between warp barriers, and operation, in order."""
    touched: dict[tuple[int, int], Accesses] = defaultdict(list)
    block_interval = warp_interval = 0
    for step in range(STEPS):
        for thread in range(THREADS):
            if operations[step, thread] != NOTHING:
                key = block_interval, int(cells[step, thread])
                touched[key].append((thread, warp_interval, int(operations[step, thread])))
        warp_interval += barriers[step] != NO_BARRIER
        block_interval += barriers[step] == BLOCK_BARRIER
    return list(touched.values())


def races(accesses: Accesses) -> bool:
    """Whether two threads touch a cell in no order, one of them writing, not both atomically."""
    for place, (thread, interval, operation) in enumerate(accesses):
        for other, its_interval, its_operation in accesses[:place]:
            ordered = thread // 32 == other // 32 and interval != its_interval
            harmless = operation == its_operation and operation in (READ, ATOMIC)
            if thread != other and not ordered and not harmless:
                return True
    return False


def test_an_atomic_access_does_not_hide_an_earlier_write() -> None:
    # Thread 1 comes after the write of its own warp, thread 40 in no order with it.
    operations = np.zeros((STEPS, THREADS), np.int32)
    barriers = np.array([WARP_BARRIER, WARP_BARRIER, NO_BARRIER, NO_BARRIER], np.int32)
    operations[0, 0], operations[1, 1] = WRITE, ATOMIC
    args = (operations, np.zeros((STEPS, THREADS), np.int32), barriers, np.int32(1), np.zeros(THREADS, np.int32))
    KERNELS["int"]((1,), (THREADS,), args)
    for kernel in KERNELS.values():
        for operation in (ATOMIC, READ, WRITE):
            operations[2, 40] = operation
            with pytest.raises(RacecheckError, match=r"thread \([01], 0, 0\)"):
                kernel((1,), (THREADS,), args)


@pytest.mark.parametrize("kind", KERNELS)
@settings(max_examples=max(300, settings().max_examples))
@given(data=st.data())
def test_a_program_is_refused_exactly_when_it_races(kind: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32), label="seed"))
    busy = data.draw(st.sampled_from([0.02, 0.1, 0.5, 1.0]), label="busy")
    pattern = data.draw(st.sampled_from(["any", "few", "own", "own or near", "shuffled", "warp"]), label="pattern")
    stride = data.draw(st.sampled_from([1, 3]), label="stride")
    thread = np.broadcast_to(np.arange(THREADS) % CELLS, (STEPS, THREADS))
    cells = {
        "any": rng.integers(0, CELLS, (STEPS, THREADS)),
        "few": rng.integers(0, 3, (STEPS, THREADS)),
        "own": thread,
        "own or near": (thread + (rng.random((STEPS, THREADS)) < 0.03)) % CELLS,
        "shuffled": np.stack([rng.permutation(THREADS) % CELLS for _ in range(STEPS)]),
        "warp": np.broadcast_to(
            (np.arange(THREADS) // 32 + 1)[None, :] * rng.integers(0, 16, (STEPS, 1)), (STEPS, THREADS)
        ),
    }[pattern]
    weights = rng.dirichlet([0.4, 0.4, 0.4])
    chosen = rng.choice([READ, WRITE, ATOMIC], size=(STEPS, THREADS), p=weights)
    if rng.random() < 0.5:  # all threads do the same in a step, as real kernels do
        chosen = np.broadcast_to(rng.choice([READ, WRITE, ATOMIC], size=(STEPS, 1)), (STEPS, THREADS))
    operations = np.where(rng.random((STEPS, THREADS)) < busy, chosen, NOTHING)
    barriers = rng.choice([NO_BARRIER, WARP_BARRIER, BLOCK_BARRIER], size=STEPS, p=[0.2, 0.4, 0.4])
    sink = np.zeros(THREADS, np.int32)
    args = (*(np.ascontiguousarray(each, np.int32) for each in (operations, cells, barriers)), np.int32(stride), sink)
    racing = [each for each in accesses_of_cells(operations, cells, barriers) if races(each)]
    seed = data.draw(st.sampled_from([None, 1, 2]), label="seed of the schedule")
    with simulator.Device(seed=seed):
        try:
            KERNELS[kind]((1,), (THREADS,), args)
        except RacecheckError:
            assert racing, "reported a race where there is none"
        else:
            assert not racing, "missed a race"
