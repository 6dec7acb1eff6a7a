"""Softmax of float32 by integers: the bounds that its proof builds on, and the bits."""

from __future__ import annotations

import re
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

Integers = npt.NDArray[np.uint64]

# What a test asks of the header: terms of elements; what a warp sums, 16 terms a lane, and its inverse; quotients.
ASKED = """
extern "C" __global__ void terms(const float* x, float m, unsigned long long* term, int n)
{
    ByIntegers::prepare<BlockTeam<4>>();
    __syncthreads();
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) term[i] = ByIntegers::term(x[i], ByIntegers::anchor(m));
}
extern "C" __global__ void totals(const unsigned long long* terms, unsigned long long* sum, int* exponent)
{
    Whole own = ByIntegers::nothing(Anchor{});
    unsigned long long term[16];
    for (int i = 0; i < 16; i++) term[i] = terms[16 * threadIdx.x + i];
    ByIntegers::push(own, term);
    const Whole all = ByIntegers::joined<WarpTeam<32>>(own, Anchor{});
    const auto share = ByIntegers::share(all, 0.0);
    if (threadIdx.x == 0) {
        sum[0] = all.high;
        sum[1] = all.low;
        sum[2] = share.inverse;
        exponent[0] = share.exponent;
    }
}
// Inverses of sums of so many times 2^-46.
extern "C" __global__ void inverses(const unsigned long long* high, unsigned long long* inverse)
{
    inverse[threadIdx.x] = ByIntegers::share({high[threadIdx.x], 12345}, 0.0).inverse;
}
extern "C" __global__ void quotients(const unsigned long long* terms, unsigned long long inverse, int exponent,
                                     float* result, int* doubted)
{
    float of_one[1];
    unsigned long long term[1] = {terms[threadIdx.x]};
    Doubt doubt;
    ByIntegers::quotients(of_one, term, ByIntegers::Share{inverse, exponent, false}, doubt);
    result[threadIdx.x] = of_one[0];
    doubted[threadIdx.x] = ByIntegers::any<float>(doubt);
}
"""
UNIT = 2.0**-52


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    before, ctx.prec = ctx.prec, 200
    yield
    ctx.prec = before


ask = partial(launched, "softmax/rows.cu", ASKED)


def number(term: int) -> arb:
    """What a term stands for, over the power of two of the largest."""
    return arb(term & ~0xFF) / arb(2) ** (61 + (term & 0xFF))


@pytest.mark.parametrize("m", [0.0, 3.7, -63.9, 170.5, 171.0, -64.5, 1000.3, 3.0e38])
def test_terms_keep_their_bound(m: float) -> None:
    m = float(np.float32(m))
    shift = 0.0 if -64 <= m < 171 else float(np.rint(m))
    rng = np.random.default_rng(5)
    step = np.log(2) / 1024
    halves = [each * (np.arange(24) + 0.5) * step for each in (-1, 1, -1000)]
    chosen = [m - 107 * rng.random(40), m - rng.exponential(size=30), *(m + each for each in halves)]
    small = rng.normal(size=8) * 10.0 ** -rng.integers(3, 40, 8)
    x = np.concatenate([*chosen, small, [m, m - 107.2, -np.inf]]).astype(np.float32)
    x = x[x <= np.float32(m)][:128]
    term = np.empty(len(x), np.uint64)
    ask("terms", 128, x, np.float32(m), term, np.int32(len(x)))
    least = float(np.float32(m - shift) - np.float32(107))
    power = int(np.floor(np.rint((m - shift) * 1024 / np.log(2)) / 1024))
    for each, found in zip(x.tolist(), term.tolist(), strict=True):
        true = arb(max(each - shift, least)).exp() / arb(2) ** power
        assert abs(number(found) / true - 1) < 1.08 * UNIT


# Of many like terms, of a few, and of some that are far below the others.
@pytest.mark.parametrize("spread", [0, 3, 60, 255])
def test_sums_lose_next_to_nothing(spread: int) -> None:
    rng = np.random.default_rng(9)
    terms = rng.integers(2**61, 2**62, 512).astype(np.uint64) & ~np.uint64(255)
    terms |= rng.integers(0, spread + 1, 512).astype(np.uint64)
    terms[rng.integers(512)] &= ~np.uint64(255)
    sums, exponent = np.empty(3, np.uint64), np.empty(1, np.int32)
    ask("totals", 32, terms, sums, exponent)
    true = sum(map(number, terms.tolist()), arb(0))
    high, low, inverse = sums.tolist()
    assert 0 <= float((true - (arb(high) * 2**32 + arb(low)) / arb(2) ** 78) * arb(2) ** 78) <= 512
    assert abs(arb(inverse) * true * arb(2) ** (int(exponent[0]) - 112 + 46 - 127) - 1) < arb(2) ** -60


