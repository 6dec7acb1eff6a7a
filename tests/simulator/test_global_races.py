"""Races in global memory, between blocks and inside one: the broken patterns are reported, the right ones are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupysoft import simulator
from cupysoft.errors import RacecheckError
from cupysoft.simulator import stagnation

HEAD = """#include <cooperative_groups.h>
#define FENCE __threadfence()
#define ALL __syncthreads()
#define GRID cooperative_groups::this_grid().sync()
__device__ void release(int* p, int v) { asm volatile("st.release.gpu.s32 [%0], %1;" :: "l"(p), "r"(v) : "memory"); }
__device__ int acquired(int* p) {
    int v; asm volatile("ld.acquire.gpu.s32 %0, [%1];" : "=r"(v) : "l"(p) : "memory"); return v;
}
extern "C" __global__ void f(int* x, int which) {
    int t = threadIdx.x, b = blockIdx.x, n = gridDim.x, i = b * blockDim.x + t;
    __shared__ int s, last;
    switch (which) {"""

#: The block that comes last adds what all of them wrote.
LAST = """x[64 + i] = b; {before}
if (t == 0) {{ {first} last = atomicInc((unsigned*)x, n - 1) == n - 1; }} {behind}
if (last) {{ int sum = 0; for (int k = t; k < 64 * n; k += 64) sum += x[64 + k]; atomicAdd(x + 1, sum); }}"""
#: Each tile waits for the sum of those before it.
LOOK_BACK = """volatile int* flag = x + 40; int* sums = x + 120;
if (t == 0) {{
    int k = atomicAdd(x, 1), before = 0;
    if (k) {{ {wait} before = sums[k - 1]; }}
    sums[k] = before + k; {tell}
    s = k;
}} ALL; x[200 + 64 * s + t] = 1;"""
SET, WAIT = "flag[k] = 1;", "while (flag[k - 1] == 0);"
#: Neighbours exchange numbers, again and again.
ROUNDS = "for (int r = 0; r < 3; ++r) {{ int v = x[64 + (i + 1) % (64 * n)]; {one} x[64 + i] = v + 1; {two} }}"
LOCK = "if (t == 0) {{ while (atomicCAS(x, 0, 1)); {enter} x[1] += 1; {leave} atomicExch(x, 0); }}"

PATTERNS = [
    pytest.param("x[i] = t;", "x[t] = t;", id="two blocks write one cell"),
    pytest.param("x[i] = x[64 * n + t];", "x[i] = x[(i + 1) % (64 * n)];", id="a plain read of what others write"),
    pytest.param(
        "x[i] = t; ALL; x[1024 + i] = x[i ^ 32];", "x[i] = t; x[1024 + i] = x[i ^ 32];", id="warps without a barrier"
    ),
    pytest.param(
        "x[i] = t; __syncwarp(); x[1024 + i] = x[i ^ 1];", "x[i] = t; x[1024 + i] = x[i ^ 1];", id="lanes of one warp"
    ),
    pytest.param("x[i / 2] = b;", "x[i / 2] = t;", id="one instruction, different values"),
    pytest.param(
        "atomicAdd_block(x + b, t); ALL; if (t == 0) atomicAdd(x + 60, x[b]);",
        "atomicAdd_block(x + b / 2, t);",
        id="atomic inside a block alone",
    ),
    pytest.param(
        "atomicAdd(x + t % 3, b);", "if (t == 0 && b == 1) x[0] = 0; atomicAdd(x, b);", id="atomics and a store"
    ),
    pytest.param(
        "atomicAdd(x + t % 3, b); if (t == 0) { volatile int* v = x; v[9] = v[0]; }",
        "atomicAdd(x + t % 3, b); ALL; x[64 + i] = x[0];",
        id="a plain read of a counter",
    ),
    pytest.param(
        "if (t == 0) x[b] = 0; ALL; atomicAdd(x + b, 1);",
        "if (b == 0) { if (t == 0) x[0] = 0; ALL; } atomicAdd(x, 1);",
        id="a counter that one block clears",
    ),
    pytest.param(
        "int old = x[0], seen; while ((seen = atomicCAS(x, old, old + t)) != old) old = seen;",
        "int old = x[0]; if (old == 0) atomicAdd(x, 1);",
        id="a guess for compare-and-swap",
    ),
    pytest.param(
        "char* c = (char*)x; c[i] = t; c[4000 + i] = c[i];",
        "char* c = (char*)x; c[i] = t; c[4000 + i] = c[i ^ 64];",
        id="bytes",
    ),
    pytest.param(
        LAST.format(before="ALL;", first="FENCE;", behind="ALL;"),
        LAST.format(before="ALL;", first="", behind="ALL;"),
        id="last block: no fence",
    ),
    pytest.param(
        LAST.format(before="FENCE; ALL;", first="", behind="ALL;"),
        LAST.format(before="FENCE;", first="", behind="ALL;"),
        id="last block: no barrier behind the fences",
    ),
    pytest.param(
        LAST.format(before="ALL;", first="FENCE;", behind="ALL;"),
        LAST.format(before="ALL;", first="__threadfence_block();", behind="ALL;"),
        id="last block: a fence for the block alone",
    ),
    pytest.param(
        LAST.format(before="ALL;", first="FENCE;", behind="ALL;"),
        LAST.format(before="", first="FENCE;", behind="ALL;"),
        id="last block: no barrier before the fence",
    ),
    pytest.param(
        LAST.format(before="ALL;", first="FENCE;", behind="ALL;").replace("atomicInc(", "atomicInc_system("),
        LAST.format(before="ALL;", first="FENCE;", behind="ALL;").replace("atomicInc(", "atomicInc_block("),
        id="last block: a counter for the block alone",
    ),
    pytest.param(
        LOOK_BACK.format(wait=WAIT + "FENCE;", tell="FENCE;" + SET),
        LOOK_BACK.format(wait=WAIT + "FENCE;", tell=SET),
        id="look-back: no fence",
    ),
    pytest.param(
        LOOK_BACK.format(wait=WAIT, tell="FENCE;" + SET),
        LOOK_BACK.format(wait="while (flag[k - 1] == 0);", tell="FENCE; x[40 + k] = 1;"),
        id="look-back: a plain flag",
    ),
    pytest.param(
        LOOK_BACK.format(wait="while (!acquired(x + 39 + k));", tell="release(x + 40 + k, 1);"),
        LOOK_BACK.format(wait="while (!acquired(x + 39 + k));", tell=SET),
        id="look-back: release and acquire",
    ),
    pytest.param(ROUNDS.format(one="GRID;", two="GRID;"), ROUNDS.format(one="GRID;", two=""), id="the grid's barrier"),
    pytest.param(
        LOCK.format(enter="FENCE;", leave="FENCE;"), LOCK.format(enter="FENCE;", leave=""), id="a lock without a fence"
    ),
    pytest.param(
        # A flag between two warps of one block.
        """volatile int* flag = x; if (t == 0) { x[64 + b] = 1; __threadfence_block(); flag[b] = 1; }
        if (t == 32) { while (flag[b] == 0); x[80 + b] = x[64 + b]; }""",
        """volatile int* flag = x; if (t == 0) { x[64 + b] = 1; flag[b] = 1; }
        if (t == 32) { while (flag[b] == 0); x[80 + b] = x[64 + b]; }""",
        id="a flag inside a block",
    ),
    pytest.param(
        """volatile int* flag = &s; if (t == 0) s = 0; ALL; if (t == 0) { last = 1; __threadfence_block(); *flag = 1; }
        if (t == 32) { while (*flag == 0); x[80 + b] = last; }""",
        """volatile int* flag = &s; if (t == 0) s = 0; ALL; if (t == 0) { last = 1; *flag = 1; }
        if (t == 32) { while (*flag == 0); x[80 + b] = last; }""",
        id="a flag in shared memory",
    ),
]


CASES = [str(body) for pattern in PATTERNS for body in pattern.values]
KERNEL = simulator.RawKernel(
    "\n".join(
        [
            HEAD,
            *(f"case {number}: {{ {body.replace(chr(10), ' ')} }} break;" for number, body in enumerate(CASES)),
            "}}",
        ]
    ),
    "f",
    ("--std=c++17",),
    enable_cooperative_groups=True,
)


def run(body: str, device: simulator.Device, grid: int = 11) -> None:
    """Run a body with all blocks at one time."""
    with device:
        KERNEL((grid,), (64,), (np.zeros(4096, np.int32), CASES.index(body)))


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize(("correct", "broken"), PATTERNS)
def test_patterns(correct: str, broken: str, seed: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stagnation, "_PATIENCE", 0.05)  # the other blocks wait for the one that is ended
    run(correct, simulator.Device(seed=seed))
    with pytest.raises(
        RacecheckError, match=r"(?s)Race reported between .*(argument 0|'last').*by thread.*in block.*line"
    ):
        run(broken, simulator.Device(seed=seed))


def test_a_grid_on_several_threads() -> None:
    correct, broken = CASES[:2]
    for _ in range(2):
        run(correct, simulator.Device(), grid=64)
        with pytest.raises(RacecheckError):
            run(broken, simulator.Device(), grid=300)


def test_the_report_names_both_threads() -> None:
    line = HEAD.count("\n") + 3
    with pytest.raises(
        RacecheckError,
        match=r"(?s)Write access of size 4 bytes and Write access by thread \(0, 0, 0\) of block \(0, 0, 0\).*"
        r"element 0 of argument 0.*"
        rf"by thread \(0, 0, 0\) in block \(1, 0, 0\).*st\.global.*line {line}\b",
    ):
        run(CASES[1], simulator.Device(), grid=2)


def test_arrays_that_share_memory_and_those_that_cannot_be_written() -> None:
    code = 'extern "C" __global__ void f(int* x, const int* y) { x[blockIdx.x] = y[blockIdx.x]; }'
    kernel = simulator.RawKernel(code, "f")
    memory = np.zeros(9, np.int32)
    kernel((8,), (1,), (memory[:8], memory[:8]))
    with pytest.raises(RacecheckError, match=r"byte|element"):
        kernel((8,), (1,), (memory[:8], memory[1:]))
    fixed = np.arange(1)
    fixed.flags.writeable = False
    code = 'extern "C" __global__ void f(const int* x, int* y) { y[threadIdx.x + 32 * blockIdx.x] = x[0]; }'
    y = np.zeros(96, np.int32)
    simulator.RawKernel(code, "f")((3,), (32,), (fixed, y))


def test_a_launch_comes_after_the_one_before_it() -> None:
    code = 'extern "C" __global__ void f(int* x) { x[threadIdx.x] = x[31 - threadIdx.x + 32] + 1; }'
    twice = 'extern "C" __global__ void g(int* x) { x[threadIdx.x + 32] = x[31 - threadIdx.x]; }'
    x = np.zeros(64, np.int32)
    for _ in range(3):
        simulator.RawKernel(code, "f")((1,), (32,), (x,))
        simulator.RawKernel(twice, "g")((1,), (32,), (x,))


# Programs drawn at random, judged by comparing all pairs of accesses.

BLOCKS, THREADS, STEPS, CELLS = 3, 64, 3, 40
NOTHING, READ, WRITE, ATOMIC = range(4)

PLAY = simulator.RawKernel(
    r"""
extern "C" __global__ void play(const int* operations, const int* cells, const int* barriers, TYPE* memory, int* sink) {
    int sum = 0, here = blockIdx.x * blockDim.x + threadIdx.x, all = gridDim.x * blockDim.x;
    for (int step = 0; step < 3; ++step) {
        int operation = operations[step * all + here];
        TYPE* cell = memory + cells[step * all + here];
        if (operation == 1) sum += *cell;
        if (operation == 2) *cell = step * all + here;
        if (operation == 3) atomicAdd(cell, 1);
        if (barriers[step * gridDim.x + blockIdx.x] == 1) __syncwarp();
        if (barriers[step * gridDim.x + blockIdx.x] == 2) __syncthreads();
    }
    sink[here] = sum;
}""",
    "play",
    ("-DTYPE=int",),
)


def race(operations: npt.NDArray[Any], cells: npt.NDArray[Any], barriers: npt.NDArray[Any]) -> bool:
    """Whether two threads touch a cell in no order, one of them writing, not both atomically."""
    done = [
        (int(cells[step, who]), int(who), int(step), int(operations[step, who]))
        for step, who in np.argwhere(operations != NOTHING)
    ]
    done.sort()
    for place, (cell, who, step, operation) in enumerate(done):
        for its_cell, other, its_step, its_operation in reversed(done[:place]):
            if its_cell != cell:
                break
            harmless = operation == its_operation and operation in (READ, ATOMIC)
            block = who // THREADS
            passed = barriers[min(step, its_step) : max(step, its_step), block]
            ordered = block == other // THREADS and (2 in passed or (1 in passed and who // 32 == other // 32))
            if who != other and not ordered and not harmless:
                return True
    return False


@settings(max_examples=max(200, settings().max_examples), deadline=None)
@given(data=st.data())
def test_a_program_is_refused_exactly_when_it_races(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32), label="seed"))
    busy = data.draw(st.sampled_from([0.01, 0.05, 0.3, 1.0]), label="busy")
    pattern = data.draw(st.sampled_from(["any", "few", "own", "own or near", "block", "warp", "one"]), label="pattern")
    everybody = BLOCKS * THREADS
    who = np.broadcast_to(np.arange(everybody), (STEPS, everybody))
    near = (who + (rng.random(who.shape) < 0.02)) % everybody
    cells = {
        "any": rng.integers(0, CELLS, who.shape),
        "few": rng.integers(0, 3, who.shape),
        "own": who,
        "own or near": near,
        "block": who // THREADS * 8 + rng.integers(0, 8, who.shape),
        "warp": who // 32 + 6 * rng.integers(0, 2, (STEPS, 1)),
        "one": np.full(who.shape, 7),
    }[pattern]
    weights = rng.dirichlet([0.5, 0.3, 0.5])
    chosen = rng.choice([READ, WRITE, ATOMIC], size=who.shape, p=weights)
    if rng.random() < 0.6:  # all threads do the same in a step, as real kernels do
        chosen = np.broadcast_to(rng.choice([READ, WRITE, ATOMIC], size=(STEPS, 1)), who.shape)
    operations = np.where(rng.random(who.shape) < busy, chosen, NOTHING)
    barriers = rng.choice([0, 1, 2], size=(STEPS, BLOCKS), p=[0.2, 0.4, 0.4])
    args = [np.ascontiguousarray(each, np.int32) for each in (operations, cells, barriers)]
    arrays = np.zeros(everybody, np.int32), np.zeros(everybody, np.int32)
    seed = data.draw(st.sampled_from([None, 1, 2]), label="seed of the schedule")
    with simulator.Device(seed=seed):
        try:
            PLAY((BLOCKS,), (THREADS,), (*args, *arrays))
        except RacecheckError:
            assert race(operations, cells, barriers), "reported a race where there is none"
        else:
            assert not race(operations, cells, barriers), "missed a race"
