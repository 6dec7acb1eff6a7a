"""logsumexp behind its public signature: weights, signs, shapes and where the result goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import normalize_axes, real_dtype
from cupysoft.errors import OutError
from cupysoft.ops.arguments import broadcast_shape, checked_out, is_fast, operand_dtype
from cupysoft.ops.target import Target
from cupysoft.ops.targets import target_of

__all__ = ["logsumexp"]

FUNCTION = "logsumexp"


@dataclass(frozen=True)
class Result:
    """One array to be delivered: what the user gave for it (or None) seen as an array, its shape there, its dtype."""

    array: Any | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def logsumexp(
    a: Any, axis: Any, b: Any | None, keepdims: bool, return_sign: bool, out: Any | None, precision: Any = "exact"
) -> Any:
    """Check the arguments, choose the target, compute, and give the results their shapes."""
    fast = is_fast(FUNCTION, precision)
    target = target_of(FUNCTION, {"a": a, "b": b})
    operands = [("a", a, target.array(FUNCTION, "a", a))]
    if b is not None:
        operands.append(("b", b, target.array(FUNCTION, "b", b)))
    dtype = operand_dtype(FUNCTION, operands, complex_too=True)
    # SciPy's rule: a 0-d input counts as one element along one axis.
    shape = broadcast_shape(FUNCTION, {name: tuple(array.shape) for name, _, array in operands}) or (1,)
    axes = normalize_axes(FUNCTION, axis, len(shape))
    final = tuple(1 if i in axes else n for i, n in enumerate(shape) if keepdims or i not in axes)
    wanted = _wanted(target, out, final, dtype, return_sign)
    with target.scope():
        inputs = [target.convert(array, dtype) for _, _, array in operands]
        inputs = [each if each.shape == shape else target.xp.broadcast_to(each, shape) for each in inputs]
        arrays = _compute(target, inputs, axes, wanted, fast)
    if out is not None:
        return (out[0], out[1]) if return_sign else out
    shaped = [array.reshape(final) if final else array[()] for array in arrays]
    return tuple(shaped) if return_sign else shaped[0]


def _wanted(
    target: Target, out: Any | None, shape: tuple[int, ...], dtype: np.dtype[Any], return_sign: bool
) -> list[Result]:
    """Check `out` and say what is to be delivered: the result, and with `return_sign` the sign."""
    if not return_sign:
        return [Result(out if out is None else checked_out(FUNCTION, "out", out, target, shape, dtype), shape, dtype)]
    names, dtypes = ("out[0]", "out[1]"), (real_dtype(dtype), dtype)
    if out is None:
        return [Result(None, shape, each) for each in dtypes]
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        came = f"{len(out)} arrays" if isinstance(out, (tuple, list)) else f"an object of type {type(out).__name__}"
        raise OutError(f"{FUNCTION}: out is {came}; with return_sign=True expected a pair of arrays (result, sign)")
    pair = [
        checked_out(FUNCTION, name, given, target, shape, each)
        for name, given, each in zip(names, out, dtypes, strict=True)
    ]
    if target.overlap(*pair):
        raise OutError(f"{FUNCTION}: out[0] and out[1] share memory; expected two separate arrays (result, sign)")
    return [Result(array, shape, each) for array, each in zip(pair, dtypes, strict=True)]


def _compute(target: Target, inputs: list[Any], axes: tuple[int, ...], wanted: list[Result], fast: bool) -> list[Any]:
    """Compute into what was given where that is safe, else into new arrays that are copied over at the end."""
    shape = inputs[0].shape
    kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    arrays = []
    for result in wanted:
        if result.array is None or any(target.overlap(result.array, each) for each in inputs):
            arrays.append(target.xp.empty(kept, result.dtype))
        else:
            arrays.append(_without(result.array, axes if len(result.shape) == len(shape) else ()))
    _fill(target, inputs, axes, arrays, fast)
    for result, array in zip(wanted, arrays, strict=True):
        if result.array is not None and not target.overlap(result.array, array):
            target.assign(result.array, array.reshape(result.shape))
    return arrays


def _without(array: Any, axes: tuple[int, ...]) -> Any:
    """View `array` without `axes`, which have size 1."""
    return array[(*(0 if i in axes else slice(None) for i in range(array.ndim)), ...)]


def _fill(target: Target, inputs: list[Any], axes: tuple[int, ...], arrays: list[Any], fast: bool) -> None:
    """Write the result, and the sign if there are two arrays to write to."""
    shape = inputs[0].shape
    if math.prod(shape[axis] for axis in axes) == 0:
        # The sum over nothing is 0. (SciPy gives it the sign -1.)
        target.assign(arrays[0], -np.inf)
        for sign in arrays[1:]:
            target.assign(sign, 0)
    elif math.prod(shape) > 0:
        weights = inputs[1] if len(inputs) > 1 else None
        target.logsumexp(inputs[0], axes, weights, arrays[0], arrays[1] if len(arrays) > 1 else None, fast=fast)
