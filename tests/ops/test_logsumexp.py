"""logsumexp: weights, signs, complex values, shapes, against SciPy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import cupysoft
from tests.ops.comparison import assert_same, both, scipys

pytestmark = pytest.mark.usefixtures("place")


F4 = np.arange(6, dtype="f4").reshape(2, 3)
INF, NAN = np.inf, np.nan


def spread(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    """Give pairs and where they are computed: on the host, and a third, for each takes a kernel, on the device."""
    pairs = list(itertools.product(enumerate(first), enumerate(second)))
    told = [(place, pair) for place in ("host", "simulated") for pair in pairs]
    return [
        pytest.param(place, a, b, id=f"{place}-{a}-{b}")
        for place, ((i, a), (j, b)) in told
        if place == "host" or (i + j) % 3 == 0
    ]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("return_sign", [False, True])
@pytest.mark.parametrize(
    ("place", "axis", "dtype"),
    spread([None, 0, 1, -1, (0, 1), ()], ["f2", "f4", "f8", "c8", "c16", "i4"]),
    indirect=["place"],
)
def test_shapes(keepdims: bool, return_sign: bool, axis: Any, dtype: str) -> None:
    both("logsumexp", F4.astype(dtype), axis, None, keepdims, return_sign)
    both("logsumexp", F4.astype(dtype), axis=axis, b=[1, -2, 3], keepdims=keepdims, return_sign=return_sign)


@pytest.mark.parametrize("keepdims", [False, True])
def test_zero_dimensional_counts_as_one_element_along_one_axis(keepdims: bool) -> None:
    both("logsumexp", 3.0, keepdims=keepdims)
    both("logsumexp", np.float32(3), 0, 2, keepdims)
    both("logsumexp", 3.0, (), keepdims=keepdims)


AS = [F4, F4.astype("f8"), F4.astype("f2"), F4.astype("c8"), F4.astype("i4"), 1.5, 2]
BS = [
    [1, 2, 3],
    2,
    2.0,
    True,
    1j,
    np.float16(2),
    np.float64(2),
    np.array(2.0),
    np.array([1, 2, 3], "i1"),
    np.array([True, False, True]),
    np.array([1, 2, 3], "f8"),
    np.array([1, 2j, 3], "c8"),
    np.ones((4, 1, 1), "f4"),
    np.ones((2, 1), ">f4"),
]


@pytest.mark.parametrize(("place", "a", "b"), spread(AS, BS), indirect=["place"])
def test_promotion_and_broadcasting(a: Any, b: Any) -> None:
    both("logsumexp", a, b=b)
    if isinstance(a, np.ndarray):
        both("logsumexp", a, axis=1, b=b)


def test_a_broadcasts_against_b_too() -> None:
    both("logsumexp", F4[:, :1], axis=1, b=np.ones((2, 3), "f4"))
    both("logsumexp", 1.0, b=np.array([1, 2, 3], "f4"))
    both("logsumexp", [1.0], axis=0, b=np.ones((4, 3), "f4"))


def test_weights_beyond_the_type_become_infinite_without_a_warning() -> None:
    assert cupysoft.logsumexp(np.zeros(2, "f4"), b=1e300) == INF


@pytest.mark.parametrize("other", ["f2", "f4", "f8", "i1", "i8"])
def test_bfloat16_meets_other_types(other: str) -> None:
    a, b = F4.astype(ml_dtypes.bfloat16), np.array([1, 2, 3], other)
    expected = {"i1": ml_dtypes.bfloat16, "f2": "f4", "f4": "f4", "f8": "f8", "i8": "f8"}[other]
    ours = cupysoft.logsumexp(a, axis=1, b=b)
    assert ours.dtype == np.dtype(expected)
    theirs = scipys("logsumexp")(a.astype("f8"), axis=1, b=b.astype("f8"))
    np.testing.assert_allclose(ours.astype("f8"), theirs, rtol=4e-3 if other == "i1" else 1e-6)


@pytest.mark.parametrize("return_sign", [False, True])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1, 2], [1, -1]),
        ([2, 1], [1, -1]),
        ([1, 2], [0, 0]),
        ([1, 1], [1, -1]),
        ([NAN, INF, 1], [0, 0, 1]),
        ([1, 1], [NAN, 1]),
        ([1, 1], [INF, 1]),
        ([1, 1], [-INF, 1]),
        ([1, 1], [INF, -INF]),
        ([INF, 1], [-1, 1]),
        ([INF, INF], [-1, 1]),
        ([-INF, 1], [-1, 1]),
        ([-INF, -INF], [-1, 1]),
        ([NAN], -1),
        ([NAN, -INF], None),
        ([INF, -INF], None),
        ([-INF, -INF], None),
        ([INF, NAN], None),
        ([-0.0], None),
    ],
)
def test_special_values(a: list[float], b: Any, return_sign: bool) -> None:
    for dtype in ("f4", "f8"):
        weights = None if b is None else np.array(b, dtype)
        both("logsumexp", np.array(a, dtype), b=weights, return_sign=return_sign)


@pytest.mark.parametrize("return_sign", [False, True])
@pytest.mark.parametrize(
    "a",
    [
        [complex(-INF, 0), complex(-INF, 0)],
        [complex(-INF, 1)],
        [complex(-INF, NAN), 0],
        [complex(-INF, INF), 0],
        [complex(0, NAN), 1],
        [complex(0, INF), 1],
        [complex(NAN, 0), 1],
        [complex(0, 3), complex(0, 3)],
        [complex(0, 7)],
        [complex(0, -7)],
        [complex(2, 40), complex(1, -3)],
        [complex(800, 1), complex(801, 2)],
    ],
    ids=str,
)
def test_complex_special_values(a: list[complex], return_sign: bool) -> None:
    both("logsumexp", np.array(a, "c16"), return_sign=return_sign)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axis"), [((0,), None), ((0, 3), 0), ((0, 3), 1), ((0, 0, 3), 1), ((2, 0), 1)])
@pytest.mark.parametrize("dtype", ["f4", "i4", "c8"])
def test_empty(shape: tuple[int, ...], axis: Any, keepdims: bool, dtype: str) -> None:
    both("logsumexp", np.zeros(shape, dtype), axis=axis, keepdims=keepdims)


def test_the_sum_over_nothing_has_sign_zero() -> None:
    """SciPy says -1, and for complex input NaN."""
    assert_same(cupysoft.logsumexp([], return_sign=True), (np.float64(-INF), np.float64(0)))
    assert_same(cupysoft.logsumexp(np.zeros(0, "c8"), return_sign=True), (np.float32(-INF), np.complex64(0)))


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8"])
def test_a_weight_of_zero_masks_anything_everywhere(dtype: str) -> None:
    """SciPy forgets the mask where the result is infinite, and says NaN."""
    for a, b, expected in (([INF], [0], -INF), ([NAN, NAN], [0, 0], -INF), ([NAN, INF], [0, 1], INF)):
        assert cupysoft.logsumexp(np.array(a, dtype), b=np.array(b, dtype)).real == expected


def test_several_axes_of_an_empty_array() -> None:
    """SciPy fails with an IndexError."""
    assert cupysoft.logsumexp(np.zeros((2, 0)), axis=(0, 1)) == -INF


@pytest.mark.parametrize("imaginary", [0, 1, -2])
def test_an_infinite_real_part_gives_an_infinite_result(imaginary: float) -> None:
    assert cupysoft.logsumexp([complex(INF, imaginary), 1]).real == INF
    assert cupysoft.logsumexp([complex(INF, imaginary), 1], return_sign=True)[0] == INF


def test_no_axis_of_an_empty_array() -> None:
    """SciPy gives shape (1, 1)."""
    assert cupysoft.logsumexp(np.zeros((0, 3)), axis=()).shape == (0, 3)


def test_shapes_that_do_not_broadcast() -> None:
    with pytest.raises(cupysoft.errors.ShapeError, match=r"logsumexp: a has shape \(2, 3\) and b has shape \(4,\)"):
        cupysoft.logsumexp(F4, b=np.ones(4))


@pytest.mark.parametrize(
    ("a", "b", "result", "sign"),
    [
        ([1000, 1000], [1, -1], -INF, 0),
        ([INF, -INF], [0, 1], -INF, 0),
        ([INF, 800], [1, -1], INF, 1),
        ([800, INF], [1, -1], INF, -1),
    ],
)
def test_weights_that_scipy_loses(a: list[float], b: list[float], result: float, sign: float) -> None:
    ours = cupysoft.logsumexp(np.array(a, "f8"), b=np.array(b), return_sign=True)
    np.testing.assert_allclose(ours, (result, sign), rtol=1e-15)
    assert np.isnan(cupysoft.logsumexp(np.array(a, "f8"), b=np.array(b))) == (sign < 0)
