"""Which kernels a layout is given, and what grid, block and scratch memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cupysoft.arrays import Axis, Layout, layout
from cupysoft.ops import plans
from cupysoft.ops.device import plan_softmax
from cupysoft.ops.plans_settle import Options
from cupysoft.ops.plans_view import access_type, view_of
from cupysoft.runtime.limits import limits_of
from cupysoft.runtime.plan import Plan
from tests.kernels.plans_for import DTYPES, OPERATIONS, contiguous, families, plan_of

# The longest row of each way to hold one, for 16-bit types, float32 and float64.
ROW_EDGES = {
    "softmax_warp": {2: 512, 4: 512, 8: 256},
    "softmax_block": {2: 8192, 4: 8192, 8: 4096},
    "softmax_shared": {2: 24064, 4: 9728, 8: 6016},
    "softmax_stream": {2: 65536, 4: 65536, 8: 65536},
}
COLUMN_EDGES = {
    "columns_thread": {2: 16, 4: 16, 8: 8},
    "columns_block": {2: 256, 4: 256, 8: 128},
    "columns_stream": {2: 4096, 4: 4096, 8: 4096},
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns_first", [False, True])
def test_each_length_gets_its_kernel(dtype: np.dtype[Any], columns_first: bool) -> None:
    edges = COLUMN_EDGES if columns_first else ROW_EDGES
    following = [*list(edges)[1:], "columns_split" if columns_first else "softmax_split"]
    for kernel, after in zip(edges, following, strict=True):
        last = edges[kernel][dtype.itemsize]
        for columns, expected in ((last, kernel), (last + 1, after)):
            plan = plan_of("softmax", contiguous(40, columns, columns_first=columns_first), dtype)
            assert families(plan)[0] == expected, columns


def test_rows_decide_only_the_grid() -> None:
    for columns in (1, 7, 300, 1000, 9000, 20000, 70000):
        for operation in OPERATIONS:
            reduces = operation in ("logsumexp", "state")
            few, many = (plan_of(operation, contiguous(n, columns, reduces=reduces), "f4") for n in (2, 100_000))
            assert few.kernels == many.kernels
            assert [(s.block, s.shared) for s in few.steps] == [(s.block, s.shared) for s in many.steps]


def test_a_view_is_cut_as_its_copy_is() -> None:
    copy = plan_of("softmax", contiguous(40, 1000), "f4").steps[0]
    view = plan_of("softmax", Layout((Axis(40, (2003, 1000)),), (Axis(1000, (-2, 1)),)), "f4", (4, 16)).steps[0]
    assert (copy.grid, copy.block) == (view.grid, view.block)
    assert copy.kernel.name.replace("Vectors<4>", "Elements") == view.kernel.name


def test_grids() -> None:
    assert plan_of("softmax", contiguous(64, 1000), "f4").steps[0].grid == (64, 1, 1)
    assert plan_of("softmax", contiguous(64, 1000), "f4").steps[0].block == (64, 1, 1)
    # 4 lanes a row, so 32 rows a block.
    assert plan_of("softmax", contiguous(70_001, 16), "f4").steps[0].grid == (2188, 1, 1)
    assert plan_of("softmax", contiguous(70_001, 5000), "f4").steps[0].grid == (70_001, 1, 1)
    # 32 rows a tile.
    step = plan_of("softmax", contiguous(70_001, 100, columns_first=True), "f4").steps[0]
    assert (step.grid, step.block) == ((2188, 1, 1), (32, 8, 1))


def test_parts_are_merged_and_applied() -> None:
    plan = plan_of("softmax", contiguous(3, 65537), "f4")
    assert families(plan) == ("softmax_split", "split_merge", "softmax_apply", "settle")
    assert [step.grid[0] for step in plan.steps] == [15, 3, 15, 1]
    assert [(each.name, each.count) for each in plan.scratch] == [("states", 60), ("merged", 12), ("open", 3)]
    assert families(plan_of("state", contiguous(3, 65537, reduces=True), "f4")) == ("fold_states", "join_parts")


def test_more_than_two_to_the_31_elements() -> None:
    columns = 2**33 + 5
    plan = plan_of("softmax", contiguous(2, columns), "f4")
    parts = -(-columns // 16384)
    assert plan.steps[0].grid == (2 * parts, 1, 1)
    assert np.frombuffer(plan.steps[0].args[1].tobytes(), np.int64)[1] == columns  # type: ignore[union-attr]


@pytest.mark.parametrize("operation", ["softmax", "log_softmax", "logsumexp"])
def test_rows_in_doubt_are_settled(operation: str) -> None:
    plan = plan_of(operation, contiguous(40, 1000, reduces=operation == "logsumexp"), "f4")
    assert families(plan) == ("softmax_block", "settle")
    assert plan.steps[1].grid == (3, 1, 1)
    assert [(scratch.name, scratch.count) for scratch in plan.scratch] == [("open", 40)]


def test_one_kernel_settles_every_type_and_layout() -> None:
    plans = [
        plan_of(operation, contiguous(40, columns, columns_first=first), dtype)
        for operation in ("softmax", "log_softmax")
        for columns in (10, 70_000)
        for first in (False, True)
        for dtype in DTYPES
    ]
    assert len({plan.steps[-1].kernel for plan in plans}) == 1


def test_what_is_written_in_place_is_tested_before() -> None:
    """Rows in parts are walked once more; the kernels of other rows are told."""
    long, short = (
        plans.softmax(contiguous(3, columns), np.dtype("f4"), (16, 16), log=False, in_place=True)
        for columns in (70_000, 1000)
    )
    assert families(long) == ("softmax_split", "split_merge", "softmax_apply", "softmax_apply", "settle")
    assert [step.args[-1] for step in long.steps[2:4]] == [
        Options.IN_PLACE | Options.ONLY_TEST,
        Options.IN_PLACE | Options.ONLY_WRITE,
    ]
    assert families(short) == ("softmax_block", "settle")
    assert short.steps[0].args[-1] == Options.IN_PLACE


def test_general_logsumexp() -> None:
    three = Layout((Axis(5, (7, 0, 1)),), (Axis(7, (1, 1, 0)),))
    plan = plans.logsumexp(three, np.dtype("f4"), (16, 16, 16), weighted=True)
    assert families(plan) == ("logsumexp_weighted", "logsumexp_weighted_refine", "settle_weighted")
    assert plan.steps[2].kernel.name == "settle_weighted<true, false, View<3, 6, 6>>"
    assert [argument for argument in plan.steps[0].args if isinstance(argument, str)] == [
        "x",
        "b",
        "out",
        "out",
        "open",
    ]
    assert [(scratch.name, scratch.count) for scratch in plan.scratch] == [("open", 10)]
    plan = plans.logsumexp(contiguous(5, 7, reduces=True), np.dtype("c8"), (16, 16))
    assert plan.steps[0].kernel.name == "logsumexp_complex<float, false, false, WarpTeam<8>, View<2, 1, 1>>"


# The longest row of each team of a general logsumexp, its rows a block, and its threads.
TEAMS = {
    False: {
        "WarpTeam<1>": (4, 128, (128, 1, 1)), "WarpTeam<8>": (64, 16, (128, 1, 1)),
        "WarpTeam<32>": (1024, 4, (128, 1, 1)), "BlockTeam<4>": (16384, 1, (128, 1, 1)),
    },
    True: {"WarpTeam<1>": (16, 128, (128, 1, 1)), "ColumnTeam<8>": (4096, 32, (32, 8, 1))},
}  # fmt: skip


def signed_plan(rows: int, columns: int, dtype: str, *, columns_first: bool = False) -> Plan:
    """Plan a logsumexp with a sign, of a contiguous array."""
    row, column = (1, rows) if columns_first else (columns, 1)
    layout = Layout((Axis(rows, (row, 1, 1)),), (Axis(columns, (column, 0, 0)),) if columns != 1 else ())
    return plans.logsumexp(layout, np.dtype(dtype), (16, 16, 16), signed=True)


@pytest.mark.parametrize("dtype", ["f2", "f8", "c16"])
@pytest.mark.parametrize("columns_first", [False, True])
def test_each_length_of_a_general_logsumexp_gets_its_team(dtype: str, columns_first: bool) -> None:
    shortest = 1
    for team, (longest, rows, block) in TEAMS[columns_first].items():
        for columns in (shortest, longest):
            step = signed_plan(70, columns, dtype, columns_first=columns_first).steps[0]
            assert f", {team}, View" in step.kernel.name, columns
            assert (step.grid, step.block) == ((-(-70 // rows), 1, 1), block)
        shortest = longest + 1
    plan = signed_plan(70, shortest, dtype, columns_first=columns_first)
    last = [] if dtype == "c16" else ["weighted"]
    assert [name.rsplit("_", 1)[1] for name in families(plan)] == ["split", "merge", "walk", "refine", *last]


def test_a_general_logsumexp_in_parts() -> None:
    plan = signed_plan(3, 16385, "f4")
    assert [step.grid[0] for step in plan.steps] == [15, 3, 15, 1, 1]
    assert [(scratch.name, scratch.dtype.name, scratch.count) for scratch in plan.scratch] == [
        ("open", "float64", 6), ("states", "float64", 90), ("walks", "uint64", 135),
    ]  # fmt: skip
    plan = signed_plan(70, 5000, "c8", columns_first=True)
    assert [step.grid[0] for step in plan.steps] == [15, 70, 350, 5]
    assert [scratch.count for scratch in plan.scratch] == [140, 3850, 5250]


def test_no_rows_no_steps() -> None:
    for operation in OPERATIONS:
        assert plan_of(operation, Layout((Axis(0, (5, 1)),), (Axis(5, (1, 0)),)), "f4").steps == ()


@pytest.mark.parametrize(
    ("x", "columns", "alignment", "access"),
    [
        ((1000, 1), 1000, 16, "Vectors<4>"),
        ((1004, 1), 1001, 16, "Ragged<4>"),
        ((1000, 1), 999, 16, "Ragged<4>"),
        ((0, 1), 1000, 16, "Vectors<4>"),
        ((-1000, 1), 1000, 16, "Vectors<4>"),
        ((1002, 1), 1002, 16, "Vectors<2>"),
        ((1000, 1), 1000, 8, "Vectors<2>"),
        ((1002, 1), 1001, 16, "SideBySide"),
        ((1001, 1), 1001, 16, "SideBySide"),
        ((1000, 1), 1000, 4, "SideBySide"),
        ((1001, 1), 4, 16, "Vectors<1>"),
        ((1002, 1), 5, 16, "Ragged<2>"),
        ((1000, 1), 3, 16, "Ragged<2>"),
        ((1000, 1), 2, 16, "Vectors<2>"),
        ((1000, 2), 500, 16, "Elements"),
        ((1000, -1), 1000, 16, "Elements"),
    ],
)
def test_how_elements_come_and_go(x: tuple[int, int], columns: int, alignment: int, access: str) -> None:
    seen = Layout((Axis(9, (x[0], 4096)),), (Axis(columns, (x[1], 1)),))
    lanes = min(32, -(-columns // 4))
    assert access_type(seen, np.dtype("f4"), (alignment, 16), (0, 1), lanes=lanes) == access


@pytest.mark.parametrize(
    ("dtype", "stride", "access"),
    [("f2", 1000, "Vectors<8>"), ("f2", 1004, "Vectors<4>"), ("f2", 1002, "SideBySide"), ("f2", 1001, "SideBySide"),
     ("f8", 1000, "Vectors<2>"), ("f8", 1001, "Vectors<1>")],
)  # fmt: skip
def test_accesses_of_eight_bytes_go_alone(dtype: str, stride: int, access: str) -> None:
    seen = Layout((Axis(9, (stride, stride)),), (Axis(1000, (1, 1)),))
    assert access_type(seen, np.dtype(dtype), (16, 16), (0, 1), lanes=32) == access


def test_one_row_needs_no_aligned_stride() -> None:
    assert "Ragged<4>" in plan_of("softmax", contiguous(1, 1001), "f4").steps[0].kernel.name
    assert "SideBySide" in plan_of("softmax", contiguous(2, 1001), "f4").steps[0].kernel.name


def test_both_arrays_decide() -> None:
    seen = Layout((Axis(9, (1024, 1022)),), (Axis(1000, (1, 1)),))
    assert access_type(seen, np.dtype("f4"), (16, 16), (0, 1), lanes=32) == "Vectors<2>"
    assert access_type(seen, np.dtype("f4"), (16, 16), (0,), lanes=32) == "Vectors<4>"
    assert access_type(seen, np.dtype("f4"), (16, 4), (0, 1), lanes=32) == "SideBySide"


def test_vectors_that_change_hands_fit_in_shared_memory() -> None:
    for columns in (8193, 9001, 9728):
        step = plan_of("softmax", contiguous(3, columns), "f4").steps[0]
        assert step.kernel.name.startswith("softmax_shared")
        assert 4 * columns <= step.shared <= 38 * 1024
        assert step.shared % 512 == 0


def test_view_of_many_axes() -> None:
    shape = (2, 3, 4, 5, 6, 7)
    strides = tuple(np.cumprod([1, *[2 * n for n in shape[:0:-1]]])[::-1].tolist())
    view = view_of(layout(shape, [1, 3, 5], [strides, strides]), 2)
    assert view.type == "View<2, 6, 6>"
    words = np.frombuffer(view.value.tobytes(), np.int64)
    assert words[:5].tolist() == [2 * 4 * 6, 3 * 5 * 7, 6, 4, 2]
    assert len(words) == 2 + 3 * 6 + 3 * 6


def test_a_view_with_more_axes_than_usual() -> None:
    seen = Layout(tuple(Axis(2, (3 * 4**i, 4**i)) for i in range(9, 0, -1)), (Axis(3, (1, 1)),))
    assert view_of(seen, 2).type == "View<2, 9, 1>"


@pytest.mark.parametrize(
    ("arch", "dtype", "columns", "kept"),
    [
        ("sm_90a", "f2", 16384, "softmax_shared_floats 16 true"),
        ("sm_90a", "f2", 32768, "softmax_shared_floats 32 true"),
        ("sm_90a", "f2", 65536, "softmax_shared_floats 32 false"),
        ("sm_90a", "f4", 8193, "softmax_shared 16 true"),
        ("sm_90a", "f4", 27776, "softmax_shared 32 true"),
        ("sm_90a", "f4", 55552, "softmax_shared 32 false"),
        ("sm_90a", "f4", 55553, "softmax_stream"),
        ("sm_80", "f4", 16384, "softmax_shared 32 true"),
        ("sm_80", "f4", 32768, "softmax_shared 32 false"),
        ("sm_100", "f4", 16384, "softmax_shared 32 true"),
        ("sm_120", "f2", 16384, "softmax_shared_floats 16 false"),
        ("sm_120", "f4", 16384, "softmax_shared 32 false"),
        ("sm_120", "f2", 45569, "softmax_split_floats"),
        ("sm_90a", "f2", 65537, "softmax_split_floats"),
        ("sm_90a", "f4", 65537, "softmax_split"),
        ("sm_75", "f4", 13824, "softmax_shared 32 false"),
        ("sm_75", "f2", 8193, "softmax_shared 16 false"),
    ],
)
def test_what_of_a_row_is_kept_follows_from_the_shared_memory(arch: str, dtype: str, columns: int, kept: str) -> None:
    x = np.empty((2, columns), dtype)[:, :columns]
    step = plan_softmax(x, (1,), x, log=False, arch=arch).steps[0]
    name = step.kernel.name.split("<")[0]
    shared = step.kernel.name.split(">, ")[1].split(", ")[:2] if name.startswith("softmax_shared") else []
    assert [name, *shared] == kept.split()
    assert step.shared <= limits_of(arch).shared
