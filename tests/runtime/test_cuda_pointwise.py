"""Kernels that CuPy compiles itself: what counts as a first use, without a GPU."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cupysoft.errors import NotCompiledError
from cupysoft.runtime import cuda_pointwise
from cupysoft.runtime.cuda_pointwise import ElementwiseKernels, first_use
from tests.runtime.cupy_double import CupyDouble


@pytest.fixture
def cupy(cupy_double: CupyDouble, monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    monkeypatch.setattr(cuda_pointwise, "_used", set())
    return cupy_double


def array(shape: tuple[int, ...], strides: tuple[int, ...], dtype: str = "f4", contiguous: bool = True) -> Any:
    """What is asked of an array."""
    return SimpleNamespace(
        shape=shape,
        strides=strides,
        ndim=len(shape),
        size=math.prod(shape),
        dtype=np.dtype(dtype),
        flags=SimpleNamespace(c_contiguous=contiguous),
    )


PLAIN = array((8,), (4,))
OTHERS = {
    "dtype": array((8,), (4,), "i4"),
    "axes": array((8, 8), (64, 4)),
    "contiguity": array((8,), (8,), contiguous=False),
    "beyond 2 GiB": array((2**29 + 1,), (4,)),
    "far apart": array((2,), (-(2**31),), contiguous=True),
    "repeated beyond 2 GiB": array((2**29 + 1,), (0,)),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_arrays_are_another_first_use(cupy: CupyDouble, other: str) -> None:
    ran: list[str] = []
    first_use("step", [PLAIN, PLAIN], lambda: ran.append("first"))
    cupy.stream.capturing = True
    first_use("step", [PLAIN, array((2**29,), (4,))], lambda: ran.append("longer"))
    for arrays in ([PLAIN, OTHERS[other]], [OTHERS[other], PLAIN]):
        with pytest.raises(NotCompiledError, match=r"^step: CuPy has not .*cupysoft\.warmup"):
            first_use("step", arrays, lambda: ran.append("never"))
    assert ran == ["first", "longer"]


def test_another_step_is_another_first_use(cupy: CupyDouble) -> None:
    first_use("step", [PLAIN], lambda: None, float)
    cupy.stream.capturing = True
    first_use("step", [PLAIN], lambda: None, float)
    for name, more in (("step", (int,)), ("step", ()), ("other", (float,))):
        with pytest.raises(NotCompiledError):
            first_use(name, [PLAIN], lambda: None, *more)


def test_what_fails_has_not_been_used(cupy: CupyDouble) -> None:
    with pytest.raises(ZeroDivisionError):
        first_use("step", [PLAIN], lambda: 1 / 0)
    cupy.stream.capturing = True
    with pytest.raises(NotCompiledError):
        first_use("step", [PLAIN], lambda: None)


def test_kernels_are_made_as_cupy_makes_them(cupy: CupyDouble) -> None:
    made: list[Any] = []

    def kernel_class(*args: Any, **more: Any) -> Any:
        made.append((args, more))
        return lambda *arrays: made.append(arrays)

    kernel = ElementwiseKernels(kernel_class)("float32 x", "float32 y", "y = x", "same", preamble="//", options=("-w",))
    assert made == [(("float32 x", "float32 y", "y = x", "same"), {"preamble": "//", "options": ("-w",)})]
    kernel(PLAIN, PLAIN)
    assert made[1] == (PLAIN, PLAIN)
    cupy.stream.capturing = True
    with pytest.raises(NotCompiledError, match="^same: "):
        kernel(PLAIN)
