"""Every tier of weighted sums gives the same bits: those of the rigorous reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupysoft import simulator
from cupysoft.arrays import layout
from cupysoft.ops import plans
from cupysoft.ops.device import alignments, spread, strides
from cupysoft.runtime.launch import run
from cupysoft.testing import reference
from cupysoft.testing.near_ties import weighted_tie
from cupysoft.testing.trouble import FAMILIES, WEIGHTS, draw, draw_weights
from tests.kernels.plans_for import DTYPES, Array
from tests.kernels.test_tiers import assert_bits

TIERS = (1, 2, 3)


@pytest.fixture
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=True) as made:
        yield made


@pytest.fixture(scope="module")
def plain_device() -> Iterator[simulator.Device]:
    with simulator.Device(check=False, fast=False) as made:
        yield made


def by_tier(
    device: simulator.Device, a: Array, b: Array, tier: int, axis: int = 1, *, signed: bool = True
) -> tuple[Array, Array]:
    """Have every row decided by a tier, or by a wider one; give results and signs."""
    out, sign = results = [np.full(np.delete(a.shape, axis), 7).astype(a.dtype) for _ in range(2)]
    written = results[: 1 + signed]
    places = [strides(a), strides(b), *(spread(strides(each), (axis,), 2) for each in written)]
    rows = layout(a.shape, (axis,), places)
    told = alignments(a, b, *written)
    plan = plans.logsumexp(rows, a.dtype, told, weighted=True, signed=signed, first_tier=tier)
    run(plan, {"x": a, "b": b, "out": out, **({"sign": sign} if signed else {})}, device)
    return out, sign


def assert_tiers(device: simulator.Device, a: Array, b: Array, axis: int = 1, tiers: tuple[int, ...] = TIERS) -> None:
    """Hold every tier against the reference."""
    true = reference.logsumexp(a, axis=axis, b=b, return_sign=True)
    for tier in tiers:
        for ours, expected in zip(by_tier(device, a, b, tier, axis), true, strict=True):
            assert_bits(ours, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", WEIGHTS)
def test_trouble(plain_device: simulator.Device, kind: str, dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(6)
    for family in (
        "normal, sigma 1",
        "tiny spread",
        "subnormal inputs",
        "sums near powers of two",
        "nearly normalised",
    ):
        a, b = draw_weights(kind, rng, draw(family, rng, (4, 9), dtype))
        assert_tiers(plain_device, np.ascontiguousarray(a), np.ascontiguousarray(b))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(WEIGHTS),
    family=st.sampled_from(list(FAMILIES)),
    dtype=st.sampled_from(DTYPES),
)
def test_any_trouble(plain_device: simulator.Device, seed: int, kind: str, family: str, dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(seed)
    a, b = draw_weights(kind, rng, draw(family, rng, (2, 9), dtype))
    assert_tiers(plain_device, np.ascontiguousarray(a), np.ascontiguousarray(b))


MIDDLE, TINY = 1.25 * 2.0**-60, float.fromhex("0x1.4a26794437733p-115")

# Exponents and weights whose sum is hardly more than 1, or less.
BESIDE_ONE: list[tuple[list[float], list[float]]] = [
    # The first window on what is left beside 1 holds little of it, and more lies far below.
    ([0, 0, 0], [1, 2.0**-300, 2.0**-800]),
    # Ties of numbers so small that an error of them vanishes; what decides is half the square of the number.
    ([0, 0, 0], [1, 2.0**-1000 + 2.0**-1052, 2.0**-1053]),
    ([0, 0, 0], [1, -(2.0**-1000), -(2.0**-1053)]),
    # So near that the second tier sees no difference from 1, though its exponentials are rounded.
    ([1e-300, 0, -1e-300, 0], [1, -2, 1, 1]),
    ([1e-300, 0, -1e-300, 0], [-1, 2, -1, 1]),
]

# Exponents and weights.
CASES: list[tuple[list[float], list[float]]] = [
    # Exactly zero, alone and above something; and not quite.
    ([3, 3], [1, -1]),
    ([1, 1, 2, 2], [1, -1, 3, -3]),
    ([1, 2, 1, 2, 0], [1, 3, -1, -3, -0.5]),
    ([7, 7, 7], [1e308, 1, -1e308]),
    ([0, 0, 1], [1, 2.0**-53 - 1, 2.0**-53]),
    # Two words do not hold this sum; what they have left of it must not pass for a sum.
    ([1e300] * 8, [-TINY * 2.0**15, -MIDDLE, -1, TINY * 2.0**15, 1, 1.125 * TINY, MIDDLE, -1.125 * TINY]),
    ([1e5, 1e5, 0, -1e5], [1e300, -1e300, 2, 0]),
    ([0.0, -0.0], [1.5, -1.5]),
    # Weights as far apart as they can be.
    ([1000, 0], [1e-300, 1e300]),
    ([0, 0, -5], [1e308, 5e-324, -1e308]),
    ([0, 0, 0], [1e308, 5e-324, -1e308]),
    ([-1400, 0], [1.7e308, -5e-324]),
    # Exponents as far apart, and where a weight cannot make up for the distance of two of them.
    ([1e308, -1e308], [5e-324, 1.5e308]),
    ([2.0**62, 2.0**62 - 512], [1e-200, -1e22]),
    ([2.0**64, 2.0**64 - 2048], [5e-324, -1.7e308]),
    ([2.0**63], [5e-324]),
    ([-(2.0**63), -(2.0**63) - 2048], [5e-324, 1.7e308]),
    # Differences of the first order and the second, which cancel to 2^-2148 of the terms.
    ([1e-300, 0], [1, -1]),
    ([1e-300, 0, -1e-300], [1, -2, 1]),
    ([5e-324, 0, -5e-324], [1, -2, 1]),
    ([1e-40, 0], [1, -1]),
    # Next to 1: subnormal results, and zeros of either sign.
    ([0, -740], [1, -1]),
    ([0, 0, -745], [3, -2, -1]),
    ([0, -1000], [-1, 1]),
    ([0, -1000], [1, 1]),
    ([-2000, 0], [-1, 1]),
    ([0, -1e19], [1, 1]),
    ([0, -1e19], [1, -1]),
    ([0, 5, 5, -3000], [1, 2, -2, 1]),
    *BESIDE_ONE,
    # One term: a number, or its logarithm.
    ([5e-324], [-1]),
    ([1e-300], [1]),
    ([0], [5e-324]),
    ([-3], [0.1]),
    ([0, 0], [3, -2]),
    ([0, 0], [2, -3]),
    # What is left is too little to be known, though beside the exponent it hardly counts.
    (
        [1e18, 1e18 - 128, 1e18 + 128],
        [1, float.fromhex("-0x1.95e54c5dd4217p+184"), float.fromhex("-0x1.953216e046befp-239")],
    ),
    # Weights whose sum is infinite, though that of the terms is not; infinite ones; and terms that are nothing.
    ([0, -800], [1.7e308, 1.7e308]),
    ([-3, 0], [np.inf, 1]),
    ([-3, 0], [-np.inf, 1]),
    ([-np.inf, 0], [np.inf, 1]),
    ([-np.inf, 1], [2, 3]),
    ([-np.inf, -np.inf], [2, -3]),
    ([2, np.nan], [2, -3]),
    ([np.inf, 2], [-1, 3]),
]  # fmt: skip


def known(cases: list[tuple[list[float], list[float]]]) -> tuple[Array, Array]:
    """Fill rows up with what a weight of 0 takes out, NaN and infinities too."""
    a = np.array([[*x, *[np.nan, np.inf, np.nan, 1e308, -np.inf, 0, 1][: 8 - len(x)]] for x, _ in cases])
    return a, np.array([[*w, *[0.0] * (8 - len(w))] for _, w in cases])


def test_known_cases(plain_device: simulator.Device) -> None:
    assert_tiers(plain_device, *known(CASES))


def test_the_last_tier_races_with_nothing_and_refuses_negative_sums(device: simulator.Device) -> None:
    a, b = known(CASES[:9])
    ours, _ = by_tier(device, a, np.repeat(b, 2, axis=1)[:, ::2], 3, signed=False)
    true, sign = reference.logsumexp(a, axis=1, b=b, return_sign=True)
    assert_bits(ours, np.where(sign < 0, np.nan, true))


def test_a_zero_of_one_thread_keeps_its_sign(plain_device: simulator.Device) -> None:
    """Though the term that makes the sum less than 1 is too small to be added."""
    assert_tiers(plain_device, np.array([[0, -2000, 0]], "f4"), np.array([[1, -1, 0]], "f4"))


# What one thread sees, one after the other: 1 and a little, in units that are far larger meanwhile.
HIGH, LEAST = 2.0**600, 2.0**-1074
SEEN_BY_ONE: list[tuple[list[float], list[float]]] = [
    ([0, 0, 0, 0], [-LEAST, HIGH, -HIGH, 1]),
    ([5, 0, 0, 0], [LEAST, HIGH, -HIGH, 1]),
    ([0, 0, 0, 0, 0, 0], [2.0**150, -(2.0**150), -LEAST, 2.0**550, -(2.0**550), 1]),
    # Nothing but an error is left of what cancels, and it moves as far.
    ([1e-300, 0, -1e-300, 0, 0, 0], [-1, 2, -1, 2.0**800, -(2.0**800), 1]),
]


def seen_by_one() -> tuple[Array, Array]:
    """Rows in which every eighth element is the same thread's."""
    a, b = np.zeros((2, len(SEEN_BY_ONE), 48))
    for row, (x, weights) in enumerate(SEEN_BY_ONE):
        a[row, : 8 * len(x) : 8], b[row, : 8 * len(x) : 8] = x, weights
    return a, b


