"""Compiling ahead of time: exactly the kernels that the calls to come will launch."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import cupysoft
from cupysoft import SoftmaxState, simulator
from cupysoft.errors import ArgumentError, AxisError, DtypeError, ShapeError
from cupysoft.ops import device, device_states, pointwise
from cupysoft.ops.calls import OPERATIONS, Call, kernels_of
from cupysoft.ops.warmup_arguments import all_calls, calls_of
from cupysoft.runtime import launch
from cupysoft.runtime.plan import KernelRef


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[KernelRef]:
    """The kernels of the calls in the test, which launch nothing."""
    kernels: list[KernelRef] = []
    for each in (device, device_states):
        monkeypatch.setattr(each, "run", lambda plan, arrays, on: kernels.extend(plan.kernels))
    monkeypatch.setattr(pointwise, "share", lambda *_: None)
    return kernels


def call(operation: str, x: Any, axis: Any, **more: Any) -> None:
    """Make a public call on the simulated device."""
    with simulator.Device():
        if operation == "SoftmaxState":
            state = SoftmaxState.from_array(x, axis)
            state.logsumexp(return_undecided=True)
            state.softmax(x, return_undecided=True)
        else:
            getattr(cupysoft, operation)(x, axis=axis, **more)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("columns", [1, 2, 7, 16, 100, 1000, 1001, 4099, 70_000])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16], ids=str)
def test_row_lengths_cover_any_number_of_rows(
    planned: list[KernelRef], operation: str, axis: int, columns: int, dtype: Any
) -> None:
    ready = set(kernels_of(calls_of(operation, dtype, columns, axis=axis)))
    for rows in (1, 2, 3, 7, 8, 9, 1000):
        call(operation, np.zeros((rows, columns) if axis else (columns, rows), dtype), axis)
    call(operation, np.zeros(columns, dtype), axis)
    assert set(planned) == ready


SHAPES: list[tuple[tuple[int, ...], Any]] = [
    ((), None), ((5,), 0), ((3, 5, 7), 1), ((3, 5, 7), (0, 2)), ((3, 5, 7), -1), ((3, 5, 7), ()), ((3, 5, 7), None),
    ((2, 1, 600, 3), (1, 2)), ((1, 1), None), ((4, 70_000), -1), ((70_000, 4), 0), ((2, 3, 2, 3, 2, 3), (1, 3, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "axis"), SHAPES)
def test_a_shape_is_taken_exactly(planned: list[KernelRef], shape: tuple[int, ...], axis: Any) -> None:
    for operation in OPERATIONS:
        for dtype in ("f2", "f4", "f8", "i4"):
            planned.clear()
            call(operation, np.zeros(shape, dtype), axis)
            assert list(kernels_of(calls_of(operation, dtype, shape=shape, axis=axis))) == planned


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("return_sign", [False, True])
@pytest.mark.parametrize(
    ("shape", "axis", "b"),
    [((6, 5), -1, True), ((6, 5), 0, (5,)), ((6, 5), None, ()), ((2, 3, 5), 2, (3, 1)), ((5,), (0, 2), (2, 6, 1))],
)
def test_weights_and_signs(
    planned: list[KernelRef], dtype: str, return_sign: bool, shape: tuple[int, ...], axis: Any, b: Any
) -> None:
    weights = np.ones(shape if b is True else b, dtype)
    call("logsumexp", np.zeros(shape, dtype), axis, b=weights, return_sign=return_sign)
    ready = kernels_of(calls_of("logsumexp", dtype, shape=shape, axis=axis, b=b, return_sign=return_sign))
    assert list(ready) == planned
    planned.clear()
    call("logsumexp", np.zeros((6, 5), dtype), -1, return_sign=return_sign)
    ready = kernels_of(calls_of("logsumexp", dtype, shape=(6, 5), return_sign=return_sign))
    assert list(ready) == planned


@pytest.mark.parametrize("shape", [(3, 24), (3, 1000), (2, 70_000), (24, 9)])
def test_fast_calls(planned: list[KernelRef], shape: tuple[int, ...]) -> None:
    axis = 0 if shape == (24, 9) else -1
    for operation in OPERATIONS[:3]:
        for dtype in ("f2", "f4", "f8"):
            planned.clear()
            call(operation, np.zeros(shape, dtype), axis, precision="fast")
            assert list(kernels_of(calls_of(operation, dtype, shape=shape, axis=axis, precision="fast"))) == planned
    planned.clear()
    call("logsumexp", np.zeros(shape, "f4"), axis, precision="fast", return_sign=True)
    signed = calls_of("logsumexp", "f4", shape=shape, axis=axis, precision="fast", return_sign=True)
    assert list(kernels_of(signed)) == planned


def test_planning_needs_no_memory() -> None:
    (huge,) = calls_of("softmax", "f8", shape=(2**30, 2**20))
    assert huge.plan().steps[0].grid == (2**36, 1, 1)


def test_inside_a_simulated_device_the_call_finds_its_kernel() -> None:
    with simulator.Device():
        names = cupysoft.warmup("softmax", np.float32, 24)
        asked: list[Any] = []
        launcher = launch.SimulatedLauncher(simulator.current())  # type: ignore[arg-type]
        asked += [launcher.kernel(kernel) for kernel in kernels_of(calls_of("softmax", "float32", 24))]
    assert len(names) == len(asked) == 2
    assert names[0].startswith("softmax_warp<Softmax<float>")


def test_all_there_are() -> None:
    everything = set(kernels_of(all_calls(dtypes=["float16", "complex64"])))
    for dtype in ("float16", "complex64"):
        some = set(kernels_of(all_calls("logsumexp", dtype)))
        assert some < everything
        assert some > set(kernels_of(calls_of("logsumexp", dtype, 100, b=True, return_sign=True)))
    assert set(kernels_of(all_calls("SoftmaxState", "float16"))) < everything


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("axis", [-1, 0])
def test_all_there_are_leaves_no_length_out(dtype: str, axis: int) -> None:
    lengths = [*range(1, 70), *range(250, 264), *range(510, 520), *range(1000, 1008), *range(4093, 4101)]
    lengths += [*range(8190, 66_000, 1237), 66_001, 66_002, 66_004, 131_073]
    for operation in ("softmax", "SoftmaxState"):
        for arch in ("sm_80", "sm_90", "sm_120"):
            some = kernels_of(calls_of(operation, dtype, lengths, axis=axis), arch)
            assert set(some) <= set(kernels_of(all_calls(operation, dtype), arch))


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((5, 7), (1,), ((2, 2), (1,))),
        ((5, 7, 9), (0,), ((2, 2), (0,))),
        ((5, 7, 9), (0, 2), ((2, 2, 2), (0, 2))),
        ((5, 1, 9), (1,), ((2,), ())),
        ((5, 1, 9), (0, 2), ((2,), (0,))),
        ((1, 1), (0,), ((1,), ())),
    ],
)
def test_the_smallest_of_its_kind(shape: Any, axes: Any, expected: Any) -> None:
    float32 = np.dtype("f4")
    assert Call("SoftmaxState", float32, float32, shape, axes).smallest() == expected


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"operations": "hardmax"}, DtypeError, "operations holds 'hardmax'; expected some of softmax, log_softmax"),
        ({"dtypes": "f16x"}, DtypeError, "dtypes holds 'f16x'"),
        ({"dtypes": "complex64"}, DtypeError, "dtypes has dtype complex64"),
        ({"columns": 0}, ShapeError, "columns holds 0"),
        ({"columns": [8, 2.5]}, ShapeError, "columns holds 2.5"),
        ({"shape": (8, 0)}, ShapeError, "shape holds 0"),
        ({"shape": "abc"}, ShapeError, "shape holds 'abc'"),
        ({"columns": 8, "shape": (8,)}, ShapeError, r"columns is 8 and shape is \(8,\); expected one of them"),
        ({"axis": 1}, ShapeError, r"axis is 1 and b is False; expected -1 or 0"),
        ({"b": (8,)}, ShapeError, r"b is \(8,\); expected -1 or 0, and True or False"),
        ({"shape": (8, 5), "axis": 2}, AxisError, "axis 2 is out of range"),
        ({"shape": (8, 5), "b": (3,)}, ShapeError, r"shape has shape \(8, 5\) and b has shape \(3,\)"),
        ({"precision": "quick"}, ArgumentError, 'precision is \'quick\'; expected "exact" or "fast"'),
        ({"operations": "softmax", "b": True}, DtypeError, "b and return_sign belong to logsumexp"),
        ({"operations": "SoftmaxState", "return_sign": True}, DtypeError, "operations holds SoftmaxState"),
    ],
)
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"warmup: .*{message}"):
        cupysoft.warmup(**arguments, arch="sm_90")
