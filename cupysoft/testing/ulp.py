"""Distances between floating-point numbers, counted in representable neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ulp_distance"]

_INTEGERS: dict[int, Any] = {2: np.int16, 4: np.int32, 8: np.int64}
_FAR = np.iinfo(np.uint64).max


def ulp_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[Any]:
    """Count the steps between neighbouring floating-point numbers that lead from `a` to `b`.

    Parameters
    ----------
    a, b : array_like
        Arrays of one dtype, float16, bfloat16, float32, float64, complex64 or complex128, that broadcast together.

    Returns
    -------
    ndarray
        For real types uint64 counts: 0 for equal values (all NaNs are one value, and so are both zeros), the
        largest uint64 where only one of the two is NaN. For complex types float64: the modulus of the difference
        in units in the last place of the modulus of `b`, infinite where only one of the two is finite.

    Raises
    ------
    TypeError
        If the dtypes differ, or are not floating-point types of at most 64 bits a component.

    Examples
    --------
    >>> import numpy as np
    >>> ulp_distance(np.float32(1), np.nextafter(np.float32(1), np.float32(2)))
    array(1, dtype=uint64)
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype:
        raise TypeError(f"ulp_distance: a has dtype {a.dtype.name}, b has {b.dtype.name}; convert one of them")
    if a.dtype in (np.complex64, np.complex128):
        return _complex_distance(a, b)
    if a.dtype.itemsize not in _INTEGERS or not (a.dtype.kind == "f" or a.dtype.name == "bfloat16"):
        raise TypeError(f"ulp_distance: dtype {a.dtype.name} is not float16, bfloat16, float32, float64 or complex")
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    place_a, place_b = _place(a), _place(b)
    # Two's complement subtraction wraps, and read as unsigned the wrapped difference is the true one.
    steps = np.subtract(np.maximum(place_a, place_b).view(np.uint64), np.minimum(place_a, place_b).view(np.uint64))
    return np.asarray(np.where(nan_a & nan_b, np.uint64(0), np.where(nan_a | nan_b, _FAR, steps)), np.uint64)


def _place(x: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Number floating-point values in their order; zero is 0, and neighbours differ by 1."""
    kind = _INTEGERS[x.dtype.itemsize]
    bits = np.asarray(np.atleast_1d(np.ascontiguousarray(x)).view(kind).astype(np.int64).reshape(x.shape))
    return np.asarray(np.where(bits >= 0, bits, np.iinfo(kind).min - bits), np.int64)


def _complex_distance(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    with np.errstate(all="ignore"):
        modulus = np.abs(b.astype(np.complex128)).astype(b.real.dtype)
        steps = np.abs(a.astype(np.complex128) - b) / np.spacing(modulus)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    # Infinite results compare by their parts: a complex subtraction would make NaN of them.
    one_finite = ~(np.isfinite(a) & np.isfinite(b))
    return np.asarray(np.where(same, 0.0, np.where(one_finite, np.inf, steps)), np.float64)
