"""Kernels on a GPU through CuPy: our cubins as its RawKernels, on its current device and stream, in its memory.

Nothing here waits for the device or copies to the host, so a plan can be captured into a CUDA graph once its kernels
are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from cupysoft.errors import CacheError, LaunchError, MissingDependencyError, NotCompiledError
from cupysoft.runtime.ahead import compiled, precompile
from cupysoft.runtime.compile import Compiled
from cupysoft.runtime.limits import Limits
from cupysoft.runtime.plan import KernelRef, Scratch, Step

__all__ = ["CupyDevice", "CupyKernel", "as_cupy", "import_cupy"]

_SHARED_WITHOUT_ASKING = 48 << 10


def import_cupy() -> Any:
    """The module ``cupy``.

    Raises
    ------
    MissingDependencyError
        If it cannot be imported.
    """
    try:
        import cupy
    except ImportError as error:
        raise MissingDependencyError(
            f"cupysoft: arrays on a GPU need CuPy, which cannot be imported ({error}); install it with: "
            'pip install "cupy-cuda13x[ctk]", or "cupy-cuda12x[ctk]" where the driver is older'
        ) from error
    return cupy


class CupyKernel:
    """A kernel that is loaded on one device."""

    def __init__(self, compiled: Compiled, kernel: KernelRef) -> None:
        name = compiled.names[kernel.name]
        path = compiled.path
        if path is None:
            raise CacheError(
                f"{kernel.name}: CuPy loads kernels from files, and no folder for them can be written; "
                "set CUPYSOFT_CACHE_DIR to a folder that only you can write to"
            )
        self.parameters = compiled.parameters[name]
        self.shared = compiled.shared
        self.function = import_cupy().RawModule(path=str(path)).get_function(name)
        self.threads = int(self.function.max_threads_per_block)  # asking loads it on the current device
        self._dynamic_shared = _SHARED_WITHOUT_ASKING - compiled.shared

    def allow_shared(self, wanted: int) -> None:
        """Ask for more dynamic shared memory than every launch may have."""
        if wanted > self._dynamic_shared:
            self.function.max_dynamic_shared_size_bytes = wanted
            self._dynamic_shared = wanted


_archs: dict[int, str] = {}
_limits: dict[int, Limits] = {}
_loaded: dict[tuple[KernelRef, int], CupyKernel] = {}
_held_for_graphs: list[Any] = []


class CupyDevice:
    """CuPy's current device. It has no state of its own: whatever device is current when it is asked is meant."""

    @property
    def number(self) -> int:
        """Number of the current device."""
        return int(import_cupy().cuda.runtime.getDevice())

    @property
    def arch(self) -> str:
        """Architecture of the current device, such as ``"sm_90"``."""
        number = self.number
        if number not in _archs:
            _archs[number] = f"sm_{import_cupy().cuda.Device(number).compute_capability}"
        return _archs[number]

    @property
    def limits(self) -> Limits:
        """What the current device allows."""
        number = self.number
        if number not in _limits:
            attributes = import_cupy().cuda.Device(number).attributes
            _limits[number] = Limits(shared=int(attributes["MaxSharedMemoryPerBlockOptin"]))
        return _limits[number]

    def kernel(self, kernel: KernelRef) -> CupyKernel:
        """The kernel loaded on the current device; compiled and loaded at its first use.

        Raises
        ------
        NotCompiledError
            At the first use while the current stream captures a graph, which does not allow that.
        """
        found = _loaded.get((kernel, self.number))
        if found is None:
            if self.capturing:
                raise NotCompiledError(
                    f"{kernel.name}: not loaded yet, and the current stream is capturing a graph, in which nothing can "
                    "be compiled or loaded; call cupysoft.warmup(...), or the same operation once, before the capture"
                )
            found = self._load(kernel, compiled(kernel, self.arch, "cubin"))
        return found

    def load(self, kernels: Iterable[KernelRef]) -> None:
        """Compile and load kernels ahead of their first use, several at a time."""
        wanted = [kernel for kernel in dict.fromkeys(kernels) if (kernel, self.number) not in _loaded]
        for kernel, each in zip(wanted, precompile(wanted, self.arch), strict=True):
            self._load(kernel, each)

    @property
    def capturing(self) -> bool:
        """Whether the current stream is recording a graph."""
        return bool(import_cupy().cuda.get_current_stream().is_capturing())

    def empty(self, scratch: Scratch) -> Any:
        """Memory from CuPy's pool.

        What a graph was captured with must stay its own as long as the graph may be launched, which nobody tells us:
        it is never given back. It is small: partial results of rows that are split.
        """
        memory = import_cupy().empty(max(scratch.nbytes, 1), np.uint8)
        if self.capturing:
            _held_for_graphs.append(memory)
        return memory

    def launch(self, kernel: CupyKernel, step: Step, args: Sequence[Any]) -> None:
        """Put one step on the current stream."""
        kernel.allow_shared(step.shared)
        # CuPy hands over an array of one element byte by byte, whatever its dtype: also structures and bfloat16.
        values = tuple(np.asarray(each) if isinstance(each, np.generic) else each for each in args)
        kernel.function(step.grid, step.block, values, shared_mem=step.shared)

    def _load(self, kernel: KernelRef, done: Compiled) -> CupyKernel:
        _check_driver(done, kernel)
        found = _loaded[kernel, self.number] = CupyKernel(done, kernel)
        return found


def _check_driver(done: Compiled, kernel: KernelRef) -> None:
    """A driver runs what compilers of its own major version and older ones made."""
    driver = int(import_cupy().cuda.runtime.driverGetVersion()) // 1000
    major, minor = done.nvrtc
    if major > driver:
        raise LaunchError(
            f"{kernel.name}: compiled by NVRTC {major}.{minor}, but the driver is of CUDA {driver} and runs nothing "
            f'newer; install what fits, pip install "cupy-cuda{driver}x[ctk]" "cuda-bindings=={driver}.*", '
            "or update the driver"
        )


def as_cupy(value: Any) -> Any:
    """A device array of any library as a CuPy array over the same memory.

    Parameters
    ----------
    value : object
        A CuPy array, or one with ``__dlpack__`` or ``__cuda_array_interface__``.

    Returns
    -------
    cupy.ndarray
        Ready for use on the current stream; the host does not wait.
    """
    cupy = import_cupy()
    if isinstance(value, cupy.ndarray):
        return value
    if hasattr(value, "__dlpack_device__"):  # first, for it orders the two streams itself
        return cupy.from_dlpack(value)
    return _from_interface(cupy, value)


class _Exported:
    """A device array without the name of its stream: told the name, CuPy would make the host wait."""

    def __init__(self, owner: object, description: dict[str, Any]) -> None:
        self.owner = owner  # as long as CuPy holds this object, the memory stays
        self.__cuda_array_interface__ = {**description, "stream": None}


def _from_interface(cupy: Any, value: Any) -> Any:
    description: dict[str, Any] = value.__cuda_array_interface__
    array = cupy.asarray(_Exported(value, description))
    producer = description.get("stream")
    if producer is not None:
        with array.device:
            consumer = cupy.cuda.get_current_stream()
            # inside a capture the caller has ordered the streams; waiting for uncaptured work would end it
            if consumer.ptr != producer and not consumer.is_capturing():
                event = cupy.cuda.Event(disable_timing=True)
                event.record(cupy.cuda.ExternalStream(producer))
                consumer.wait_event(event)
    return array
