"""Capturing a graph on a real GPU; collected only where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy
import numpy as np
import pytest

import cupysoft
from cupysoft import SoftmaxState
from cupysoft.errors import NotCompiledError
from cupysoft.runtime import cuda, cuda_pointwise

pytestmark = pytest.mark.gpu

X = np.random.default_rng(0).normal(scale=5, size=(3, 4, 5)).astype("f4")


@pytest.fixture(autouse=True)
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_loaded", {})
    monkeypatch.setattr(cuda_pointwise, "_used", set())


def streamed(x: Any) -> Any:
    state = SoftmaxState.from_array(x, 1).update(x)
    return state.merge(state).softmax(x)


CALLS: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "softmax": (lambda x: cupysoft.softmax(x, 1), {"operations": "softmax"}),
    "integers": (lambda x: cupysoft.softmax(x.view("i4"), 1), {"operations": "softmax", "dtypes": "int32"}),
    "weight": (lambda x: cupysoft.logsumexp(x, 1, b=0.5), {"operations": "logsumexp", "b": ()}),
    "state": (streamed, {"operations": "SoftmaxState"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_captured_after_its_warmup(name: str) -> None:
    call, warm = CALLS[name]
    x = cupy.asarray(X)
    cupy.cuda.Device().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(NotCompiledError, match="warmup"):
            call(x)
        stream.end_capture()
        cupysoft.warmup(**warm, shape=X.shape, axis=1)
        stream.begin_capture()
        captured = call(x)
        graph = stream.end_capture()
        graph.launch(stream)
        stream.synchronize()
    assert cupy.asnumpy(captured).tobytes() == cupy.asnumpy(call(cupy.asarray(X))).tobytes()
