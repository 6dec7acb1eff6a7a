"""A double of the part of CuPy that launching uses. It has no device: it writes down what it is asked to do.

It hands arguments over as CuPy does: a device array as a pointer of eight bytes, a NumPy array of one element as its
bytes, and it checks nothing. It refuses what CuPy would refuse or guess at, such as a NumPy array of several elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cupysoft.runtime import cuda


@dataclass(frozen=True)
class Launch:
    """One launch as a driver would see it."""

    code: bytes
    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: tuple[bytes, ...]
    shared: int
    stream: int
    device: int


class DeviceArray:
    """An array whose memory is somewhere else: a pointer, and what NumPy would say about it."""

    def __init__(self, cupy: CupyDouble, pointer: int, shape: tuple[int, ...] = (1,), dtype: Any = "f4") -> None:
        self.data = SimpleNamespace(ptr=pointer)
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.device = cupy.cuda.Device(cupy.current)


@dataclass
class Stream:
    """A stream, and what happened on it."""

    ptr: int = 0
    capturing: bool = False

    def __post_init__(self) -> None:
        self.waited_for: list[Any] = []

    def is_capturing(self) -> bool:
        """Whether a graph is being recorded."""
        return self.capturing

    def wait_event(self, event: Any) -> None:
        """Order this stream after an event, without the host."""
        self.waited_for.append(event)


class Event:
    """An event that knows the stream it was recorded on."""

    def __init__(self, disable_timing: bool = False) -> None:
        self.stream: Stream | None = None

    def record(self, stream: Stream) -> None:
        """Record."""
        self.stream = stream


class Device:
    """A device number, which is made current in a ``with``."""

    def __init__(self, cupy: CupyDouble, number: int) -> None:
        self._cupy = cupy
        self._before: list[int] = []
        self.id = number
        self.compute_capability = cupy.capability
        self.attributes = {"MaxSharedMemoryPerBlockOptin": cupy.shared_optin}

    def __enter__(self) -> Device:
        self._before.append(self._cupy.current)
        self._cupy.current = self.id
        return self

    def __exit__(self, *_: object) -> None:
        self._cupy.current = self._before.pop()


class RawKernel:
    """A kernel of a module, loaded where it is first asked for anything."""

    def __init__(self, cupy: CupyDouble, code: bytes, name: str) -> None:
        self._cupy = cupy
        self._code = code
        self.name = name
        self.max_dynamic_shared_size_bytes = 48 << 10
        assert name.encode() in code, f"{name} is not in the module"

    @property
    def max_threads_per_block(self) -> int:
        """Asking a loaded function costs nothing; the first question loads it."""
        self._cupy.loads.append((self.name, self._cupy.current))
        return self._cupy.threads

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], *, shared_mem: int = 0
    ) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes, "the driver would refuse: not opted in"
        cuda = self._cupy.cuda
        self._cupy.launches.append(
            Launch(
                self._code,
                self.name,
                grid,
                block,
                tuple(map(handed_over, args)),
                shared_mem,
                cuda.get_current_stream().ptr,
                self._cupy.current,
            )
        )


def handed_over(argument: Any) -> bytes:
    """The bytes that the driver reads for an argument."""
    if isinstance(argument, DeviceArray):
        return int(argument.data.ptr).to_bytes(8, "little")
    assert isinstance(argument, np.ndarray), f"CuPy guesses what a {type(argument).__name__} is"
    assert argument.size == 1, "CuPy refuses a NumPy array of several elements"
    return argument.tobytes()


class CupyDouble:
    """The module."""

    ndarray = DeviceArray

    def __init__(self, capability: str = "90", driver: int = 13000, threads: int = 1024) -> None:
        self.capability = capability
        self.shared_optin = 227 << 10
        self.threads = threads
        self.current = 0
        self.stream = Stream(ptr=7)
        self.launches: list[Launch] = []
        self.loads: list[tuple[str, int]] = []
        self.allocated: list[DeviceArray] = []
        self.cuda = SimpleNamespace(
            Device=lambda number: Device(self, number),
            Event=Event,
            ExternalStream=Stream,
            get_current_stream=lambda: self.stream,
            runtime=SimpleNamespace(getDevice=lambda: self.current, driverGetVersion=lambda: driver),
        )

    def RawModule(self, *, path: str) -> Any:
        """Open a cubin or PTX file."""
        code = Path(path).read_bytes()
        return SimpleNamespace(get_function=lambda name: RawKernel(self, code, name))

    def empty(self, shape: int, dtype: Any) -> DeviceArray:
        """Give memory that nobody has written."""
        array = DeviceArray(self, 0x10_0000 + 0x1000 * len(self.allocated), (shape,), dtype)
        self.allocated.append(array)
        return array

    def from_dlpack(self, value: Any) -> DeviceArray:
        """Take an array over as DLPack does."""
        value.__dlpack__(stream=self.stream.ptr)
        return DeviceArray(self, value.pointer)

    def asarray(self, value: Any) -> DeviceArray:
        """Take an array over by its interface."""
        description = value.__cuda_array_interface__
        assert description.get("stream") is None, "CuPy makes the host wait for a stream that it is told"
        return DeviceArray(self, description["data"][0], description["shape"], description["typestr"])


def use_double(monkeypatch: pytest.MonkeyPatch, double: CupyDouble) -> CupyDouble:
    """Put a double in CuPy's place, with nothing loaded yet."""
    monkeypatch.setattr(cuda, "import_cupy", lambda: double)
    for memory in ("_archs", "_limits", "_loaded"):
        monkeypatch.setattr(cuda, memory, {})
    monkeypatch.setattr(cuda, "_held_for_graphs", [])
    return double
