"""The kernels on the simulated device, at every edge of their plans, against the rigorous reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft import simulator
from cupysoft.testing import reference, ulp_distance
from tests.kernels.plans_for import BFLOAT16, DTYPES, OPERATIONS, assert_true

# Edges of a vector, of the lanes of a warp, of what a warp and a block hold: the last is slow for the reference.
LENGTHS = {2: (1, 8, 9, 257, 513), 4: (1, 4, 5, 31, 32, 33, 127, 129, 513), 8: (1, 2, 3, 65, 257)}


@pytest.fixture
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=True) as made:
        yield made


@pytest.fixture
def old_device() -> Iterator[simulator.Device]:
    """One whose maximum has no instruction that keeps NaN."""
    with simulator.Device(arch="sm_75", check=True) as made:
        yield made


@pytest.fixture
def plain_device() -> Iterator[simulator.Device]:
    """Neither checked nor made to be fast, which takes longer to compile than rows take to run."""
    with simulator.Device(check=False, fast=False) as made:
        yield made


def unchecked(turn: int, turns: int) -> simulator.Device:
    """One for long rows: only in one of so many turns with the fast version, which takes long to compile."""
    return simulator.Device(check=False, fast=turn % turns == 0)


def normal(shape: tuple[int, ...], dtype: Any, scale: float = 8.0) -> Any:
    return (np.random.default_rng(sum(shape)).normal(size=shape) * scale).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows(device: simulator.Device, dtype: Any) -> None:
    for columns in LENGTHS[dtype.itemsize]:
        assert_true(normal((3, columns), dtype), 1)


def test_an_older_architecture(old_device: simulator.Device) -> None:
    for dtype in (np.dtype("f2"), np.dtype("f4")):
        assert_true(np.array(SPECIALS).astype(dtype), 1)
        assert_true(normal((3, 129), dtype), 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_columns(device: simulator.Device, dtype: Any) -> None:
    for columns in (9, 16, 65):
        assert_true(normal((columns, 33), dtype), 0)


# Shared memory, stream, parts; by columns stream and parts.
LONG: list[tuple[tuple[int, ...], int]] = [
    ((2, 8193), 1),
    ((1, 12036), 1),
    ((65540,), 0),
    ((257, 8), 0),
    ((4100, 9), 0),
]


@pytest.mark.parametrize(("shape", "axis"), LONG)
@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("f8")], ids=str)
def test_long_rows(shape: tuple[int, ...], axis: int, dtype: Any) -> None:
    for turn, function in enumerate(("softmax", "logsumexp"), LONG.index((shape, axis)) + dtype.itemsize // 4):
        with unchecked(turn, 2):
            assert_true(normal(shape, dtype), axis, (function,))


NARROW = (np.dtype("f2"), BFLOAT16, np.dtype("f4"))
LONG_IN_NARROW = [((3, 8200), 1), ((3, 12100), 1), ((2, 24072), 1), ((2, 70000), 1), ((5000, 35), 0)]


# The types of 16 bits, whose kernels differ in little, take turns; and of the functions two at a time.
@pytest.mark.parametrize(
    ("shape", "axis", "dtype"),
    [
        (*case, dtype)
        for turn, case in enumerate(LONG_IN_NARROW)
        for dtype in NARROW
        if dtype.itemsize == 4 or dtype == NARROW[turn % 2]
    ],
    ids=str,
)
def test_host_and_kernels_give_the_same_bits(shape: tuple[int, int], axis: int, dtype: Any) -> None:
    x = normal(shape, dtype)
    first = NARROW.index(dtype) + LONG_IN_NARROW.index((shape, axis))
    for turn, name in enumerate(OPERATIONS[:3], first):
        if turn % 3 == 2:
            continue
        function = getattr(cupysoft, name)
        host = function(x, axis=axis)
        with unchecked(turn, len(NARROW)):
            assert function(x, axis=axis).tobytes() == host.tobytes()


VIEWS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "reversed, thinned": (lambda x: x[::-1, ::2, :, ::-3], 3),
    "moved axes": (lambda x: x.transpose(3, 1, 0, 2), (0, 2)),
    "two reduced axes": (lambda x: x[:, 1:9:3], (1, 2)),
    "all axes": (lambda x: x[:, ::3, ::2, ::2], (0, 1, 2, 3)),
    "repeated rows": (lambda x: np.broadcast_to(x[0, 0], (5, 6, 14)), 2),
    "repeated elements": (lambda x: np.broadcast_to(x[0, 0, :, :1], (6, 14)), 1),
    "between columns": (lambda x: x[..., 3:7], 1),
    "no axis": (lambda x: x[0, 0, ::2], ()),
}


@pytest.mark.parametrize("view", VIEWS)
def test_views(device: simulator.Device, view: str) -> None:
    take, axis = VIEWS[view]
    assert_true(take(normal((4, 10, 6, 14), "f4")), axis)


@pytest.mark.parametrize("dtype", [np.dtype("f2"), BFLOAT16, np.dtype("f8")], ids=str)
def test_views_in_other_types(device: simulator.Device, dtype: Any) -> None:
    take, axis = VIEWS["moved axes"]
    assert_true(take(normal((4, 10, 6, 14), dtype)), axis, ("softmax", "logsumexp"))


SPECIALS = [
    [np.inf, 0, 1, 2], [-np.inf] * 4, [-np.inf, 0, 1, -np.inf], [np.nan, 1, np.inf, 0], [np.inf, np.inf, 0, -np.inf],
    [1, 2, -np.nan, 4], [0, 0, 0, 0], [-0.0, 0, -0.0, -1e4], [0, -30, -60, -100], [0, -np.inf, -np.inf, -np.inf],
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("repeat", [1, 200])
def test_special_values(device: simulator.Device, dtype: Any, repeat: int) -> None:
    rows = np.repeat(np.array(SPECIALS), repeat, axis=1).astype(dtype)
    assert_true(rows, 1)
    assert_true(np.ascontiguousarray(rows.T), 0)


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("columns", [9000, 20000, 70000])
def test_special_values_in_long_rows(plain_device: simulator.Device, columns: int, special: float) -> None:
    x = normal((2, columns), "f4")
    x[0, columns - 3] = special
    probabilities, log_sum = cupysoft.softmax(x, axis=1), cupysoft.logsumexp(x, axis=1)
    assert np.isnan(probabilities[0]).all() == (special != -np.inf)
    assert np.isfinite(probabilities[1]).all()
    assert np.array_equal(log_sum[:1], [special], equal_nan=True) == (special != -np.inf)


@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("f8")], ids=str)
@pytest.mark.parametrize("columns", [2, 30, 700])
def test_logsumexp_that_cancels(device: simulator.Device, dtype: Any, columns: int) -> None:
    """Normalised rows: the second tier is at most half an ulp off."""
    x = normal((20, columns), "f8", 3.0)
    x = (x - np.log(np.exp(x).sum(axis=1, keepdims=True))).astype(dtype)
    ours = cupysoft.logsumexp(x, axis=1)
    assert np.abs(ours).max() < 1e-5
    assert np.max(ulp_distance(ours, reference.logsumexp(x, axis=1))) == 0


def test_sums_just_above_one(device: simulator.Device) -> None:
    x = np.array([[0.0, -40.0, -41.0], [0.0, -90.0, -95.0], [0.0, -700.0, -744.0]])
    for dtype in (np.float32, np.float64):
        assert_true(x.astype(dtype), 1)


@pytest.mark.parametrize("dtype", [np.dtype("f2"), np.dtype("f4"), np.dtype("f8")], ids=str)
def test_weights(device: simulator.Device, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    a, b = normal((6, 150), dtype), rng.normal(size=(6, 150)).astype(dtype)
    b[rng.random(b.shape) < 0.3] = 0
    a[:, 4], b[:, 4] = np.nan, 0
    a[2:4, 1], b[2:4, 1] = a[2:4, 0], -b[2:4, 0]
    b[3, 2:] *= 2.0**-9
    ours = cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)
    true = reference.logsumexp(a, axis=1, b=b, return_sign=True)
    assert np.max(ulp_distance(ours[0], true[0])) == 0
    assert np.array_equal(ours[1], true[1])


@pytest.mark.parametrize("dtype", [np.dtype("c8"), np.dtype("c16")], ids=str)
def test_complex(device: simulator.Device, dtype: Any) -> None:
    rng = np.random.default_rng(4)
    angles = rng.normal(size=(8, 40)) * 10.0 ** rng.uniform(-3, 12, (8, 40))
    a = (rng.normal(size=(8, 40)) * 4 + 1j * angles).astype(dtype)
    b = (rng.normal(size=(8, 40)) + 1j * rng.normal(size=(8, 40))).astype(dtype)
    for weights in (None, b):
        ours = cupysoft.logsumexp(a, axis=1, b=weights)
        assert np.max(ulp_distance(ours, reference.logsumexp(a, axis=1, b=weights))) <= 4


def test_complex_numbers_that_are_infinite_or_nan() -> None:
    """With every kind of weight as the host has it."""
    ends = [complex(re, im) for re in (np.inf, -np.inf, np.nan, -3) for im in (0.0, -0.0, 2, -2.5, np.inf, np.nan)]
    factors = [1, 1j, -2 + 1j, np.inf, complex(0, -np.inf), complex(np.inf, 2), complex(np.inf, -np.inf), 0, np.nan]
    a = np.array([[end, 0.5 + 1j] for end in ends for _ in factors])
    b = np.array([[factor, 0.25 - 1j] for _ in ends for factor in factors])
    for values, weights in ((a[:: len(factors)], None), (a, b)):
        host = cupysoft.logsumexp(values, axis=1, b=weights)
        with simulator.Device(check=True):
            ours = cupysoft.logsumexp(values, axis=1, b=weights)
        np.testing.assert_allclose(ours.real, host.real, rtol=1e-14)
        np.testing.assert_allclose(ours.imag, host.imag, rtol=1e-14)


def test_the_side_of_the_negative_axis(device: simulator.Device) -> None:
    """It is told by what is left of imaginary parts that cancel, 2^-330 of them and less."""
    weights = np.array([[-1, 1j, -1j, left * 1j] for left in (-1e-100, 1e-100, -1e-200, 1e-200, 0)])
    found = cupysoft.logsumexp(np.zeros(weights.shape, "c16"), axis=1, b=weights)
    assert np.array_equal(found, [complex(0, side * np.pi) for side in (-1, 1, -1, 1, 1)])


def test_x_may_be_out(device: simulator.Device) -> None:
    for shape in ((3, 40), (2, 700), (1, 9000), (1, 20000), (1, 66000)):
        x = normal(shape, "f4")
        expected = cupysoft.softmax(x, axis=1)
        cupysoft.softmax(x, axis=1, out=x)
        assert x.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
@pytest.mark.parametrize("scale", [30, 300])
def test_log_softmax_on_ties(device: simulator.Device, dtype: Any, scale: float) -> None:
    """x - m lies halfway between two numbers; log(l), which may underflow, decides."""
    assert_true(normal((400, 2), dtype, scale), 1, ("log_softmax",))
