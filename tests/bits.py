"""Comparison of bits."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["assert_same_bits"]


def assert_same_bits(ours: Any, true: Any) -> None:
    """Equal dtypes, shapes and bits, the signs of zeros too; all NaNs are one value."""
    ours, true = np.asarray(ours), np.asarray(true)
    assert ours.dtype == true.dtype
    assert ours.shape == true.shape
    kind = f"i{ours.dtype.itemsize}"
    one, other = (np.ascontiguousarray(each).view(kind).reshape(each.shape) for each in (ours, true))
    differ = (one != other) & ~(np.isnan(ours) & np.isnan(true))
    places = np.argwhere(differ)[:3].tolist()
    assert not differ.any(), f"{differ.sum()} differ, at {places}: {ours[differ][:3]} is not {true[differ][:3]}"
