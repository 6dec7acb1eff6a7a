"""What users pass, turned into arrays and checked before anything is computed or written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from cupysoft.arrays import accepted_dtype, common_dtype
from cupysoft.errors import ArgumentError, OutError, ShapeError

__all__ = [
    "Owner",
    "address",
    "broadcast_shape",
    "checked_out",
    "is_fast",
    "is_weak",
    "operand_dtype",
    "same_view",
]

# Steps that NumPy may spend on deciding whether two views share an element, before they count as sharing.
OVERLAP_WORK = 10_000


class Owner(Protocol):
    """The part of a target that these checks need: who owns the arrays of a call."""

    @property
    def kind(self) -> str:
        """What its arrays are called in messages."""

    def own(self, value: object) -> Any | None:
        """Give `value` as an array of this owner without a copy, or None."""


def is_weak(value: object) -> bool:
    """Whether `value` is a Python scalar, which widens no array that it meets; np.float64 is a float, but typed."""
    return isinstance(value, (bool, int, float, complex)) and not isinstance(value, np.generic)


def operand_dtype(function: str, operands: Sequence[tuple[str, object, Any]], *, complex_too: bool) -> np.dtype[Any]:
    """Give the one dtype in which a call computes.

    Parameters
    ----------
    function : str
        Its name, for messages.
    operands : sequence of (name, value as it came, array)
    complex_too : bool
        Whether complex types are taken.
    """
    dtypes: list[Any] = []
    for name, value, array in operands:
        accepted = accepted_dtype(function, name, array.dtype, complex_too=complex_too)
        dtypes.append(value if is_weak(value) else array.dtype)
    if len(operands) == 1 and dtypes[0] is not operands[0][1]:
        return accepted
    return accepted_dtype(function, operands[0][0], common_dtype(*dtypes), complex_too=complex_too)


def broadcast_shape(function: str, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Broadcast the shapes of named arguments.

    Raises
    ------
    ShapeError
        If they do not fit.
    """
    # By hand, for NumPy's own stops at 32 axes, where its arrays have up to 64.
    ndim = max(map(len, shapes.values()))
    sizes = zip(*((1,) * (ndim - len(shape)) + shape for shape in shapes.values()), strict=True)
    joint = [set(along) - {1} or {1} for along in sizes]
    if any(len(different) > 1 for different in joint):
        came = " and ".join(f"{name} has shape {shape}" for name, shape in shapes.items())
        raise ShapeError(
            f"{function}: {came}; they must broadcast: counted from the last axis, sizes equal or one of them 1"
        )
    return tuple(size for (size,) in joint)


def checked_out(
    function: str, argument: str, out: object, owner: Owner, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """Give `out` as an array that the call may write to.

    Raises
    ------
    OutError
        If its kind, shape or dtype differs from the result's, or it is read-only, or its elements share memory.
    """
    expected = f"expected {owner.kind} of shape {shape} and dtype {dtype.name}, or None for a new one"
    array = owner.own(out)
    if array is None:
        raise OutError(f"{function}: {argument} is {_described(out)}; {expected}")
    if tuple(array.shape) != shape:
        raise OutError(f"{function}: {argument} has shape {tuple(array.shape)}; {expected}")
    if array.dtype != dtype:
        order = "" if array.dtype.isnative else " in foreign byte order"
        raise OutError(f"{function}: {argument} has dtype {array.dtype.name}{order}; {expected}")
    if _read_only(out, array):
        raise OutError(f"{function}: {argument} is read-only; {expected}")
    if _shares_with_itself(array):
        raise OutError(
            f"{function}: {argument} has strides {tuple(array.strides)}, which put several elements at one address; "
            f"{expected}"
        )
    return array


def _read_only(value: object, array: Any) -> bool:
    """Whether NumPy, or the library that `value` is from, forbids to write to it; CuPy forbids nothing."""
    if isinstance(array, np.ndarray):
        return not array.flags.writeable
    interface = None if array is value else getattr(value, "__cuda_array_interface__", None)
    return interface is not None and bool(interface["data"][1])


def _described(value: object) -> str:
    """Name the type of `value`, and where it lies when that is the point."""
    kind = type(value)
    return f"an object of type {kind.__module__}.{kind.__qualname__}"


def _shares_with_itself(array: Any) -> bool:
    """Whether two elements may lie at one address: a stride does not step over all that the smaller strides reach."""
    if array.size <= 1:
        return False
    reach = int(array.dtype.itemsize)
    for stride, size in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride < reach:
            return True
        reach += stride * (size - 1)
    return False


def same_view(x: Any, out: Any) -> bool:
    """Whether `out` is `x` itself: the same elements in the same order, which every kernel may overwrite in place."""
    return bool(
        address(x) == address(out) and x.shape == out.shape and x.strides == out.strides and x.dtype == out.dtype
    )


def address(array: Any) -> int:
    """Address of the first element."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def is_fast(function: str, precision: object) -> bool:
    """Whether results may be a few ulp from the truth; else they are correctly rounded."""
    if precision not in ("exact", "fast"):
        raise ArgumentError(f'{function}: precision is {precision!r}; expected "exact" or "fast"')
    return precision == "fast"
