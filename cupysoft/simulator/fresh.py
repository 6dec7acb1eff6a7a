"""Global memory that nobody has written yet, and what kernels have written of it since."""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import byte_bounds

from ..errors import InitcheckError

__all__ = ["empty", "flags_at", "forget", "require_written", "unwritten"]

_Flags = npt.NDArray[np.uint8]

#: For each fresh array, by the address of its first byte: a byte for each of its bytes, not 0 where it was written.
_written: dict[int, _Flags] = {}
_lock = threading.Lock()


def empty(shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Memory for kernels alone: to read of it what no kernel wrote is reported. What the host writes is not seen."""
    array = np.empty(shape, dtype)
    if array.nbytes:
        address: int = array.__array_interface__["data"][0]
        with _lock:
            _written[address] = np.zeros(array.nbytes, np.uint8)
        weakref.finalize(array, _written.pop, address, None)
    return array


def flags_at(address: int, size: int) -> int:
    """Address of the flags of memory, 0 where it is not fresh."""
    if not _written:
        return 0
    with _lock:
        for start, flags in _written.items():
            if start <= address and address + size <= start + flags.nbytes:
                place: int = flags.__array_interface__["data"][0]
                return place + address - start
    return 0


def unwritten(array: npt.NDArray[Any]) -> tuple[int, ...] | None:
    """Index of the first element that no kernel wrote, or not all of it; None where none is known to lack."""
    if not array.size:
        return None
    low, high = byte_bounds(array)
    start, found = flags_at(low, high - low), None
    if start:
        with _lock:
            flags = np.frombuffer(memoryview((ctypes.c_char * (high - low)).from_address(start)), np.uint8)
            offset = array.__array_interface__["data"][0] - low
            bytes_of = np.lib.stride_tricks.as_strided(
                flags[offset:], (*array.shape, array.itemsize), (*array.strides, 1), writeable=False
            )
            missing = np.argwhere(~bytes_of[..., _of_members(array.dtype)].all(axis=-1))
            found = tuple(missing[0].tolist()) if len(missing) else None
    return found


def _of_members(dtype: np.dtype[Any]) -> npt.NDArray[np.bool_]:
    """Which bytes of an element belong to a member of its structure: the others are padding, which kernels leave."""
    if dtype.subdtype is not None:
        return np.tile(_of_members(dtype.base), math.prod(dtype.shape))
    found = np.full(dtype.itemsize, not dtype.fields)
    for member, offset, *_ in (dtype.fields or {}).values():
        found[offset : offset + member.itemsize] |= _of_members(member)
    return found


def require_written(what: str, name: str, array: npt.NDArray[Any]) -> None:
    """Raise `InitcheckError` where an element of an output was written by no kernel."""
    index = unwritten(array)
    if index is not None:
        where = f"element {index[0] if len(index) == 1 else index}" if index else "the only element"
        raise InitcheckError(
            f"{what}: Uninitialized __global__ memory in an output: no thread wrote {where} of {name}, which has shape"
            f" {array.shape}"
        )


def forget(array: npt.NDArray[Any]) -> None:
    """Take all of an array of `empty` for written from now on: it is the host's."""
    with _lock:
        _written.pop(array.__array_interface__["data"][0], None)
