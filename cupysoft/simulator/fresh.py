"""Global memory that nobody has written yet, and what kernels have written of it since."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["empty", "flags_at"]

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
