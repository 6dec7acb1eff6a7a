"""What is known of a compiled kernel, under the names that CuPy gives it."""

from __future__ import annotations

import re

import numpy as np

from ..errors import LaunchError
from ..runtime.compile import Compiled
from .compiled import CompiledKernel
from .device import Device, current
from .loading import Loader

__all__ = ["KernelAttributes"]

#: Shared memory that a block gets without asking for more, as on a GPU.
_SHARED_UNASKED = 48 << 10
_NAMES = (
    "max_threads_per_block",
    "shared_size_bytes",
    "const_size_bytes",
    "local_size_bytes",
    "num_regs",
    "ptx_version",
    "binary_version",
    "cache_mode_ca",
    "max_dynamic_shared_size_bytes",
    "preferred_shared_memory_carveout",
)


class KernelAttributes:
    """The attributes of a kernel on the current device."""

    name: str
    _module: Loader
    _dynamic: int | None

    #: Share of the first cache that is to be shared memory; nothing depends on it here.
    preferred_shared_memory_carveout: int = -1
    #: Whether loads were compiled to be cached in the first cache.
    cache_mode_ca: int = 0

    @property
    def attributes(self) -> dict[str, int]:
        """All of them. Those that the simulated device cannot know are -1."""
        return {name: getattr(self, name) for name in _NAMES}

    @property
    def max_threads_per_block(self) -> int:
        """Threads that a block can have."""
        return int(np.prod(self._kernel.limits.get("maxntid", (1024,))))

    @property
    def shared_size_bytes(self) -> int:
        """Bytes of static shared memory of a block."""
        return self._kernel.shared_bytes

    @property
    def const_size_bytes(self) -> int:
        """Bytes of the module's constant variables."""
        return sum(each.size for each in self._kernel.symbols if each.space == "const")

    @property
    def local_size_bytes(self) -> int:
        """Bytes of local memory of a thread."""
        return self._kernel.local_bytes

    @property
    def num_regs(self) -> int:
        """Registers of a thread, by NVRTC's own assembler; -1 for PTX from a file."""
        compiled = self._module.load(_arch())[0]
        found = compiled.resources(self._lowered(compiled))
        return -1 if found is None else found.registers

    @property
    def ptx_version(self) -> int:
        """Virtual architecture of the PTX, such as 90."""
        return int(re.sub(r"\D", "", self._module.load(_arch())[0].arch))

    @property
    def binary_version(self) -> int:
        """Architecture that is simulated, such as 90."""
        return int(re.sub(r"\D", "", _arch()))

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Bytes of dynamic shared memory that a launch may ask for; can be set."""
        return self._allowed()

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self._dynamic = int(size)

    @property
    def _kernel(self) -> CompiledKernel:
        """The translated kernel for the current device."""
        return self._version()

    def _allowed(self, ragged: bool = False) -> int:
        """Bytes of dynamic shared memory that a launch may ask for; `ragged`: with a last warp that is not full."""
        return self._dynamic if self._dynamic is not None else _SHARED_UNASKED - self._version(ragged).shared_bytes

    def _version(self, ragged: bool = False) -> CompiledKernel:
        """Some translation for the current device, since all need the same memory; a new one is for such launches."""
        device = current() or Device()
        compiled, module = self._module.load(device.arch)
        return module.version(
            self._lowered(compiled), device.check, device.fast, device.seed is not None, ragged
        ).kernel

    def _lowered(self, compiled: Compiled) -> str:
        lowered = compiled.names.get(self.name, self.name)
        if lowered not in compiled.parameters:
            raise LaunchError(
                f"{self.name}: the module has no such kernel; it has {', '.join(compiled.parameters) or 'none'}."
                ' Declare the kernel extern "C", or pass its name in name_expressions'
            )
        return lowered


def _arch() -> str:
    return (current() or Device()).arch
