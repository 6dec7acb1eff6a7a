"""Rounding float64 results once to the type that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.arrays import is_bfloat16

__all__ = ["store"]

BF16_NAN = np.uint32(0x7FC0)
SMALLEST_NORMAL_HALF = 2.0**-14
HALF_BELOW = np.uint32(0x7FFF)  # just under half a unit of bfloat16, seen in float32's bits


def store(values: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
    """Write float64 (or complex128) `values` to `out`, rounded once to its type, ties to even."""
    if is_bfloat16(out.dtype):
        out.view(np.uint16)[...] = _bfloat16_bits(values)
    elif out.dtype == np.float16 and values.dtype == np.float64:
        np.copyto(out, _on_grid_of_float16(values), casting="same_kind")
    else:
        np.copyto(out, values, casting="same_kind")


def _bfloat16_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    # The step through float32 rounds to odd: the last bit stands for everything below it, so the second
    # rounding sees on which side of a tie the value lies. Plain float64 -> float32 -> bfloat16 rounds twice.
    single = values.astype(np.float32)
    back = single.astype(np.float64)
    bits = single.view(np.uint32)
    bits -= np.abs(back) > np.abs(values)
    bits |= back != values
    bits += HALF_BELOW + ((bits >> 16) & 1)
    bits >>= 16
    bits[np.isnan(values)] = BF16_NAN
    return bits.astype(np.uint16)


def _on_grid_of_float16(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Round what float16 holds as a subnormal number: left to the conversion, its underflows take twenty times as long.

    Added to 2^28, where float64 has a last place of 2^-24, a number is rounded to that place, ties to even.
    """
    size = np.abs(values)
    small = size < SMALLEST_NORMAL_HALF
    if not small.any():
        return values
    size += 2.0**28
    size -= 2.0**28
    return np.where(small, np.copysign(size, values), values)
