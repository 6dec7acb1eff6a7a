"""The way through CuPy on a real GPU; collected only where there is one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cupy
import numpy as np
import pytest

from cupysoft.errors import NotCompiledError
from cupysoft.runtime import ahead, cuda, launch
from cupysoft.runtime.cuda import CupyDevice, as_cupy
from cupysoft.runtime.plan import Plan, Step
from tests.runtime.sample import MIXED, TWICE, arguments, plan

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("sample")]


@pytest.fixture(autouse=True)
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_loaded", {})


def straight() -> Plan:
    """``mixed`` from x to out, then ``twice`` on out."""
    args = ("x", "out", *arguments()[2:])
    return Plan((Step(MIXED, (2, 1, 1), (32, 1, 1), 256, args), *plan().steps[1:]))


def expected(x: Any) -> Any:
    """What ``straight`` gives: x + (offset + scale + size[2] + half), twice."""
    return 2 * (x + np.float32(0.25 + 0.5 + 3 + 1.5))


def test_a_plan_runs_on_a_view() -> None:
    x = cupy.arange(40, dtype="f4")
    out = cupy.zeros(42, "f4")
    launch.run(straight(), {"x": x, "out": out[1:41]}, CupyDevice())
    np.testing.assert_array_equal(out[1:41].get(), expected(x.get()))
    assert out[0] == out[41] == 0


def test_a_capture_works_once_kernels_are_loaded() -> None:
    x, out = cupy.arange(40, dtype="f4"), cupy.zeros(40, "f4")
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        with pytest.raises(NotCompiledError, match="warmup"):
            launch.run(straight(), {"x": x, "out": out}, CupyDevice())
        stream.end_capture()
        CupyDevice().load([MIXED, TWICE])
        stream.begin_capture()
        launch.run(straight(), {"x": x, "out": out}, CupyDevice())
        graph = stream.end_capture()
        graph.launch(stream)
        stream.synchronize()
    np.testing.assert_array_equal(out.get(), expected(x.get()))


def test_the_driver_takes_our_ptx() -> None:
    kernel = cuda.CupyKernel(ahead.compiled(TWICE, CupyDevice().arch, "ptx"), TWICE)
    out = cupy.ones(64, "f4")
    kernel.function((1, 1, 1), (64, 1, 1), (out, np.asarray(np.int64(64))))
    assert (out == 2).all()


def test_an_interface_is_taken_over_the_same_memory() -> None:
    array = cupy.arange(5.0)
    stream = cupy.cuda.Stream(non_blocking=True)
    other = SimpleNamespace(__cuda_array_interface__={**array.__cuda_array_interface__, "stream": stream.ptr})
    taken = as_cupy(other)
    taken[0] = 7
    assert array[0] == 7
