"""Barriers and warp instructions that not all threads reach that they name, each caught; right ones pass."""

from __future__ import annotations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import DeadlockError, SynccheckError
from tests.simulator.devices import launch


def run(body: str, block: int = 64) -> None:
    """Run ``f(int* x)`` with a body, all checks on."""
    before = "#define MASK 0xffffffffu"
    x = np.arange(256, dtype=np.int32)
    launch(simulator.Device(), "int t = threadIdx.x;\n" + body, [x], block=block, parameters="int* x", before=before)


SYNC = [
    pytest.param("__syncthreads();", "if (t == 40) return; __syncthreads();", "this one has exited", id="early return"),
    pytest.param(
        "__syncthreads(); __syncthreads();",
        "__syncthreads(); if (t < 32) __syncthreads();",
        "this one has exited",
        id="unequal barriers",
    ),
    pytest.param(
        "if (t < 32) { __syncthreads(); x[t] = 1; } else { __syncthreads(); x[t] = 2; }",
        "if (t < 40) { __syncthreads(); x[t] = 1; } else { __syncthreads(); x[t] = 2; }",
        r"(?s)Divergent thread\(s\) in warp: its lanes wait at different block barriers.*thread \(40, 0, 0\)",
        id="barriers of a divided warp",
    ),
    pytest.param(
        'if (t % 32 < 7) asm volatile("barrier.sync 0;"); else { x[t] = 1; asm volatile("barrier.sync 0;"); }',
        "for (int i = 0; i < (t % 32 < 7 ? 3 : 4); ++i) { __syncthreads(); x[t] = i; }",
        "different block barriers|this one has exited",
        id="rounds of a divided warp",
    ),
    pytest.param(
        "x[t] = __shfl_sync(MASK, t, 3);",
        "if (t % 32 < 16) x[t] = __shfl_sync(MASK, t, 3); else { __syncthreads(); }",
        "never come|which have exited",
        id="divergent shuffle",
    ),
    pytest.param(
        "x[t] = __shfl_sync(MASK, t, 3);",
        "if (t % 32 == 7) return; x[t] = __shfl_sync(MASK, t, 3);",
        "names lane 7, which has exited",
        id="shuffle with an exited lane",
    ),
    pytest.param(
        "x[t] = __ballot_sync(MASK, t & 1);",
        "x[t] = __ballot_sync(0xffffu, t & 1);",
        "Invalid arguments: .*does not name them",
        id="vote of a stranger",
    ),
    pytest.param(
        "if (t % 32 < 16) x[t] = __shfl_sync(0xffffu, t, 3); else x[t] = __shfl_sync(0xffff0000u, t, 20);",
        "if (t % 32 < 16) x[t] = __shfl_sync(0xffffffu, t, 3); else if (t % 32 > 20) x[t] = 0;",
        "have exited|never come",
        id="masks of halves",
    ),
]


@pytest.mark.parametrize(("correct", "faulty", "says"), SYNC)
def test_barriers_and_warp_instructions_that_not_all_reach(correct: str, faulty: str, says: str) -> None:
    run(correct)
    with pytest.raises(SynccheckError, match=says):
        run(faulty)


def test_lanes_that_a_small_block_never_had_may_be_named() -> None:
    run("x[t] = __shfl_sync(MASK, t, 3);", block=20)


def test_a_barrier_for_more_threads_than_there_are_is_a_deadlock() -> None:
    with pytest.raises(DeadlockError, match="can never be complete"):
        run('asm volatile("bar.sync 1, 128;");')


def test_a_deadlock_tells_who_waits_where() -> None:
    body = """if (t < 32) asm volatile("bar.sync 1, 96;");
    else if (t < 40) asm volatile("bar.arrive 2, 96;");
    else if (t < 64) asm volatile("bar.sync 2, 128;");
    else if (t < 96) return;
    __syncthreads();"""
    with pytest.raises(DeadlockError) as caught:
        run(body, block=128)
    text = str(caught.value)
    assert "block (0, 0, 0):" in text
    assert "threads 0 to 31 (warp 0) wait at barrier 1 for 96 threads, bar.sync 1, 96 (kernel.cu, line 4)" in text
    assert "threads 40 to 63 (warp 1) wait at barrier 2 for 128 threads, at which 32 have arrived, bar.sync" in text
    assert "threads 64 to 95 (warp 2) have exited" in text
    assert "threads 32 to 39, 96 to 127 (warps 1, 3) wait at barrier 0" in text


def test_barriers_that_there_are_not_and_threads_that_are_no_warps() -> None:
    body = 'if (t >= 32) asm volatile("bar.sync %0, %1;" :: "r"(x[0]), "r"(x[1]));'
    for number, count, says in (
        (15, 32, None),
        (16, 32, "Invalid arguments: there is no barrier 16, only 0 to 15"),
        (1, 40, "Invalid arguments: a barrier for 40 threads, which are not whole warps of 32"),
    ):
        given = np.array([number, count], np.int32)
        if says is None:
            launch(simulator.Device(), "int t = threadIdx.x;" + body, [given], block=64, parameters="int* x")
            continue
        with pytest.raises(SynccheckError, match=f"(?s){says}.*by thread .32, 0, 0."):
            launch(simulator.Device(), "int t = threadIdx.x;" + body, [given], block=64, parameters="int* x")


def test_one_thread_that_waits_is_told_as_one() -> None:
    with pytest.raises(DeadlockError, match=r"thread 7 \(warp 0\) waits at barrier 1") as caught:
        run('if (t == 7) asm volatile("barrier.sync 1, 64;"); else if (t == 8) return; __syncthreads();', block=32)
    assert "thread 8 (warp 0) has exited" in str(caught.value)
