"""One call of attention: its arguments checked, its arrays seen over one batch, and the result where it belongs."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupysoft.attention_layout import AttentionOptions, Role
from cupysoft.errors import ArgumentError, DtypeError, OutError
from cupysoft.ops.arguments import checked_out
from cupysoft.ops.attention_arguments import check_dims, common_dtype_of, options_of, scores_dtype
from cupysoft.ops.attention_batch import Batch, batch_of, check_onto
from cupysoft.ops.target import Target
from cupysoft.ops.targets import target_of

__all__ = ["lse_dtype_of", "run_attention"]


def lse_dtype_of(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the dtype of lse beside results of a dtype."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def run_attention(
    function: str,
    q: Any,
    k: Any,
    v: Any,
    *,
    scale: Any = None,
    causal: Any = False,
    window: Any = None,
    mask: Any = None,
    bias: Any = None,
    softcap: Any = None,
    kv_lengths: Any = None,
    precision: Any = None,
    return_lse: bool = False,
    out: Any = None,
    target: Target | None = None,
) -> tuple[Any, Any | None]:
    """Compute attention; give the result, and its logsumexp or None.

    Arguments as for `attention`, and where to compute, if that is not to follow from where the arrays lie.
    """
    given = {"q": q, "k": k, "v": v}
    more = {"mask": mask, "bias": bias, "kv_lengths": kv_lengths}
    target = target_of(function, {**given, **more}) if target is None else target
    main = {name: target.array(function, name, value) for name, value in given.items()}
    extra = {name: target.array(function, name, value) for name, value in more.items() if value is not None}
    dtype = common_dtype_of(function, main)
    bias_dtype = scores_dtype(function, extra.get("mask"), extra.get("bias"))
    shapes = [tuple(array.shape) for array in main.values()]
    check_dims(function, *shapes)
    batch = batch_of(function, *shapes)
    q_len, head_dim = shapes[0][-2:]
    kv_len, value_dim = shapes[2][-2:]
    _check_extra(function, extra, batch, q_len, kv_len)
    options = options_of(
        function,
        (q_len, kv_len, head_dim),
        scale=scale,
        causal=causal,
        window=window,
        softcap=softcap,
        precision=precision,
    )
    wanted = [((*batch.shape, q_len, value_dim), dtype)]
    if return_lse:
        wanted.append(((*batch.shape, q_len), lse_dtype_of(dtype)))
    results = _results(function, target, out, wanted)
    dtypes = {"mask": np.dtype(np.bool_), "bias": bias_dtype or dtype, "kv_lengths": np.dtype(np.int64)}
    with target.scope():
        inputs = {name: target.convert(array, dtype) for name, array in main.items()}
        inputs |= {name: target.convert(array, dtypes[name]) for name, array in extra.items()}
        arrays = [
            target.xp.empty(shape, of) if r is None or any(target.overlap(r, each) for each in inputs.values()) else r
            for r, (shape, of) in zip(results, wanted, strict=True)
        ]
        _compute(target, inputs, arrays, batch, (q_len, kv_len, head_dim, value_dim), options)
        for result, array in zip(results, arrays, strict=True):
            if result is not None and result is not array:
                target.assign(result, array)
    final = [array if result is None else result for result, array in zip(results, arrays, strict=True)]
    return final[0], final[1] if return_lse else None


def _check_extra(function: str, extra: dict[str, Any], batch: Batch, q_len: int, kv_len: int) -> None:
    """Check the shapes of mask, bias and kv_lengths, and the lengths where they can be read without waiting."""
    for name in ("mask", "bias"):
        if name in extra:
            whole = (*batch.shape, q_len, kv_len)
            check_onto(function, name, tuple(extra[name].shape), whole, "which is (..., q_len, kv_len)")
    lengths = extra.get("kv_lengths")
    if lengths is None:
        return
    if lengths.dtype.kind not in "iu":
        raise DtypeError(f"{function}: kv_lengths has dtype {lengths.dtype.name}; expected integers")
    way_out = ". A length for each sequence of (sequences, heads) is kv_lengths[:, None]"
    check_onto(function, "kv_lengths", tuple(lengths.shape), batch.shape, "the leading axes of the result", way_out)
    if isinstance(lengths, np.ndarray) and lengths.size:
        for number in (lengths.min(), lengths.max()):
            if not 0 <= number <= kv_len:
                raise ArgumentError(f"{function}: kv_lengths holds {number}; expected 0 to kv_len, which is {kv_len}")


def _results(
    function: str, target: Target, out: Any, wanted: list[tuple[tuple[int, ...], np.dtype[Any]]]
) -> list[Any | None]:
    """Check `out`, which may also be a pair where there are two results; None for those to be made."""
    if out is None:
        return [None] * len(wanted)
    if len(wanted) == 1 or not isinstance(out, (tuple, list)):
        return [checked_out(function, "out", out, target, *wanted[0]), *[None] * (len(wanted) - 1)]
    if len(out) != 2:
        raise OutError(
            f"{function}: out is {len(out)} arrays; with return_lse=True expected a pair of arrays (result, lse), or "
            "one array for the result"
        )
    pair = [checked_out(function, f"out[{i}]", each, target, *wanted[i]) for i, each in enumerate(out)]
    if target.overlap(*pair):
        raise OutError(f"{function}: out[0] and out[1] share memory; expected two separate arrays (result, lse)")
    return pair


def _compute(
    target: Target,
    inputs: dict[str, Any],
    results: list[Any],
    batch: Batch,
    sizes: tuple[int, int, int, int],
    options: AttentionOptions,
) -> None:
    """Write the results."""
    q_len, kv_len, head_dim, value_dim = sizes
    if batch.size == 0 or q_len == 0:
        return
    if kv_len == 0:
        target.assign(results[0], 0)
        for lse in results[1:]:
            target.assign(lse, -np.inf)
        return
    xp = target.xp
    arrays: dict[Role, Any] = {
        "q": batch.seen(xp, inputs["q"], (q_len, head_dim)),
        "k": batch.seen(xp, inputs["k"], (kv_len, head_dim), of_keys=True),
        "v": batch.seen(xp, inputs["v"], (kv_len, value_dim), of_keys=True),
        "out": batch.parted(results[0], 2),
    }
    if len(results) > 1:
        arrays["lse"] = batch.parted(results[1], 1)
    if "mask" in inputs:
        arrays["mask"] = batch.seen(xp, inputs["mask"], (q_len, kv_len))
    if "bias" in inputs:
        arrays["bias"] = batch.seen(xp, inputs["bias"], (q_len, kv_len))
    if "kv_lengths" in inputs:
        arrays["kv_lengths"] = batch.seen(xp, inputs["kv_lengths"], ())
    target.attention(arrays, options)
