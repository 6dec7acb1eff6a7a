"""Softmax of float32 in float64 by a table of exponentials: the bounds that its proof builds on, and the bits."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
from flint import arb, ctx

from cupysoft import simulator
from cupysoft.runtime.sources import source
from cupysoft.testing import quick_reference
from cupysoft.testing.trouble import draw
from tests.kernels.asked import launched
from tests.kernels.test_rows32 import assert_same, by, seeking_trouble

Doubles = npt.NDArray[np.float64]

# What a test asks of the header: terms of elements; the inverse of what a warp sums, 128 terms a lane.
ASKED = """
extern "C" __global__ void terms(const float* x, float m, double* term, int n)
{
    ByTable::prepare<BlockTeam<4>>();
    __syncthreads();
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) term[i] = ByTable::term(x[i], ByTable::anchor(m));
}
extern "C" __global__ void totals(const double* terms, float m, double* sum)
{
    const Anchor anchor = ByTable::anchor(m);
    Two own = ByTable::nothing(anchor);
    for (int at = 0; at < 128; at += 16) {
        double term[16];
        for (int i = 0; i < 16; i++) term[i] = terms[128 * threadIdx.x + at + i];
        ByTable::push(own, term);
    }
    const Two all = ByTable::joined<WarpTeam<32>>(own, anchor);
    if (threadIdx.x == 0) {
        sum[0] = all.hi;
        sum[1] = all.lo;
        sum[2] = ByTable::share(all, 0.0).inverse;
    }
}
"""
U = 2.0**-53


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    before, ctx.prec = ctx.prec, 160
    yield
    ctx.prec = before


ask = partial(launched, "softmax/rows32.cu", ASKED)


def shift_of(m: float) -> float:
    return 0.0 if -64 <= m < 171 else float(np.rint(m))


@pytest.mark.parametrize("m", [0.0, 3.7, -63.9, 170.5, 171.0, -64.5, 1000.3, 3.0e38])
def test_terms_keep_their_bound(m: float) -> None:
    m = float(np.float32(m))
    rng = np.random.default_rng(5)
    step = np.log(2) / 1024
    halves = [each * (np.arange(24) + 0.5) * step for each in (-1, 1, -1000)]
    chosen = [m - 107 * rng.random(40), m - rng.exponential(size=30), *(m + each for each in halves)]
    small = rng.normal(size=8) * 10.0 ** -rng.integers(3, 40, 8)
    x = np.concatenate([*chosen, small, [m - 107.2, -np.inf]]).astype(np.float32)
    x = x[x <= np.float32(m)][:128]
    term = np.empty(len(x))
    ask("terms", 128, x, np.float32(m), term, np.int32(len(x)))
    least = float(np.float32(m - shift_of(m)) - np.float32(107))
    for each, found in zip(x.tolist(), term.tolist(), strict=True):
        # The difference is exact; what is far below counts as if it were 107 below the maximum.
        assert abs(arb(found) / arb(max(each - shift_of(m), least)).exp() - 1) < 2.87 * U


def test_the_polynomial_keeps_its_share_of_the_bound() -> None:
    """Over all that is left of a step, in exact arithmetic: 0.85 u."""
    (square,) = re.findall(r"SQUARE = (0x[0-9a-f.]+p-1)", source("numerics/by_table.cuh"))
    for r in np.linspace(-1.0002, 1.0002, 401) * np.log(2) / 2048:
        x = arb(float(r))
        assert abs((1 + x + x * x * (arb(float.fromhex(square)) + x * arb(1 / 6))) / x.exp() - 1) < 0.85 * U


def test_the_steps_are_ln2_over_1024() -> None:
    words = re.findall(r"STEP_(?:IN_35_BITS|BELOW) = (0x[0-9a-f.]+p-\d+)", source("numerics/by_table.cuh"))
    high, below = map(float.fromhex, words)
    assert (high * 2.0**46).is_integer()
    assert abs(arb(high) + arb(below) - arb(2).log() / 1024) < 2.0**-99


# Spreads of a row, so that sums are of many like terms, or of a few; maxima near both ends of what an anchor of 0 has.
@pytest.mark.parametrize(("spread", "m"), [(0.01, 0.0), (1, 170.5), (8, -63.9), (60, 1000.3)])
def test_sums_keep_their_bound(spread: float, m: float) -> None:
    rng = np.random.default_rng(9)
    below = spread * rng.random(4096)
    below[rng.integers(4096)] = 0
    terms = np.exp(m - shift_of(m) - below)
    sums = np.empty(3)
    ask("totals", 32, terms, np.float32(m), sums)
    true = sum((arb(each) for each in terms.tolist()), arb(0))
    # 8 terms go through three additions; nothing else is lost.
    assert abs((arb(sums[0]) + arb(sums[1])) / true - 1) < 3 * U
    assert abs((arb(sums[0]) + arb(sums[1])) * arb(sums[2]) - 1) < 1.01 * U


def test_sums_lose_nothing_but_in_a_tree() -> None:
    """Terms of few bits, whose trees are exact."""
    rng = np.random.default_rng(3)
    terms = rng.integers(1, 2**40, 4096) * 2.0 ** -rng.integers(40, 44)
    sums = np.empty(3)
    ask("totals", 32, terms, np.float32(0), sums)
    assert arb(sums[0]) + arb(sums[1]) == sum((arb(each) for each in terms.tolist()), arb(0))


def test_the_bound_of_a_result_is_below_what_the_test_of_rounding_allows_for() -> None:
    """Term, sum with its own terms, inverse, product; half of one for what is subnormal: in last places of float64."""
    (units,) = re.findall(r"DOUBT = Element<T>::BITS == 32 \? (\d+)", source("numerics/rounding.cuh"))
    assert int(units) / 8 > 2.87 + (2.87 + 3) + 1.01 + 1 + 0.5


def test_the_table_is_that_of_the_powers_of_two() -> None:
    rows = re.findall(r"0x([0-9a-f]{16})ULL", source("numerics/by_table_powers.cuh"))
    assert len(rows) == 1024
    for j, entry in enumerate(rows):
        (nearest,) = struct.unpack("<d", struct.pack("<Q", int(entry, 16) + (j << 42)))
        assert abs(arb(2) ** (arb(j) / 1024) - arb(nearest)) < arb(2) ** -53


# Rows of a warp and of a block in registers, and in shared memory, with terms and with room for x alone.
@pytest.mark.parametrize(
    ("rows", "columns", "shared"),
    [(7, 497, 0), (7, 2044, 0), (7, 8197, 227 << 10), (7, 8200, 50 << 10)],
    ids=["warp", "block", "kept", "x alone"],
)
def test_rows_have_the_bits_of_the_reference(rows: int, columns: int, shared: int) -> None:
    x = seeking_trouble(rows, columns, np.dtype(np.float32), columns)
    x = np.concatenate([x, draw("near ties", np.random.default_rng(2), (2, columns), x.dtype)])
    found = by(x, False, simulator.Device(check=columns == 2044, fast=False), shared=shared)
    assert_same(quick_reference.softmax(x, axis=1), found)
    assert np.isnan(found[3:6]).all()