@pytest.mark.parametrize("seed", [None, 3])
def test_inverses_keep_their_bound_whatever_the_first_guess(seed: int | None) -> None:
    rng = np.random.default_rng(7)
    ends = [2**46, 2**46 + 1, 2**47 - 1, 2**63 - 1, 2**63, 2**46 - 2**35]
    high = np.array([*ends, *rng.integers(2**46, 2**63, 122)], np.uint64)
    inverse = np.empty(128, np.uint64)
    ask("inverses", 128, high, inverse, seed=seed)
    for a, b in zip(high.tolist(), inverse.tolist(), strict=True):
        true = arb(2) ** (63 + a.bit_length()) / (arb(a) + arb(12345) / arb(2) ** 32)
        assert b >= 2**63
        assert abs(arb(b) / true - 1) < arb(2) ** -61


def test_quotients_are_rounded_and_near_ties_are_in_doubt() -> None:
    """Of all sizes, down to nothing; a result that is not in doubt is right though its term misses what it may."""
    rng = np.random.default_rng(8)
    inverse, exponent = 0xB504F333F9DE6484, 120
    scale = arb(inverse) * arb(2) ** (exponent - 112 + 46 - 127)
    below = rng.integers(0, 200, 1024)
    terms = rng.integers(2**61, 2**62, 1024).astype(np.uint64)
    # The half of them next to ties of normal results.
    for i in range(512):
        below[i] %= 90
        value = arb(int(terms[i])) * scale / arb(2) ** (61 + int(below[i]))
        nearest = np.float32(float(value))
        tie = (arb(float(nearest)) + arb(float(np.nextafter(nearest, np.float32(9))))) / 2
        near = tie * (1 + arb(float(rng.normal())) * UNIT * 20) / scale * arb(2) ** (61 + int(below[i]))
        terms[i] = int(float(near))
    terms = terms & ~np.uint64(255) | below.astype(np.uint64)
    result, doubted = np.empty(1024, np.float32), np.empty(1024, np.int32)
    ask("quotients", 1024, terms, np.uint64(inverse), np.int32(exponent), result, doubted)
    for term, found, doubt in zip(terms.tolist(), result.tolist(), doubted.tolist(), strict=True):
        ends = [number(term) * scale * (1 + each * 2.2 * UNIT) for each in (-1, 1)]
        with np.errstate(under="ignore"):
            rounded = {rounded_once(each) for each in ends}
        assert doubt or rounded == {found}
    assert 0.05 < doubted[:512].mean() < 0.9
    assert doubted[512:].mean() < 0.01


def rounded_once(value: arb) -> float:
    """The nearest float32, by the place of its last bit."""
    mantissa, exponent = value.mid().man_exp()
    place = max(int(mantissa).bit_length() + int(exponent) - 24, -149)
    return float(int((value / arb(2) ** place + 0.5).floor().mid().str(30, radius=False).split(".")[0])) * 2.0**place


def test_constants() -> None:
    text = source("numerics/by_integers.cuh")
    (less,) = re.findall(r"STEP_LESS = (\d+);", text)
    (rest,) = re.findall(r"STEP_LESS_REST = (-0x[0-9a-f.]+p-71)f;", text)
    high = float.fromhex("0x1.62e43p-11")
    assert "STEP_HIGH = 0x1.62e43p-11f" in text
    # Times 2^18 it is below 2^-75.
    missed = arb(high) - arb(2).log() / 1024 - int(less) * arb(2) ** -69 - arb(float.fromhex(rest))
    assert abs(missed) < arb(2) ** -93
    for name, power in (("3ac", -10), ("2f4", -33)):
        assert np.float32(1.5 * 2.0**power).view(np.uint32) == int(name, 16) << 20
        assert f"0x{name}00000ULL" in text
    rows = re.findall(r"0x([0-9a-f]{16})ULL", source("numerics/by_integers_powers.cuh"))
    assert len(rows) == 1024
    for j, entry in enumerate(rows):
        assert abs(arb(2) ** (61 + arb(j) / 1024) + 128 - arb(int(entry, 16))) <= 0.5
    # Two terms, the inverse, the quotient, in units of 2^-32 of the last place of a number below 2; what is cut off.
    (units,) = re.findall(r"IN_DOUBT = (\d+);", text)
    assert int(units) > 2 * 2.0**55 * (2 * 1.08 * UNIT + 2.0**-61 + 2.0**-57.9 + 2.0**-60) + 2


@pytest.mark.parametrize(
    ("rows", "columns", "shared"),
    [(7, 497, 0), (7, 8197, 99 << 10), (7, 8200, 50 << 10)],
    ids=["warp", "kept", "x alone"],
)
def test_rows_have_the_bits_of_the_reference(rows: int, columns: int, shared: int) -> None:
    x = seeking_trouble(rows, columns, np.dtype(np.float32), columns)
    x = np.concatenate([x, draw("near ties", np.random.default_rng(2), (2, columns), x.dtype)])
    found = by(x, False, simulator.Device(fast=False), shared=shared, integers=True)
    assert_same(quick_reference.softmax(x, axis=1), found)
    assert np.isnan(found[3:6]).all()


def test_what_float32_alone_leaves_in_doubt_is_worked_out_again() -> None:
    """The table of one way takes the place of the other's in shared memory, in any schedule."""
    x = draw("near ties", np.random.default_rng(3), (2, 1500), np.dtype(np.float32))
    found = by(x, True, simulator.Device(check=True, fast=False, seed=4))
    assert_same(quick_reference.softmax(x, axis=1), found)
