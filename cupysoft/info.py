"""What this machine has: versions, devices, the compiler and the cache, as plain values."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from cupysoft.errors import CupysoftError, MissingDependencyError
from cupysoft.runtime.cache import cache

__all__ = ["collect"]

_PACKAGES = ("numpy", "scipy", "ml_dtypes", "python-flint", "llvmlite", "cuda-bindings", "hypothesis", "torch")
_CUPY_WHEELS = ("cupy-cuda13x", "cupy-cuda12x", "cupy")


def collect() -> dict[str, Any]:
    """Gather everything that ``python -m cupysoft info`` shows.

    Returns
    -------
    dict
        Sections ``versions``, ``devices``, ``nvrtc`` and ``cache``, of strings, numbers, lists and None only.
    """
    store = cache()
    return {
        "versions": _versions(),
        "devices": {"host": _host(), "simulated": _simulated(), "gpu": _gpus()},
        "nvrtc": _nvrtc(),
        "cache": {"folder": None if store.folder is None else str(store.folder), "bytes": store.size()},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str | None]:
    from cupysoft import __version__

    cupy = next((version for version in map(_version, _CUPY_WHEELS) if version), None)
    found = {package: _version(package) for package in _PACKAGES}
    return {"cupysoft": __version__, "python": platform.python_version(), **found, "cupy": cupy}


def _host() -> str:
    return f"{platform.machine()}, {os.cpu_count()} threads"


def _simulated() -> str:
    """Whether CUDA kernels can run on this CPU, or what is missing."""
    from cupysoft.simulator.llvm import binding

    try:
        llvm = binding()
    except MissingDependencyError as error:
        return f"not available: {error}"
    return f"LLVM {'.'.join(map(str, llvm.llvm_version_info))} for {llvm.get_host_cpu_name()}"


def _gpus() -> list[str]:
    """Names of the CUDA devices that CuPy sees."""
    try:
        import cupy
    except ImportError:
        return []
    if not cupy.cuda.is_available():
        return []
    count = cupy.cuda.runtime.getDeviceCount()
    properties = (cupy.cuda.runtime.getDeviceProperties(number) for number in range(count))
    return [f"{each['name'].decode()} (sm_{each['major']}{each['minor']})" for each in properties]


def _nvrtc() -> dict[str, Any]:
    try:
        from cupysoft.runtime import nvrtc

        version = ".".join(map(str, nvrtc.version()))
        return {"version": version, "architectures": list(nvrtc.architectures())}
    except CupysoftError as error:
        return {"version": None, "missing": str(error)}
