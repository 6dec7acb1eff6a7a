"""Every tier of the kernels gives the same bits: those of the rigorous reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.arrays import layout
from cupysoft.ops import plans, plans_parts
from cupysoft.ops.device import alignments, spread, strides
from cupysoft.runtime.launch import run
from cupysoft.testing import quick_reference, reference
from cupysoft.testing.near_ties import TYPES
from cupysoft.testing.trouble import FAMILIES, draw
from tests.kernels.plans_for import DTYPES, Array, families
from tests.near_ties import subnormal_ties

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")


@pytest.fixture
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=True) as made:
        yield made


@pytest.fixture
def fast_device() -> Iterator[simulator.Device]:
    with simulator.Device(check=False) as made:
        yield made


@pytest.fixture
def plain_device() -> Iterator[simulator.Device]:
    """For kernels that take longer to be made fast than they run."""
    with simulator.Device(fast=False, check=False) as made:
        yield made


def by_tier(
    device: simulator.Device, function: str, x: Array, tier: int, axis: int = 1, *, in_place: bool = False
) -> tuple[Array, tuple[str, ...]]:
    """Have every row decided by a tier, or by a wider one; give the results and the kernels that ran."""
    if function == "logsumexp":
        out = np.full(np.delete(x.shape, axis), 7, x.dtype)
        rows = layout(x.shape, (axis,), [strides(x), spread(strides(out), (axis,), x.ndim)])
        plan = plans.logsumexp(rows, x.dtype, alignments(x, out), first_tier=tier)
    else:
        x = x.copy() if in_place else x
        out = x if in_place else np.full_like(x, 7)
        rows = layout(x.shape, (axis,), [strides(x), strides(out)])
        log = function == "log_softmax"
        plan = plans.softmax(rows, x.dtype, alignments(x, out), log=log, in_place=in_place, first_tier=tier)
    run(plan, {"x": x, "out": out}, device)
    return out, families(plan)


def assert_bits(ours: Array, true: Array) -> None:
    """Compare bits, those of zeros too; any NaN is as good as another."""
    assert ours.dtype == true.dtype
    assert np.array_equal(np.isnan(ours), np.isnan(true))
    word = f"u{ours.dtype.itemsize}"
    assert np.array_equal(np.where(np.isnan(true), 0, ours.view(word)), np.where(np.isnan(true), 0, true.view(word)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_trouble(fast_device: simulator.Device, family: str, dtype: np.dtype[Any]) -> None:
    for columns in (3, 12):
        assert_tiers(fast_device, draw(family, np.random.default_rng(columns), (8, columns), dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_near_ties_on_both_sides(fast_device: simulator.Device, dtype: np.dtype[Any]) -> None:
    """As they are drawn, sums lie a little below; with the least of their terms a step higher they lie above."""
    x = draw("near ties", np.random.default_rng(5), (48, 7), dtype)
    assert_tiers(fast_device, x)
    least = np.where(x > x.min(), x, np.inf).argmin(axis=1)
    rows = np.arange(len(x))
    x[rows, least] = np.nextafter(x[rows, least], x.dtype.type(np.inf))
    assert_tiers(fast_device, x)


@pytest.mark.parametrize(("dtype", "low"), list(zip(DTYPES, (-15, -91, -100, -744), strict=True)), ids=str)
def test_near_ties_of_subnormal_numbers(fast_device: simulator.Device, dtype: np.dtype[Any], low: int) -> None:
    assert_tiers(fast_device, subnormal_ties(dtype, low))


def assert_tiers(device: simulator.Device, x: Array) -> None:
    """Hold every function, by every tier, against the reference."""
    for function in FUNCTIONS:
        true = getattr(reference, function)(x, axis=1)
        for tier in (1, 2, 3):
            assert_bits(by_tier(device, function, x, tier)[0], true)


# A lane, a warp, a block; shared memory, stream, parts; by columns a thread, a block, a stream, parts.
PLACES = [
    ((40, 3), 1), ((3, 300), 1), ((2, 1001), 1), ((1, 8300), 1), ((1, 12_100), 1), ((1, 66_000), 1),
    ((12, 40), 0), ((100, 33), 0), ((300, 8), 0), ((4100, 8), 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "shape", "axis"),
    [*(("f4", *place) for place in PLACES), ("f8", (3, 40), 1), ("f8", (100, 33), 0), ("f2", (1, 12_100), 1)],
)
def test_every_kernel_leaves_rows_open(dtype: str, shape: tuple[int, int], axis: int) -> None:
    """Their first tier and the second agree; in place too, where nothing may be lost before it is settled.

    Functions take turns in the simulator's fast version, which takes long to compile.
    """
    x = (np.random.default_rng(sum(shape)).normal(size=shape) * 4).astype(dtype)
    odd = x[:1] if axis == 1 else x[:, :1]  # a row more, which has no finite result and is left open by no tier
    x = np.concatenate([x, np.full_like(odd, np.inf)], axis=1 - axis)
    for turn, function in enumerate(FUNCTIONS, PLACES.index((shape, axis)) if (shape, axis) in PLACES else 0):
        device = simulator.Device(check=False, fast=turn % 3 == 0)
        first, _ = by_tier(device, function, x, 1, axis)
        assert_bits(by_tier(device, function, x, 2, axis)[0], first)
        if function == "softmax":
            for tier in (1, 2):
                assert_bits(by_tier(device, function, x, tier, axis, in_place=True)[0], first)


@pytest.mark.parametrize(("columns", "axis"), [(700, 1), (8300, 1), (13_000, 1), (66_000, 1), (300, 0), (4100, 0)])
def test_near_ties_in_long_rows(plain_device: simulator.Device, columns: int, axis: int) -> None:
    """The first tier finds them, in whatever kernel, and in place before it has written anything."""
    x = draw("near ties", np.random.default_rng(3), (12, columns), np.dtype("f4"))
    x = x if axis == 1 else np.ascontiguousarray(x.T)
    for function in FUNCTIONS[:2]:
        true = getattr(reference, function)(x, axis=axis)
        for in_place in (False, True):
            assert_bits(by_tier(plain_device, function, x, 1, axis, in_place=in_place)[0], true)


def test_parts_are_merged_whichever_leads(plain_device: simulator.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one thread one after the other, which takes more parts than rows of this length have."""
    monkeypatch.setattr(plans_parts, "_PARTS", 1024)
    ramp = np.linspace(-40, 0, 66_000)
    odd = np.where(np.arange(66_000) < 50_000, -np.inf, ramp)
    x = np.array([ramp, ramp[::-1], np.round(ramp / 20) * 20, odd], "f4")
    for function in ("softmax", "logsumexp"):
        assert_bits(by_tier(plain_device, function, x, 1)[0], getattr(quick_reference, function)(x, axis=1))


