"""Packs the arguments of a launch into the bytes that a kernel reads, and says which memory they give it.

The rules are CuPy's: an array is a pointer to its first element, a Python ``int`` is a ``long long``, a ``float`` a
``double``, ``bool`` and ``complex`` what they are in C++, a NumPy scalar its own bytes, and a structured scalar
(``np.void``) a structure by value. So is an array where the kernel takes a structure: to CuPy, arrays in the host's
memory are values. CuPy checks nothing; here count, size and kind are held against the kernel's parameters, and a
mistake is a `LaunchError` before anything runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..errors import LaunchError

__all__ = ["Binding", "Parameter", "Region", "bind", "pack"]

_POINTER = 8
_NUMPY_ALIGNMENT = 16


class Parameter(Protocol):
    """What a parameter of a kernel has to tell: its place in the parameter block and its PTX type."""

    @property
    def name(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def type(self) -> str: ...


@dataclass(frozen=True)
class Region:
    """Host memory that a kernel may touch.

    Parameters
    ----------
    label : str
        How reports and errors call it.
    address : int
        Lowest host address of its bytes.
    size : int
        Bytes from the lowest to the highest.
    start : int
        Bytes from the lowest to the first element; not zero where a stride is negative.
    writable : bool
        False for a read-only array.
    itemsize : int
        Bytes of an element, 0 where that is not known.
    placement : int
        Where it would begin if the memory it lies in began at a multiple of 256, as a GPU's does. NumPy begins memory
        at multiples of 16; so what is counted does not depend on chance.
    footprint : int
        Bytes of all elements: what one walk over the array touches. A view with gaps has less than ``size``, a
        broadcast view more.
    """

    label: str
    address: int
    size: int
    start: int
    writable: bool
    itemsize: int
    placement: int
    footprint: int


@dataclass(frozen=True)
class Binding:
    """The arguments of one launch: a region where a parameter is a pointer, else the bytes themselves."""

    parameters: tuple[Parameter, ...]
    values: tuple[Region | bytes, ...]

    @property
    def regions(self) -> tuple[Region, ...]:
        """The arrays among the arguments, in order."""
        return tuple(value for value in self.values if isinstance(value, Region))


def bind(
    kernel: str, parameters: Sequence[Parameter], args: Sequence[object], labels: Sequence[str] | None = None
) -> Binding:
    """Check arguments against the parameters of a kernel.

    Parameters
    ----------
    kernel : str
        Name for messages.
    parameters : sequence of Parameter
        What the kernel takes.
    args : sequence
        What the caller gave.
    labels : sequence of str, optional
        Names of the arguments for messages and reports; by default ``"argument 0"`` and so on.

    Raises
    ------
    LaunchError
        The number of arguments, the size or the kind of one does not fit.
    """
    if len(args) != len(parameters):
        raise LaunchError(
            f"{kernel}: {len(args)} arguments were given, but the kernel has {len(parameters)} parameters"
            f" ({', '.join(_describe(parameter) for parameter in parameters)})"
        )
    values = []
    for position, (parameter, argument) in enumerate(zip(parameters, args, strict=True)):
        label = labels[position] if labels is not None else f"argument {position}"
        values.append(_convert(f"{kernel}: {label}", label, parameter, argument))
    return Binding(tuple(parameters), tuple(values))


def pack(binding: Binding, addresses: Sequence[int]) -> bytes:
    """Lay out the parameter block; ``addresses`` gives what the kernel gets for each region, in order."""
    last = binding.parameters[-1] if binding.parameters else None
    block = bytearray(last.offset + last.size if last is not None else 0)
    remaining = iter(addresses)
    for parameter, value in zip(binding.parameters, binding.values, strict=True):
        raw = next(remaining).to_bytes(_POINTER, "little") if isinstance(value, Region) else value
        block[parameter.offset : parameter.offset + parameter.size] = raw
    return bytes(block)


def _convert(where: str, label: str, parameter: Parameter, argument: object) -> Region | bytes:
    if isinstance(argument, np.ndarray | np.generic) and not argument.dtype.isnative:
        raise LaunchError(
            f"{where} has dtype {argument.dtype}, whose byte order neither this machine nor a GPU has; pass it"
            ' .astype(dtype.newbyteorder("=")), or a view of its bytes'
        )
    if isinstance(argument, np.ndarray):
        if parameter.type == "b8":
            return _structure(where, parameter, argument)
        if parameter.size != _POINTER or parameter.type.startswith("f"):
            raise LaunchError(f"{where} is an array, but the kernel takes {_describe(parameter)} there, no pointer")
        return _region(where, label, argument)
    # bool before int, and NumPy scalars before the Python classes that some of them derive from.
    if isinstance(argument, np.generic):
        return _scalar(where, parameter, argument)
    if isinstance(argument, bool):
        return _scalar(where, parameter, np.bool_(argument))
    if isinstance(argument, int):
        return _integer(where, parameter, argument)
    if isinstance(argument, float):
        return _scalar(where, parameter, np.float64(argument))
    if isinstance(argument, complex):
        return _scalar(where, parameter, np.complex128(argument))
    if argument is None:
        return _integer(where, parameter, 0)
    kind = type(argument)
    if kind.__name__.startswith(("Texture", "Surface")):
        raise LaunchError(
            f"{where} is a {kind.__module__}.{kind.__qualname__}; textures and surfaces are not simulated"
        )
    raise LaunchError(
        f"{where} is a {kind.__module__}.{kind.__qualname__}; the simulated device takes NumPy"
        " arrays, NumPy scalars (np.void for a structure), int, float, complex, bool, or None for a null pointer"
    )


def _region(where: str, label: str, array: np.ndarray[Any, Any]) -> Region:
    if array.dtype.hasobject:
        raise LaunchError(f"{where} has dtype {array.dtype}; Python objects cannot be handed to a kernel")
    first = array.__array_interface__["data"][0]
    # Most arrays are contiguous, and then this is a tenth of the work.
    low, high = (first, first + array.nbytes) if array.flags.forc or not array.size else byte_bounds(array)
    return Region(
        label=label,
        address=low,
        size=high - low,
        start=first - low,
        writable=bool(array.flags.writeable),
        itemsize=array.itemsize,
        placement=_placement(array, low),
        footprint=array.nbytes,
    )


def _placement(array: np.ndarray[Any, Any], low: int) -> int:
    """Address of an array, had the array that owns its memory begun at a multiple of 256."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    begin: int = owner.__array_interface__["data"][0]
    return low - begin if begin % _NUMPY_ALIGNMENT == 0 else low


