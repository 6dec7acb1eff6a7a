"""Softmax out of float32 alone: the bits of the reference, in registers, in shared memory and in parts."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest

from cupysoft import simulator
from cupysoft.arrays import layout
from cupysoft.ops import plans
from cupysoft.ops.device import alignments, plan_softmax
from cupysoft.ops.plans_kept import UNASKED
from cupysoft.runtime.launch import run
from cupysoft.testing import quick_reference
from tests.near_ties import NEAR_TIES


def by(
    x: npt.NDArray[Any],
    float32: bool,
    device: simulator.Device,
    *,
    first_tier: int = 1,
    shared: int = UNASKED,
    in_place: bool = False,
    integers: bool = False,
) -> npt.NDArray[Any]:
    """Softmax of the rows of a contiguous array, planned one way or the other."""
    rows = layout(x.shape, (1,), [(x.shape[1], 1)] * 2)
    out: npt.NDArray[Any] = x if in_place else np.empty_like(x)
    told: dict[str, Any] = {"float32": float32, "first_tier": first_tier, "shared": shared, "in_place": in_place}
    plan = plans.softmax(rows, x.dtype, alignments(x, out), log=False, integers=integers, **told)
    assert ("_floats" in plan.steps[0].kernel.name) == float32
    assert ("ByIntegers" in plan.steps[0].kernel.name) == integers
    run(plan, {"x": x, "out": out}, device)
    return out


def seeking_trouble(rows: int, columns: int, dtype: np.dtype[Any], seed: int) -> npt.NDArray[Any]:
    """Rows of many kinds: small and huge spreads and offsets, equal elements, masks, a few that are not finite."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)) * rng.choice([1e-3, 1, 5, 20, 60], (rows, 1))
    x += rng.choice([0, 0, -100, 90, 170.7, 1000, -3e4], (rows, 1))
    x[0] = 3.25
    x[1, columns // 3 :] = -np.inf
    x[2, ::2] = -np.inf
    x[3, 5], x[4, 6], x[5] = np.nan, np.inf, -np.inf
    x[6] = np.where(np.arange(columns) % 7, -87.5, 0) - np.arange(columns) / columns * 17
    with np.errstate(over="ignore"):
        narrowed: npt.NDArray[Any] = x.astype(dtype)
    return narrowed


@pytest.mark.parametrize(
    ("rows", "columns", "dtype"),
    [
        (48, 497, np.dtype(np.float32)),
        (40, 1024, np.dtype(ml_dtypes.bfloat16)),
        (24, 8190, np.dtype(np.float16)),
    ],
    ids=str,
)
def test_rows_in_registers(rows: int, columns: int, dtype: np.dtype[Any]) -> None:
    x = seeking_trouble(rows, columns, dtype, columns)
    found = by(x, True, simulator.Device())
    assert_same(quick_reference.softmax(x, axis=1), found)
    assert np.isnan(found[3:6]).all()
    assert_same(found, by(x, True, simulator.Device(), in_place=True))


def assert_same(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    """Compare bits; any NaN is as good as another."""
    kind = f"i{first.dtype.itemsize}"
    same: npt.NDArray[np.bool_] = (first.view(kind) == second.view(kind)) | (np.isnan(first) & np.isnan(second))
    assert same.all()


def long_rows(columns: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Rows of many kinds, some of them with a result next to a tie, on either side of it."""
    tie = next(row for function, kind, _, row in NEAR_TIES if (function, kind) == ("softmax", dtype.name))
    ties = np.full((2, columns), -np.inf).astype(dtype)
    ties[:, 40 : 40 + len(tie)] = tie
    # As it is, its sum lies on one side; with the least of its terms a step higher, or lower, on the other.
    ties[1, 39 + len(tie)] = np.nextafter(ties[1, 39 + len(tie)], dtype.type(np.inf))
    return np.concatenate([seeking_trouble(7, columns, dtype, columns), ties])


# Rows in shared memory: with their terms, and with room for x alone, by a block of 32 warps then. One has all
# checks, in a drawn schedule.
@pytest.mark.parametrize(
    ("columns", "dtype", "shared", "kept", "seed"),
    [
        (8195, np.dtype(np.float16), 227 << 10, "16, true", 4),
        (9008, np.dtype(ml_dtypes.bfloat16), 50 << 10, "32, false", None),
        (8200, np.dtype(np.float32), 227 << 10, "16, true", None),
        (9008, np.dtype(np.float32), 50 << 10, "32, false", None),
    ],
    ids=str,
)
def test_rows_that_are_kept(columns: int, dtype: np.dtype[Any], shared: int, kept: str, seed: int | None) -> None:
    x = long_rows(columns, dtype)
    true = quick_reference.softmax(x, axis=1)
    with simulator.Device() if seed is None else simulator.Device(check=True, seed=seed) as device:
        assert_same(true, by(x, True, device, shared=shared))
        assert_same(true, by(x.copy(), True, device, shared=shared, in_place=True))
        device.report.clear()
        by(np.zeros_like(x[:2]), True, device, shared=shared)
        (kernel,) = (each for name, each in device.report.kernels.items() if "shared_floats" in name and kept in name)
        # Lookups of one entry have no conflicts, so that these would be of the row.
        assert kernel.bank_conflicts == 0
        assert (kernel.arguments["x"].walks_read, kernel.arguments["out"].walks_written) == (1, 1)


def test_rows_of_16_bits_in_parts() -> None:
    x = long_rows(66_000, np.dtype(np.float16))[1:]
    true = quick_reference.softmax(x, axis=1)
    for in_place, first_tier in ((False, 1), (True, 2), (True, 1)):
        device = simulator.Device()
        found = by(x.copy() if in_place else x, True, device, first_tier=first_tier, in_place=in_place)
        assert_same(true, found)


def test_every_check_passes_and_any_row_may_be_left_to_a_wider_tier() -> None:
    x = seeking_trouble(9, 497, np.dtype(np.float32), 1)
    plain = by(x, True, simulator.Device())
    assert np.array_equal(by(x, True, simulator.Device(check=True)), plain, equal_nan=True)
    assert np.array_equal(by(x, True, simulator.Device(), first_tier=2), plain, equal_nan=True)


def test_architectures_whose_float64_is_slow_work_in_float32_or_in_integers() -> None:
    x = np.zeros((4, 1000), np.float32)
    ways = {"sm_75": "", "sm_80": "e", "sm_90a": "e", "sm_100": "e", "sm_103": "fe", "sm_89": "e", "sm_120": "e"}
    for arch, types in ways.items():
        for dtype in "fe":
            y = x.astype(dtype)
            (kernel, *_) = plan_softmax(y, (1,), y, log=False, arch=arch).kernels
            assert ("_floats" in kernel.name) == (dtype in types), (arch, dtype)
            assert ("ByIntegers" in kernel.name) == (arch in ("sm_89", "sm_120") and dtype == "f"), (arch, dtype)
