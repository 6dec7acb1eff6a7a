"""softmax, log_softmax and logsumexp: what users call."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, TypeAlias

from cupysoft.arrays import normalize_axes
from cupysoft.errors import ShapeError
from cupysoft.ops import reduction
from cupysoft.ops.arguments import checked_out, is_fast, operand_dtype, same_view
from cupysoft.ops.target import Target
from cupysoft.ops.targets import target_of

__all__ = ["log_softmax", "logsumexp", "softmax"]

Precision: TypeAlias = Literal["exact", "fast"]


def softmax(
    x: Any,
    axis: SupportsIndex | tuple[SupportsIndex, ...] | None = None,
    *,
    out: Any | None = None,
    precision: Precision = "exact",
) -> Any:
    """Softmax of `x` over `axis`: ``exp(x) / sum(exp(x))``.

    Parameters
    ----------
    x : array_like
        Input of any shape and strides. dtype float16, bfloat16, float32 or float64; integers and bool are computed
        in float64. A CuPy array, or another library's array on a CUDA device, is computed on that device.
    axis : int or tuple of ints, optional
        Axes over which the result sums to one. None, the default, takes all axes; ``()`` takes none, so that every
        element is a row of its own.
    out : array, optional
        Where to write the result: same shape, the result's dtype, same device. It may be `x` itself.
    precision : {"exact", "fast"}
        ``"fast"`` is plain float32 for types of at most 32 bits, with the exponential of the hardware: a few ulp from
        the truth, no further than SciPy in float32, but no longer the same bits everywhere. On a device it is for rows
        of up to 65536 elements along the fastest axis; others, and float64 on a device, are exact all the same. So are
        large NumPy arrays where the kernels run on the CPU, for nothing is faster there. In NumPy logarithms are
        computed in float64.

    Returns
    -------
    array or scalar
        Same shape as `x`, same dtype if that is floating, else float64. A NumPy array for NumPy input and sequences,
        a CuPy array for CUDA input, a NumPy scalar for a NumPy 0-d input, `out` if it was given.

    Raises
    ------
    ShapeError
        If no element lies along `axis`: the maximum of nothing does not exist.
    AxisError
        If an axis is out of range or named twice.
    DtypeError
        For complex, longdouble, object and other dtypes, for masked arrays (whose mask would be ignored), for an
        `axis` that is not made of integers, and for arrays on different devices.
    OutError
        If `out` does not fit; it is not written to then.

    See Also
    --------
    log_softmax : its logarithm, accurate where softmax underflows.
    logsumexp : the logarithm of the sum alone.

    Notes
    -----
    Results are the true values, rounded once: to nearest, ties to even, subnormal numbers kept. So they do not depend
    on batch, layout or device. A value whose rounding is in doubt is computed again, with more bits.

    As in SciPy, a NaN makes all of its row NaN, and so does an infinite maximum: ``[inf, 0]`` and ``[-inf, -inf]``
    give NaN.

    On a device, a row that fits on the chip is read once and written once; a longer one is read twice.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA Journal of Numerical Analysis 41 (4), 2021.

    M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> x = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    >>> cupysoft.softmax(x, axis=1).round(4)
    array([[0.09  , 0.2447, 0.6652],
           [0.3333, 0.3333, 0.3333]])

    In place, over all elements:

    >>> cupysoft.softmax(x, out=x) is x
    True
    >>> float(x.sum().round(12))
    1.0
    """
    return _normalized("softmax", x, axis, out, precision, log=False)


def log_softmax(
    x: Any,
    axis: SupportsIndex | tuple[SupportsIndex, ...] | None = None,
    *,
    out: Any | None = None,
    precision: Precision = "exact",
) -> Any:
    """Logarithm of the softmax of `x` over `axis`: ``x - logsumexp(x)``.

    Parameters
    ----------
    x : array_like
        Input of any shape and strides, dtypes as for `softmax`.
    axis : int or tuple of ints, optional
        Axes over which ``exp`` of the result sums to one. None, the default, takes all axes.
    out : array, optional
        Where to write the result: same shape, the result's dtype, same device. It may be `x` itself.
    precision : {"exact", "fast"}
        As for `softmax`.

    Returns
    -------
    array or scalar
        As for `softmax`.

    Raises
    ------
    ShapeError, AxisError, DtypeError, OutError
        As for `softmax`.

    See Also
    --------
    softmax, logsumexp

    Notes
    -----
    Numerics as for `softmax`, also near zero, where one element holds nearly all of the mass and the result is
    ``-log1p(rest)``; where that is too small for its type it is ``-0.0``.

    As in SciPy, ``[inf, 0]`` gives ``[nan, -inf]``, and a row that is all ``-inf`` gives NaN.

    On a device, a row that fits on the chip is read once and written once; a longer one is read twice.

    References
    ----------
    P. Blanchard, D. J. Higham, N. J. Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA Journal of Numerical Analysis 41 (4), 2021.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> cupysoft.log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,    -0.])
    >>> cupysoft.log_softmax([0, 0], axis=0).round(4)
    array([-0.6931, -0.6931])
    """
    return _normalized("log_softmax", x, axis, out, precision, log=True)


def logsumexp(
    a: Any,
    axis: SupportsIndex | tuple[SupportsIndex, ...] | None = None,
    b: Any | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    *,
    out: Any | None = None,
    precision: Precision = "exact",
) -> Any:
    """Logarithm of the sum of exponentials: ``log(sum(b * exp(a)))`` over `axis`, without overflow.

    Parameters
    ----------
    a : array_like
        Input of any shape and strides. dtype float16, bfloat16, float32, float64, complex64 or complex128; integers
        and bool are computed in float64.
    axis : int or tuple of ints, optional
        Axes to sum over. None, the default, takes all axes.
    b : array_like, optional
        Weights of ``exp(a)``, of any sign, that broadcast with `a`. A weight of zero takes its element out, even if
        that is NaN or infinite. The dtypes of `a` and `b` are promoted as in NumPy; a Python scalar widens nothing.
    keepdims : bool, default False
        Keep the axes that were summed over with size 1.
    return_sign : bool, default False
        Return the logarithm of the sum's absolute value together with its sign. Else a negative sum gives NaN.
    out : array or pair of arrays, optional
        Where to write the result: its shape, its dtype, same device; with `return_sign` a pair for result and sign.
    precision : {"exact", "fast"}
        As for `softmax`. Sums with weights, signs or complex numbers are exact all the same.

    Returns
    -------
    array or scalar
        The axes are removed, or kept with size 1. Over all axes a NumPy scalar, or a 0-d CuPy array. `out` if given.
    sign : array or scalar
        Only if `return_sign`: +1, 0, -1 or NaN in the result's dtype; of a complex sum ``s`` the value ``s / abs(s)``.

    Raises
    ------
    ShapeError
        If `a` and `b` do not broadcast.
    AxisError, DtypeError, OutError
        As for `softmax`.

    See Also
    --------
    softmax, log_softmax
    SoftmaxState : the same for input that arrives in parts.

    Notes
    -----
    Numerics as for `softmax`: where the result is near zero, or the weights cancel, the row is computed again in
    wider arithmetic, as wide as it takes. Weights of equal elements are added exactly, so a sum that is zero gives
    ``-inf``. The error of a complex result is at most 4 ulp of its modulus.

    The sum over nothing is 0: its logarithm is ``-inf`` and its sign 0. A row with ``+inf`` gives ``inf``, a row of
    only ``-inf`` gives ``-inf``, and one with NaN gives NaN.

    No probabilities are written, and each element is read once at any length (more often in the rare rows above).

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> cupysoft.logsumexp(np.array([1000.0, 1000.0]))
    np.float64(1000.6931471805599)

    Weights can subtract:

    >>> cupysoft.logsumexp([1.0, 2.0], b=[1, -1], return_sign=True)
    (np.float64(1.5413248546129181), np.float64(-1.0))
    """
    return reduction.logsumexp(a, axis, b, bool(keepdims), bool(return_sign), out, precision)


def _normalized(function: str, x: Any, axis: Any, out: Any | None, precision: object, *, log: bool) -> Any:
    """Check the arguments, choose the target, and compute softmax or its logarithm."""
    fast = is_fast(function, precision)
    target = target_of(function, {"x": x})
    array = target.array(function, "x", x)
    shape = tuple(array.shape)
    dtype = operand_dtype(function, [("x", x, array)], complex_too=False)
    # SciPy's rule: a 0-d input counts as one element along one axis.
    axes = normalize_axes(function, axis, max(array.ndim, 1))
    result = None if out is None else checked_out(function, "out", out, target, shape, dtype)
    if any(n == 0 for i, n in enumerate(shape) if i in axes):
        raise ShapeError(
            f"{function}: x has shape {shape}, with no element along axis {axes}; "
            "expected at least one, for the maximum of nothing does not exist"
        )
    with target.scope():
        array = target.convert(array, dtype)
        if result is None:
            result = target.xp.empty_like(array)
        lines = shape or (1,)
        _compute(target, array.reshape(lines), axes, result.reshape(lines), log=log, fast=fast)
    if out is not None:
        return out
    return result if shape else result[()]


def _compute(target: Target, x: Any, axes: tuple[int, ...], out: Any, *, log: bool, fast: bool) -> None:
    """Compute into `out`, from a copy of `x` where the two share memory in another way than being the same view."""
    if x.size == 0:
        return
    if target.overlap(x, out) and not same_view(x, out):
        copy = target.xp.empty(x.shape, x.dtype)
        target.assign(copy, x)
        x = copy
    target.softmax(x, axes, out, log=log, fast=fast)