def _integer(where: str, parameter: Parameter, value: int) -> bytes:
    """A Python int: eight bytes, or fewer where the parameter is a narrower integer and the value fits.

    CuPy packs eight bytes and the driver reads as many as the parameter has, which gives the same number.
    """
    bits = 8 * parameter.size
    if parameter.type.startswith("f") or parameter.size > _POINTER:
        raise LaunchError(f"{where} is the int {value}, but the kernel takes {_describe(parameter)}")
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise LaunchError(f"{where} is the int {value}, which does not fit {_describe(parameter)}")
    return (value & ((1 << bits) - 1)).to_bytes(parameter.size, "little")


def _structure(where: str, parameter: Parameter, array: np.ndarray[Any, Any]) -> bytes:
    """An array whose bytes are a structure."""
    if array.dtype.hasobject or array.nbytes != parameter.size:
        raise LaunchError(
            f"{where} is an array of {array.nbytes} bytes and dtype {array.dtype}, but the kernel takes"
            f" {_describe(parameter)} by value"
        )
    return array.tobytes()


def _scalar(where: str, parameter: Parameter, value: np.generic) -> bytes:
    raw = value.tobytes()
    kind = value.dtype.kind
    mixed = (kind == "f" and parameter.type[0] in "us") or (kind in "iub" and parameter.type.startswith("f"))
    if len(raw) != parameter.size or mixed:
        raise LaunchError(
            f"{where} is {_article(value.dtype.name)} of {len(raw)} bytes, but the kernel takes {_describe(parameter)};"
            " pass a NumPy scalar of the parameter's own type"
        )
    return raw


def _describe(parameter: Parameter) -> str:
    noun = {"u": "integer", "s": "integer", "f": "floating-point number"}.get(parameter.type[0], "structure")
    if parameter.type == "u64":
        noun = "pointer or integer"
    return f"{_article(noun)} of {parameter.size} bytes"


def _article(noun: str) -> str:
    return f"an {noun}" if noun.startswith("int") else f"a {noun}"
