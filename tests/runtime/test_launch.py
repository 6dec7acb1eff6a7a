"""Running plans: what a device is handed, and what is refused before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cupysoft.errors import CompileError, LaunchError
from cupysoft.runtime import launch
from cupysoft.runtime.compile import Compiled
from cupysoft.runtime.limits import limits_of
from cupysoft.runtime.plan import KernelRef, Plan, Step
from tests.runtime.sample import MIXED, TWICE, arguments, layout, plan

pytestmark = pytest.mark.usefixtures("sample")


class Simulated:
    """Stands for a simulated device: writes down what it is to run."""

    arch = "sm_90"

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def empty(self, shape: int, dtype: np.dtype[Any]) -> Any:
        """Scratch memory."""
        return np.empty(shape, dtype)

    def launch(
        self,
        compiled: Compiled,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        args: Sequence[Any],
        shared_mem: int = 0,
        *,
        names: Sequence[str] | None = None,
        label: str | None = None,
    ) -> None:
        """Write down."""
        self.calls.append(dict(locals()))


def arrays() -> dict[str, Any]:
    return {"x": np.zeros(40, "f4")[::-1], "out": np.zeros(40, "f4")}


def test_steps_run_in_order_with_their_arguments() -> None:
    device, given = Simulated(), arrays()
    launch.run(plan(), given, device)
    first, second = device.calls
    assert (first["label"], second["label"]) == (MIXED.name, TWICE.name)
    assert first["compiled"].kind == "ptx"
    assert first["compiled"].arch == "sm_90"
    assert first["name"] in first["compiled"].parameters
    assert (first["grid"], first["block"], first["shared_mem"]) == ((2, 1, 1), (32, 1, 1), 256)
    assert first["args"][0] is given["x"]
    assert first["args"][1].shape == (40,)
    assert first["args"][1].dtype == np.float32
    assert first["args"][2:] == list(arguments()[2:])
    assert first["names"] == ["x", "partial", "", "", "", "", "", "", ""]
    assert second["args"][0] is given["out"]


def test_a_kernel_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Simulated()
    launch.run(plan(), arrays(), device)
    monkeypatch.setattr(launch, "compiled", None)
    launch.run(plan(), arrays(), device)
    assert len(device.calls) == 4


def replaced(position: int, value: Any) -> tuple[Any, ...]:
    args = arguments()
    return (*args[:position], value, *args[position + 1 :])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (arguments()[:-1], "8 arguments for 9 parameters"),
        (replaced(0, "y"), "array 'y', which nothing is bound to .there are out, partial, x."),
        (replaced(0, np.int32(1)), "argument 0 is a int32 of 4 bytes; the kernel takes a pointer or an integer of 8"),
        (replaced(2, np.int32(1)), "argument 2 is a int32 of 4 bytes"),
        (replaced(2, np.float64(1)), "argument 2 is a float64 of 8 bytes; .* integer of 8 bytes"),
        (replaced(2, 5), "argument 2 is a int, not a NumPy scalar"),
        (replaced(3, np.float32(1)), "argument 3 is a float32 of 4 bytes; .* an integer of 4 bytes"),
        (replaced(4, np.float64(1)), "argument 4 is a float64 of 8 bytes; .* floating-point number of 4 bytes"),
        (replaced(4, np.int32(1)), "argument 4 is a int32 of 4 bytes; .* floating-point"),
        (replaced(5, "x"), "argument 5 is the array 'x'; .* floating-point number of 8"),
        (replaced(6, np.int64(1)), "argument 6 is a int64 of 8 bytes; .* a structure of 32 bytes"),
        (replaced(6, np.void(b"short")), "of 5 bytes; the kernel takes a structure of 32 bytes"),
        (replaced(8, np.int16(1)), "argument 8 is a int16 of 2 bytes; .* structure of 2 bytes"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(args: tuple[Any, ...], message: str) -> None:
    device = Simulated()
    with pytest.raises(LaunchError, match=rf"mixed<float>: .*{message}"):
        launch.run(plan(args), arrays(), device)
    assert not device.calls


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": (0, 1, 1)}, r"grid\.x is 0; it must be from 1 to 2147483647"),
        ({"grid": (1 << 31, 1, 1)}, r"grid\.x is 2147483648"),
        ({"grid": (1, 65536, 1)}, r"grid\.y is 65536; it must be from 1 to 65535"),
        ({"grid": (1, 1, 65536)}, r"grid\.z"),
        ({"block": (1025, 1, 1)}, r"block\.x is 1025"),
        ({"block": (1, 1, 65)}, r"block\.z is 65"),
        ({"block": (32, 33, 1)}, "has 1056 threads; this kernel can have 1024"),
        ({"shared": -1}, "-1 bytes of dynamic"),
        ({"shared": (227 << 10) - 127}, "128 of static shared memory .* the device has 232448"),
    ],
)
def test_extents_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    device = Simulated()
    with pytest.raises(LaunchError, match=rf"mixed<float>: .*{message}"):
        launch.run(plan(**changes), arrays(), device)
    assert not device.calls


def test_the_largest_extents_are_taken() -> None:
    device = Simulated()
    launch.run(plan(grid=((1 << 31) - 1, 65535, 65535), block=(16, 1, 64), shared=(227 << 10) - 128), arrays(), device)
    assert len(device.calls) == 2


def test_a_later_step_that_does_not_fit_stops_the_first() -> None:
    device = Simulated()
    good = plan()
    bad = Step(TWICE, (1, 1, 1), (64, 1, 1), 0, ("out",))
    with pytest.raises(LaunchError, match="twice<float>: 1 arguments for 2 parameters"):
        launch.run(Plan((*good.steps, bad), good.scratch), arrays(), device)
    assert not device.calls


def test_a_kernel_that_does_not_compile_stops_everything() -> None:
    device = Simulated()
    bad = Step(KernelRef("sample/sample.cu", "thrice<float>"), (1, 1, 1), (64, 1, 1), 0, ("out", np.int64(1)))
    with pytest.raises(CompileError, match="thrice"):
        launch.run(Plan((*plan().steps, bad), plan().scratch), arrays(), device)
    assert not device.calls


def test_limits_by_architecture() -> None:
    assert limits_of("sm_90a").shared == 232448
    assert limits_of("sm_75").shared == 65536
    assert limits_of("sm_999").shared == 49152


def test_plans_can_be_looked_at() -> None:
    assert plan().kernels == (MIXED, TWICE)
    assert plan().scratch[0].nbytes == 160
    assert layout(1, 2, 3)["axes"] == 2
