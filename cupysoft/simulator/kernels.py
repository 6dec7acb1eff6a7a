"""`RawKernel` and `RawModule`: CuPy's calls for CUDA C++ of one's own, on the simulated device."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import partial
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..errors import CompileError, DtypeError, LaunchError
from .attributes import KernelAttributes
from .device import Device, Extent, current
from .formal import formal_names
from .loading import Loader, Origin, loader, options_of

__all__ = ["RawKernel", "RawModule"]


class RawKernel(KernelAttributes):
    """One kernel, from its source.

    It takes what ``cupy.RawKernel`` takes, and compiles as CuPy does: with ``--ftz=true`` behind the options given,
    and with CuPy's own headers in reach where CuPy is installed.

    Parameters
    ----------
    code : str
        CUDA C++ source.
    name : str
        Name of a kernel that is declared ``extern "C"``.
    options : tuple of str
        Options of NVRTC, such as ``-DN=4``, ``-I<folder>``, ``--use_fast_math``.
    backend : {"nvrtc"}
        The compiler; kernels for nvcc have to come as PTX, see `RawModule`.
    translate_cucomplex : bool
        Whether the functions of ``cuComplex.h`` stand for those of ``cupy/complex.cuh``.
    enable_cooperative_groups : bool
        Whether all blocks of a launch are on the device together, so that ``grid.sync()`` may be called. CuPy makes a
        grid smaller that is too large for that; here it is refused.
    jitify : bool, optional
        Refused where true.

    Attributes
    ----------
    max_dynamic_shared_size_bytes : int
        Dynamic shared memory that a launch may ask for. Raise it to go beyond 48 KiB, as on a GPU.
    attributes : dict
        What the kernel takes, under CuPy's names.
    """

    def __init__(
        self,
        code: str,
        name: str,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        *,
        enable_cooperative_groups: bool = False,
        jitify: bool | None = None,
    ) -> None:
        options = options_of("RawKernel", options, backend, jitify)
        origin = Origin(code, None, options, translate_cucomplex=translate_cucomplex)
        self._set(loader(origin), name, enable_cooperative_groups)

    def _set(self, module: Loader, name: str, enable_cooperative_groups: bool) -> None:
        self.name = self.__name__ = name
        self.code = module.origin.code
        self.file_path = module.origin.path
        self.options = module.origin.options
        self.backend = "nvrtc"
        self.enable_cooperative_groups = enable_cooperative_groups
        self._module = module
        self._dynamic: int | None = None

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0, stream: Any = None
    ) -> None:
        """Launch the kernel and wait for its end.

        Parameters
        ----------
        grid, block : sequence of one to three ints
            Blocks of the grid and threads of a block.
        args : sequence
            NumPy arrays, as pointers to their first element whatever the strides, or by value where the kernel takes
            a structure; NumPy scalars, of structured dtypes too; and Python numbers: an int is a ``long long`` or
            the narrower integer that the kernel takes, a float a ``double``. None is a null pointer.
        shared_mem : int
            Bytes of dynamic shared memory.
        stream : cupy.cuda.Stream, optional
            Of no effect: launches run one after the other.

        Raises
        ------
        LaunchError
            If grid, block, shared memory or arguments do not fit the kernel.
        SimulatorError
            If a thread went wrong.
        """
        self.launch(grid, block, args, shared_mem, stream=stream)

    def launch(
        self,
        grid: Sequence[int],
        block: Sequence[int],
        args: Sequence[Any],
        shared_mem: int = 0,
        names: Sequence[str] | None = None,
        stream: Any = None,
    ) -> None:
        """Do what a call does; `names` are what messages and reports call the arguments."""
        if stream is not None and not hasattr(stream, "ptr"):
            raise DtypeError(f"{self.name}: stream must be a cupy.cuda.Stream or None, not {stream!r}")
        device = _device()
        if not isinstance(args, tuple | list):
            what = "an array" if isinstance(args, np.ndarray) else repr(args)
            raise LaunchError(f"{self.name}: args must be a tuple of arguments, not {what}")
        if not hasattr(shared_mem, "__index__"):
            raise LaunchError(f"{self.name}: shared_mem must be a number of bytes, not {shared_mem!r}")
        extents = _extent(self.name, "grid", grid), _extent(self.name, "block", block)
        allowed = self._allowed(ragged=math.prod(extents[1]) % 32 != 0)
        if shared_mem > allowed:
            raise LaunchError(
                f"{self.name}: {shared_mem} bytes of dynamic shared memory were asked for; set"
                f" max_dynamic_shared_size_bytes, which is {allowed}, to allow it"
            )
        compiled, module = self._module.load(device.arch)
        device.run(
            module,
            self._lowered(compiled),
            *extents,
            tuple(args),
            shared_mem,
            names=names,
            label=self.name,
            cooperative=self.enable_cooperative_groups,
            called=partial(formal_names, self.code, self.name),
        )

    def compile(self, log_stream: IO[str] | None = None) -> None:
        """Compile now, and not at the first launch; what the compiler says goes to `log_stream`."""
        self._lowered(self._module.load(_device().arch, log_stream)[0])


class RawModule:
    """CUDA C++ source, or a file of PTX, with any number of kernels and variables.

    It takes what ``cupy.RawModule`` takes. Modules of the same source and options share their variables.

    Parameters
    ----------
    code : str
        The source.
    path : str
        A file of PTX in its place, of whatever compiler. (A cubin is machine code, which cannot be simulated.)
    options, backend, translate_cucomplex, enable_cooperative_groups, jitify
        As for `RawKernel`.
    name_expressions : sequence of str
        Instantiations of templates that `get_function` will be asked for.
    """

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Sequence[str] | None = None,
        jitify: bool | None = None,
    ) -> None:
        if (code is None) == (path is None):
            raise DtypeError("RawModule: give either code, the source, or path, a file of PTX")
        if isinstance(name_expressions, str):
            raise DtypeError(f"RawModule: name_expressions must be a sequence of str, not the str {name_expressions!r}")
        if path is not None and name_expressions is not None:
            raise CompileError("RawModule: PTX has its templates instantiated: name_expressions need code")
        options = options_of("RawModule", options, backend, jitify)
        self.code = code
        self.file_path = path
        self.options = options if path is None else ()
        self.backend = backend
        self.enable_cooperative_groups = enable_cooperative_groups
        self.name_expressions = None if name_expressions is None else tuple(name_expressions)
        origin = Origin(code, path, self.options, self.name_expressions or (), translate_cucomplex)
        self._module = loader(origin)

    def get_function(self, name: str) -> RawKernel:
        """A kernel, by its name (``extern "C"``) or its name expression."""
        kernel = RawKernel.__new__(RawKernel)
        kernel._set(self._module, name, self.enable_cooperative_groups)
        return kernel

    def get_global(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a global or constant variable; ``.view(dtype)`` types them.

        What is written there is what the next launch reads.
        """
        device = _device()
        compiled, module = self._module.load(device.arch)
        return module.variable(compiled.names.get(name, name), device.check)

    def compile(self, log_stream: IO[str] | None = None) -> None:
        """Compile now, and not at the first launch; what the compiler says goes to `log_stream`."""
        self._module.load(_device().arch, log_stream)

    def get_texref(self, name: str) -> NoReturn:
        """Refused: there are no textures."""
        _refuse_textures("get_texref", name)

    def get_surfref(self, name: str) -> NoReturn:
        """Refused: there are no surfaces."""
        _refuse_textures("get_surfref", name)


def _refuse_textures(what: str, name: str) -> NoReturn:
    raise LaunchError(
        f"RawModule.{what}: {name!r} cannot be had, textures and surfaces are not simulated; read the data through a"
        " pointer where the kernel is tested"
    )


def _device() -> Device:
    """The current device; outside of any, one that checks everything and is forgotten after the launch."""
    return current() or Device()


def _extent(kernel: str, what: str, given: Sequence[int]) -> Extent:
    try:
        numbers = tuple(operator.index(each) for each in given)
    except TypeError:
        raise LaunchError(f"{kernel}: {what} must be a tuple of one to three ints, not {given!r}") from None
    if not 1 <= len(numbers) <= 3:
        raise LaunchError(f"{kernel}: {what} must have one to three extents, not {len(numbers)}")
    x, y, z = numbers + (1,) * (3 - len(numbers))
    return x, y, z
