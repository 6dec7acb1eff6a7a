"""A double of the part of CuPy that operations use: device arrays whose memory is NumPy's, but which are not NumPy's.

It refuses what would copy to the host behind the user's back. Plans that are launched on it run on a simulated device,
so what it computes is what the kernels compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.ops import attention_device, device, device_states
from cupysoft.runtime import cuda, cuda_pointwise, launch
from cupysoft.runtime.plan import Plan

__all__ = ["CupyDouble", "DeviceArray", "use_double"]


class DeviceArray:
    """An array on a device."""

    def __init__(self, memory: Any, number: int = 0) -> None:
        self.memory = np.asarray(memory)
        self.device = SimpleNamespace(id=number)
        self.data = SimpleNamespace(ptr=self.memory.ctypes.data)
        self.shape, self.strides = self.memory.shape, self.memory.strides
        self.dtype, self.ndim, self.size = self.memory.dtype, self.memory.ndim, self.memory.size
        self.flags = self.memory.flags

    module: ClassVar[CupyDouble]

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def _on_device(self, memory: Any) -> DeviceArray:
        return DeviceArray(memory, self.device.id)

    def reshape(self, *shape: Any) -> DeviceArray:
        """View with another shape."""
        return self._on_device(self.memory.reshape(*shape))

    def fill(self, value: Any) -> None:
        """Write a number everywhere, by a kernel unless it is zero."""
        if value != 0:
            self.module.compile(("fill", type(value), kinds(self)))
        self.memory[...] = value

    def view(self, dtype: Any) -> DeviceArray:
        """See the bits as another type."""
        return self._on_device(self.memory.view(dtype))

    def copy(self) -> DeviceArray:
        """Copy on the device."""
        return self._on_device(self.memory.copy())

    def __getitem__(self, key: Any) -> DeviceArray:
        key = key if isinstance(key, tuple) else (key,)
        return self._on_device(self.memory[key if ... in key else (*key, ...)])

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(value, DeviceArray):
            self[key].fill(value)
            return
        if self.dtype != value.dtype or not (self.flags.c_contiguous and value.flags.c_contiguous):
            self.module.compile(("copy", kinds(self[key], value)))
        self.memory[key] = value.memory


class Foreign:
    """An array of another library on a device."""

    def __init__(self, memory: Any, number: int = 0) -> None:
        self.array = DeviceArray(memory, number)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, int(self.array.device.id)


class _Current:
    """A device made current in a ``with``."""

    compute_capability = "90"

    def __init__(self, double: CupyDouble, number: int) -> None:
        self.double, self.number = double, number

    def __enter__(self) -> None:
        self.before, self.double.current = self.double.current, self.number

    def __exit__(self, *_: object) -> None:
        self.double.current = self.before


class CupyDouble:
    """The module, and what was launched on which device.

    What CuPy itself compiles during a capture is written down. With `loads`, the kernels of plans are really compiled,
    and looked up where a capture would look for them.
    """

    ndarray = DeviceArray

    def __init__(self) -> None:
        self.current = 0
        self.capturing = self.loads = False
        self.available = False
        self.launched: list[tuple[Plan, int]] = []
        self.elementwise: list[str] = []
        self.compiled: set[object] = set()
        self.compiled_in_capture: list[object] = []
        self.cuda = SimpleNamespace(
            Device=lambda number: _Current(self, number),
            is_available=lambda: self.available,
            get_current_stream=lambda: SimpleNamespace(is_capturing=lambda: self.capturing),
            runtime=SimpleNamespace(getDevice=lambda: self.current, driverGetVersion=lambda: 99000),
        )
        self.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=self._as_strided))

    def RawModule(self, *, path: str) -> Any:
        """Open a file of ours."""
        assert not self.capturing, "a module is loaded while a graph is captured"
        return SimpleNamespace(get_function=lambda name: SimpleNamespace(max_threads_per_block=1024))

    def _as_strided(self, array: DeviceArray, shape: Any, strides: Any) -> DeviceArray:
        return DeviceArray(np.lib.stride_tricks.as_strided(array.memory, shape, strides), array.device.id)

    def empty(self, shape: Any, dtype: Any = float) -> DeviceArray:
        """New memory on the current device."""
        return DeviceArray(np.empty(shape, dtype), self.current)

    def empty_like(self, array: DeviceArray, dtype: Any = None) -> DeviceArray:
        """New memory, laid out as an array is."""
        return DeviceArray(np.empty_like(array.memory, dtype), self.current)

    def zeros(self, shape: Any, dtype: Any = float) -> DeviceArray:
        """New memory, all zero."""
        return DeviceArray(np.zeros(shape, dtype), self.current)

    def broadcast_to(self, array: DeviceArray, shape: Any) -> DeviceArray:
        """View with stride 0."""
        return DeviceArray(np.broadcast_to(array.memory, shape), array.device.id)

    def may_share_memory(self, first: DeviceArray, second: DeviceArray) -> bool:
        """Compare address ranges."""
        return np.may_share_memory(first.memory, second.memory)

    def ElementwiseKernel(self, *args: Any, **kwargs: Any) -> Any:
        """The simulator's, on the arrays' memory; compiled for each kind of arguments that CuPy tells apart."""
        kernel = simulator.ElementwiseKernel(*args, **kwargs)

        def call(*arrays: DeviceArray) -> None:
            assert all(array.device.id == self.current for array in arrays), "launched on another device"
            self.compile((kernel.name, kinds(*arrays), self.current))
            self.elementwise.append(kernel.name)
            with simulator.Device():
                kernel(*(array.memory for array in arrays))

        return call

    def compile(self, kind: object) -> None:
        """Compile something, unless that has been done."""
        if self.capturing and kind not in self.compiled:
            self.compiled_in_capture.append(kind)
        self.compiled.add(kind)

    def run(self, plan: Plan, arrays: Mapping[str, DeviceArray], on: cuda.CupyDevice) -> None:
        """Run a plan on a simulated device, and write down where CuPy would have run it."""
        assert all(array.device.id == self.current for array in arrays.values()), "launched on another device"
        if self.loads:
            for step in plan.steps:
                on.kernel(step.kernel)
        self.launched.append((plan, self.current))
        launch.run(plan, {role: array.memory for role, array in arrays.items()}, simulator.Device())


def kinds(*arrays: DeviceArray) -> tuple[object, ...]:
    """What CuPy's elementwise kernels are compiled for."""
    return tuple((array.dtype, array.ndim, array.flags.c_contiguous) for array in reduced(arrays))


