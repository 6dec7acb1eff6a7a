"""Instructions issued for an element by our kernels, beside what each GPU can at full bandwidth: ceilings.

How they are counted in the machine code is tested in test_slot_counting.py.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from cupysoft.ops import plans
from cupysoft.ops.plans_float32 import prefers_float32, prefers_integers
from cupysoft.runtime.limits import limits_of
from cupysoft.runtime.sources import source
from cupysoft.simulator.profile.processors import processor
from cupysoft.simulator.profile.slots import Slots, slots_of_plan
from tests.kernels.plans_for import contiguous

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
GPUS = ("A100", "H100", "B200", "RTX 5090")

# Instructions issued for an element of softmax on sm_90a, by itemsize: rows that are held, in registers or with their
# terms in shared memory, by whichever kernel is planned there, and by the one that works in float32.
CEILINGS = {4: 75, 2: 38}
# Of 16 bits, where exponentials are computed twice: with room for x alone, and in parts, where elements are moved three
# times and not two.
CEILING_OF_X_ALONE = 50
CEILING_IN_PARTS = 57
# Share of rows of float32 in doubt, an element: docs/performance.md.
IN_DOUBT = 8e-6


def shown(gpu: str, dtype: Any, columns: int, way: str = "") -> Slots:
    """Print what an element of softmax issues, its budget and the share of bandwidth."""
    dtype = np.dtype(dtype)
    arch = processor(gpu).arch
    found = counted(gpu, dtype, columns, way or preferred(dtype, arch))
    pipes = ", ".join(f"{pipe} {n:.1f} of {found.budget[pipe]:.0f}" for pipe, n in found.issued.items() if n >= 0.05)
    print(f"{gpu}, {dtype}, rows of {columns}: {pipes}; {found.share:.0%} of the bandwidth")
    return found


def preferred(dtype: np.dtype[Any], arch: str) -> str:
    """Name the way that is planned."""
    return "float32" if prefers_float32(dtype, arch) else "integers" if prefers_integers(dtype, arch) else "float64"


@cache
def counted(gpu: str, dtype: np.dtype[Any], columns: int, way: str) -> Slots:
    """Count the instructions of one way to compute softmax."""
    of = processor(gpu)
    shared = limits_of(of.arch).shared
    told = {each: each == way for each in ("float32", "integers")}
    plan = plans.softmax(contiguous(64, columns), dtype, (16, 16), log=False, shared=shared, **told)
    return slots_of_plan(plan, dtype.itemsize, of)


@pytest.mark.parametrize("dtype", [np.float16, BFLOAT16, np.float32], ids=str)
@pytest.mark.parametrize("columns", [512, 8192, 16384])
def test_rows_that_are_held_stay_below_their_ceiling(dtype: Any, columns: int) -> None:
    ceiling = CEILINGS[np.dtype(dtype).itemsize]
    assert shown("H100", dtype, columns).issued["issue"] <= ceiling
    by_float32 = shown("H100", dtype, columns, "float32").issued
    assert by_float32["issue"] <= ceiling
    assert by_float32["float64"] == 0


@pytest.mark.parametrize(
    ("dtype", "columns", "ceiling"), [(np.float16, 65536, CEILING_OF_X_ALONE), (np.float32, 28672, 75)]
)
def test_the_longest_rows_that_are_kept(dtype: Any, columns: int, ceiling: float) -> None:
    assert shown("H100", dtype, columns).issued["issue"] <= ceiling


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("dtype", "columns"), [(np.float16, 8192), (np.float32, 8192), (np.float32, 16384)])
def test_the_fastest_way_is_planned(gpu: str, dtype: Any, columns: int) -> None:
    """The bits are the same; rows in doubt take two ways, one after the other."""
    # Integers take twice as many slots as float32 does; only few GPUs have these.
    ways = ("float64", "float32", "integers") if dtype is np.float32 and "RTX" in gpu else ("float64", "float32")
    shares = {way: shown(gpu, dtype, columns, way).share for way in ways}
    if dtype is np.float32:
        shares["float32"] = 1 / (1 / shares["float32"] + IN_DOUBT * columns / shares["float64"])
    best = max(shares, key=lambda way: shares[way])
    assert shares[preferred(np.dtype(dtype), processor(gpu).arch)] == shares[best]


def test_exponentials_by_a_table_or_by_integers_leave_all_of_the_bandwidth() -> None:
    """In registers and with terms in shared memory; the first is what an A100 has issue slots for."""
    for gpu, columns, ceiling in (("A100", 8192, 38), ("A100", 16384, 38), ("B200", 8192, 38), ("RTX 5090", 8192, 116)):
        found = shown(gpu, np.float32, columns)
        assert found.share == 1
        assert found.issued["issue"] <= ceiling


# What `settle` takes for an element of float32, all together and of float64, on the simulated device
# (docs/performance.md).
SETTLE = {"issue": 690, "float64": 267}


@pytest.mark.parametrize("gpu", GPUS)
def test_rows_in_doubt_are_less_than_five_per_cent_of_the_work(gpu: str) -> None:
    """Of float32: how many there are by the width of the test, times what the second tier takes beside the first."""
    (table,) = re.findall(r"DOUBT = Element<T>::BITS == 32 \? (\d+)", source("numerics/rounding.cuh"))
    (integers,) = re.findall(r"IN_DOUBT = (\d+);", source("numerics/by_integers.cuh"))
    of_held = shown(gpu, np.float32, 8192)
    settle = max(SETTLE[pipe] / of_held.budget[pipe] for pipe in SETTLE)
    for columns in (8192, 16384, 65536):
        found = shown(gpu, np.float32, columns)
        # In units of the time in which a row is read and written once; one that is walked is read twice.
        alone = found.budget["issue"] / of_held.budget["issue"] / found.share
        walked = columns == 65536
        width = int(integers if "RTX" in gpu and not walked else table)
        extra = 2 * width / 2**32 * columns * settle / alone
        print(f"{gpu}, rows of {columns}: {extra:.1%} more work for rows in doubt")
        assert extra < 0.05


@pytest.mark.parametrize("gpu", GPUS)
def test_slots_are_shown_for_every_gpu(gpu: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 10 < shown(gpu, np.float32, 65536).issued["issue"] < 200
    assert "of the bandwidth" in capsys.readouterr().out
