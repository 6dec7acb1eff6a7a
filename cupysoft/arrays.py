"""Which library an array is from, dtype rules, and any axis turned into rows and columns of a strided view."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cupysoft.errors import AxisError, DtypeError

__all__ = [
    "MAX_AXES",
    "Axis",
    "Layout",
    "accepted_dtype",
    "common_dtype",
    "is_bfloat16",
    "layout",
    "library_of",
    "normalize_axes",
    "real_dtype",
]

MAX_AXES = 6
"""Batch axes, and reduced axes, that a kernel takes after coalescing."""

# DLPack's numbers of the device kinds whose memory a CUDA kernel reads: CUDA, and CUDA managed.
_DLPACK_CUDA = (2, 13)
_REAL = (np.float16, np.float32, np.float64)
_COMPLEX = (np.complex64, np.complex128)
_SCALARS = (bool, int, float, complex)


@dataclass(frozen=True)
class Axis:
    """One axis seen jointly by several arrays.

    Attributes
    ----------
    size : int
        Number of elements along the axis.
    strides : tuple of int
        One stride for each array, in elements; 0 where the array does not change along the axis.
    """

    size: int
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Rows and columns of a strided view: each batch index is a row, each reduced index a column.

    Attributes
    ----------
    batch, reduced : tuple of Axis
        Axes that are kept and axes that are reduced, the innermost (smallest stride) last, none of size 1.
    rows, columns : int
        Products of their sizes.
    """

    batch: tuple[Axis, ...]
    reduced: tuple[Axis, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return math.prod(axis.size for axis in self.batch)

    @property
    def columns(self) -> int:
        """Number of elements in a row."""
        return math.prod(axis.size for axis in self.reduced)


def layout(shape: Sequence[int], reduced: Iterable[int], strides: Sequence[Sequence[int]]) -> Layout:
    """Turn a shape with reduced axes into rows and columns.

    Parameters
    ----------
    shape : sequence of int
    reduced : iterable of int
        Axes to reduce, each in ``range(len(shape))``.
    strides : sequence of sequences of int
        For each array its strides over `shape`, in elements. The first array decides the order of the axes.

    Returns
    -------
    Layout

    Notes
    -----
    Axes of size 1 are dropped. The axes of each group are ordered by falling stride of the first array, so that a
    transposed view is walked in the order of its memory, and neighbours are joined where every array allows it.

    Examples
    --------
    The last axis of a contiguous array: the two batch axes are one.

    >>> layout((2, 3, 4), [2], [(12, 4, 1)])
    Layout(batch=(Axis(size=6, strides=(4,)),), reduced=(Axis(size=4, strides=(1,)),))
    """
    chosen = frozenset(reduced)
    axes = [Axis(size, tuple(s[i] for s in strides)) for i, size in enumerate(shape)]
    batch = [axis for i, axis in enumerate(axes) if i not in chosen]
    columns = [axis for i, axis in enumerate(axes) if i in chosen]
    return Layout(_joined(batch), _joined(columns))


def _joined(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """Drop axes of size 1, order the rest by falling stride, and join neighbours."""
    # Where the first array stands still, as a broadcast one does, the next decides.
    ordered = sorted((axis for axis in axes if axis.size != 1), key=lambda axis: [-abs(s) for s in axis.strides])
    result: list[Axis] = []
    for inner in ordered:
        if result and _adjacent(result[-1], inner):
            result[-1] = Axis(result[-1].size * inner.size, inner.strides)
        else:
            result.append(inner)
    return tuple(result)


def _adjacent(outer: Axis, inner: Axis) -> bool:
    """Whether one step along `outer` is the same as `inner.size` steps along `inner`, for every array."""
    return all(o == inner.size * i for o, i in zip(outer.strides, inner.strides, strict=True))


def library_of(value: object) -> Literal["numpy", "cupy", "cuda"]:
    """Name the library that computes with `value`, without importing CuPy.

    Returns
    -------
    str
        ``"cupy"`` for a CuPy array, ``"cuda"`` for another library's array on a CUDA device (it has ``__dlpack__`` or
        ``__cuda_array_interface__``), ``"numpy"`` for all that NumPy can turn into an array.
    """
    if isinstance(value, (np.ndarray, np.generic, list, tuple, *_SCALARS)):
        return "numpy"
    # Without a class where another thread is in the middle of importing CuPy.
    cupy_array = getattr(sys.modules.get("cupy"), "ndarray", None)
    if cupy_array is not None and isinstance(value, cupy_array):
        return "cupy"
    dlpack_device = getattr(value, "__dlpack_device__", None)
    if callable(dlpack_device):
        return "cuda" if dlpack_device()[0] in _DLPACK_CUDA else "numpy"
    return "cuda" if hasattr(value, "__cuda_array_interface__") else "numpy"


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether `dtype` is the bfloat16 of ml_dtypes; asked by name, so that ml_dtypes stays optional."""
    return dtype.itemsize == 2 and dtype.type.__name__ == "bfloat16"


def accepted_dtype(function: str, argument: str, dtype: np.dtype[Any], *, complex_too: bool) -> np.dtype[Any]:
    """Give the native dtype in which an argument of type `dtype` is computed.

    Floating types stay, integers and bool become float64.

    Raises
    ------
    DtypeError
        For any other type, such as longdouble, object, strings and dates, and complex unless `complex_too`.
    """
    if is_bfloat16(dtype):
        return dtype
    if dtype.kind in "biu":
        return np.dtype(np.float64)
    if dtype.type in _REAL or (complex_too and dtype.type in _COMPLEX):
        return dtype.newbyteorder("=")
    allowed = "float16, bfloat16, float32, float64, " + ("complex64, complex128, " if complex_too else "")
    raise DtypeError(
        f"{function}: {argument} has dtype {dtype.name}; expected {allowed}integers or bool. "
        + _way_out(argument, dtype, complex_too)
    )


def _way_out(argument: str, dtype: np.dtype[Any], complex_too: bool) -> str:
    """Say how an array of a type that is not taken is made one that is."""
    if dtype.names:
        return f"Name one of its fields, such as {argument}[{dtype.names[0]!r}]"
    if dtype.kind == "c" and not complex_too:
        return f"Make it real first, for example numpy.abs({argument}) or {argument}.real"
    wide = "complex128" if dtype.kind == "c" else "float64"
    return f"Convert it first, for example with {argument}.astype('{wide}')"


def common_dtype(*operands: np.dtype[Any] | bool | int | float | complex) -> np.dtype[Any]:
    """Promote dtypes and Python scalars as NumPy does, and end in a floating type.

    Python scalars are weak: they make a complex of a real type and change nothing else. Integers and bool among
    themselves become float64. bfloat16, for which NumPy knows no partner, is promoted as float32 would be where the
    partner is wider or of another kind.
    """
    dtypes = [operand for operand in operands if isinstance(operand, np.dtype)]
    scalars = [operand for operand in operands if not isinstance(operand, np.dtype)]
    result = dtypes[0] if dtypes else np.result_type(*scalars)
    for other in dtypes[1:]:
        result = _promoted(result, other)
    if result.kind in "biu":
        # A Python float beside an integer array gives float64, as the integers alone do.
        result = np.dtype(np.float64)
    if any(isinstance(scalar, complex) for scalar in scalars) and result.kind != "c":
        result = np.result_type(result, np.complex64)
    return result


def _promoted(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    """Promote two dtypes, with bfloat16 standing for float32 beside types that NumPy cannot pair it with."""
    pair = [first, second]
    if any(map(is_bfloat16, pair)) and any(d.kind in "iufc" and d.itemsize > 1 for d in pair):
        pair = [np.dtype(np.float32) if is_bfloat16(d) else d for d in pair]
    return np.result_type(*pair)


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the type of the real part of `dtype`."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def normalize_axes(function: str, axis: object, ndim: int) -> tuple[int, ...]:
    """Turn None, an integer or a tuple of integers into sorted axes in ``range(ndim)``.

    Raises
    ------
    AxisError
        If an axis is out of range or named twice.
    DtypeError
        If `axis` is neither None, an integer nor a tuple of integers.
    """
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple) else (axis,)
    axes = [_integer(function, item) for item in given]
    for item in axes:
        if not -ndim <= item < ndim:
            raise AxisError(
                f"{function}: axis {item} is out of range for an array with {ndim} axes; "
                f"expected {-ndim} to {ndim - 1}, a tuple of such numbers, or None for all axes"
            )
    positive = sorted(item % ndim for item in axes)
    if len(set(positive)) < len(positive):
        raise AxisError(f"{function}: axis={axis!r} names an axis of the {ndim} twice; name each axis once")
    return tuple(positive)


def _integer(function: str, item: object) -> int:
    """Read one axis; bool is an int to Python, but hardly ever meant as an axis."""
    try:
        if isinstance(item, (bool, np.bool_)):
            raise TypeError
        return operator.index(item)  # type: ignore[arg-type]
    except TypeError:
        raise DtypeError(
            f"{function}: axis holds {item!r} of type {type(item).__name__}; "
            "expected None, an integer or a tuple of integers"
        ) from None
