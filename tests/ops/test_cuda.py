"""CuPy arrays and arrays of other libraries on a device, with CuPy's double: no GPU is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.errors import DtypeError, LaunchError, OutError, ShapeError
from cupysoft.runtime import cuda
from tests.ops.cupy_double import CupyDouble, DeviceArray, Foreign, use_double

X = np.random.default_rng(0).normal(scale=5, size=(4, 6)).astype("f4")
NORMALIZED = (cupysoft.softmax, cupysoft.log_softmax)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    return use_double(monkeypatch)


def assert_on_device(result: Any, expected: Any, number: int = 0) -> None:
    """The result is an array on the device, with the bits that the host computes."""
    assert isinstance(result, DeviceArray)
    assert result.device.id == number
    assert result.dtype == expected.dtype
    assert result.shape == np.shape(expected)
    np.testing.assert_array_equal(result.memory, expected)


@pytest.mark.parametrize("function", [*NORMALIZED, cupysoft.logsumexp])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)])
def test_cupy_in_cupy_out(cupy: CupyDouble, function: Any, axis: Any) -> None:
    assert_on_device(function(DeviceArray(X), axis=axis), function(X, axis=axis))
    assert len(cupy.launched) == 1


@pytest.mark.parametrize("function", [*NORMALIZED, cupysoft.logsumexp])
def test_zero_dimensional_results_stay_on_the_device(cupy: CupyDouble, function: Any) -> None:
    assert_on_device(function(DeviceArray(np.float32(3))), function(np.float32(3)))


@pytest.mark.parametrize("function", NORMALIZED)
def test_integers_and_views(cupy: CupyDouble, function: Any) -> None:
    ints = np.arange(6, dtype="i4").reshape(2, 3)
    result = function(DeviceArray(ints), axis=1)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result.memory, function(ints, axis=1), rtol=1e-15)
    assert_on_device(function(DeviceArray(X[::-1, ::2]), axis=0), function(X[::-1, ::2], axis=0))
    assert_on_device(function(DeviceArray(X.T), axis=0), function(X.T, axis=0))


def test_other_libraries_come_back_as_cupy(cupy: CupyDouble) -> None:
    assert_on_device(cupysoft.softmax(Foreign(X), axis=1), cupysoft.softmax(X, axis=1))
    out = Foreign(np.empty_like(X))
    assert cupysoft.softmax(DeviceArray(X), axis=1, out=out) is out
    assert_on_device(out.array, cupysoft.softmax(X, axis=1))


def test_other_libraries_are_asked_once_a_call(cupy: CupyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time they may make their stream wait for ours."""
    asked: list[object] = []
    take = cuda.as_cupy

    def noted(value: object) -> Any:
        asked.append(value)
        return take(value)

    monkeypatch.setattr(cuda, "as_cupy", noted)
    x, b = Foreign(X.copy()), Foreign(X)
    cupysoft.logsumexp(x, axis=1, b=b)
    assert asked == [x, b]
    asked.clear()
    cupysoft.softmax(x, axis=1, out=x)
    assert asked == [x]


def test_out_of_another_library_may_be_read_only(cupy: CupyDouble) -> None:
    out = Foreign(np.zeros_like(X))
    out.__cuda_array_interface__ = {"data": (0, True)}  # type: ignore[attr-defined]
    with pytest.raises(OutError, match="softmax: out is read-only"):
        cupysoft.softmax(DeviceArray(X), axis=1, out=out)
    assert (out.array.memory == 0).all()
    assert not cupy.launched


def test_the_arrays_device_is_made_current(cupy: CupyDouble) -> None:
    assert_on_device(cupysoft.softmax(DeviceArray(X, 2), axis=1), cupysoft.softmax(X, axis=1), 2)
    assert cupy.launched[0][1] == 2
    assert cupy.current == 0


