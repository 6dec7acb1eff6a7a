"""Capturing a graph: what is ready runs, what is not raises and names the way out. With CuPy's double."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft import SoftmaxState
from cupysoft.errors import NotCompiledError
from cupysoft.ops import pointwise
from cupysoft.ops.plans_states import texts
from tests.ops.cupy_double import CupyDouble, DeviceArray, use_double

X = np.random.default_rng(0).normal(scale=5, size=(3, 4, 5)).astype("f4")


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    double = use_double(monkeypatch)
    double.available = double.loads = True
    return double


def stream(x: Any, axis: Any) -> Any:
    """All that a state can do."""
    state = SoftmaxState.from_array(DeviceArray(x), axis).update(DeviceArray(x))
    state = state.merge(SoftmaxState.from_array(DeviceArray(x), axis))
    return state.softmax(DeviceArray(x)), state.logsumexp()


# What is called, and what warms it up, for the rows of X along an axis.
CALLS: dict[str, tuple[Callable[[Any, Any], Any], dict[str, Any]]] = {
    "softmax": (lambda x, axis: cupysoft.softmax(DeviceArray(x), axis), {"operations": "softmax"}),
    "log_softmax": (lambda x, axis: cupysoft.log_softmax(DeviceArray(x), axis), {"operations": "log_softmax"}),
    "logsumexp": (lambda x, axis: cupysoft.logsumexp(DeviceArray(x), axis), {"operations": ("logsumexp",)}),
    "weights": (
        lambda x, axis: cupysoft.logsumexp(DeviceArray(x), axis, DeviceArray(x[0])),
        {"operations": "logsumexp", "b": X.shape[1:]},
    ),
    "a number as weight": (
        lambda x, axis: cupysoft.logsumexp(DeviceArray(x), axis, 2.0),
        {"operations": "logsumexp", "b": ()},
    ),
    "sign": (
        lambda x, axis: cupysoft.logsumexp(DeviceArray(x), axis, return_sign=True),
        {"operations": "logsumexp", "return_sign": True},
    ),
    "integers": (
        lambda x, axis: cupysoft.softmax(DeviceArray(x.astype("i4")), axis),
        {"operations": "softmax", "dtypes": "int32"},
    ),
    "complex": (
        lambda x, axis: cupysoft.logsumexp(DeviceArray(x.astype("c8")), axis),
        {"operations": "logsumexp", "dtypes": "complex64"},
    ),
    "state": (stream, {"operations": "SoftmaxState"}),
    "state of integers": (
        lambda x, axis: stream(x.astype("i8"), axis),
        {"operations": "SoftmaxState", "dtypes": np.int64},
    ),
    "state of float16": (
        lambda x, axis: stream(x.astype("f2"), axis),
        {"operations": "SoftmaxState", "dtypes": "float16"},
    ),
}
LARGE = ("sign", "complex")


# Of the calls with large kernels one is enough by other axes, too.
@pytest.mark.parametrize(
    ("axis", "name"),
    [*itertools.product([-1], CALLS), *itertools.product([(0, 2)], [name for name in CALLS if name not in LARGE])],
)
def test_a_call_is_captured_after_its_warmup(cupy: CupyDouble, name: str, axis: Any) -> None:
    call, warm = CALLS[name]
    names = cupysoft.warmup(**warm, shape=X.shape, axis=axis)
    assert len(names) == len(set(names)) > 0
    cupy.capturing = True
    call(X, axis)
    assert not cupy.compiled_in_capture
    if axis == -1 and name != "weights":
        call(np.concatenate([X, X]), axis)  # more rows
    assert not cupy.compiled_in_capture


@pytest.mark.parametrize("name", CALLS)
def test_a_first_call_inside_a_capture_names_the_way_out(cupy: CupyDouble, name: str) -> None:
    call, _ = CALLS[name]
    cupy.capturing = True
    with pytest.raises(NotCompiledError, match=r"cupysoft\.warmup\(\.\.\.\), or the same operation once"):
        call(X, -1)
    assert not cupy.launched
    assert not cupy.compiled_in_capture
    cupy.capturing = False
    call(X, -1)  # the other remedy
    cupy.capturing = True
    call(X, -1)
    assert not cupy.compiled_in_capture


@pytest.mark.parametrize("axis", [-1, 0])
@pytest.mark.parametrize("rows", [1, 3, 9])
def test_columns_cover_a_state_of_any_rows(cupy: CupyDouble, axis: int, rows: int) -> None:
    cupysoft.warmup("SoftmaxState", "float32", 6, axis=axis)
    cupy.capturing = True
    x = np.zeros((rows, 6) if axis else (6, rows), "f4")
    stream(x, axis)
    assert not cupy.compiled_in_capture


def test_each_step_of_a_state_is_guarded(cupy: CupyDouble) -> None:
    state = SoftmaxState.from_array(DeviceArray(X), 1)
    nothing = SoftmaxState.from_array(DeviceArray(X[:, :0]), 1)
    cupy.capturing = True
    for name, step in (
        ("cupysoft_join_states: CuPy", lambda: state.merge(nothing)),
        ("logsumexp_of_states<128>: not", state.logsumexp),
        ("state_totals<128>: not", lambda: state.softmax(DeviceArray(X))),
    ):
        with pytest.raises(NotCompiledError, match=rf"{name}.* compiled .*warmup"):
            step()
    cupy.capturing = False
    state.logsumexp()
    with pytest.MonkeyPatch.context() as without:
        without.setattr(pointwise, "share", lambda *_: None)
        state.softmax(DeviceArray(X))
    cupy.capturing = True
    with pytest.raises(NotCompiledError, match="cupysoft_share_of_float32: CuPy has not compiled it yet .*warmup"):
        state.softmax(DeviceArray(X))
    assert not cupy.elementwise
    assert not cupy.compiled_in_capture


def test_another_kind_of_array_is_another_first_use(cupy: CupyDouble) -> None:
    state = SoftmaxState.from_array(DeviceArray(X), 1)
    state.softmax(DeviceArray(X))
    cupy.capturing = True
    state.softmax(DeviceArray(X.copy(order="F")))  # walked in the order of its memory, it is the same
    assert not cupy.compiled_in_capture
    with pytest.raises(NotCompiledError):
        state.softmax(DeviceArray(np.repeat(X, 2, axis=2)[..., ::2]))
    cupy.capturing = False
    state = SoftmaxState.from_array(DeviceArray(X), 2)
    cupy.capturing = True
    with pytest.raises(NotCompiledError):
        state.softmax(DeviceArray(X))  # over two axes, where the other took three


def test_another_device_is_another_first_use(cupy: CupyDouble) -> None:
    stream(X, 1)
    state = SoftmaxState.from_array(DeviceArray(X, 1), 1)
    cupy.capturing = True
    with pytest.raises(NotCompiledError):
        state.merge(state)


def test_overlap_and_emptiness_are_guarded(cupy: CupyDouble) -> None:
    memory = np.zeros(60, "f4")
    x, out = DeviceArray(memory[:24].reshape(4, 6)), DeviceArray(memory[1:49:2].reshape(4, 6))
    cupysoft.warmup("softmax", "float32", shape=(4, 6))
    cupy.capturing = True
    with pytest.raises(NotCompiledError, match="copy: CuPy"):
        cupysoft.softmax(out, 1, out=x)
    with pytest.raises(NotCompiledError, match="fill: CuPy"):
        cupysoft.logsumexp(DeviceArray(np.zeros((4, 0), "f4")), 1)
    assert not cupy.compiled_in_capture


def test_warmup_gives_the_names_of_what_it_ran(cupy: CupyDouble) -> None:
    names = cupysoft.warmup("SoftmaxState", ("float32", "float16"), 6)
    kernels = ("join_states", "share_of_float32", "share_of_float16")
    assert {f"cupysoft_{kernel}" for kernel in kernels} < set(names)
    for kernel in ("fold_states<WarpTeam<8>", "logsumexp_of_states", "state_totals", "settle_shares"):
        assert any(name.startswith(kernel) for name in names)


def test_warmup_comes_before_the_capture(cupy: CupyDouble) -> None:
    cupy.capturing = True
    with pytest.raises(NotCompiledError, match="warmup: the current stream is capturing .* before the capture"):
        cupysoft.warmup()


def test_the_double_has_nothing_that_cupy_lacks() -> None:
    """CuPy imports without a driver: hold the double's surface against it."""
    cupy = pytest.importorskip("cupy")
    double = CupyDouble()
    for name in ("empty", "empty_like", "zeros", "broadcast_to", "may_share_memory", "ElementwiseKernel", "RawModule"):
        assert callable(getattr(cupy, name))
        assert callable(getattr(double, name))
    for name in vars(double.cuda):
        assert hasattr(cupy.cuda, name)
    assert callable(cupy.lib.stride_tricks.as_strided)
    for name in ("reshape", "view", "fill", "flags", "strides", "data", "device", "__setitem__"):
        assert hasattr(cupy.ndarray, name)
        assert hasattr(DeviceArray(X), name)
    for text in texts(np.dtype("f4")):
        kernel = cupy.ElementwiseKernel(
            text.in_params, text.out_params, text.operation, text.name, preamble=text.preamble, options=text.options
        )
        assert (kernel.nin, kernel.nout) == (text.in_params.count(",") + 1, text.out_params.count(",") + 1)
