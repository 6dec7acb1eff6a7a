"""The arguments of an ElementwiseKernel or ReductionKernel in one shape: inputs broadcast, outputs made or checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DtypeError, OutError, ShapeError
from . import fresh
from .device import checked
from .signature import Parameter, scalar

__all__ = ["broadcast", "handed_out", "made", "spread"]


def broadcast(kernel: str, parameters: tuple[Parameter, ...], values: list[Any], size: int | None) -> tuple[int, ...]:
    """The shape that all arrays have which are not raw, or the size that is given in its place."""
    pairs = zip(parameters, values, strict=True)
    shapes = [value.shape for each, value in pairs if isinstance(value, np.ndarray) and not each.raw]
    if size is not None:
        if shapes or size < 0:
            raise ShapeError(f"{kernel}: size={size} was given; it must be 0 or more, and every array must be raw")
        return (size,)
    if not shapes:
        raise ShapeError(f"{kernel}: no array tells how many elements there are; give size=")
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{kernel}: arrays of shapes {shapes} do not broadcast") from None


def spread(
    kernel: str,
    parameters: tuple[Parameter, ...],
    values: list[Any],
    types: list[np.dtype[Any]],
    shape: tuple[int, ...],
) -> list[Any]:
    """The inputs: arrays seen in the common shape, numbers as values of their parameter's dtype."""
    found = []
    for parameter, value, dtype in zip(parameters, values, types, strict=False):
        if not isinstance(value, np.ndarray):
            value = scalar(f"{kernel}: {parameter.name}", value, dtype)
        elif not parameter.raw and value.shape != shape:
            value = np.broadcast_to(value, shape)
        found.append(value)
    return found


def made(
    kernel: str,
    parameters: tuple[Parameter, ...],
    values: list[Any],
    types: list[np.dtype[Any]],
    shape: tuple[int, ...],
    sized: bool,
) -> list[Any]:
    """The outputs: those given, or new ones."""
    found = []
    for parameter, value, dtype in zip(parameters, values, types, strict=True):
        what = f"{kernel}: output {parameter.name}"
        if value is None:
            if parameter.raw and not sized:
                raise ShapeError(f"{what} is raw, so nothing tells its shape; pass it, or give size=")
            value = fresh.empty(shape, dtype) if checked() else np.empty(shape, dtype)
        elif not isinstance(value, np.ndarray):
            raise DtypeError(f"{what} must be a NumPy array, not a {type(value).__qualname__}")
        elif not parameter.raw and value.shape != shape:
            raise ShapeError(f"{what} has shape {value.shape}, it must be {shape}")
        elif not value.flags.writeable:
            raise OutError(f"{what} is read-only")
        found.append(value)
    return found


def handed_out(kernel: str, parameters: tuple[Parameter, ...], given: list[Any], outputs: list[Any]) -> None:
    """Look whether new outputs are complete, before the host gets them; of raw ones it may want a part."""
    for parameter, value, output in zip(parameters, given, outputs, strict=True):
        if value is None:
            if not parameter.raw:
                fresh.require_written(kernel, parameter.name, output)
            fresh.forget(output)
