"""What a seed decides beside the order of warps: approximate results and orders of lanes; and all of it comes again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.errors import RacecheckError
from cupysoft.simulator.parser import parse
from cupysoft.simulator.translate import translate
from tests.simulator.devices import launch
from tests.simulator.harness import Array, run

SEEDS = range(12)
X = np.random.default_rng(3).uniform(0.1, 6, 4000).astype(np.float32)
Y = np.random.default_rng(4).uniform(0.1, 6, 4000).astype(np.float32)

#: Each instruction's true value, and the part of it, or the absolute distance, that the manual allows.
FUNCTIONS: dict[str, tuple[Callable[..., Array], float, bool]] = {
    "ff ex2.approx.f32": (np.exp2, 2.0**-22, True),
    "ff lg2.approx.ftz.f32": (np.log2, 2.0**-22, False),
    "ff sin.approx.f32": (np.sin, 2.0**-20.5, False),
    "ff cos.approx.ftz.f32": (np.cos, 2.0**-20.5, False),
    "ff tanh.approx.f32": (np.tanh, 2.0**-11, True),
    "ff rsqrt.approx.f32": (lambda x: 1 / np.sqrt(x), 2.0**-22.9, True),
    "ff sqrt.approx.f32": (np.sqrt, 2.0**-23, True),
    "ff rcp.approx.ftz.f32": (lambda x: 1 / x, 2.0**-23, True),
    "fff div.approx.f32": (np.divide, 2.0**-22, True),
    "fff div.full.f32": (np.divide, 2.0**-22, True),
}


def results(seed: int | None, *operands: Array) -> dict[str, Array]:
    """All the functions at some operands."""
    with simulator.Device(check=False, seed=seed):
        return run(list(FUNCTIONS), {"f": operands or (X, Y)})


def test_results_lie_all_over_the_bound() -> None:
    found = [results(seed) for seed in SEEDS]
    operands = X.astype(np.float64), Y.astype(np.float64)
    for name, (function, bound, relative) in FUNCTIONS.items():
        want = function(*operands[: len(name.split(" ")[0]) - 1])
        room = np.abs(want) * bound if relative else np.full(want.shape, bound)
        if name.split(" ")[1][:3] in ("ex2", "div", "rcp"):  # that many units of the last place
            room = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64) * (bound / 2.0**-23)
        if "lg2" in name:
            room = np.where((X > 0.5) & (X < 2), room, np.abs(want) * bound)
        errors = np.array([each[name] - want for each in found]) / room
        assert np.abs(errors).max() <= 1, name
        assert errors.max() > 0.9, name
        assert errors.min() < -0.9, name
        # The sum of many errors, which a kernel may rely on to cancel, is nothing to rely on.
        assert len({float(each[name][7]) for each in found}) > 1, name


def test_a_seed_gives_the_same_results_again() -> None:
    for seed in (None, 0, 5, 2**40 + 1):
        once, again = results(seed), results(seed)
        turned = results(seed, X[::-1].copy(), Y[::-1].copy())
        for name in FUNCTIONS:
            np.testing.assert_array_equal(once[name], again[name])
            np.testing.assert_array_equal(once[name], turned[name][::-1])
    assert any(np.any(results(1)[name] != results(2)[name]) for name in FUNCTIONS)


def test_without_a_seed_nothing_of_it_is_in_the_code() -> None:
    ptx = """.version 8.0
    .target sm_90
    .address_size 64
    .visible .entry f(.param .u64 y) { .reg .b64 %a; .reg .f32 %x; .reg .b32 %r; ld.param.u64 %a, [y];
      ld.global.f32 %x, [%a]; ex2.approx.f32 %x, %x; st.global.f32 [%a], %x; atom.global.add.u32 %r, [%a], 1; ret; }"""
    plain, drawn = (translate(parse(ptx), "f", drawn=drawn).text for drawn in (False, True))
    assert "some_lane" in drawn
    assert "some_lane" not in plain
    assert "%ctx.values" in drawn
    assert "%ctx.values" not in plain
    assert plain.count("\nb") < drawn.count("\nb")


ORDERS = """int t = threadIdx.x; y[t] = atomicAdd(y + 64, 1); y[65] = t; atomicExch(y + 66, t);
    atomicCAS(y + 67, 0, t + 1); y[68 + (t & 1)] = t;"""


def orders(seed: int | None) -> Array:
    y = np.zeros(70, np.int32)
    launch(simulator.Device(check=False, seed=seed), ORDERS, [y], block=64)
    return y


def test_lanes_come_in_any_order() -> None:
    plain = orders(None)
    np.testing.assert_array_equal(plain[:64], np.arange(64))
    assert plain[65:].tolist() == [63, 63, 1, 62, 63]
    drawn = [orders(seed) for seed in range(100)]
    for y in drawn:
        np.testing.assert_array_equal(np.sort(y[:64]), np.arange(64))
    for place in (0, 31, 63, 65, 66, 67, 68):
        assert len({int(y[place]) for y in drawn}) > 12, place


def test_every_order_of_a_few_lanes_is_as_likely() -> None:
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(200):
        y = np.zeros(4, np.int32)
        launch(simulator.Device(check=False, seed=seed), "y[threadIdx.x] = atomicAdd(y + 3, 1);", [y], block=3)
        counts[tuple(y[:3].tolist())] += 1
    assert set(counts) == set(permutations(range(3)))
    assert min(counts.values()) > 15


def test_the_order_of_lanes_comes_again() -> None:
    drawn = [orders(seed) for seed in range(20)]
    np.testing.assert_array_equal(orders(17), drawn[17])


def test_sums_of_floats_depend_on_the_order() -> None:
    x = np.random.default_rng(0).normal(size=64).astype(np.float32)
    sums = set()
    for seed in range(30):
        y = np.zeros(1, np.float32)
        launch(
            simulator.Device(seed=seed), "atomicAdd(y, x[threadIdx.x]);", [y, x], block=64,
            parameters="float* y, const float* x",
        )  # fmt: skip
        np.testing.assert_allclose(y[0], x.sum(dtype=np.float64), atol=1e-5)
        sums.add(float(y[0]))
    assert len(sums) > 3


def test_a_lost_update_shows_under_some_schedule() -> None:
    """Two warps read and write in one run of instructions, which no barrier and no branch divides."""
    counts = set()
    for seed in range(60):
        y = np.zeros(1, np.int32)
        launch(simulator.Device(check=False, seed=seed), "if (threadIdx.x % 32 == 0) *y += 1;", [y], block=64)
        counts.add(int(y[0]))
    assert counts == {1, 2}


def test_carries_are_not_cut_off() -> None:
    x = np.random.default_rng(1).integers(0, 1 << 32, (3, 64), np.uint32)
    y = np.zeros((2, 64), np.uint32)
    body = """int t = threadIdx.x; unsigned a, b;
    asm volatile("{ .reg .u32 u; add.cc.u32 %0, %2, %3; ld.global.u32 u, [%4]; addc.u32 %1, u, 0; }"
                 : "=&r"(a), "=r"(b) : "r"(x[t]), "r"(x[64 + t]), "l"(x + 128 + t));
    y[t] = a; y[64 + t] = b;"""
    launch(simulator.Device(seed=1), body, [y, x], block=64, parameters="unsigned* y, const unsigned* x")
    total = x[0].astype(np.uint64) + x[1]
    np.testing.assert_array_equal(y[0], total.astype(np.uint32))
    np.testing.assert_array_equal(y[1], x[2] + (total >> np.uint64(32)).astype(np.uint32))


@pytest.mark.parametrize("seed", [0, 123456789])
def test_messages_and_reports_name_the_seed(seed: int) -> None:
    body = "__shared__ int s[64]; s[threadIdx.x] = 1; y[threadIdx.x] = s[63 - threadIdx.x];"
    device = simulator.Device(seed=seed)
    says = rf"\n  drawn by seed {seed}: the same launches on Device\(.*seed={seed}\) do this again"
    with pytest.raises(RacecheckError, match=says):
        launch(device, body, [np.zeros(64, np.int32)], block=64)
    assert f"seed {seed}" in str(device.report).splitlines()[0]
    assert device.report.as_dict()["seed"] == seed
    plain = simulator.Device()
    with pytest.raises(RacecheckError) as caught:
        launch(plain, body, [np.zeros(64, np.int32)], block=64)
    assert "seed" not in str(caught.value)
    assert "seed" not in str(plain.report)
