"""What a module of kernels is made from, CUDA C++ or a file of PTX, and how that is loaded for an architecture."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import CompileError, DtypeError, LaunchError
from ..runtime.cache import digest
from ..runtime.compile import Compiled, compile
from ..runtime.cupy_headers import cupy_headers
from ..runtime.parameters import parameters, static_shared
from .device import LoadedModule

__all__ = ["Loader", "Origin", "as_cupy_compiles", "loader", "options_of"]

#: What CuPy puts behind the options that it is given: functions without a word for where they run are the device's,
#: and subnormal float32 numbers become zero.
_OPTIONS_OF_CUPY = ("--device-as-default-execution-space", "--ftz=true")
_STANDARD = re.compile(r"--?std\b")
#: Options that say again, or otherwise, what is decided here.
_DROPPED = re.compile(r"(-lineinfo|--generate-line-info|--?arch=.*|--gpu-architecture=.*)$")
_CUCOMPLEX = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]cuComplex\.h[>"]', re.M)
_ELF, _FATBIN = b"\x7fELF", b"\x50\xed\x55\xba"
_TARGET = re.compile(r"^\s*\.target\s+sm_(\d+)", re.M)


@dataclass(frozen=True)
class Origin:
    """What a module is made from. Equal origins are one module, with one set of variables, as in CuPy.

    Parameters
    ----------
    code : str or None
        CUDA C++.
    path : str or None
        File of PTX, where there is no code.
    options : tuple of str
        Options of the compiler.
    name_expressions : tuple of str
        Instantiations of templates.
    translate_cucomplex : bool
        Whether functions of ``cuComplex.h`` stand for those of ``cupy/complex.cuh``.
    """

    code: str | None
    path: str | None
    options: tuple[str, ...] = ()
    name_expressions: tuple[str, ...] = ()
    translate_cucomplex: bool = False

    def compiled(self, arch: str) -> Compiled:
        """PTX for an architecture."""
        if self.code is None:
            return self._read(arch)
        code = self.code
        if self.translate_cucomplex and cupy_headers().version:
            code = _CUCOMPLEX.sub("#include <cupy/complex.cuh>\n#include <cupy/cuComplex_bridge.h>", code)
        options = as_cupy_compiles(self.options)
        return compile(code, arch=arch, names=self.name_expressions, options=options, our_rules=False)

    def _read(self, arch: str) -> Compiled:
        data = Path(self.path or "").read_bytes()
        if data.startswith((_ELF, _FATBIN)):
            raise CompileError(
                f"RawModule: {self.path} holds machine code for a GPU (a cubin), which only a GPU can run; pass PTX"
                " (nvcc -ptx, or nvrtc's getPTX) or the source"
            )
        text = data.decode(errors="replace")
        target = _TARGET.search(text)
        if target is None:
            raise CompileError(f"RawModule: {self.path} is no PTX: it has no line such as .target sm_80")
        if int(target[1]) > int(re.sub(r"\D", "", arch)):
            raise LaunchError(
                f"RawModule: {self.path} is PTX for sm_{target[1]}, the device is {arch}; a GPU runs PTX of its own and"
                " of older architectures: make it for an older one, or simulate a newer device"
            )
        kernels = parameters(text)
        return Compiled(f"sm_{target[1]}", "ptx", data, {}, "", digest(data)[:40], kernels, shared=static_shared(text))


class Loader:
    """A module, loaded once for each architecture; its variables on one are apart from those on another."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._loaded: dict[str, tuple[Compiled, LoadedModule]] = {}

    def __reduce__(self) -> tuple[Callable[[Origin], Loader], tuple[Origin]]:
        """Pickle what it is made from; where it is unpickled, it is compiled anew or found in the cache."""
        return loader, (self.origin,)

    def load(self, arch: str, log_stream: IO[str] | None = None) -> tuple[Compiled, LoadedModule]:
        """Compile, or find compiled; what the compiler said goes to `log_stream`."""
        found = self._loaded.get(arch)
        if found is None:
            compiled = self.origin.compiled(arch)
            found = self._loaded.setdefault(arch, (compiled, LoadedModule(compiled.code.decode(), compiled.resources)))
        if log_stream is not None:
            log_stream.write(found[0].log)
        return found


_loaders: weakref.WeakValueDictionary[Origin, Loader] = weakref.WeakValueDictionary()


def loader(origin: Origin) -> Loader:
    """The one loader of an origin, for as long as a kernel or a module uses it."""
    found = _loaders.get(origin)
    if found is None:
        found = _loaders.setdefault(origin, Loader(origin))
    return found


def options_of(what: str, options: Sequence[str], backend: str, jitify: bool | None) -> tuple[str, ...]:
    """Check what a constructor is told about compiling."""
    if not isinstance(options, tuple) or not all(isinstance(each, str) for each in options):
        raise DtypeError(f"{what}: options must be a tuple of str, as for CuPy, not {options!r}")
    if backend != "nvrtc":
        raise CompileError(
            f"{what}: backend is {backend!r}; the simulated device compiles with NVRTC. For another compiler's kernels,"
            " write its PTX to a file (nvcc -ptx) and pass RawModule(path=...)"
        )
    if jitify:
        raise CompileError(
            f"{what}: jitify is not simulated, and CuPy 15 drops it; include CUDA's own library instead, such as"
            " <cuda/std/type_traits> for <type_traits>"
        )
    return options


def as_cupy_compiles(options: Sequence[str]) -> tuple[str, ...]:
    """The options that reach NVRTC when CuPy is given `options`."""
    standard = () if any(map(_STANDARD.match, options)) else ("--std=c++17",)
    return (*(each for each in options if not _DROPPED.match(each)), *standard, *_OPTIONS_OF_CUPY)
