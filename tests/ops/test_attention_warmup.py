"""What a call of attention needs is ready before a capture. With CuPy's double."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.errors import ArgumentError, DtypeError, LaunchError, NotCompiledError, ShapeError
from cupysoft.runtime.plan import Plan
from tests.ops.cupy_double import CupyDouble, DeviceArray, use_double

RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=shape).astype("f4") for shape in ((2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 3)))
SHAPES = Q.shape, K.shape, V.shape


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    double = use_double(monkeypatch)
    double.available = double.loads = True
    return double


def arrays() -> list[DeviceArray]:
    return [DeviceArray(x) for x in (Q, K, V)]


def test_what_is_warm_runs_in_a_capture(cupy: CupyDouble) -> None:
    options: dict[str, Any] = {"causal": True, "precision": "ieee"}
    cupy.capturing = True
    with pytest.raises(NotCompiledError):
        cupysoft.attention(*arrays(), **options)
    assert not cupy.launched
    cupy.capturing = False
    names = cupysoft.warmup_attention(*SHAPES, **options, return_lse=True, merge=True, kv_lengths=())
    assert names[0].startswith("attention")
    assert names[1:] == ("fill", "merge")
    cupy.capturing = True
    o, lse = cupysoft.attention(*arrays(), **options, return_lse=True, kv_lengths=3)
    cupysoft.merge_attention(o, lse, o, lse)
    assert not cupy.compiled_in_capture
    with pytest.raises(NotCompiledError, match="warmup_attention: the current stream is capturing"):
        cupysoft.warmup_attention(*SHAPES)


def test_every_option_is_planned_as_the_call_plans_it(cupy: CupyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kernels by name; none is compiled here."""
    monkeypatch.setattr("cupysoft.ops.warmup_device.precompile", lambda *_: None)
    plans: list[Plan] = []
    monkeypatch.setattr("cupysoft.ops.attention_device.run", lambda plan, *_: plans.append(plan))
    lengths = np.ones((2, 1), "i8")
    for options, shapes in (
        ({"mask": np.ones((5, 7), bool)}, {"mask": (5, 7)}),
        ({"bias": np.zeros((4, 1, 7), "f8"), "softcap": 3.0}, {"bias": (4, 1, 7), "bias_dtype": "f8", "softcap": 3.0}),
        ({"kv_lengths": lengths, "window": (3, 0)}, {"kv_lengths": (2, 1), "window": (3, 0)}),
        ({"scale": -1.0, "precision": "ieee", "return_lse": True}, {"scale": -1.0, "precision": "ieee"}),
    ):
        names = cupysoft.warmup_attention(*SHAPES, **shapes, arch="sm_90")
        there: dict[str, Any] = {
            name: DeviceArray(x) if isinstance(x, np.ndarray) else x for name, x in options.items()
        }
        cupysoft.attention(*arrays(), **there)
        assert tuple(kernel.name for kernel in plans[-1].kernels) == names
    assert len({plan.kernels for plan in plans}) > 2


def test_on_the_simulated_device_and_without_any() -> None:
    with cupysoft.simulator.Device():
        (name,) = cupysoft.warmup_attention((3, 64), (9, 64), precision="ieee")
    assert name.startswith("attention")
    assert cupysoft.warmup_attention((1, 0, 64), (9, 64), arch="sm_90") == ()
    # Shapes of any size: no array is made.
    assert cupysoft.warmup_attention((1 << 20, 64), (1 << 30, 64), arch="sm_90", mask=(1 << 20, 1), precision="ieee")


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"q": 3}, ShapeError, "q is 3; expected a shape"),
        ({"q": (3, -1)}, ShapeError, "q is"),
        ({"k": (5, 7)}, ShapeError, "k has head_dim 7, q has 8"),
        ({"mask": "x"}, ShapeError, "mask is 'x'"),
        ({"dtype": "complex64"}, DtypeError, "q has dtype complex64"),
        ({"dtype": "float"[:4]}, DtypeError, "dtype holds 'floa', which is no dtype"),
        ({"bias": (), "bias_dtype": "?"}, DtypeError, "bias has dtype bool"),
        ({"precision": "half"}, ArgumentError, "precision is 'half'"),
    ],
    ids=str,
)
def test_bad_arguments(bad: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^warmup_attention: {message}"):
        cupysoft.warmup_attention(**{"q": (4, 8), "k": (5, 8), "arch": "sm_90", **bad})


def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    use_double(monkeypatch)
    with pytest.raises(LaunchError, match="warmup_attention: no CUDA device to compile for; name an architecture"):
        cupysoft.warmup_attention((4, 8), (5, 8))