def reduced(arrays: Sequence[DeviceArray]) -> list[Any]:
    """See arrays as CuPy does for an elementwise kernel: neighbouring axes are one where all of them allow it."""
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    views = [np.broadcast_to(array.memory, shape) for array in arrays]
    if all(view.flags.c_contiguous for view in views):
        return [view.reshape(-1) for view in views]
    if len(shape) <= 2:
        return views
    axes: list[tuple[int, ...]] = []
    sizes: list[int] = []
    for size, *steps in zip(shape, *(view.strides for view in views), strict=True):
        if size == 1:
            continue
        if axes and all(outer == size * inner for outer, inner in zip(axes[-1], steps, strict=True)):
            sizes[-1], axes[-1] = sizes[-1] * size, tuple(steps)
        else:
            sizes.append(size)
            axes.append(tuple(steps))
    return [
        np.lib.stride_tricks.as_strided(view, sizes, [steps[at] for steps in axes]) for at, view in enumerate(views)
    ]


def use_double(monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    """Put a double in CuPy's place."""
    double = CupyDouble()
    monkeypatch.setitem(__import__("sys").modules, "cupy", double)
    monkeypatch.setattr(cuda, "import_cupy", lambda: double)
    monkeypatch.setattr(cuda, "as_cupy", lambda value: value.array if isinstance(value, Foreign) else value)
    for each in (device, attention_device, device_states):
        monkeypatch.setattr(each, "run", double.run)
    monkeypatch.setattr(DeviceArray, "module", double, raising=False)
    for memory in ("_archs", "_limits", "_loaded"):
        monkeypatch.setattr(cuda, memory, {})
    monkeypatch.setattr(cuda_pointwise, "_used", set())
    return double
