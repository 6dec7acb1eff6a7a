"""Memory that kernels alone write: to read of it what none wrote is reported."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft import simulator
from cupysoft.errors import InitcheckError
from cupysoft.ops import device
from cupysoft.runtime.launch import run
from cupysoft.runtime.plan import Plan
from cupysoft.simulator import fresh

WRITE = 'extern "C" __global__ void put(int* x, int n) { if (threadIdx.x < n) x[threadIdx.x] = threadIdx.x; }'
READ = 'extern "C" __global__ void get(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x] + 1; }'
put, get = simulator.RawKernel(WRITE, "put"), simulator.RawKernel(READ, "get")


def test_what_one_kernel_wrote_another_one_reads() -> None:
    with simulator.Device() as made:
        x, y = made.empty(64, np.int32), np.zeros(64, np.int32)
        put((1,), (64,), (x, 64))
        get((1,), (64,), (x, y))
        assert y.tolist() == list(range(1, 65))
        x = made.empty((4, 16), np.int32)
        put((1,), (64,), (x, 63))
        message = (
            r"(?s)get: Uninitialized __global__ memory read of size 4 bytes: element 63 of argument 0 "
            r".*thread \(63, 0, 0\).*ld\."
        )
        with pytest.raises(InitcheckError, match=message):
            get((1,), (64,), (x, y))
        get((1,), (31,), (x[2:], y))
        with pytest.raises(InitcheckError, match="element 31 of argument 0"):
            get((1,), (32,), (x[2:], y))


def test_a_byte_that_is_missing_is_missed() -> None:
    source = """extern "C" __global__ void f(char* x, long long* y) {
        if (threadIdx.x != 5) x[threadIdx.x] = 1;
        __syncthreads();
        if (threadIdx.x == 0) { atomicAdd((int*)x, 1); y[0] = *(long long*)x + 1; }
    }"""
    with (
        simulator.Device() as made,
        pytest.raises(InitcheckError, match="Uninitialized __global__ memory read of size 8 bytes"),
    ):
        simulator.RawKernel(source, "f")((1,), (8,), (made.empty(8, np.uint8), np.zeros(1, np.int64)))


def test_an_atomic_access_reads() -> None:
    source = 'extern "C" __global__ void f(int* x) { atomicAdd(x, 1); }'
    with simulator.Device() as made, pytest.raises(InitcheckError, match="element 0 of argument 0"):
        simulator.RawKernel(source, "f")((1,), (1,), (made.empty(1, np.int32),))


def test_nothing_is_kept_of_arrays_that_are_gone_nor_without_checks() -> None:
    gc.collect()
    before = len(fresh._written)
    with simulator.Device() as made:
        arrays = [made.empty(10, np.float32) for _ in range(5)]
        assert len(fresh._written) == before + 5
        del arrays
        assert len(fresh._written) == before
    with simulator.Device(check=False) as made:
        x, y = made.empty(32, np.int32), np.zeros(32, np.int32)
        get((1,), (32,), (x, y))
        assert len(fresh._written) == before


def test_a_plan_without_its_first_step_reads_what_nobody_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_the_rest(plan: Plan, arrays: Mapping[str, Any], target: Any) -> None:
        assert plan.scratch
        run(replace(plan, steps=plan.steps[1:]), arrays, target)

    x = np.random.default_rng(1).normal(size=(2, 70_000)).astype(np.float32)
    with simulator.Device():
        cupysoft.softmax(x, axis=-1)
        monkeypatch.setattr(device, "run", run_the_rest)
        with pytest.raises(InitcheckError, match="Uninitialized"):
            cupysoft.softmax(x, axis=-1)


def test_an_output_that_no_kernel_wrote_whole() -> None:
    with simulator.Device() as made:
        x = made.empty((4, 16), np.int32)
        with pytest.raises(InitcheckError, match=r"no thread wrote element \(0, 0\) of x, which has shape \(4, 16\)"):
            made.require_written(x, "x")
        put((1,), (64,), (x, 50))
        made.require_written(x[:3], "x")
        made.require_written(x[::-1, 1::-1][1:], "x")
        with pytest.raises(
            InitcheckError, match=r"Uninitialized __global__ memory in an output.* element \(3, 2\) of x"
        ):
            made.require_written(x, "x")
        put((1,), (64,), (x, 64))
        made.require_written(x)
        made.require_written(np.zeros(3))


def test_outputs_of_generated_kernels_are_whole() -> None:
    x = np.arange(-5.0, 40.0)
    whole = simulator.ElementwiseKernel("T x", "T y", "y = x > 0 ? x : 0", "whole")
    some = simulator.ElementwiseKernel("T x", "T y", "if (x > 0) y = x", "some")
    added = simulator.ElementwiseKernel("T x", "T y", "y += x", "added")
    most = simulator.ReductionKernel("T x", "T y", "x", "max(a, b)", "a > 30 ? y = a : a", "-100", "most")
    assert whole(x).sum() == x[x > 0].sum()
    with pytest.raises(InitcheckError, match=r"some: .*no thread wrote element 0 of y"):
        some(x)
    with pytest.raises(InitcheckError, match=r"added: Uninitialized __global__ memory read of size 8 bytes.* of y"):
        added(x)
    with pytest.raises(InitcheckError, match=r"most: .*no thread wrote element 0 of y"):
        most(np.stack([x - 20, x]), axis=1)
    y = np.ones_like(x)
    some(x, y)
    added(x, y)
    with simulator.Device(check=False):
        assert some(x)[6] == 1
    assert not fresh._written
    raw = simulator.ElementwiseKernel("raw T x", "raw T y", "if (i < 3) y[i] = x[i]", "raws")
    y = raw(x, size=5)
    y[3:] = 0
    assert whole(y)[:3].tolist() == [0, 0, 0]
