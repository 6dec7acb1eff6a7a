"""Does a step fit its kernel and its device? Asked before any launch, for neither CuPy nor the driver asks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cupysoft.errors import LaunchError
from cupysoft.runtime.limits import Limits
from cupysoft.runtime.parameters import Parameter
from cupysoft.runtime.plan import Argument, Step

__all__ = ["check_arguments", "check_extents"]

_POINTER_BYTES = 8
_AXES = "xyz"


def check_extents(step: Step, limits: Limits, static_shared: int = 0, threads_of_kernel: int = 1024) -> None:
    """Hold grid, block and shared memory against what the device allows.

    Parameters
    ----------
    step : Step
        What is to be launched.
    limits : Limits
        What the device allows.
    static_shared : int
        Bytes of shared memory that the kernel declares itself.
    threads_of_kernel : int
        Threads that a block of this kernel can have, with the registers that it takes.

    Raises
    ------
    LaunchError
        If one of them is too large, or not positive.
    """
    for what, extents, greatest in (("grid", step.grid, limits.grid), ("block", step.block, limits.block)):
        for axis, extent, most in zip(_AXES, extents, greatest, strict=True):
            if not 1 <= extent <= most:
                raise LaunchError(f"{step.kernel.name}: {what}.{axis} is {extent}; it must be from 1 to {most}")
    threads, most = math.prod(step.block), min(limits.threads, threads_of_kernel)
    if threads > most:
        raise LaunchError(
            f"{step.kernel.name}: a block of {step.block} has {threads} threads; this kernel can have {most} here"
        )
    if step.shared < 0 or step.shared + static_shared > limits.shared:
        raise LaunchError(
            f"{step.kernel.name}: {step.shared} bytes of dynamic and {static_shared} of static shared memory "
            f"were asked for; the device has {limits.shared} for a block"
        )


def check_arguments(step: Step, parameters: Sequence[Parameter], roles: frozenset[str] | set[str]) -> None:
    """Hold the arguments against the kernel's parameters: how many, how large, of what kind.

    Parameters
    ----------
    step : Step
        What is to be launched.
    parameters : sequence of Parameter
        What the kernel takes.
    roles : set of str
        Names of arrays that are bound.

    Raises
    ------
    LaunchError
        If they do not fit.
    """
    if len(step.args) != len(parameters):
        raise LaunchError(f"{step.kernel.name}: {len(step.args)} arguments for {len(parameters)} parameters")
    for position, (argument, parameter) in enumerate(zip(step.args, parameters, strict=True)):
        came = _mismatch(argument, parameter, roles)
        if came:
            raise LaunchError(
                f"{step.kernel.name}: argument {position} is {came}; the kernel takes {_described(parameter)}"
            )


def _mismatch(argument: Argument, parameter: Parameter, roles: frozenset[str] | set[str]) -> str:
    """What an argument is, where that does not fit; else ``""``."""
    if isinstance(argument, str):
        if argument not in roles:
            return f"the array {argument!r}, which nothing is bound to (there are {', '.join(sorted(roles))})"
        pointer = parameter.size == _POINTER_BYTES and not parameter.floating and not parameter.structure
        return "" if pointer else f"the array {argument!r}"
    if not isinstance(argument, np.generic):
        return f"a {type(argument).__name__}, not a NumPy scalar"
    kind = argument.dtype.kind
    # bfloat16 counts as plain bytes to NumPy ("V"), as it does to PTX
    floating = kind == "f" and argument.dtype.itemsize > 2
    whole = kind in "iub"
    fits = argument.dtype.itemsize == parameter.size and not (
        (parameter.floating and not floating)
        or (parameter.structure and whole)
        or (not parameter.floating and not parameter.structure and not whole)
    )
    return "" if fits else f"a {argument.dtype} of {argument.dtype.itemsize} bytes"


def _described(parameter: Parameter) -> str:
    if parameter.structure:
        return f"a structure of {parameter.size} bytes"
    if parameter.floating:
        return f"a floating-point number of {parameter.size} bytes"
    return f"{'a pointer or ' if parameter.size == _POINTER_BYTES else ''}an integer of {parameter.size} bytes"
