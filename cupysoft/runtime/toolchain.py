"""Which compiler and which headers a compilation would use, found without loading them.

What is found here goes into the key of a compilation, so that an upgrade compiles anew. A warm start looks at folder
names only; neither NVRTC nor its bindings are loaded.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Toolchain", "header_folders", "toolchain"]

# The wheels that decide what a compilation gives, as pip names their folders.
_WHEELS = re.compile(
    r"(cuda_bindings|nvidia_cuda_nvrtc(?:_cu1\d)?|nvidia_cuda_runtime(?:_cu1\d)?|nvidia_cuda_cccl(?:_cu1\d)?)-([\w.]+)"
    r"\.dist-info$"
)
_VERSION = re.compile(r"#define\s+CUDART_VERSION\s+(\d+)")
_NEWEST_MAJOR, _OLDEST_MAJOR = 19, 12  # layouts nvidia/cu19 ... nvidia/cu13, and that of CUDA 12


@dataclass(frozen=True)
class Toolchain:
    """What compiles here.

    Parameters
    ----------
    identity : str
        Versions of everything that decides the outcome; ``""`` where no compiler was found.
    headers : tuple of Path
        Folders of the CUDA headers, in the order they are searched.
    """

    identity: str
    headers: tuple[Path, ...]


@functools.cache
def toolchain() -> Toolchain:
    """The compiler and headers of this process."""
    places = _namespace("nvidia")
    wheels = _wheels(places + _namespace("cuda"))
    names = {name.split("_cu1")[0] for name, _ in wheels}
    major = next((version.split(".")[0] for name, version in wheels if name == "cuda_bindings"), "")
    headers = header_folders(places, int(major) if major.isdecimal() else None)
    known = [f"{name} {version}" for name, version in wheels]
    if "cuda_bindings" not in names:
        return Toolchain("", headers)
    if "nvidia_cuda_nvrtc" not in names:
        library = _library_in_toolkits() or _library_by_loading()
        if not library:
            return Toolchain("", headers)
        known.append(library)
    if "nvidia_cuda_runtime" not in names:
        known += [f"headers {_header_version(folder)}" for folder in headers]
    return Toolchain("; ".join(known), headers)


def header_folders(namespace: tuple[Path, ...], major: int | None) -> tuple[Path, ...]:
    """Folders with CUDA's headers: of the wheels, of a toolkit, or wherever NVIDIA's own finder sees them.

    Parameters
    ----------
    namespace : tuple of Path
        Folders of the ``nvidia`` package.
    major : int or None
        CUDA version of the bindings; headers of another major version are not for its compiler.
    """
    majors = range(_NEWEST_MAJOR, _OLDEST_MAJOR - 1, -1) if major is None else (major,)
    candidates: list[Path] = []
    for place in namespace:
        for number in majors:
            candidates.append(place / f"cu{number}" / "include")
            if number == _OLDEST_MAJOR:
                candidates += [place / "cuda_runtime" / "include", place / "cuda_cccl" / "include"]
    candidates += [root / "include" for root in _toolkits()]
    found = _with_libraries(candidates)
    if not any((folder / "cuda_fp16.h").is_file() for folder in found):
        found += _with_libraries(_asked_of_pathfinder())
    return tuple(dict.fromkeys(found))


def _with_libraries(candidates: list[Path]) -> list[Path]:
    """The folders that exist, the first that has the runtime's headers, each followed by its C++ library folder."""
    found: list[Path] = []
    runtime = False
    for folder in candidates:
        is_runtime = (folder / "cuda_runtime_api.h").is_file()
        if (is_runtime and runtime) or not folder.is_dir():
            continue
        runtime = runtime or is_runtime
        found.append(folder)
        if (folder / "cccl").is_dir():
            found.append(folder / "cccl")
    return found


def _asked_of_pathfinder() -> list[Path]:
    """What `cuda.pathfinder` knows of conda and system folders; slower to ask, so asked last."""
    try:
        from cuda.pathfinder import find_nvidia_header_directory
    except ImportError:
        return []
    found = (find_nvidia_header_directory(name) for name in ("cudart", "cccl"))
    return [Path(folder) for folder in found if folder]


def _namespace(name: str) -> tuple[Path, ...]:
    """Folders of a namespace package, without importing it."""
    spec = importlib.util.find_spec(name)
    locations = spec.submodule_search_locations if spec is not None else None
    return tuple(Path(location) for location in locations or ())


def _wheels(places: tuple[Path, ...]) -> list[tuple[str, str]]:
    """Names and versions of the installed wheels that matter, from the names of pip's folders."""
    found: set[tuple[str, str]] = set()
    for site in dict.fromkeys(place.parent for place in places):
        try:
            entries = os.listdir(site)
        except OSError:
            continue
        found.update((match[1], match[2]) for match in map(_WHEELS.match, entries) if match)
    return sorted(found)


def _toolkits() -> list[Path]:
    """Roots of CUDA toolkits that the environment names."""
    named = [os.environ.get("CUDA_PATH"), os.environ.get("CUDA_HOME")]
    conda = os.environ.get("CONDA_PREFIX")
    roots = [Path(root) for root in named if root]
    if conda:
        roots += [Path(conda) / "targets" / "x86_64-linux", Path(conda)]
    return roots


def _library_in_toolkits() -> str:
    """File name and size of NVRTC in a toolkit, enough to tell one release from another."""
    pattern = "nvrtc64_*.dll" if sys.platform == "win32" else "libnvrtc.so*"
    for root in _toolkits():
        for folder in ("lib64", "lib", "bin"):
            for path in sorted((root / folder).glob(pattern)):
                real = path.resolve()
                return f"{real.name} {real.stat().st_size}"
    return ""


def _library_by_loading() -> str:
    """Version of whatever NVRTC the bindings find; the slow way, for a library outside wheels and named toolkits."""
    from cupysoft.errors import MissingDependencyError
    from cupysoft.runtime.nvrtc import version

    try:
        return "nvrtc {}.{}".format(*version())
    except MissingDependencyError:
        return ""


def _header_version(folder: Path) -> str:
    try:
        match = _VERSION.search((folder / "cuda_runtime_api.h").read_text(errors="replace"))
    except OSError:
        return "unknown"
    return match[1] if match else "unknown"
