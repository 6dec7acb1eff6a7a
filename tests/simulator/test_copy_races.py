"""The race check of asynchronous copies against its definition: programs drawn at random, all pairs compared."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cupysoft.simulator as simulator
from cupysoft.errors import RacecheckError

THREADS, STEPS, CELLS = 64, 5, 40
NOTHING, READ, WRITE, COPY = range(4)
NO_BARRIER, WARP_BARRIER, BLOCK_BARRIER = range(3)

SOURCE = r"""
extern "C" __global__ void play(const int* operations, const int* cells, const int* waits, const int* barriers,
                                const int* x, int* sink) {
    __shared__ __align__(16) int memory[40 * WORDS];
    int t = threadIdx.x, sum = 0;
    for (int i = t; i < 40 * WORDS; i += 64) memory[i] = 0;
    __syncthreads();
    for (int step = 0; step < 5; ++step) {
        int operation = operations[step * 64 + t];
        int* cell = memory + cells[step * 64 + t] * WORDS;
        if (operation == 1) sum += cell[WORDS - 1];
        if (operation == 2) cell[0] = cell[WORDS - 1] = step * 64 + t;
        if (operation == 3)
            asm volatile("cp.async.ca.shared.global [%0], [%1], " SIZE ";"
                         :: "r"((unsigned)__cvta_generic_to_shared(cell)), "l"(x + WORDS * (step * 64 + t)) : "memory");
        asm volatile("cp.async.commit_group;" ::: "memory");
        if (waits[step * 64 + t] == 0) asm volatile("cp.async.wait_group 0;" ::: "memory");
        if (waits[step * 64 + t] == 1) asm volatile("cp.async.wait_group 1;" ::: "memory");
        if (waits[step * 64 + t] == 2) asm volatile("cp.async.wait_all;" ::: "memory");
        if (barriers[step] == 1) __syncwarp();
        if (barriers[step] == 2) __syncthreads();
    }
    sink[t] = sum;
}"""

KERNELS = {
    words: simulator.RawKernel(SOURCE, "play", (f"-DWORDS={words}", f'-DSIZE="{4 * words}"')) for words in (1, 2, 4)
}


@dataclass(frozen=True)
class Done:
    """What a thread does to a cell: from `first` on, and at the end of step `last` at the latest."""

    thread: int
    operation: int
    first: int
    last: float


def accesses_of_cells(
    operations: npt.NDArray[np.int32], cells: npt.NDArray[np.int32], waits: npt.NDArray[np.int32]
) -> list[list[Done]]:
    """For each cell what is done to it."""
    touched: dict[int, list[Done]] = defaultdict(list)
    for step, thread in np.argwhere(operations != NOTHING).tolist():
        last: float = step
        if operations[step, thread] == COPY:
            # A group is closed in every step: wait_group 1 leaves out the last one.
            due = [s for s in range(step, STEPS) if waits[s, thread] in (0, 2) or (waits[s, thread] == 1 and s > step)]
            last = min(due, default=np.inf)
        touched[int(cells[step, thread])].append(Done(thread, int(operations[step, thread]), step, last))
    return list(touched.values())


def ordered(one: Done, other: Done, barriers: npt.NDArray[np.int32]) -> bool:
    """Whether `one` is over before `other` begins."""
    if one.last >= other.first:  # in one step a thread reads, or writes, or copies: each of them once
        return False
    if one.thread == other.thread:
        return True
    between = barriers[int(one.last) : other.first]
    least = WARP_BARRIER if one.thread // 32 == other.thread // 32 else BLOCK_BARRIER
    return bool(np.any(between >= least))


def races(accesses: list[Done], barriers: npt.NDArray[np.int32]) -> bool:
    """Whether two of the accesses, not both reads, are in no order."""
    return any(
        not ordered(one, other, barriers) and not ordered(other, one, barriers)
        for place, one in enumerate(accesses)
        for other in accesses[:place]
        if not one.operation == other.operation == READ
    )


@pytest.mark.parametrize("words", KERNELS)
@settings(max_examples=max(200, settings().max_examples))
@given(data=st.data())
def test_a_program_is_refused_exactly_when_it_races(words: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32), label="seed"))
    busy = data.draw(st.sampled_from([0.02, 0.1, 0.5, 1.0]), label="busy")
    pattern = data.draw(st.sampled_from(["any", "own", "shuffled", "own or near"]), label="pattern")
    patient = data.draw(st.sampled_from([0.3, 0.9, 1.0]), label="how often threads wait")
    shape = STEPS, THREADS
    thread = np.broadcast_to(np.arange(THREADS) % CELLS, shape)
    cells = {
        "any": rng.integers(0, CELLS, shape),
        "own": thread,
        "own or near": (thread + (rng.random(shape) < 0.03)) % CELLS,
        "shuffled": np.stack([rng.permutation(THREADS) % CELLS for _ in range(STEPS)]),
    }[pattern]
    chosen = rng.choice([READ, WRITE, COPY], size=shape, p=rng.dirichlet([0.4, 0.4, 0.8]))
    if rng.random() < 0.5:  # all threads do the same in a step, as real kernels do
        chosen = np.broadcast_to(rng.choice([READ, WRITE, COPY], size=(STEPS, 1)), shape)
    here = rng.random(shape) < busy
    if pattern != "any":
        here &= np.arange(THREADS) < CELLS  # each cell has one thread
    operations = np.where(here, chosen, NOTHING)
    waits = np.where(rng.random(shape) < patient, rng.integers(0, 3, shape), -1)
    barriers = rng.choice([NO_BARRIER, WARP_BARRIER, BLOCK_BARRIER], size=STEPS, p=[0.2, 0.4, 0.4]).astype(np.int32)
    given_arrays = [np.ascontiguousarray(each, np.int32) for each in (operations, cells, waits, barriers)]
    x, sink = np.arange(STEPS * THREADS * words, dtype=np.int32), np.zeros(THREADS, np.int32)
    racing = any(races(each, barriers) for each in accesses_of_cells(*given_arrays[:3]))
    with simulator.Device(seed=data.draw(st.sampled_from([None, 1, 2]), label="seed of the schedule")):
        try:
            KERNELS[words]((1,), (THREADS,), (*given_arrays, x, sink))
        except RacecheckError:
            assert racing, "reported a race where there is none"
        else:
            assert not racing, "missed a race"
