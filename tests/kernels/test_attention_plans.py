"""Which kernels a call of attention is given, and with what tiles, grid and scratch memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cupysoft.attention_layout import AttentionLayout, AttentionOptions, Precision
from cupysoft.ops.attention_views import layout_of
from cupysoft.ops.plans_attention import attention
from cupysoft.runtime.limits import limits_of
from tests.kernels.plans_for import BFLOAT16, families

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")


def layout(
    dtype: Any, q: int, keys: int, dim: int, heads: tuple[int, int] = (1, 1), precision: Precision = "tf32x3"
) -> AttentionLayout:
    """Lay out contiguous arrays; `heads` of keys, and queries that share one."""
    empty = np.empty
    shared, group = heads
    arrays = {
        "q": empty((shared, group, q, dim), dtype),
        "k": np.broadcast_to(empty((shared, 1, keys, dim), dtype), (shared, group, keys, dim)),
        "v": np.broadcast_to(empty((shared, 1, keys, dim), dtype), (shared, group, keys, dim)),
        "out": empty((shared, group, q, dim), dtype),
    }
    return layout_of(arrays, AttentionOptions(1.0, precision=precision))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dtype", "dim", "precision", "arch", "kernel"),
    [("f2", 128, "tf32x3", "sm_80", "attention_half"), (BFLOAT16, 256, "ieee", "sm_120", "attention_half"),
     ("f2", 64, "tf32x3", "sm_75", "attention_fma"), ("f4", 64, "tf32x3", "sm_80", "attention_wide"),
     ("f4", 64, "ieee", "sm_90", "attention_fma"), ("f4", 64, "tf32x3", "sm_75", "attention_fma"),
     ("f8", 128, "tf32x3", "sm_90", "attention_wide"), ("f8", 129, "tf32x3", "sm_90", "attention_fma"),
     ("f8", 64, "tf32x3", "sm_89", "attention_fma")],
)  # fmt: skip
def test_each_dtype_gets_its_kernel(dtype: Any, dim: int, precision: Precision, arch: str, kernel: str) -> None:
    assert families(attention(layout(dtype, 200, 300, dim, precision=precision), arch)) == (kernel,)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_tiles_fit(dtype: str, arch: str) -> None:
    """Into shared memory, with what kernels declare.

    That is 24 bytes a query, of those with passes 2 bits an element, of 16-bit types 8 a row and lane.
    """
    for precision in ("tf32x3", "ieee"):
        for dim in (1, 33, 64, 100, 128, 200, 256):
            for queries in (1, 1000):
                (step, *_) = attention(layout(dtype, queries, 5000, dim, precision=precision), arch).steps
                family, arguments = step.kernel.name.rstrip(">").split("<", 1)
                numbers = list(map(int, arguments.rpartition(", None>, ")[2].split(", ")))
                if family == "attention_fma":
                    declared = 16 * numbers[1] * 24
                else:
                    bands = numbers[4] if family == "attention_half" else 0
                    rows = 16 * numbers[3] * max(1, bands)
                    declared = rows * (24 + numbers[2] // 4) + 32 * numbers[3] * 16 * bands + 8 * (8 + numbers[3])
                assert step.shared + declared <= limits_of(arch).shared


@pytest.mark.parametrize(("arch", "dim", "stages"), [("sm_80", 128, 1), ("sm_90", 128, 2), ("sm_120", 128, 2)])
def test_two_stages_do_not_cost_a_block(arch: str, dim: int, stages: int) -> None:
    (name,) = (kernel.name for kernel in attention(layout("f2", 1000, 5000, dim), arch).kernels)
    assert name.rstrip(">").split(", ")[-2] == str(stages)


def test_the_batch_decides_only_the_grid() -> None:
    for dtype in ("f2", "f4", "f8"):
        for queries in (1, 50, 500):
            one, many = (attention(layout(dtype, queries, 3000, 64, (n, 1)), "sm_90") for n in (1, 40))
            assert [step.kernel.name for step in one.steps] == [step.kernel.name for step in many.steps]
            assert [step.grid[0] * 40 for step in one.steps] == [step.grid[0] for step in many.steps]


def test_few_queries_share_the_keys_out() -> None:
    plan = attention(layout("f2", 64, 3000, 128), "sm_90")
    assert families(plan) == ("attention_half", "attention_merge")
    assert [step.grid[0] for step in plan.steps] == [8, 64]
    assert [(each.name, each.count) for each in plan.scratch] == [
        ("parts_o", 64 * 8 * 128), ("parts_m", 64 * 8), ("parts_l", 64 * 8),
    ]  # fmt: skip
    assert families(attention(layout("f2", 65, 3000, 128), "sm_90")) == ("attention_half",)


@pytest.mark.parametrize(
    ("dtype", "dim", "precision", "keys", "parts"),
    [("f8", 64, "tf32x3", 16384, 1), ("f8", 64, "tf32x3", 17000, 2), ("f8", 128, "tf32x3", 65536, 4),
     ("f8", 256, "tf32x3", 65536, 1), ("f4", 64, "tf32x3", 262144, 1), ("f4", 128, "tf32x3", 262144, 2),
     ("f4", 64, "ieee", 262144, 2), ("f4", 128, "tf32", 1 << 22, 1), ("f2", 128, "tf32x3", 1 << 22, 1)],
)  # fmt: skip
def test_very_many_keys_are_shared_out(dtype: str, dim: int, precision: Precision, keys: int, parts: int) -> None:
    """In no more parts than the bound asks for, for each is a result in memory."""
    plan = attention(layout(dtype, 1000, keys, dim, precision=precision), "sm_90")
    assert families(plan)[1:] == ("attention_merge",) * (parts > 1)
    assert sum(each.count for each in plan.scratch) == (parts > 1) * parts * 1000 * (dim + 2)


def test_heads_of_one_query_are_rows_of_a_tile() -> None:
    plan = attention(layout("f2", 1, 384, 128, (8, 4)), "sm_90")
    assert plan.steps[0].grid == (8, 1, 1)
    seen = layout("f2", 1, 384, 128, (8, 4))
    windowed = replace(seen, options=replace(seen.options, left=3))
    assert attention(windowed, "sm_90").steps[0].grid == (32, 1, 1)


def test_nothing_to_do() -> None:
    assert attention(layout("f4", 5, 5, 8, (0, 1)), "sm_90").steps == ()
