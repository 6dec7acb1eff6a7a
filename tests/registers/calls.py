"""Calls of attention that differ in what their kernels are compiled for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from cupysoft.arrays import Axis
from cupysoft.attention_layout import ROLES, AttentionLayout, AttentionOptions, Precision
from cupysoft.ops.plans_attention import attention
from cupysoft.runtime.plan import KernelRef
from tests.kernels.plans_for import BFLOAT16

__all__ = ["ARCHITECTURES", "BIASES", "DIMS", "DTYPES", "kernels"]

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120")
DTYPES = {"float16": np.dtype("f2"), "bfloat16": BFLOAT16, "float32": np.dtype("f4"), "float64": np.dtype("f8")}
# The sizes of tiles, and in between what `fma.cu` tells apart.
DIMS = (32, 64, 96, 128, 192, 256)
BIASES = (None, *map(np.dtype, ("f2", "f4", "f8", "i1", "u1", "i8")))
PRECISIONS: tuple[Precision, ...] = ("tf32x3", "ieee", "tf32")


def kernels(arch: str, dtype: np.dtype[Any], dims: Iterable[tuple[int, int]]) -> Iterator[KernelRef]:
    """Kernels of all calls with these head_dim and value_dim, each once."""
    precisions = PRECISIONS if dtype == np.float32 else PRECISIONS[:1]
    choices = itertools.product(
        dims, (1000, 5), (1, 2, 3), (1, 2, 4, 8, 16), precisions, (False, True), (False, True), BIASES
    )
    seen: set[KernelRef] = set()
    for dim, queries, axes, width, precision, capped, masked, bias in choices:
        options = AttentionOptions(0.1, softcap=3.0 if capped else None, precision=precision)
        layout = layout_of(dtype, dim, queries, axes, width, masked, bias, options)
        found = [each for each in attention(layout, arch).kernels if each not in seen]
        seen.update(found)
        yield from found


def layout_of(
    dtype: np.dtype[Any],
    dim: tuple[int, int],
    queries: int,
    axes: int,
    alignment: int,
    masked: bool,
    bias: np.dtype[Any] | None,
    options: AttentionOptions,
) -> AttentionLayout:
    """A call of so many axes of a batch; rows begin at multiples of `alignment` bytes, or their columns lie apart."""
    apart = 1 if alignment >= dtype.itemsize else 2
    present = (True,) * 5 + (masked, bias is not None, False)
    steps = tuple(1 << 16 if each else 0 for each in present)
    of_role = {"lse": (1, 0), "mask": (3000, 1), "bias": (3000, 1), "kv_lengths": (0, 0)}
    inner = tuple(of_role.get(role, (512, apart)) for role in ROLES)
    return AttentionLayout(
        batch=tuple(Axis(2, tuple(step << 3 * at for step in steps)) for at in range(axes)),
        q_len=queries,
        kv_len=3000,
        head_dim=dim[0],
        value_dim=dim[1],
        strides=tuple(pair if there else (0, 0) for pair, there in zip(inner, present, strict=True)),
        alignments=(max(alignment, dtype.itemsize),) * len(ROLES),
        present=present,
        dtype=dtype,
        bias_dtype=bias,
        options=options,
    )
