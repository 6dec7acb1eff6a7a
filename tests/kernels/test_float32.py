"""Softmax out of float32 alone: the error bounds that its proof builds on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from flint import arb, ctx

from cupysoft import simulator
from cupysoft.runtime.compile import compile
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
extern "C" __global__ void words(const float* x, float m, float reach, float* word, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) word[i] = exp_word(x[i], anchor_for(m, reach), POWERS_OF_TWO);
}
// The ends of what one word tells of a quotient: from a term that was kept, or from x.
extern "C" __global__ void ends(const float* x, float m, const float* inverse, int kept, float* below, float* above,
                                int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    using Terms = KeptTerms<Float16>;
    const Anchor anchor = anchor_for(m, 107.0f);
    const float word = kept ? Terms::of(exp_rough(x[i], anchor, POWERS_OF_TWO)) : exp_word(x[i], anchor, POWERS_OF_TWO);
    const float width = kept ? Single<Float16>::WIDTH : Single<Float16>::WIDTH_OF_WORD;
    const Single<Float16>::OneWord by({inverse[i], 0.0f}, FINE_OF_TOTALS, width);
    below[i] = __fmul_rd(word, by.least);
    above[i] = __fmaf_ru(word, by.step, below[i]);
}
// A warp, whose lanes have 128 terms each, of elements up to 0.
template <typename T>
__device__ void inverse_of_totals(const float* hi, const float* lo, float* inverse)
{
    Totals<T> totals(0.0f, anchor_for(0.0f, 107.0f));
    for (int at = 0; at < 128; at += 8) {
        Floats term[8];
        for (int i = 0; i < 8; i++) term[i] = {hi[128 * threadIdx.x + at + i], lo[128 * threadIdx.x + at + i]};
        totals.add(term);
    }
    const Floats found = totals.template inverse<Joined<WarpTeam<32>>>(32);
    if (threadIdx.x == 0) {
        inverse[0] = found.hi;
        inverse[1] = found.lo;
    }
}
extern "C" __global__ void totals(const float* hi, const float* lo, int narrow, float* inverse)
{
    if (narrow) inverse_of_totals<Float16>(hi, lo, inverse);
    else inverse_of_totals<float>(hi, lo, inverse);
}
extern "C" __global__ void inverses(const float* hi, const float* lo, float* inverse_hi, float* inverse_lo, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const Floats inverse = inverse_of(quanta_of({hi[i], lo[i]}), 1);
    inverse_hi[i] = inverse.hi;
    inverse_lo[i] = inverse.lo;
}
extern "C" __global__ void quotients(const float* hi, const float* lo, const float* inverse_hi, const float* inverse_lo,
                                     float* q_hi, float* q_lo, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const Floats q = quotient_of({hi[i], lo[i]}, {inverse_hi[i], inverse_lo[i]});
    q_hi[i] = q.hi;
    q_lo[i] = q.lo;
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


@pytest.mark.parametrize("m", [0.0, 170.5, -64.5, -2.0e5])
def test_one_word_lies_below_by_what_it_leaves_out(m: float) -> None:
    m = float(np.float32(m))
    x = difficult(m, 106.0, 60)
    (word,) = launched("words", 1, x, np.float32(m), np.float32(107), count=len(x))
    hi, lo = launched("terms", 2, x, np.float32(m), np.float32(107), np.int32(0), count=len(x))
    left = 1 - word / (hi + lo.astype(float))
    assert left.min() > -(2.0**-34)
    assert left.max() < 3 * U
    assert left.max() > 2 * U


@pytest.mark.parametrize("kept", [False, True])
def test_the_true_quotient_lies_between_the_ends_of_one_word(kept: bool) -> None:
    m = np.float32(0.3)
    x = np.repeat(difficult(float(m), 20.0, 400), 8)
    inverse = (2.0 ** (32 - LIFT) * np.random.default_rng(3).uniform(0.3, 1, x.shape)).astype(np.float32)
    below, above = launched("ends", 2, x, m, inverse, np.int32(kept), count=len(x))
    # The true term, to 16 u^2.
    hi, lo = launched("terms", 2, x, m, np.float32(107), np.int32(0), count=len(x))
    true = (hi.astype(np.longdouble) + lo) * inverse * 2.0**-32
    assert (below <= true).all()
    assert (true <= above).all()
    assert (true > below + 4.5 * U * below.astype(float)).any()
    assert ((above - below.astype(float)) / below < 10 * U).all()


# Spreads of a row, so that sums are of many like terms, or of a few.
@pytest.mark.parametrize("spread", [0.01, 1, 8, 60])
@pytest.mark.parametrize("narrow", [False, True])
def test_totals_keep_their_bound(spread: float, narrow: bool) -> None:
    rng = np.random.default_rng(9)
    hi = (2.0**LIFT * np.exp(-spread * rng.random(4096))).astype(np.float32)
    hi[rng.integers(4096)] = 2.0**LIFT
    lo = (hi * rng.uniform(-1, 1, hi.shape) * (2.0**-11.4 if narrow else 3 * U)).astype(np.float32)
    made = compile(source("softmax/rows32.cu") + ASKED, name="asked.cu", arch="sm_90")
    found = np.empty(2, np.float32)
    simulator.Device().launch(made, "totals", (1, 1, 1), (32, 1, 1), [hi, lo, np.int32(narrow), found])
    true = sum((arb(float(a)) + arb(float(b)) for a, b in zip(hi, lo, strict=True)), arb(0))
    missed = abs((arb(float(found[0])) + arb(float(found[1]))) * true / arb(2) ** 32 - 1)
    # Without what the terms themselves miss; the inverse has 6 u^2.
    assert missed < (2.0**-32.3 if narrow else 38 * U * U)


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


def test_quotients_keep_their_bound() -> None:
    """Of all sizes down to the smallest normal result; low words as large as terms and inverses have them."""
    rng = np.random.default_rng(8)
    sign = rng.choice([-1, 1], (2, 2000))
    hi = (2.0**LIFT * np.exp(-80 * rng.random(2000))).astype(np.float32)
    lo = (hi * sign[0] * 3.03 * U).astype(np.float32)
    inverse_hi = (2.0 ** (32 - LIFT) * rng.uniform(0.01, 1, 2000)).astype(np.float32)
    inverse_lo = (inverse_hi * sign[1] * 2.1 * U).astype(np.float32)
    q_hi, q_lo = launched("quotients", 2, hi, lo, inverse_hi, inverse_lo, count=2000)
    for a, b, c, d, e, f in zip(*(word.tolist() for word in (hi, lo, inverse_hi, inverse_lo, q_hi, q_lo)), strict=True):
        assert abs((arb(e) + arb(f)) / ((arb(a) + arb(b)) * (arb(c) + arb(d))) - 1) < 16 * U * U


def test_the_bound_of_a_result_is_the_sum_of_its_parts() -> None:
    """Term, sum with its own terms and their joining, inverse, quotient, and joining the low word with the bound."""
    (bound,) = re.findall(r"ERROR_OF_QUOTIENT = (\d+) \* 0x1p-48f", source("softmax/rows32.cu"))
    assert int(bound) > 16 + (16 + 41 + 1) + 6 + 16 + 7


def test_the_table_is_that_of_the_powers_of_two() -> None:
    rows = re.findall(r"\{0x([0-9a-f]+)u, (-?0x[0-9a-f.]+p[+-]?\d+)f\}", source("softmax/rows32.cu"))
    assert len(rows) == 1024
    for j, (bits, missed) in enumerate(rows):
        power = arb(2) ** (arb(j) / 1024)
        nearest = np.uint32((int(bits, 16) + (j << 13) - (LIFT << 23)) % 2**32).view(np.float32)
        assert abs(power - arb(float(nearest))) < arb(float(np.spacing(nearest))) / 2
        assert abs((power / arb(float(nearest))).log() - arb(float.fromhex(missed))) < 2.0**-48
        assert abs(float.fromhex(missed)) < 2.0**-24.08
