"""`RawKernel` and `RawModule`: CuPy's calls for CUDA C++ of one's own, on the simulated device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import LaunchError
from ..runtime.compile import Compiled, compile
from .device import Device, Extent, LoadedModule, current

__all__ = ["Function", "RawKernel", "RawModule"]

#: Dynamic shared memory that a kernel gets without asking for more, as on a GPU.
_SHARED_UNASKED = 48 << 10


def _device() -> Device:
    """The current device; outside of any, one that checks everything and is forgotten after the launch."""
    return current() or Device()


class RawModule:
    """CUDA C++ source with any number of kernels and variables.

    It takes what ``cupy.RawModule`` takes. The options are NVRTC's and nothing is added to them, so that subnormal
    numbers are kept unless ``--ftz=true`` or ``--use_fast_math`` is given (CuPy always flushes them).

    Parameters
    ----------
    code : str
        The source.
    options : sequence of str
        Options of the compiler, such as ``-std=c++17``, ``-DN=4``, ``-I<folder>``, ``--use_fast_math``.
    name_expressions : sequence of str
        Instantiations of templates that `get_function` will be asked for.
    """

    def __init__(self, *, code: str, options: Sequence[str] = (), name_expressions: Sequence[str] = ()) -> None:
        self.code = code
        self.options = (options,) if isinstance(options, str) else tuple(options)
        self.name_expressions = tuple(name_expressions)
        self._modules: dict[str, tuple[Compiled, LoadedModule]] = {}

    def get_function(self, name: str) -> Function:
        """A kernel, by its name (``extern "C"``) or its name expression."""
        return Function(self, name)

    def get_global(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a global or constant variable, once a kernel of the module has run; ``.view(dtype)`` types them.

        What is written there is what the next launch reads.
        """
        compiled, module = self.load(_device().arch)
        try:
            return module.variables.view(compiled.names.get(name, name))
        except KeyError:
            raise LaunchError(f"get_global: no kernel that uses a variable {name!r} has run yet") from None

    def load(self, arch: str) -> tuple[Compiled, LoadedModule]:
        """Compile for an architecture; its variables are apart from those of another one."""
        found = self._modules.get(arch)
        if found is None:
            options = [each for each in self.options if each not in ("-lineinfo", "--generate-line-info")]
            compiled = compile(self.code, arch=arch, names=self.name_expressions, options=options, our_rules=False)
            found = self._modules.setdefault(arch, (compiled, LoadedModule(compiled.code.decode())))
        return found


class Function:
    """One kernel of a module.

    Attributes
    ----------
    max_dynamic_shared_size_bytes : int
        Dynamic shared memory that a launch may ask for. Raise it to go beyond 48 KiB, as on a GPU.
    """

    def __init__(self, module: RawModule, name: str) -> None:
        self.name = name
        self.max_dynamic_shared_size_bytes = _SHARED_UNASKED
        self._module = module

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0) -> None:
        """Launch the kernel and wait for its end.

        Parameters
        ----------
        grid, block : sequence of one to three ints
            Blocks of the grid and threads of a block.
        args : sequence
            NumPy arrays (as pointers), NumPy scalars, and Python numbers: an int is a ``long long`` or the narrower
            integer that the kernel takes, a float a ``double``. A structure is a NumPy structured scalar.
        shared_mem : int
            Bytes of dynamic shared memory.

        Raises
        ------
        LaunchError
            If grid, block, shared memory or arguments do not fit the kernel.
        SimulatorError
            If a thread went wrong.
        """
        self.launch(grid, block, args, shared_mem)

    def launch(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        shared_mem: int = 0,
        names: Sequence[str] | None = None,
    ) -> None:
        """Do what a call does; `names` are what messages and reports call the arguments."""
        device = _device()
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise LaunchError(
                f"{self.name}: {shared_mem} bytes of dynamic shared memory were asked for; set"
                f" max_dynamic_shared_size_bytes, which is {self.max_dynamic_shared_size_bytes}, to allow it"
            )
        compiled, module = self._module.load(device.arch)
        lowered = self._lowered(compiled)
        extents = _extent(self.name, "grid", grid), _extent(self.name, "block", block)
        device.run(module, lowered, *extents, tuple(args), shared_mem, names=names, label=self.name)

    @property
    def attributes(self) -> dict[str, int]:
        """Sizes that the compiled kernel has, under CuPy's names."""
        device = _device()
        compiled, module = self._module.load(device.arch)
        kernel = module.kernel(self._lowered(compiled), device.check).kernel
        threads = kernel.limits.get("maxntid", (1024,))
        return {
            "max_threads_per_block": int(np.prod(threads)),
            "shared_size_bytes": kernel.shared_bytes,
            "local_size_bytes": kernel.local_bytes,
            "max_dynamic_shared_size_bytes": self.max_dynamic_shared_size_bytes,
        }

    def _lowered(self, compiled: Compiled) -> str:
        lowered = compiled.names.get(self.name, self.name)
        if lowered not in compiled.parameters:
            raise LaunchError(
                f"{self.name}: the module has no such kernel; it has {', '.join(compiled.parameters) or 'none'}."
                ' Declare the kernel extern "C", or pass its name in name_expressions'
            )
        return lowered


class RawKernel(Function):
    """One kernel, from its source.

    It takes what ``cupy.RawKernel`` takes; see `RawModule` for the options and `Function` for the call.

    Parameters
    ----------
    code : str
        CUDA C++ source.
    name : str
        Name of a kernel that is declared ``extern "C"``.
    options : sequence of str
        Options of the compiler.
    """

    def __init__(self, code: str, name: str, options: Sequence[str] = ()) -> None:
        super().__init__(RawModule(code=code, options=options), name)
        self.code = code


def _extent(kernel: str, what: str, given: Sequence[int]) -> Extent:
    try:
        numbers = tuple(int(each) for each in given)
    except TypeError:
        raise LaunchError(f"{kernel}: {what} must be a tuple of one to three ints, not {given!r}") from None
    if not 1 <= len(numbers) <= 3:
        raise LaunchError(f"{kernel}: {what} must have one to three extents, not {len(numbers)}")
    x, y, z = numbers + (1,) * (3 - len(numbers))
    return x, y, z
