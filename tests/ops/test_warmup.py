"""Compiling ahead of time: exactly the kernels that the calls to come will launch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft import simulator
from cupysoft.errors import DtypeError, ShapeError
from cupysoft.ops import device
from cupysoft.ops.warmup import DTYPES, OPERATIONS, kernels_of
from cupysoft.runtime import launch
from cupysoft.runtime.plan import Plan


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("columns", [1, 7, 16, 100, 1000, 4099, 70_000])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_what_is_compiled_is_what_is_launched(
    monkeypatch: pytest.MonkeyPatch, operation: str, axis: int, columns: int, dtype: str
) -> None:
    plans: list[Plan] = []
    monkeypatch.setattr(device, "run", lambda plan, arrays, on: plans.append(plan))
    shape = (3, columns) if axis == -1 else (columns, 9)
    with simulator.Device():
        getattr(cupysoft, operation)(np.zeros(shape, dtype), axis=axis)
    assert tuple(kernels_of(operation, dtype, columns, (axis,))) == plans[0].kernels


def test_inside_a_simulated_device_the_call_finds_its_kernel() -> None:
    with simulator.Device():
        names = cupysoft.warmup("softmax", np.float32, 24)
        asked: list[Any] = []
        launcher = launch.SimulatedLauncher(simulator.current())  # type: ignore[arg-type]
        asked += [launcher.kernel(kernel) for kernel in kernels_of("softmax", "float32", 24, (-1,))]
    assert len(names) == len(asked) == 1
    assert names[0].startswith("softmax_warp<Softmax<float>")


def test_all_there_are() -> None:
    everything = kernels_of()
    assert len(everything) == len(set(everything))
    for dtype in DTYPES:
        assert set(kernels_of("softmax", dtype)) < set(everything)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"operations": "hardmax"}, DtypeError, "operations holds 'hardmax'; expected some of softmax, log_softmax"),
        ({"dtypes": "f16x"}, DtypeError, "dtypes holds 'f16x'"),
        ({"dtypes": "complex64"}, DtypeError, "dtypes has dtype complex64"),
        ({"columns": 0}, ShapeError, "columns holds 0"),
        ({"columns": [8, 2.5]}, ShapeError, "columns holds 2.5"),
        ({"axis": 1}, ShapeError, r"axis is 1; expected -1 .* or 0"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"warmup: {message}"):
        cupysoft.warmup(**arguments, arch="sm_90")
