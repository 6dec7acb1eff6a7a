"""The headers that CuPy puts in reach of every kernel it compiles, found without importing CuPy.

A kernel that was written for CuPy may include ``cupy/complex.cuh``, or a C++ library in the version that CuPy brings
along. Where CuPy is installed, such a kernel is compiled against the same files here as on a GPU.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from cupysoft.runtime.toolchain import toolchain

__all__ = ["CupyHeaders", "cupy_headers", "headers_of"]

_VERSION = re.compile(r"__version__\s*=\s*['\"]([^'\"]+)")
_LIBRARIES = ("cub", "thrust", "libcudacxx")


@dataclass(frozen=True)
class CupyHeaders:
    """Folders of headers, in CuPy's order.

    Parameters
    ----------
    version : str
        Version of CuPy; ``""`` where it is not installed.
    before : tuple of Path
        Folders that are searched before those that the options name: CuPy's copy of CUDA's C++ libraries.
    after : tuple of Path
        Folders that are searched after them: CuPy's own headers, and CUDA's.
    """

    version: str
    before: tuple[Path, ...]
    after: tuple[Path, ...]


@functools.cache
def cupy_headers() -> CupyHeaders:
    """The folders of this process; without CuPy those of the CUDA headers alone."""
    return headers_of(_folder_of_cupy(), toolchain().headers)


def headers_of(cupy: Path | None, cuda: tuple[Path, ...]) -> CupyHeaders:
    """The folders for a CuPy in the folder `cupy`, with the CUDA headers in `cuda`."""
    own = cupy / "_core" / "include" if cupy is not None else None
    if cupy is None or own is None or not (own / "cupy" / "carray.cuh").is_file():
        return CupyHeaders("", (), cuda)
    version = _VERSION.search((cupy / "_version.py").read_text())
    before = tuple(folder for name in _LIBRARIES if (folder := own / "cupy" / "_cccl" / name).is_dir())
    # Two versions of these libraries do not mix: a folder that holds them alone is left out.
    rest = tuple(folder for folder in cuda if not before or (folder / "cuda_runtime_api.h").is_file())
    return CupyHeaders(version[1] if version else "unknown", before, (own, *rest))


def _folder_of_cupy() -> Path | None:
    """Folder of the installed package; whatever stands in for it in ``sys.modules`` is not asked."""
    spec = PathFinder.find_spec("cupy")
    locations = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(locations))) if locations else None
