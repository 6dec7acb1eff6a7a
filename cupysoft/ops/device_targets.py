"""Operations by the CUDA kernels: on NumPy arrays and the simulated device, or on CuPy arrays and their device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from cupysoft.arrays import library_of
from cupysoft.attention_layout import AttentionOptions, Role
from cupysoft.errors import DtypeError
from cupysoft.ops import attention_device, attention_pointwise, device_states, pointwise
from cupysoft.ops import device as compute
from cupysoft.ops.host_target import HostTarget
from cupysoft.ops.pointwise import Factory
from cupysoft.ops.target import PartArrays, StateArrays
from cupysoft.runtime import cuda
from cupysoft.runtime.cuda_pointwise import ElementwiseKernels, first_use

__all__ = ["CudaTarget", "SimulatedTarget"]


class _ByKernels(ABC):
    """The operations, by plans that are launched on `device`, and by ElementwiseKernels."""

    device: Any
    xp: Any

    @property
    @abstractmethod
    def elementwise(self) -> Factory:
        """The class ElementwiseKernel of the library."""

    def softmax(self, x: Any, axes: tuple[int, ...], out: Any, *, log: bool, fast: bool = False) -> None:
        """Run the plan of the kernels."""
        compute.softmax(self.device, x, axes, out, log=log, fast=fast)

    def logsumexp(
        self, a: Any, axes: tuple[int, ...], b: Any | None, out: Any, sign: Any | None, fast: bool = False
    ) -> None:
        """Run the plan of the kernels."""
        compute.logsumexp(self.device, a, axes, b, out, sign, fast=fast)

    def state_of(self, x: Any, axes: tuple[int, ...]) -> StateArrays:
        """Run the plan of the kernels."""
        return device_states.state_of(self.device, self.xp, x, axes)

    def merge(self, first: StateArrays, second: StateArrays) -> StateArrays:
        """Run an ElementwiseKernel."""
        return pointwise.merge(self.elementwise, self.xp, first, second)

    def state_logsumexp(self, state: StateArrays, out: Any, undecided: Any) -> None:
        """Run the plan of the kernels."""
        device_states.logsumexp(self.device, state, out, undecided)

    def state_softmax(self, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any, undecided: Any) -> None:
        """Run plans of kernels, and an ElementwiseKernel between them."""
        device_states.softmax(self.device, self.elementwise, self.xp, state, x, axes, out, undecided)

    def attention(self, arrays: dict[Role, Any], options: AttentionOptions) -> None:
        """Run the plan of the kernels."""
        attention_device.attention(self.device, arrays, options)

    def attention_part(self, o: Any, lse: Any) -> PartArrays:
        """Run ElementwiseKernels."""
        return attention_pointwise.part(self.elementwise, self.xp, o, lse)

    def join_attention(self, first: PartArrays, second: PartArrays) -> PartArrays:
        """Run ElementwiseKernels."""
        return attention_pointwise.join(self.elementwise, self.xp, first, second)

    def merge_attention(self, first: tuple[Any, Any], second: tuple[Any, Any], out: Any, lse: Any) -> None:
        """Run ElementwiseKernels."""
        attention_pointwise.merge(self.elementwise, self.xp, first, second, out, lse)

    def finish_attention(self, part: PartArrays, out: Any, lse: Any) -> None:
        """Run ElementwiseKernels."""
        attention_pointwise.finish(self.elementwise, self.xp, part, out, lse)


class SimulatedTarget(_ByKernels, HostTarget):
    """NumPy arrays, computed by the CUDA kernels on the simulated device."""

    def __init__(self, device: Any) -> None:
        self.device = device

    @property
    def elementwise(self) -> Factory:
        """The simulator's."""
        from cupysoft.simulator import ElementwiseKernel

        return ElementwiseKernel


class CudaTarget(_ByKernels):
    """CuPy arrays, computed by the CUDA kernels on the device that holds them, on its current stream."""

    kind = "a CuPy array"

    def __init__(self, function: str, operands: Mapping[str, object]) -> None:
        self.xp = cuda.import_cupy()
        arrays = {name: cuda.as_cupy(value) for name, value in operands.items() if library_of(value) != "numpy"}
        # Another library is asked once for each: it may order its stream and ours each time.
        self._taken = {id(operands[name]): array for name, array in arrays.items()}
        places = {name: array.device.id for name, array in arrays.items()}
        if len(set(places.values())) > 1:
            came = ", ".join(f"{name} on device {place}" for name, place in places.items())
            raise DtypeError(f"{function}: {came}; all arrays of a call must be on one device")
        self.device_id = next(iter(places.values()))
        self.device = cuda.CupyDevice()

    @property
    def elementwise(self) -> Factory:
        """CuPy's."""
        return ElementwiseKernels(self.xp.ElementwiseKernel)

    def own(self, value: object) -> Any | None:
        """Give a CUDA array of any library as a CuPy array, if it lies on this device."""
        if library_of(value) == "numpy":
            return None
        array = self._taken.get(id(value))
        if array is None:
            array = cuda.as_cupy(value)
        return array if array.device.id == self.device_id else None

    def array(self, function: str, argument: str, value: object) -> Any:
        """Take a CUDA array as it is; a scalar waits until it is converted: then its value goes with a launch."""
        array = self.own(value)
        return np.asarray(value) if array is None else array

    def convert(self, array: Any, dtype: np.dtype[Any]) -> Any:
        """Convert on the device."""
        if isinstance(array, np.ndarray):
            scalar = self.xp.empty((), dtype)
            self.assign(scalar, HostTarget().convert(array, dtype).item())
            return scalar
        if array.dtype == dtype:
            return array
        converted = self.xp.empty_like(array, dtype=dtype)
        self.assign(converted, array)
        return converted

    def assign(self, out: Any, value: Any) -> None:
        """Fill or copy on the device, as CuPy does it."""
        if out.size == 0:
            return
        if isinstance(value, self.xp.ndarray):
            to, source = pointwise.joined(self.xp, out, value)
            first_use("copy", (to, source), lambda: to.__setitem__(..., source))
        else:
            (to,) = pointwise.joined(self.xp, out)
            # What is all zero bits needs no kernel.
            first_use("fill", (to,), lambda: to.fill(value), type(value), bool(value))

    def scope(self) -> AbstractContextManager[object]:
        """Make the arrays' device current."""
        return self.xp.cuda.Device(self.device_id)  # type: ignore[no-any-return]

    def overlap(self, first: Any, second: Any) -> bool:
        """Compare address ranges, which needs no work on the device."""
        return bool(self.xp.may_share_memory(first, second))
