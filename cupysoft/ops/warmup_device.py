"""The device that kernels are compiled for ahead of time, and making them ready there."""

from __future__ import annotations

from collections.abc import Iterable

from cupysoft.errors import LaunchError, MissingDependencyError, NotCompiledError
from cupysoft.ops.targets import simulated_device
from cupysoft.runtime import cuda
from cupysoft.runtime.ahead import precompile
from cupysoft.runtime.plan import KernelRef

__all__ = ["current_arch", "make_ready"]


def current_arch(function: str) -> str:
    """Architecture of the simulated device around the call, or of CuPy's current one, if kernels can be loaded there.

    Raises
    ------
    LaunchError, NotCompiledError
        As `_check_the_device`.
    """
    device = simulated_device()
    if device is None:
        _check_the_device(function)
        device = cuda.CupyDevice()
    return str(device.arch)


def make_ready(kernels: Iterable[KernelRef], arch: str | None) -> bool:
    """Compile kernels for `arch`, or for the device of `current_arch`; tell whether they are loaded on CuPy's."""
    device = simulated_device()
    if arch is not None:
        precompile(kernels, arch)
    elif device is not None:
        precompile(kernels, device.arch, "ptx")
    else:
        cuda.CupyDevice().load(kernels)
        return True
    return False


def _check_the_device(function: str) -> None:
    """Check that there is a CUDA device, and that no graph is being captured.

    Raises
    ------
    LaunchError
        If there is no CUDA device.
    NotCompiledError
        If the current stream is capturing.
    """
    none = (
        f"{function}: no CUDA device to compile for; name an architecture, such as arch='sm_90', "
        "or call it inside cupysoft.simulator.Device()"
    )
    try:
        cupy = cuda.import_cupy()
        if not cupy.cuda.is_available():
            raise LaunchError(none)
    except MissingDependencyError as error:
        raise LaunchError(f"{none} ({error})") from error
    if cuda.CupyDevice().capturing:
        raise NotCompiledError(
            f"{function}: the current stream is capturing a graph, in which nothing can be compiled or loaded; "
            "call it before the capture"
        )
