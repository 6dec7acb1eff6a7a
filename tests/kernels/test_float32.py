"""Softmax out of float32 alone: the error bounds that its proof builds on, and the same bits as by float64."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from flint import arb, ctx

from cupysoft import simulator
from cupysoft.arrays import layout
from cupysoft.ops import plans
from cupysoft.ops.device import alignments, plan_softmax
from cupysoft.ops.plans_kept import UNASKED
from cupysoft.runtime.compile import compile
from cupysoft.runtime.launch import run
from cupysoft.runtime.sources import source

Array = npt.NDArray[np.float32]

# What a test asks of the header: terms, a sum as integers and its inverse, quotients.
ASKED = """
extern "C" __global__ void terms(const float* x, float m, float reach, int rough, float* hi, float* lo, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const Anchor anchor = anchor_for(m, reach);
    const Floats t = rough ? exp_rough(x[i], anchor, POWERS_OF_TWO) : exp_floats(x[i], anchor, POWERS_OF_TWO);
    hi[i] = t.hi;
    lo[i] = t.lo;
}
extern "C" __global__ void inverses(const float* hi, const float* lo, float* inverse_hi, float* inverse_lo, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const Floats inverse = inverse_of(quanta_of({hi[i], lo[i]}), 1);
    inverse_hi[i] = inverse.hi;
    inverse_lo[i] = inverse.lo;
}
extern "C" __global__ void sums(const float* hi, const float* lo, float* sum_hi, float* sum_lo, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    Floats term[16];
    for (int j = 0; j < 16; j++) term[j] = {hi[16 * i + j], lo[16 * i + j]};
    const Floats sum = sum_of_terms<16>(term);
    sum_hi[i] = sum.hi;
    sum_lo[i] = sum.lo;
}
"""
U = 2.0**-24
LIFT = 81


@pytest.fixture(autouse=True)
def _digits() -> Iterator[None]:
    before, ctx.prec = ctx.prec, 160
    yield
    ctx.prec = before


def launched(
    kernel: str, outputs: int, *arguments: object, count: int, device: simulator.Device | None = None
) -> list[Array]:
    """Run a kernel above on `count` threads; give what it writes."""
    made = compile(source("softmax/rows32.cu") + ASKED, name="asked.cu", arch="sm_90")
    results = [np.empty(count, np.float32) for _ in range(outputs)]
    (device or simulator.Device()).launch(
        made, kernel, (-(-count // 128), 1, 1), (128, 1, 1), [*arguments, *results, np.int32(count)]
    )
    return results


def difficult(m: float, reach: float, count: int) -> Array:
    """Elements from m - reach to m: anywhere, near m, near steps of the table and between them."""
    rng = np.random.default_rng(5)
    steps = np.arange(-40, 40) * (np.log(2) / 1024) + m
    x = [
        m - reach * rng.random(count),
        m - rng.exponential(size=count),
        m - np.arange(count) * (np.log(2) / 1024),
        m - (np.arange(count) + 0.5) * (np.log(2) / 1024),
        steps,
        rng.normal(size=count) * 1e-3,
    ]
    found = np.concatenate(x).astype(np.float32)
    return found[(found <= np.float32(m)) & (found >= np.float32(m - reach))]


@pytest.mark.parametrize("m", [0.0, 3.7, -63.9, 170.5, 171.0, -64.5, 1000.3, -2.0e5, 3.0e38])
@pytest.mark.parametrize("rough", [False, True])
def test_terms_keep_their_bound(m: float, rough: bool) -> None:
    m = float(np.float32(m))
    x = difficult(m, 106.0, 60)
    hi, lo = launched("terms", 2, x, np.float32(m), np.float32(107), np.int32(rough), count=len(x))
    near = -64 <= m < 171
    d = m - (0.0 if near else float(np.rint(m)))
    power = LIFT - int(np.floor(np.rint(d * 1024 / np.log(2)) / 1024))
    shift = d - m
    bound = 2.0**-33.2 if rough else 16 * U * U
    for each, high, low in zip(x.tolist(), hi.tolist(), lo.tolist(), strict=True):
        true = (arb(each) + arb(shift)).exp() * arb(2) ** power
        assert abs((arb(high) + arb(low)) / true - 1) < bound
        assert abs(low) <= (2.0**-11.4 if rough else 3.03 * U) * high
    assert hi.max() < 2.0 ** (LIFT + 1)


def test_sums_keep_their_bound() -> None:
    rng = np.random.default_rng(6)
    hi = (2.0**LIFT * np.exp(-rng.exponential(size=(300, 16)) * rng.choice([0.1, 3, 20], (300, 1)))).astype(np.float32)
    lo = (hi * rng.uniform(-3, 3, hi.shape) * U).astype(np.float32)
    sum_hi, sum_lo = launched("sums", 2, hi.ravel(), lo.ravel(), count=300)
    for i in range(300):
        true = sum((arb(float(a)) + arb(float(b)) for a, b in zip(hi[i], lo[i], strict=True)), arb(0))
        assert abs((arb(float(sum_hi[i])) + arb(float(sum_lo[i]))) / true - 1) < 41 * U * U


@pytest.mark.parametrize("approximate", ["exact", "adversary"])
def test_inverses_keep_their_bound_whatever_the_first_guess(approximate: str) -> None:
    rng = np.random.default_rng(7)
    hi = (2.0 ** (LIFT + rng.uniform(0, 5, 2000))).astype(np.float32)
    hi[:64] = 2.0**LIFT * (1 + np.arange(64) * 2.0**-23)
    lo = (hi * rng.uniform(-6, 6, hi.shape) * U).astype(np.float32)
    device = simulator.Device() if approximate == "exact" else simulator.Device(seed=3)
    inverse_hi, inverse_lo = launched("inverses", 2, hi, lo, count=len(hi), device=device)
    for a, b, c, d in zip(hi.tolist(), lo.tolist(), inverse_hi.tolist(), inverse_lo.tolist(), strict=True):
        true = arb(2) ** 32 / (arb(a) + arb(b))
        assert abs((arb(c) + arb(d)) / true - 1) < 6 * U * U
        assert abs(d) <= 2.1 * U * c


def test_the_table_is_that_of_the_powers_of_two() -> None:
    rows = re.findall(r"\{0x([0-9a-f]+)u, (-?0x[0-9a-f.]+p[+-]?\d+)f\}", source("softmax/rows32.cu"))
    assert len(rows) == 1024
    for j, (bits, missed) in enumerate(rows):
        power = arb(2) ** (arb(j) / 1024)
        nearest = np.uint32((int(bits, 16) + (j << 13) - (LIFT << 23)) % 2**32).view(np.float32)
        assert abs(power - arb(float(nearest))) < arb(float(np.spacing(nearest))) / 2
        assert abs((power / arb(float(nearest))).log() - arb(float.fromhex(missed))) < 2.0**-48
        assert abs(float.fromhex(missed)) < 2.0**-24.08


# --- The same bits ----------------------------------------------------------------------------------------------------


def by(
    x: npt.NDArray[Any],
    float32: bool,
    device: simulator.Device,
    *,
    first_tier: int = 1,
    shared: int = UNASKED,
    in_place: bool = False,
) -> npt.NDArray[Any]:
    """Softmax of the rows of a contiguous array, planned one way or the other."""
    rows = layout(x.shape, (1,), [(x.shape[1], 1)] * 2)
    out: npt.NDArray[Any] = x if in_place else np.empty_like(x)
    told: dict[str, Any] = {"float32": float32, "first_tier": first_tier, "shared": shared, "in_place": in_place}
    plan = plans.softmax(rows, x.dtype, alignments(x, out), log=False, **told)
    assert ("_floats" in plan.steps[0].kernel.name) == float32
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
        (24, 8190, np.dtype(np.float32)),
    ],
    ids=str,
)
def test_float32_and_float64_give_the_same_bits(rows: int, columns: int, dtype: np.dtype[Any]) -> None:
    x = seeking_trouble(rows, columns, dtype, columns)
    first, second = by(x, False, simulator.Device()), by(x, True, simulator.Device())
    assert_same(first, second)
    assert np.isnan(first[3:6]).all()


def assert_same(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    """Compare bits; any NaN is as good as another."""
    kind = f"i{first.dtype.itemsize}"
    same: npt.NDArray[np.bool_] = (first.view(kind) == second.view(kind)) | (np.isnan(first) & np.isnan(second))
    assert same.all()


# Rows in shared memory: with their terms, and with room for x alone, which then is the block's, of 32 warps.
@pytest.mark.parametrize(
    ("columns", "dtype", "shared", "kept"),
    [
        (8195, np.dtype(np.float16), 227 << 10, "16, true"),
        (9001, np.dtype(ml_dtypes.bfloat16), 50 << 10, "32, false"),
        (8195, np.dtype(np.float32), 227 << 10, "16, true"),
        (9001, np.dtype(np.float32), 50 << 10, "32, false"),
    ],
    ids=str,
)
def test_rows_that_are_kept_give_the_same_bits(columns: int, dtype: np.dtype[Any], shared: int, kept: str) -> None:
    x = seeking_trouble(8, columns, dtype, columns)
    first = by(x, False, simulator.Device())
    assert_same(first, by(x, True, simulator.Device(), shared=shared))
    with simulator.Device() as device:
        by(np.zeros_like(x[:1]), True, device, shared=shared)
        (kernel,) = (each for name, each in device.report.kernels.items() if "shared_floats" in name and kept in name)
    # Lookups of one entry have no conflicts, so that these would be of the row.
    assert kernel.bank_conflicts == 0
    assert (kernel.arguments["x"].walks_read, kernel.arguments["out"].walks_written) == (1, 1)
    assert_same(first, by(x, True, simulator.Device(), shared=shared, in_place=True))


def test_every_check_passes_and_any_row_may_be_left_to_a_wider_tier() -> None:
    x = seeking_trouble(9, 497, np.dtype(np.float32), 1)
    plain = by(x, True, simulator.Device())
    assert np.array_equal(by(x, True, simulator.Device(check=True)), plain, equal_nan=True)
    assert np.array_equal(by(x, True, simulator.Device(), first_tier=2), plain, equal_nan=True)


def test_architectures_whose_float64_is_slow_work_in_float32() -> None:
    x = np.zeros((4, 1000), np.float32)
    for arch, types in (("sm_75", ""), ("sm_80", "fe"), ("sm_90a", "e"), ("sm_100", "fe"), ("sm_120", "fe")):
        for dtype in "fe":
            y = x.astype(dtype)
            (kernel, *_) = plan_softmax(y, (1,), y, log=False, arch=arch).kernels
            assert ("_floats" in kernel.name) == (dtype in types), (arch, dtype)
