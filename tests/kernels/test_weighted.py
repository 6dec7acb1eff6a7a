"""The weighted and the complex kernels: how often they read, how they share rows out, what the second tier settles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft import simulator
from cupysoft.testing import reference, ulp_distance
from cupysoft.testing.trouble import WEIGHTS, draw, draw_weights
from tests.kernels.plans_for import BFLOAT16

Array = np.ndarray[Any, Any]

# What cannot be seen in one of these is a matter of the dtype alone.
USUAL = [np.dtype("f4"), np.dtype("f8"), np.dtype("c8")]


@pytest.fixture
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=True) as made:
        yield made


def normal(shape: tuple[int, ...], dtype: np.dtype[Any], seed: int = 0) -> Array:
    rng = np.random.default_rng([seed, *shape])
    values = rng.normal(size=shape)
    return (values + 1j * rng.normal(size=shape) if dtype.kind == "c" else values).astype(dtype)


def walks(device: simulator.Device, argument: str) -> tuple[float, float]:
    """Reads and writes of an argument, summed over the kernels of a call."""
    found = [kernel.arguments[argument] for kernel in device.report.kernels.values() if argument in kernel.arguments]
    return sum(each.walks_read for each in found), sum(each.walks_written for each in found)


def assert_true(a: Array, b: Array, axis: int) -> None:
    """Compare result and sign with the reference: the nearest number, within 4 ulp if complex."""
    ours = cupysoft.logsumexp(a, axis=axis, b=b, return_sign=True)
    true = reference.logsumexp(a, axis=axis, b=b, return_sign=True)
    assert np.max(ulp_distance(ours[0], true[0]), initial=0) <= (4 if a.dtype.kind == "c" else 0)
    if a.dtype.kind == "c":
        assert np.max(np.abs(ours[1] - true[1])) <= 4 * np.finfo(a.dtype).eps
    else:
        assert np.array_equal(ours[1], true[1])


# A lane, lanes of a warp, a warp, a block, parts; by columns a lane, a block, parts.
EVERY_TEAM = [
    ((5, 1), 1), ((3, 33), 1), ((3, 1000), 1), ((2, 5000), 1), ((1, 100_000), 1),
    ((7, 40), 0), ((100, 40), 0), ((5000, 9), 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "shape", "axis"),
    [
        *((USUAL[0], *each) for each in EVERY_TEAM),
        *((dtype, shape, 1) for dtype in USUAL[1:] for shape in ((5, 1), (3, 33), (1, 20_000))),
    ],
    ids=str,
)
def test_rows_that_do_not_cancel_are_read_once(
    device: simulator.Device, dtype: np.dtype[Any], shape: tuple[int, int], axis: int
) -> None:
    a, b = normal(shape, dtype), normal(shape, dtype, 1)
    b.real = np.abs(b.real) + 0.1
    b[::5] *= -1
    cupysoft.logsumexp(a, axis=axis, b=b, return_sign=True)
    assert walks(device, "x") == walks(device, "b") == (1, 0)
    assert walks(device, "out") == walks(device, "sign") == (0, 1)


@pytest.mark.parametrize("dtype", [USUAL[0], USUAL[2]], ids=str)
def test_rows_without_weights_are_read_once(device: simulator.Device, dtype: np.dtype[Any]) -> None:
    cupysoft.logsumexp(normal((2, 40), dtype), axis=1, return_sign=True)
    assert walks(device, "x") == (1, 0)


def test_only_rows_that_cancel_are_read_again(device: simulator.Device) -> None:
    a, b = normal((8, 50), np.dtype("f4")), np.ones((8, 50), "f4")
    a[3, 1], b[3, 1], a[3, 2:] = a[3, 0], -1, a[3, 0] - 40
    cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)
    assert walks(device, "x")[0] == walks(device, "b")[0] == 1 + 1 / 8


@pytest.mark.parametrize("dtype", [np.dtype("f2"), BFLOAT16, *USUAL, np.dtype("c16")], ids=str)
@pytest.mark.parametrize(("shape", "axis"), [((6, 4), 1), ((5, 64), 1), ((33, 17), 0)], ids=str)
def test_edges(device: simulator.Device, shape: tuple[int, int], axis: int, dtype: np.dtype[Any]) -> None:
    assert_true(normal(shape, dtype), normal(shape, dtype, 1), axis)


@pytest.mark.parametrize("dtype", USUAL, ids=str)
def test_rows_in_parts(device: simulator.Device, dtype: np.dtype[Any]) -> None:
    assert_true(normal((2, 16_385), dtype), normal((2, 16_385), dtype, 1), 1)


@pytest.mark.parametrize("dtype", USUAL, ids=str)
def test_the_second_tier_in_parts(device: simulator.Device, dtype: np.dtype[Any]) -> None:
    """All but the last element cancels, wherever it lies: in the first window, across its lower end, far below."""
    left = np.array([[-60.5], [-210.25], [-1400.5]])
    half = normal((3, 9000), dtype)
    a = np.concatenate([half, half[:, ::-1], left], axis=1).astype(dtype)
    b = np.concatenate([np.ones_like(half), -np.ones_like(half), np.ones((3, 1))], axis=1).astype(dtype)
    result, sign = cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)
    assert np.array_equal(result, left[:, 0])
    assert np.array_equal(sign, [1, 1, 1])


@pytest.mark.parametrize("dtype", [USUAL[0], USUAL[2]], ids=str)
@pytest.mark.parametrize("columns", [3, 50, 1000, 17_000])
def test_the_same_bits_however_a_row_is_shared(device: simulator.Device, columns: int, dtype: np.dtype[Any]) -> None:
    """Alone and in a batch, along memory and across it, contiguous and not."""
    a, b = normal((3, columns), dtype), normal((3, columns), dtype, 1)
    expected = cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)

    def same(*found: Array) -> bool:
        return all(x.tobytes() == y.tobytes() for x, y in zip(found, expected, strict=True))

    alone = [cupysoft.logsumexp(x, b=y, return_sign=True) for x, y in zip(a, b, strict=True)]
    assert same(*(np.array(each, like.dtype) for each, like in zip(zip(*alone, strict=True), expected, strict=True)))
    spread = np.zeros((3, 2 * columns), dtype)
    spread[:, ::-2] = a
    assert same(*cupysoft.logsumexp(spread[:, ::-2], axis=1, b=b, return_sign=True))
    many, weights = (np.asfortranarray(np.repeat(each, 4, axis=0)) for each in (a, b))
    assert same(*(each[::4] for each in cupysoft.logsumexp(many, axis=1, b=weights, return_sign=True)))


@pytest.mark.parametrize("dtype", [USUAL[0], USUAL[2]], ids=str)
def test_views_and_repeated_weights(device: simulator.Device, dtype: np.dtype[Any]) -> None:
    a = normal((4, 6, 5, 8), dtype)
    for b in (normal((6, 1, 8), dtype, 1), np.asarray(-2, dtype)):
        weights = np.broadcast_to(b, a.shape)
        assert_true(a.transpose(3, 1, 0, 2)[::-1, ::2], weights.transpose(3, 1, 0, 2)[::-1, ::2], 1)
    assert_true(np.broadcast_to(a[0, 0, 0, 0], (7, 3)), np.broadcast_to(a[1, 1, 1, 1], (7, 3)), 0)


@pytest.mark.parametrize("dtype", [np.dtype("f2"), BFLOAT16, *USUAL], ids=str)
def test_what_decides_may_lie_far_below(device: simulator.Device, dtype: np.dtype[Any]) -> None:
    """Pairs that cancel exactly, one below the other, and one element under them all."""
    values = np.array([9, 3, 9, -700, 3, -1300, -700, 0.25]) * (1 if dtype.itemsize > 2 else 8)
    weights = np.array([1, 2, -1, 3, -2, 0, -3, -0.5])
    assert_true(values.astype(dtype)[None], weights.astype(dtype)[None], 1)
    weights[-1] = 0
    result, sign = cupysoft.logsumexp(values.astype(dtype), b=weights.astype(dtype), return_sign=True)
    assert (result, sign) == (-np.inf, 0)


@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("f8")], ids=str)
@pytest.mark.parametrize("family", ["normal, sigma 1", "subnormal inputs", "near ties"])
def test_weighted_sums_are_rounded_correctly(device: simulator.Device, family: str, dtype: np.dtype[Any]) -> None:
    """Also where terms of subnormal elements cancel but for their last bits."""
    rng = np.random.default_rng(1)
    for kind in WEIGHTS:
        a, b = draw_weights(kind, rng, draw(family, rng, (12, 5), dtype))
        result, sign = cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)
        true, true_sign = reference.logsumexp(a, axis=1, b=b, return_sign=True)
        assert np.array_equal(result, true), kind
        assert np.array_equal(sign, true_sign), kind
