"""Barriers for a part of the block order those who take part, and nobody else."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import RacecheckError

ROUND = "int v = s[t % 32]; if (t < 96) {{ {one} if (t < 32) s[t] = v + 1; {two} x[128 * b + t] = s[t % 32] + v; }}"
LAST = """if (t >= 64) break; x[64 + 64 * b + t] = b; __threadfence(); {before}
if (t == 0) s[0] = atomicInc((unsigned*)x, gridDim.x - 1); {behind}
if (s[0] == gridDim.x - 1) for (int k = t; k < 64 * gridDim.x; k += 64) x[512 + k] = x[64 + k];"""

#: Right programs and broken ones; SYNC and ARRIVE are for 64 threads.
PATTERNS = [
    pytest.param(
        "if (t < 64) { s[t] = t; SYNC x[64 * b + t] = s[63 - t]; }",
        "s[t] = t; if (t < 64) { SYNC } x[t] = s[127 - t];",
        id="others",
    ),
    pytest.param(
        "if (t < 64) { x[128 * b + t] = t; SYNC x[512 + 64 * b + t] = x[128 * b + 63 - t]; }",
        "x[128 * b + t] = t; if (t < 64) { SYNC } x[512 + 128 * b + t] = x[128 * b + 127 - t];",
        id="others, in global memory",
    ),
    pytest.param(
        "if (t < 32) { s[t] = t; ARRIVE } else if (t < 64) { SYNC x[128 * b + t] = s[63 - t]; }",
        "if (t < 32) { s[t] = t; SYNC } else if (t < 64) { ARRIVE x[128 * b + t] = s[63 - t]; }",
        id="who only arrives waits for nobody",
    ),
    pytest.param(
        "s[t] = t; __syncthreads(); " + ROUND.format(one="SYNC96", two="SYNC96"),
        "s[t] = t; __syncthreads(); " + ROUND.format(one="", two="SYNC96"),
        id="three warps take turns",
    ),
    pytest.param(
        "if (t < 64) { s[t] = t; SYNC } SYNC2 x[128 * b + t] = s[t / 2];",
        "if (t < 64) s[t] = t; if (t >= 32 && t < 96) { SYNC } x[128 * b + t] = t < 64 ? s[t] : s[t - 64];",
        id="one barrier after the other",
    ),
    pytest.param(LAST.format(before="SYNC", behind="SYNC"), LAST.format(before="", behind="SYNC"), id="the last block"),
]
CASES = [str(body) for pattern in PATTERNS for body in pattern.values]
BODIES = "\n".join(f"case {number}: {{ {body} }} break;".replace("\n", " ") for number, body in enumerate(CASES))
KERNEL = simulator.RawKernel(
    f"""
#define SYNC asm volatile("bar.sync 1, 64;" ::: "memory");
#define SYNC2 asm volatile("bar.sync 2, 128;" ::: "memory");
#define SYNC96 asm volatile("bar.sync 1, 96;" ::: "memory");
#define ARRIVE asm volatile("bar.arrive 1, 64;" ::: "memory");
extern "C" __global__ void f(int* x, int which) {{
    int t = threadIdx.x, b = blockIdx.x;
    __shared__ int s[128];
    switch (which) {{
    {BODIES}
    }}
}}""",
    "f",
)


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize(("correct", "broken"), PATTERNS)
def test_patterns(correct: str, broken: str, seed: int | None) -> None:
    with simulator.Device(seed=seed):
        for grid in (1, 3):
            KERNEL((grid,), (128,), (np.zeros(1024, np.int32), CASES.index(correct)))
        with pytest.raises(RacecheckError, match=r"Race reported between .*(argument 0|'s')"):
            KERNEL((3,), (128,), (np.zeros(1024, np.int32), CASES.index(broken)))
