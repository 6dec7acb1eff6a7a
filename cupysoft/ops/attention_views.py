"""The arrays of a call of attention, seen over one batch, and what kernels need to know of where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cupysoft.arrays import layout
from cupysoft.attention_layout import ROLES, AttentionLayout, AttentionOptions, Role
from cupysoft.ops import device

__all__ = ["layout_of"]


def layout_of(arrays: Mapping[Role, Any], options: AttentionOptions) -> AttentionLayout:
    """Describe the arrays of a call; only the places of their elements are looked at.

    Parameters
    ----------
    arrays : mapping
        Role to array, all over one batch, which is broadcast and has an axis for the groups of heads: q (..., q_len,
        head_dim), k (..., kv_len, head_dim), v (..., kv_len, value_dim), out (..., q_len, value_dim); where there are
        such, lse (..., q_len), mask and bias (..., q_len, kv_len), kv_lengths (...). Their elements lie at multiples of
        their size.
    options : AttentionOptions

    Returns
    -------
    AttentionLayout
    """
    q, v = arrays["q"], arrays["v"]
    batch = tuple(q.shape[:-2])
    steps = {role: device.strides(array) for role, array in arrays.items()}
    still = (0,) * len(batch)
    bias = arrays.get("bias")
    return AttentionLayout(
        batch=layout(batch, (), [steps[role][: len(batch)] if role in steps else still for role in ROLES]).batch,
        q_len=q.shape[-2],
        kv_len=v.shape[-2],
        head_dim=q.shape[-1],
        value_dim=v.shape[-1],
        strides=tuple(_inner(role, arrays.get(role), len(batch)) for role in ROLES),
        alignments=tuple(device.alignments(arrays[r])[0] if r in arrays else device.WIDEST for r in ROLES),
        present=tuple(role in arrays for role in ROLES),
        dtype=q.dtype,
        bias_dtype=None if bias is None else bias.dtype,
        options=options,
    )


def _inner(role: Role, array: Any | None, batch: int) -> tuple[int, int]:
    """Give the strides of what is not the batch; where an axis has one element, the stride that serves any kernel."""
    if array is None:
        return 0, 0
    alone = 1 if role in ("q", "k", "v", "out") else 0
    inner = [*zip(array.shape[batch:], device.strides(array)[batch:], strict=True), (1, 0), (1, 0)]
    (rows, row), (columns, column) = inner[:2]
    return row if rows > 1 else 0, column if columns > 1 else alone