@pytest.mark.parametrize("function", NORMALIZED)
def test_in_place_and_overlap(cupy: CupyDouble, function: Any) -> None:
    x = DeviceArray(X.copy())
    assert function(x, axis=1, out=x) is x
    assert_on_device(x, function(X, axis=1))
    memory = X.copy()
    expected = function(memory[:, :4].copy(), axis=1)
    function(DeviceArray(memory)[:, :4], axis=1, out=DeviceArray(memory)[:, 2:])
    np.testing.assert_array_equal(memory[:, 2:], expected)


def test_empty(cupy: CupyDouble) -> None:
    assert_on_device(cupysoft.logsumexp(DeviceArray(np.zeros((0, 3), "f4")), axis=0), np.full(3, -np.inf, "f4"))
    assert cupysoft.softmax(DeviceArray(np.zeros((0, 3), "f4")), axis=1).shape == (0, 3)
    with pytest.raises(ShapeError, match="no element along axis"):
        cupysoft.softmax(DeviceArray(np.zeros((0, 3), "f4")), axis=0)
    assert not cupy.launched


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("axis", [1, 0, None])
def test_states_stay_on_the_device(cupy: CupyDouble, dtype: str, axis: Any) -> None:
    x = X.astype(dtype)
    state = cupysoft.SoftmaxState.from_array(DeviceArray(x[:, :4], 1), axis=axis)
    if axis != 0:
        state = state.update(DeviceArray(x[:, 4:], 1))
    seen = x[:, :4] if axis == 0 else x
    assert_on_device(state.logsumexp(), cupysoft.logsumexp(seen, axis), 1)
    assert_on_device(state.softmax(DeviceArray(seen, 1)), cupysoft.softmax(seen, axis), 1)
    result, undecided = state.softmax(DeviceArray(seen, 1), return_undecided=True)
    assert_on_device(undecided, np.zeros(seen.shape, np.bool_), 1)
    assert result.shape == undecided.shape
    with pytest.raises(DtypeError, match=r"SoftmaxState.update: x is a ndarray in host memory"):
        state.update(x)
    with pytest.raises(DtypeError, match=r"x on device 0, the state on device 1"):
        state.softmax(DeviceArray(x))


def test_mixed_places_are_refused(cupy: CupyDouble) -> None:
    with pytest.raises(DtypeError, match=r"logsumexp: b is a ndarray in host memory, but a is on a CUDA device"):
        cupysoft.logsumexp(DeviceArray(X), b=np.ones(6, "f4"))
    with pytest.raises(DtypeError, match=r"logsumexp: a is a list in host memory, .*cupy.asarray\(a\)"):
        cupysoft.logsumexp([1.0, 2.0], b=DeviceArray(np.ones(2, "f4")))
    with pytest.raises(DtypeError, match=r"logsumexp: a on device 0, b on device 1; all arrays .* on one device"):
        cupysoft.logsumexp(DeviceArray(X), b=DeviceArray(X, 1))
    assert not cupy.launched


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.empty_like(X), "out is an object of type numpy.ndarray; expected a CuPy array"),
        (DeviceArray(np.empty_like(X), 1), "expected a CuPy array"),
        (DeviceArray(np.empty((4, 5), "f4")), r"out has shape \(4, 5\)"),
        (DeviceArray(np.empty((4, 6), "f8")), "out has dtype float64"),
    ],
    ids=["numpy", "other device", "shape", "dtype"],
)
def test_bad_out(cupy: CupyDouble, out: Any, message: str) -> None:
    with pytest.raises(OutError, match=message):
        cupysoft.softmax(DeviceArray(X), axis=1, out=out)
    assert not cupy.launched


def test_a_device_array_is_no_out_for_host_input(cupy: CupyDouble) -> None:
    with pytest.raises(OutError, match="out is an object of type .*DeviceArray; expected a NumPy array"):
        cupysoft.softmax(X, out=DeviceArray(np.empty_like(X)))


def test_warmup_needs_a_device_or_an_architecture(cupy: CupyDouble) -> None:
    with pytest.raises(LaunchError, match="warmup: no CUDA device to compile for; name an architecture"):
        cupysoft.warmup()
