"""Whether there is a device, at this moment, that kernels can be compiled for and loaded on."""

from __future__ import annotations

from cupysoft.errors import LaunchError, MissingDependencyError, NotCompiledError
from cupysoft.runtime import cuda

__all__ = ["check_the_device"]


def check_the_device(function: str) -> None:
    """Check that there is one, and that no graph is being captured.

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