def test_the_last_tier_in_place(device: simulator.Device) -> None:
    for shape in ((2, 300), (1, 2000)):
        x = np.random.default_rng(0).normal(size=shape).astype("f4")
        for function in FUNCTIONS[:2]:
            assert_bits(by_tier(device, function, x, 3, in_place=True)[0], getattr(reference, function)(x, axis=1))


@pytest.mark.parametrize(("shape", "axis"), [((2, 700), 1), ((1, 8300), 1), ((1, 13_000), 1), ((1, 66_000), 1)])
def test_rows_that_are_open_are_not_written(shape: tuple[int, int], axis: int) -> None:
    """In place all that writes is `settle`; elsewhere a row that is walked anyway may be written twice."""
    x = np.random.default_rng(1).normal(size=shape).astype("f4")
    with simulator.Device() as device:
        by_tier(device, "softmax", x, 2, axis, in_place=True)
    kernels = {
        name.split("<")[0]: kernel for name, kernel in device.report.kernels.items() if "out" in kernel.arguments
    }
    written = {name: kernel.arguments["out"].walks_written for name, kernel in kernels.items()}
    assert {name: walks for name, walks in written.items() if walks} == {"settle": 1}


def test_what_is_in_doubt_is_left_open(device: simulator.Device) -> None:
    """Rows that end near a tie, among others, are read again: those alone."""
    family = draw("near ties", np.random.default_rng(3), (32, 6), np.dtype("f4"))
    plain = np.random.default_rng(4).normal(size=(32, 6)).astype("f4")
    for x, least, most in ((family, 1, 32), (plain, 0, 0)):
        with simulator.Device(check=True) as each:
            by_tier(each, "softmax", x, 1)
        walks = next(
            k.arguments["x"].walks_read for name, k in each.report.kernels.items() if name.startswith("settle")
        )
        assert 4 * least / 32 <= walks <= 8 * most / 32


def test_signs_of_zeros_and_equal_elements(device: simulator.Device) -> None:
    rows = [
        [0, -np.inf, -np.inf],
        [0, -1200, -np.inf],
        [5, -3000, -60000],
        [2, 2, 2],
        [-0.0, 0, -np.inf],
        [0, -745, -745.5],
    ]
    for dtype in DTYPES:
        largest = TYPES[dtype.name][2]
        # Of these x - m is beyond all numbers: in float64 it is -inf.
        x = np.array([*rows, [largest, -largest, -np.inf]]).astype(dtype)
        for function in FUNCTIONS:
            true = getattr(reference, function)(x, axis=1)
            for tier in (1, 2, 3):
                assert_bits(by_tier(device, function, x, tier)[0], true)


def test_a_logarithm_leads_across_a_middle(fast_device: simulator.Device) -> None:
    """The last difference lies 2^-25 beside the middle of two numbers, the logarithm is half as much again."""
    x = np.array([[0.5 - 2.0**-25, -16.42, last] for last in (-8388609, -8388610)], "f4")
    assert_bits(by_tier(fast_device, "log_softmax", x, 1)[0], reference.log_softmax(x, axis=1))


def test_a_logarithm_does_not_lead_across_a_middle(fast_device: simulator.Device) -> None:
    """The difference lies a last bit of its second word before a middle, and the logarithm, in float64, is less."""
    odd, half = 100 + 2.0**-46, 2.0**-47
    x = np.array([[odd, -np.nextafter(half, side)] for side in (0, 1)])
    ours, _ = by_tier(fast_device, "log_softmax", x, 1)
    assert_bits(ours, reference.log_softmax(x, axis=1))
    assert ours[0, 1] == -odd


@pytest.mark.parametrize(("columns", "axis"), [(66_000, 1), (300, 0)])
def test_signs_of_zeros_where_sums_move(plain_device: simulator.Device, columns: int, axis: int) -> None:
    """Of what one thread, or part, has seen, the maximum of the row leaves but a trace, if it comes elsewhere."""
    for low, zero in ((-1000, -0.0), (-750, -0.0), (-np.inf, 0.0)):
        x = np.full((8, columns), -np.inf, "f4")
        places = np.linspace(0, columns - 1, 8).astype(int)
        x[range(8), places] = 0
        x[range(8), places - columns // 3] = low
        ours, _ = by_tier(plain_device, "log_softmax", x if axis == 1 else np.ascontiguousarray(x.T), 1, axis)
        assert_bits(ours if axis == 1 else np.ascontiguousarray(ours.T), np.where(x == 0, np.float32(zero), x))
