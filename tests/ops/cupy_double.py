"""A double of the part of CuPy that operations use: device arrays whose memory is NumPy's, but which are not NumPy's.

It refuses what would copy to the host behind the user's back. Plans that are launched on it run on a simulated device,
so what it computes is what the kernels compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.ops import device
from cupysoft.runtime import cuda, launch
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

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def _on_device(self, memory: Any) -> DeviceArray:
        return DeviceArray(memory, self.device.id)

    def reshape(self, *shape: Any) -> DeviceArray:
        """View with another shape."""
        return self._on_device(self.memory.reshape(*shape))

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        """Convert."""
        return self if self.dtype == dtype and not copy else self._on_device(self.memory.astype(dtype))

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
        self.memory[key] = value.memory if isinstance(value, DeviceArray) else value


class Foreign:
    """An array of another library on a device."""

    def __init__(self, memory: Any, number: int = 0) -> None:
        self.array = DeviceArray(memory, number)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, int(self.array.device.id)


class _Current:
    """A device made current in a ``with``."""

    def __init__(self, double: CupyDouble, number: int) -> None:
        self.double, self.number = double, number

    def __enter__(self) -> None:
        self.before, self.double.current = self.double.current, self.number

    def __exit__(self, *_: object) -> None:
        self.double.current = self.before


class CupyDouble:
    """The module, and what was launched on which device."""

    ndarray = DeviceArray

    def __init__(self) -> None:
        self.current = 0
        self.launched: list[tuple[Plan, int]] = []
        self.cuda = SimpleNamespace(Device=lambda number: _Current(self, number), is_available=lambda: False)

    def empty(self, shape: Any, dtype: Any = float) -> DeviceArray:
        """New memory on the current device."""
        return DeviceArray(np.empty(shape, dtype), self.current)

    def empty_like(self, array: DeviceArray) -> DeviceArray:
        """New memory, laid out as an array is."""
        return DeviceArray(np.empty_like(array.memory), self.current)

    def full(self, shape: Any, value: Any, dtype: Any = float) -> DeviceArray:
        """New memory, filled."""
        return DeviceArray(np.full(shape, value, dtype), self.current)

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
        """The simulator's, on the arrays' memory."""
        kernel = simulator.ElementwiseKernel(*args, **kwargs)

        def call(*arrays: DeviceArray) -> None:
            assert all(array.device.id == self.current for array in arrays), "launched on another device"
            with simulator.Device():
                kernel(*(array.memory for array in arrays))

        return call

    def run(self, plan: Plan, arrays: Mapping[str, DeviceArray], _: Any) -> None:
        """Run a plan on a simulated device, and write down where CuPy would have run it."""
        assert all(array.device.id == self.current for array in arrays.values()), "launched on another device"
        self.launched.append((plan, self.current))
        launch.run(plan, {role: array.memory for role, array in arrays.items()}, simulator.Device())


def use_double(monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    """Put a double in CuPy's place."""
    double = CupyDouble()
    monkeypatch.setitem(__import__("sys").modules, "cupy", double)
    monkeypatch.setattr(cuda, "import_cupy", lambda: double)
    monkeypatch.setattr(cuda, "as_cupy", lambda value: value.array if isinstance(value, Foreign) else value)
    monkeypatch.setattr(device, "run", double.run)
    return double
