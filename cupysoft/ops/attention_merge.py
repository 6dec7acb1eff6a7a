"""Results of attention over different keys, joined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cupysoft.arrays import accepted_dtype
from cupysoft.errors import DtypeError, ShapeError
from cupysoft.ops.attention_call import lse_dtype_of
from cupysoft.ops.target import PartArrays, Target
from cupysoft.ops.targets import target_of

__all__ = ["finished", "merge_attention"]


def merge_attention(o1: Any, lse1: Any, o2: Any, lse2: Any) -> tuple[Any, Any]:
    """Join the attention of the same queries over different keys to that over all of them.

    Parameters
    ----------
    o1, o2 : array, shape (..., q_len, value_dim)
        Results of `attention`, of one dtype.
    lse1, lse2 : array, shape (..., q_len)
        The logsumexp of each, as ``return_lse=True`` gives it: float64 for float64, else float32.

    Returns
    -------
    o : array, shape (..., q_len, value_dim)
        The result over the keys of both, in the dtype of `o1`.
    lse : array, shape (..., q_len)
        Its logsumexp, in the dtype of `lse1`.

    Raises
    ------
    ShapeError
        If the shapes do not go together.
    DtypeError
        If the dtypes are not those of results of one dtype, or the arrays lie on different devices.

    See Also
    --------
    AttentionState : for more than two parts; it rounds to the dtype only at the end.

    Notes
    -----
    Computed in float64 and rounded once; on a device in one go, with no memory but that of the result. A part without
    keys (lse is ``-inf``) leaves the other as it is, to the bit.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> q, k, v = np.ones((1, 2)), np.array([[1.0, 0.0], [0.0, 3.0]]), np.array([[1.0], [5.0]])
    >>> first = cupysoft.attention(q, k[:1], v[:1], return_lse=True)
    >>> second = cupysoft.attention(q, k[1:], v[1:], return_lse=True)
    >>> o, lse = cupysoft.merge_attention(*first, *second)
    >>> o.round(4), cupysoft.attention(q, k, v).round(4)
    (array([[4.2177]]), array([[4.2177]]))
    """
    function = "merge_attention"
    given = {"o1": o1, "lse1": lse1, "o2": o2, "lse2": lse2}
    target = target_of(function, given)
    arrays = {name: target.array(function, name, value) for name, value in given.items()}
    dtype = _check_results(function, arrays)
    with target.scope():
        o, lse = (tuple(target.convert(arrays[n], of) for n in names) for names, of in _pairs(dtype))
        out = target.xp.empty(o[0].shape, dtype), target.xp.empty(lse[0].shape, lse_dtype_of(dtype))
        if math.prod(o[0].shape):
            target.merge_attention((o[0], lse[0]), (o[1], lse[1]), *out)
        return out


def _pairs(dtype: np.dtype[Any]) -> tuple[tuple[tuple[str, str], np.dtype[Any]], ...]:
    return (("o1", "o2"), dtype), (("lse1", "lse2"), lse_dtype_of(dtype))


def _check_results(function: str, arrays: dict[str, Any]) -> np.dtype[Any]:
    """Check dtypes and shapes of two results; give the dtype in which they are computed."""
    dtype = accepted_dtype(function, "o1", arrays["o1"].dtype, complex_too=False)
    first = tuple(arrays["o1"].shape)
    if len(first) < 2:
        raise ShapeError(f"{function}: o1 has shape {first}; expected at least two axes, (..., q_len, value_dim)")
    for names, expected in _pairs(dtype):
        shape = first if names[0] == "o1" else first[:-1]
        for name in names:
            array = arrays[name]
            if array.dtype.newbyteorder("=") != expected:
                beside = f"beside o1 of dtype {dtype.name}"
                raise DtypeError(f"{function}: {name} has dtype {array.dtype.name}; expected {expected.name} {beside}")
            if tuple(array.shape) != shape:
                beside = f"beside o1 of shape {first}"
                raise ShapeError(f"{function}: {name} has shape {tuple(array.shape)}; expected {shape} {beside}")
    return dtype


def finished(target: Target, part: PartArrays, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Round a part to its result."""
    m, _, o = part
    out, lse = target.xp.empty(o.shape, dtype), target.xp.empty(m.shape, lse_dtype_of(dtype))
    if math.prod(o.shape):
        target.finish_attention(part, out, lse)
    return out, lse
