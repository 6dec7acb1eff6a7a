"""The parameters of an ElementwiseKernel or ReductionKernel, as CuPy spells them, and the dtypes that they get."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DtypeError, LaunchError

__all__ = ["Parameter", "array_or_scalar", "checked_name", "ctype_of", "decide", "parsed", "scalar"]

_TYPES = {
    "bool": "bool",
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "int64": "long long",
    "uint64": "unsigned long long",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "float32": "float",
    "float64": "double",
    "complex64": "thrust::complex<float>",
    "complex128": "thrust::complex<double>",
}
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Parameters
    ----------
    name : str
        What the operation calls it.
    type : str
        Its C++ type, or a placeholder of one letter for whatever the arguments have.
    dtype : dtype or None
        Its dtype; None for a placeholder.
    raw : bool
        Whether the operation indexes it itself.
    const : bool
        Whether it is only read.
    """

    name: str
    type: str
    dtype: np.dtype[Any] | None
    raw: bool
    const: bool


def checked_name(name: str) -> str:
    """The name of a kernel, if C++ allows it."""
    if not _NAME.fullmatch(name):
        raise LaunchError(f"name must be that of a C++ function, not {name!r}")
    return name


def parsed(kernel: str, text: str, const: bool) -> tuple[Parameter, ...]:
    """Read parameters such as ``"float32 x, raw T table"``."""
    return tuple(_parameter(kernel, part, const) for part in text.strip().split(",")) if text else ()


def _parameter(kernel: str, text: str, const: bool) -> Parameter:
    words = text.split()
    marks = set(words[:-2])
    if len(words) < 2 or not _NAME.fullmatch(words[-1]) or not marks <= {"raw", "_non_const"}:
        raise LaunchError(
            f"{kernel}: {text!r} is no parameter; write a type and a name, such as 'float32 x', 'raw T y'"
        )
    type_, name = words[-2:]
    dtype = None if len(type_) == 1 else _dtype(kernel, type_)
    ctype = type_ if dtype is None else ctype_of(f"{kernel}: {name}", dtype)
    return Parameter(name, ctype, dtype, "raw" in marks, const and "_non_const" not in marks)


def _dtype(kernel: str, name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        try:
            import ml_dtypes
        except ImportError:
            raise DtypeError(f"{kernel}: bfloat16 needs ml_dtypes; pip install ml_dtypes") from None
        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    try:
        return np.dtype(name)
    except TypeError:
        raise DtypeError(
            f"{kernel}: {name!r} is neither a dtype nor a placeholder, which has one letter, such as T"
        ) from None


def ctype_of(what: str, dtype: np.dtype[Any]) -> str:
    """The C++ type of a dtype's elements."""
    found = _TYPES.get(dtype.name)
    if found is None:
        raise DtypeError(f"{what} has dtype {dtype}; there are {', '.join(_TYPES)}")
    return found


def decide(
    kernel: str, parameters: Sequence[Parameter], values: Sequence[Any], inputs: int
) -> tuple[list[np.dtype[Any]], dict[str, np.dtype[Any]]]:
    """The dtype of every parameter, and of every placeholder: arrays decide, outputs first; scalars never do.

    Parameters
    ----------
    kernel : str
        Name for messages.
    parameters : sequence of Parameter
        Inputs, then outputs.
    values : sequence
        Argument of each; None for an output that is still to be made.
    inputs : int
        How many are inputs.
    """
    placeholders: dict[str, np.dtype[Any]] = {}
    pairs = list(zip(parameters, values, strict=True))
    for parameter, value in pairs[inputs:] + pairs[:inputs]:
        if not isinstance(value, np.ndarray):
            continue
        ctype_of(f"{kernel}: {parameter.name}", value.dtype)
        if not value.dtype.isnative:
            raise DtypeError(
                f"{kernel}: {parameter.name} has dtype {value.dtype}, whose byte order neither this machine nor a GPU"
                f' has; pass it .astype("{value.dtype.name}")'
            )
        wanted = parameter.dtype or placeholders.setdefault(parameter.type, value.dtype)
        if value.dtype != wanted:
            raise DtypeError(f"{kernel}: {parameter.name} has dtype {value.dtype}, it must be {wanted}")
    for parameter in parameters:
        if parameter.dtype is None and parameter.type not in placeholders:
            raise DtypeError(
                f"{kernel}: nothing tells the dtype {parameter.type} of {parameter.name}; arrays decide, scalars do not"
            )
    return [each.dtype or placeholders[each.type] for each in parameters], placeholders


def array_or_scalar(what: str, value: Any) -> None:
    """Refuse what is neither an array nor a number."""
    if not isinstance(value, bool | int | float | complex | np.generic | np.ndarray):
        raise DtypeError(
            f"{what} is a {type(value).__module__}.{type(value).__qualname__}; it must be a NumPy array or a number"
        )


def scalar(what: str, value: Any, dtype: np.dtype[Any]) -> np.generic:
    """A Python or NumPy scalar as a value of a parameter's dtype, by NumPy's rules of assignment."""
    cell = np.zeros(1, dtype)
    try:
        if np.iscomplexobj(value) and dtype.kind != "c":
            raise TypeError("it has an imaginary part")
        with np.errstate(all="ignore"):
            cell[0] = value
    except (TypeError, ValueError, OverflowError) as error:
        raise DtypeError(f"{what} is {value!r}, which is no {dtype}: {error}") from error
    found: np.generic = cell[0]
    return found
