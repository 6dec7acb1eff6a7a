"""What `attention` is given: checked, before anything is computed or written."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from cupysoft.arrays import accepted_dtype, is_bfloat16
from cupysoft.attention_layout import PRECISIONS, AttentionOptions, Precision
from cupysoft.errors import ArgumentError, DtypeError, ShapeError

__all__ = ["MAX_DIM", "check_dims", "common_dtype_of", "options_of", "scores_dtype"]

MAX_DIM = 256
"""Largest head_dim and value_dim."""

_DIAGONALS = (False, True, "bottom-right", "top-left")


def common_dtype_of(function: str, arrays: Mapping[str, Any]) -> np.dtype[Any]:
    """Give the dtype in which q, k and v are computed, which must all have one dtype."""
    accepted = {name: accepted_dtype(function, name, array.dtype, complex_too=False) for name, array in arrays.items()}
    if len({array.dtype.newbyteorder("=") for array in arrays.values()}) > 1:
        came = ", ".join(f"{name} has dtype {array.dtype.name}" for name, array in arrays.items())
        raise DtypeError(f"{function}: {came}; expected one dtype for all of them. Convert with astype")
    return next(iter(accepted.values()))


def scores_dtype(function: str, mask: Any | None, bias: Any | None) -> np.dtype[Any] | None:
    """Check the dtypes of mask and bias; give that of the bias in native byte order."""
    if mask is not None and mask.dtype != np.bool_:
        raise DtypeError(
            f"{function}: mask has dtype {mask.dtype.name}; expected bool, True where a key takes part. "
            "Convert with mask.astype(bool); what is to be added to the scores is a bias"
        )
    if bias is None:
        return None
    dtype: np.dtype[Any] = bias.dtype
    if dtype == np.bool_:
        raise DtypeError(
            f"{function}: bias has dtype bool; expected real numbers, which are added to the scores. "
            "Where a key takes part is told by mask="
        )
    if dtype.kind in "iu" or is_bfloat16(dtype) or (dtype.kind == "f" and dtype.itemsize <= 8):
        return dtype.newbyteorder("=")
    raise DtypeError(
        f"{function}: bias has dtype {dtype.name}; expected float16, bfloat16, float32, float64 or integers. "
        "Convert it first, for example with bias.astype('float64')"
    )


def options_of(
    function: str,
    lengths: tuple[int, int, int],
    *,
    scale: Any,
    causal: Any,
    window: Any,
    softcap: Any,
    precision: Any,
) -> AttentionOptions:
    """Check what says how to compute.

    Parameters
    ----------
    function : str
        For messages.
    lengths : (q_len, kv_len, head_dim)
    scale, causal, window, softcap, precision
        As `attention` takes them.
    """
    q_len, kv_len, head_dim = lengths
    if isinstance(causal, np.bool_):
        causal = bool(causal)
    if not isinstance(causal, (bool, str)) or causal not in _DIAGONALS:
        raise ArgumentError(
            f"{function}: causal is {causal!r}; expected False, True or 'bottom-right' (the last query sees the last "
            "key), or 'top-left' (the first query sees the first key)"
        )
    left, right = _window(function, window, q_len + kv_len)
    bound = _real_number(function, "softcap", softcap, "a finite number above 0, or None for no cap")
    if bound is not None and bound <= 0:
        raise ArgumentError(f"{function}: softcap is {softcap!r}; expected a number above 0, or None for no cap")
    factor = _real_number(function, "scale", scale, "a finite number, or None for 1/sqrt(head_dim)")
    return AttentionOptions(
        scale=1 / math.sqrt(head_dim) if factor is None else factor,
        softcap=bound,
        left=left,
        right=0 if causal else right,
        top_left=causal == "top-left",
        precision=_precision(function, precision),
    )


def _real_number(function: str, argument: str, value: Any, expected: str) -> float | None:
    """Read a real, finite number, or None."""
    if value is None:
        return None
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, (bool, np.timedelta64)) or not isinstance(value, (int, float, np.integer, np.floating)):
        # An array of CuPy is not read: that would wait for the device.
        kind = type(value)
        raise DtypeError(f"{function}: {argument} is a {kind.__module__}.{kind.__qualname__}; expected {expected}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ArgumentError(f"{function}: {argument} is {value!r}; expected {expected}")
    return number


def _precision(function: str, precision: Any) -> Precision:
    if precision is None:
        return PRECISIONS[0]
    for name in get_args(Precision):
        if isinstance(precision, str) and precision == name:
            return name  # type: ignore[no-any-return]
    names = ", ".join(map(repr, PRECISIONS))
    raise ArgumentError(f"{function}: precision is {precision!r}; expected one of {names}, or None for the first")


def _window(function: str, window: Any, far: int) -> tuple[int | None, int | None]:
    """Read (left, right); an end that no key is beyond, `far` away or more, is open."""
    if window is None:
        return None, None
    if not isinstance(window, (tuple, list)) or len(window) != 2:
        raise ArgumentError(
            f"{function}: window is {window!r}; expected a pair (left, right): how many keys before and after the "
            "diagonal take part, or None for all of them"
        )
    ends = []
    for end in window:
        try:
            number = None if end is None else operator.index(end)
        except TypeError:
            number = -1
        if isinstance(end, (bool, np.bool_)) or (number is not None and number < 0):
            raise ArgumentError(
                f"{function}: window holds {end!r}; expected integers from 0 up, the ends included, or None for an "
                "open end"
            )
        ends.append(number if number is None or number < far else None)
    return ends[0], ends[1]


def check_dims(function: str, q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> None:
    """Check the last two axes of q, k and v.

    Raises
    ------
    ShapeError
        If an array has fewer than two axes, lengths differ that must be equal, or are out of range.
    """
    for name, shape, axes in (("q", q, "q_len, head_dim"), ("k", k, "kv_len, head_dim"), ("v", v, "kv_len, value_dim")):
        if len(shape) < 2:
            raise ShapeError(f"{function}: {name} has shape {shape}; expected at least two axes, (..., {axes})")
    if q[-1] != k[-1]:
        raise ShapeError(f"{function}: k has head_dim {k[-1]}, q has {q[-1]}; they must be equal, in the last axis")
    if k[-2] != v[-2]:
        raise ShapeError(
            f"{function}: v has kv_len {v[-2]}, k has {k[-2]}; they must be equal, in the axis before the last"
        )
    for name, dim, of in (("head_dim", q[-1], "q and k"), ("value_dim", v[-1], "v")):
        if not 1 <= dim <= MAX_DIM:
            raise ShapeError(f"{function}: {of} have {name} {dim}; expected 1 to {MAX_DIM}, in the last axis")
