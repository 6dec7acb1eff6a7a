"""attention: what users call."""

from __future__ import annotations

from typing import Any, Literal

from cupysoft.attention_layout import Precision
from cupysoft.ops.attention_call import run_attention

__all__ = ["attention"]


def attention(
    q: Any,
    k: Any,
    v: Any,
    *,
    scale: float | None = None,
    causal: bool | Literal["bottom-right", "top-left"] = False,
    window: tuple[int | None, int | None] | None = None,
    mask: Any | None = None,
    bias: Any | None = None,
    softcap: float | None = None,
    kv_lengths: Any | None = None,
    precision: Precision | None = None,
    return_lse: bool = False,
    out: Any | None = None,
) -> Any:
    """Attention: for each query the mean of the values, weighted with the softmax of its scores against the keys.

    ``softmax(scale * q @ k.T + bias, axis=-1) @ v`` where `mask` lets it, without an array of (q_len, kv_len).

    Parameters
    ----------
    q : array_like, shape (..., q_len, head_dim)
        Queries. dtype float16, bfloat16, float32 or float64; integers and bool are computed in float64. Any strides.
        head_dim is from 1 to 256, q_len from 0 up.
    k : array_like, shape (..., kv_len, head_dim)
        Keys, of the dtype of `q`.
    v : array_like, shape (..., kv_len, value_dim)
        Values, of the dtype of `q`; value_dim is from 1 to 256. The leading axes of `q`, `k` and `v`, the batch,
        broadcast as in NumPy. The third axis from the end is that of the heads: there `k` and `v` may have fewer than
        `q`, a divisor of its number, and neighbouring heads of `q` share one (grouped-query attention).
    scale : float, optional
        Factor of the products ``q @ k.T``; 1/sqrt(head_dim) by default.
    causal : bool or {"bottom-right", "top-left"}, default False
        Whether a query attends to no key beyond the diagonal. True and "bottom-right": the last query is level with
        the last key. "top-left": the first query is level with the first key.
    window : pair of int or None, optional
        ``(left, right)``: a query attends to so many keys before and after the one it is level with, these included;
        None is an open end. Queries and keys are level as for `causal`, from the end where that is False.
    mask : array_like of bool, optional
        True where a key takes part; broadcasts to (..., q_len, kv_len).
    bias : array_like, optional
        Is added to the scores; broadcasts to (..., q_len, kv_len). Any real dtype but longdouble: it is used in the
        precision of the accumulators. A score of ``-inf`` takes its key out, as the mask does.
    softcap : float, optional
        Bounds the scores before the bias: ``softcap * tanh(s / softcap)``.
    kv_lengths : array_like of int, optional
        How many of the keys exist, from 0 to kv_len; broadcasts to the leading axes ``...``: lengths of the sequences
        of a (sequences, heads, kv_len, head_dim) array are given as ``lengths[:, None]``. The diagonal ends, and
        keys take part, with the last that exists. On a CUDA device numbers out of range count as the nearest in it.
    precision : {"tf32x3", "ieee", "tf32"}, optional
        How the CUDA kernels multiply float32: in three products of tensor cores (the default, 22 bits), in IEEE
        arithmetic, or in one product (11 bits). It has no say in other dtypes, nor on the host, which takes float64.
    return_lse : bool, default False
        Return the logarithm of the sum of exponentials of each query's scores, too.
    out : array, or pair of arrays, optional
        Where to write the result: its shape, its dtype, same device. With `return_lse` it may be a pair for result
        and lse. It may overlap the input.

    Returns
    -------
    array, shape (..., q_len, value_dim)
        The dtype of `q` if that is floating, else float64; `out` if given. 0 for a query that attends to no key.
    lse : array, shape (..., q_len)
        Only if `return_lse`: natural logarithms in float32, for float64 in float64; ``-inf`` for such a query.

    Raises
    ------
    ShapeError
        If shapes do not go together, or head_dim or value_dim is not from 1 to 256.
    DtypeError
        If the dtypes of `q`, `k` and `v` differ, a dtype or a kind of argument is not taken, or the arrays lie on
        different devices.
    ArgumentError
        If a number or a word is not one that its argument takes.
    OutError
        If `out` does not fit. After an error it is as it was.

    See Also
    --------
    merge_attention : two results over different keys to one.
    AttentionState : the same for keys and values that come in parts.

    Notes
    -----
    Keys are walked over tile by tile, with the running maximum of the scores, the sum of their exponentials, and the
    sum of the values weighted with them: extra memory does not grow with q_len times kv_len. Tiles that the diagonal
    and the window leave empty are left out.

    What is in a key or value that takes no part does not matter, be it NaN or infinite; in one that does it shows. A
    query with a NaN in a score gives NaN, and so does one with a score of ``+inf``.

    A query's answer is the same, to the bit, whatever else is in its batch. On the host all dtypes are computed in
    float64 and rounded once.

    References
    ----------
    T. Dao, D. Y. Fu, S. Ermon, A. Rudra, C. Re, "FlashAttention: Fast and memory-efficient exact attention with
    IO-awareness", NeurIPS, 2022.

    M. N. Rabe, C. Staats, "Self-attention does not need O(n^2) memory", arXiv:2112.05682, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> q = np.array([[1.0, 0.0], [0.0, 0.0]])
    >>> k = np.array([[4.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    >>> v = np.array([[1.0], [2.0], [6.0]])
    >>> cupysoft.attention(q, k, v).round(4)
    array([[1.3171],
           [3.    ]])

    Only the first two keys, and the sums of exponentials:

    >>> result, lse = cupysoft.attention(q, k, v, mask=[True, True, False], return_lse=True)
    >>> result.round(4)
    array([[1.0558],
           [1.5   ]])
    >>> lse.round(4)
    array([2.8859, 0.6931])

    Eight heads of queries on two heads of keys and values:

    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(8, 5, 16)), rng.normal(size=(2, 9, 16)), rng.normal(size=(2, 9, 4))
    >>> cupysoft.attention(q, k, v, causal=True).shape
    (8, 5, 4)
    """
    result, lse = run_attention(
        "attention",
        q,
        k,
        v,
        scale=scale,
        causal=causal,
        window=window,
        mask=mask,
        bias=bias,
        softcap=softcap,
        kv_lengths=kv_lengths,
        precision=precision,
        return_lse=bool(return_lse),
        out=out,
    )
    given = out if out is not None else result
    if not return_lse:
        return given
    return tuple(given) if isinstance(given, (tuple, list)) else (given, lse)
