"""Small functions that the tiers rest on: states, sums and roundings in fixed point, angles, fingerprints."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest

from cupysoft import simulator
from tests.kernels.asked import launched
from tests.kernels.plans_for import BFLOAT16, Array
from tests.kernels.test_kernel_numerics import computed


@pytest.fixture(autouse=True)
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=False) as made:
        yield made


def numbers_of_all_sizes(seed: int, count: int = 300) -> Array:
    """Of both signs, down to the smallest subnormal number, and zeros."""
    rng = np.random.default_rng(seed)
    found: Array = rng.choice([-1, 1], count) * np.ldexp(rng.uniform(0.5, 1, count), rng.integers(-1080, 1000, count))
    found[:20] = 0.0
    return found


def test_sums_and_roundings_in_fixed_point() -> None:
    """Sums of two, of three of which two leave nothing, and middles between small float32 numbers, as IEEE has them."""
    middle = np.ldexp(np.arange(1.0, 100), -150)
    a = np.concatenate([numbers_of_all_sizes(1), middle, np.nextafter(middle, 0), np.nextafter(middle, 1)])
    b = np.concatenate([numbers_of_all_sizes(2, 300), -a[300:] * (1 + np.ldexp(1.0, np.arange(297) % 60 - 62))])
    b[200:300] = -a[200:300]
    a[np.abs(a) > 2.0**127] = 0.5
    code = (
        "const Big l = big_of(a), m = big_of(b); const Format all = {53, -1074}; y = rounded(add(l, m), all);"
        "z = rounded(add(add(l, big_of(a, true)), m), all); w = rounded(l, Format{24, -149})"
    )
    header = "numerics/fixed_functions.cuh"
    of_two, of_three, narrowed = computed(2, "float64 y, float64 z, float64 w", code, a, b, header=header)
    assert np.array_equal(of_two, np.abs(a + b))
    assert np.array_equal(of_three, np.abs(b))
    assert np.array_equal(narrowed, np.abs(a).astype(np.float32))


@pytest.mark.parametrize("dtype", [np.dtype("f2"), BFLOAT16, np.dtype("f4")], ids=str)
def test_two_words_are_rounded_once(dtype: np.dtype[Any]) -> None:
    """Where the first word is a middle, or next to one, what is below it decides."""
    name, digits = {"float16": ("Float16", 11), "bfloat16": ("Bfloat16", 8), "float32": ("float", 24)}[dtype.name]
    rng = np.random.default_rng(5)
    odd = 2 * rng.integers(2**digits // 2, 2**digits, 200) + 1  # a middle has one digit more
    hi = np.ldexp(odd.astype(float), -digits) * rng.choice([-1, 1], 200)
    hi = np.concatenate([hi, np.nextafter(hi, 0), np.nextafter(hi, 9 * hi)])
    lo = np.spacing(np.abs(hi)) * rng.choice([-0.5, -0.3, -1e-9, 0, 1e-9, 0.3, 0.5], hi.shape)
    whole = [Fraction(h) + Fraction(w) for h, w in zip(hi.tolist(), lo.tolist(), strict=True)]
    hi, lo = np.append(hi, [0, np.inf, np.nan]), np.append(lo, [0, 0, 0])
    code = f"const auto r = round_once<{name}>(a, b); y = Element<{name}>::load(r)"
    (found,) = computed(2, "float64 y", code, hi, lo, header="numerics/elements.cuh")
    step = np.ldexp(1.0, np.frexp(hi[:-3])[1] - digits)
    for w, s, f in zip(whole, step.tolist(), found.tolist(), strict=False):
        missed = abs(w - Fraction(f)) / Fraction(s)
        assert missed < Fraction(1, 2) or (missed == Fraction(1, 2) and f / s % 2 == 0)
    assert np.array_equal(found[-3:], [0, np.inf, np.nan], equal_nan=True)


def test_angles_of_any_size() -> None:
    """Quarters of turns, and the rest to the last but a few of its bits."""
    rng = np.random.default_rng(6)
    quarters = np.pi / 2 * np.concatenate([np.arange(1, 60), 2.0 ** np.arange(60)])
    theta = np.concatenate(
        [np.ldexp(rng.uniform(0.5, 1, 1024), np.arange(1, 1025)), quarters, quarters * (1 + 2.0**-52)]
    )
    outputs = "float64 p, float64 q, float64 r, int32 quarter"
    code = "const auto t = reduced_angle<3>(a); p = t.r.w[0]; q = t.r.w[1]; r = t.r.w[2]; quarter = t.quarter"
    *found, quarter = computed(1, outputs, code, theta, header="numerics/angle.cuh")
    with flint.ctx.workprec(1400):
        half_pi = flint.arb.pi() / 2
        for t, k, *rest in zip(theta.tolist(), quarter.tolist(), *(each.tolist() for each in found), strict=True):
            turns = (flint.arb(t) / half_pi + 0.5).floor()
            true = flint.arb(t) - turns * half_pi
            assert int(turns.unique_fmpz()) % 4 == k
            assert abs(float(((sum(map(flint.arb, rest), flint.arb(0)) - true) / true).mid())) < 2.0**-150


def test_keys_are_in_the_order_of_numbers() -> None:
    x = np.sort(np.concatenate([numbers_of_all_sizes(7), [-np.inf, np.inf, 0.0, -0.0]]))
    key, back = computed(1, "int64 k, float64 y", "k = key_of(a); y = number_of(k)", x, header=FINGERPRINT)
    assert np.array_equal(np.diff(key) > 0, np.diff(x) > 0)
    assert np.array_equal(np.diff(key) == 0, np.diff(x) == 0)
    assert np.array_equal(back, x)


FINGERPRINT = "numerics/fingerprint.cuh"


def test_fingerprints_of_what_cancels() -> None:
    """b and -b at one place leave none, and so do three weights that add up to zero; at another they leave one."""
    x, b = numbers_of_all_sizes(8), numbers_of_all_sizes(9)
    b[20:40] = [2147483647.0, -2147483647.0] * 10  # a prime, modulo which nothing is left of it
    join = "SumOfFingerprints::join"
    code = (
        f"Fingerprint sum = {join}({join}(Fingerprint{{0, 0}}, fingerprint(a, b)), fingerprint(a, -b)); y = sum.none();"
        f"sum = {join}({join}(fingerprint(a, -b), fingerprint(a, -b)), fingerprint(a, 2 * b)); z = sum.none();"
        f"w = {join}(fingerprint(a, b), fingerprint(a + 1e-3, -b)).none();"
        "Fingerprint odd = fingerprint(a, b);"
        "v = Modulo<61>::of(odd.wide) == odd.wide && Modulo<31>::of(odd.narrow) == odd.narrow;"
        "v = v && Modulo<61>::of(3 * Modulo<61>::PRIME) == 0 && Modulo<31>::of(Modulo<31>::PRIME) == 0"
    )
    (cancels, three, apart, small) = computed(2, "bool y, bool z, bool w, bool v", code, x, b, header=FINGERPRINT)
    assert cancels.all()
    assert three.all()
    assert np.array_equal(apart, (b == 0) | (x == x + 1e-3))
    assert small[b != 2147483647.0].all()


# Each lane pushes its numbers one by one; then a warp joins what its lanes have.
STATES = """
using Counting = Float64Arithmetic<float, true>;
__device__ void keep(double* out, State<Counting> state)
{
    const double words[] = {state.m, state.l.hi, state.count};
    for (int i = 0; i < 3; i++) out[i] = words[i];
}
extern "C" __global__ void states(const float* x, int count, double* own, double* all)
{
    State<Counting> state = identity<Counting>();
    for (int i = 0; i < count; i++) {
        const float next[1] = {x[count * threadIdx.x + i]};
        push(state, next);
    }
    keep(own + 3 * threadIdx.x, state);
    state = joined<WarpTeam<32>>(state);
    keep(all + 3 * threadIdx.x, state);
}
"""


def test_states_count_their_maxima_apart() -> None:
    """However they come, before others and after them; what is kept of the sum is the rest."""
    x = np.array(
        [[2, 0, 2, -3, 2], [-1, 2, 2, -2, 1], [0, 0, -np.inf, -1, 0], [-np.inf, 2, -np.inf, -np.inf, 2]] * 8, "f4"
    )
    own, every = np.empty((2, 32, 3))
    launched("online/teams.cuh", STATES, "states", 32, x, np.int32(x.shape[1]), own, every)
    for row, (m, rest, count) in zip(x.astype("f8"), own, strict=True):
        assert (m, count) == (row.max(), np.count_nonzero(row == row.max()))
        assert rest == pytest.approx(np.exp(row[row < m] - m).sum(), rel=1e-15)
    assert (every == every[0]).all()
    assert every[0].tolist() == [2.0, pytest.approx(np.exp(x[x < 2].astype("f8") - 2).sum(), rel=1e-14), 56.0]