def test_a_thread_knows_what_it_loses(plain_device: simulator.Device) -> None:
    assert_tiers(plain_device, *seen_by_one())


def test_ties_that_need_hundreds_of_bits(plain_device: simulator.Device) -> None:
    """As many as ten weights of float64 reach: the first width of the last tier is not enough for them."""
    rng = np.random.default_rng(8)
    for nothing in (False, True):
        rows = np.array([weighted_tie(rng, 9, np.dtype("f8"), nothing=nothing) for _ in range(6)])
        assert_tiers(plain_device, rows[:, 0].copy(), rows[:, 1].copy())


# A lane, a block, parts; by columns a lane, eight of them, parts.
PLACES = [((40, 3), 1), ((2, 1100), 1), ((1, 17_000), 1), ((5, 40), 0), ((40, 33), 0), ((4100, 8), 0)]


@pytest.mark.parametrize(("shape", "axis"), PLACES)
def test_every_kernel_leaves_rows_open(plain_device: simulator.Device, shape: tuple[int, int], axis: int) -> None:
    """For the second tier, which agrees with the first; and for the last, which sees that all of a row cancels."""
    rng = np.random.default_rng(sum(shape))
    a, b = (rng.normal(size=shape).astype("f4") for _ in range(2))
    first = by_tier(plain_device, a, b, 1, axis)
    for ours, expected in zip(by_tier(plain_device, a, b, 2, axis), first, strict=True):
        assert_bits(ours, expected)
    # Along the row, so that every row is followed by itself with the other sign.
    result, sign = by_tier(plain_device, np.concatenate([a, a], axis=axis), np.concatenate([b, -b], axis=axis), 1, axis)
    assert np.isneginf(result).all()
    assert not sign.any()


@pytest.mark.parametrize("left", [(), (-25.0,), (-600.25,)])
def test_long_rows_of_which_nearly_all_cancels(device: simulator.Device, left: tuple[float, ...]) -> None:
    """More values than are looked at one by one: fingerprints find where something is left."""
    rng = np.random.default_rng(9)
    half, weights = rng.normal(size=400) * 10, np.ldexp(rng.normal(size=400), rng.integers(-900, 900, 400))
    order = rng.permutation(800 + len(left))
    a = np.concatenate([half, half, left])[order][None]
    b = np.concatenate([weights, -weights, np.full(len(left), -3.0)])[order][None]
    assert_tiers(device, a, b, tiers=(3,))
    # 128 values one by one, 64 walks, and those of the sum, in which each lane of a warp reads what the warp works on.
    (settle,) = [kernel for name, kernel in device.report.kernels.items() if name.startswith("settle_weighted")]
    assert settle.arguments["x"].walks_read < 320
