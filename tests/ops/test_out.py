"""out=: where results go, what is refused, and that a refusal writes nothing."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.errors import OutError

pytestmark = pytest.mark.usefixtures("place")


X = np.random.default_rng(0).normal(scale=5, size=(4, 6)).astype("f4")
FUNCTIONS = (cupysoft.softmax, cupysoft.log_softmax)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_out_is_written_and_returned(function: Any, axis: Any) -> None:
    expected = function(X, axis=axis)
    for out in (np.empty_like(X), np.empty((6, 4), "f4").T, np.empty((4, 12), "f4")[:, ::-2]):
        assert function(X, axis=axis, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1, ()])
def test_in_place(function: Any, axis: Any) -> None:
    expected, x = function(X, axis=axis), X.copy()
    assert function(x, axis=axis, out=x) is x
    np.testing.assert_array_equal(x, expected)


# Several blocks of work, so that one is written before another is read.
LARGE = np.random.default_rng(1).normal(scale=5, size=(300, 260)).astype("f4")


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize(
    ("pick_x", "pick_out"),
    [
        (np.s_[:, :200], np.s_[:, 60:]),
        (np.s_[:, 60:], np.s_[:, :200]),
        (np.s_[:, :], np.s_[::-1, :]),
        (np.s_[:, :], np.s_[:, ::-1]),
        (np.s_[7:], np.s_[:-7]),
        (np.s_[:-7], np.s_[7:]),
    ],
)
def test_any_other_overlap_is_handled(function: Any, axis: Any, pick_x: Any, pick_out: Any) -> None:
    memory = LARGE.copy()
    expected = function(memory[pick_x].copy(), axis=axis)
    function(memory[pick_x], axis=axis, out=memory[pick_out])
    np.testing.assert_array_equal(memory[pick_out], expected)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_transposed_input_as_out(function: Any, axis: Any) -> None:
    square = LARGE[:, :260][:260].copy()
    expected = function(square, axis=axis)
    function(square, axis=axis, out=square.T)
    np.testing.assert_array_equal(square.T, expected)


def test_zero_dimensional_out() -> None:
    out = np.empty(())
    assert cupysoft.softmax(3.0, out=out) is out
    assert out == 1.0
    assert cupysoft.logsumexp([1.0, 1.0], out=out) is out
    assert out == cupysoft.logsumexp([1.0, 1.0])


# Types take turns, for each that is not float32 is one more kernel to compile.
@pytest.mark.parametrize(
    ("axis", "dtype"),
    [*((axis, "f4") for axis in (None, 0, 1, (0, 1), ())), (None, "f8"), ((), "f8"), (0, "c8"), ((0, 1), "c8")],
)
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_writes_result_and_sign(axis: Any, keepdims: bool, dtype: str) -> None:
    a, b = X.astype(dtype), np.array([1, -2, 3, 1, -1, 1], dtype)
    expected = cupysoft.logsumexp(a, axis, b, keepdims)
    out = np.empty(expected.shape, expected.dtype)
    assert cupysoft.logsumexp(a, axis, b, keepdims, out=out) is out
    np.testing.assert_array_equal(out, expected)

    expected, signs = cupysoft.logsumexp(a, axis, b, keepdims, True)
    pair = np.empty(expected.shape, expected.dtype), np.empty((*signs.shape, 2), signs.dtype)[..., 0]
    got = cupysoft.logsumexp(a, axis, b, keepdims, True, out=pair)
    assert got[0] is pair[0]
    assert got[1] is pair[1]
    np.testing.assert_array_equal(pair[0], expected)
    np.testing.assert_array_equal(pair[1], signs)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_a_subclass_is_written_as_an_array(axis: Any) -> None:
    """np.matrix gives two axes to whatever is taken from it."""
    shape = {0: (1, 6), 1: (4, 1), None: (1, 1)}[axis]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        out, whole = np.empty(shape, "f4").view(np.matrix), np.empty((4, 6), "f4").view(np.matrix)
    assert cupysoft.logsumexp(X, axis, keepdims=True, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), cupysoft.logsumexp(X, axis, keepdims=True))
    assert cupysoft.softmax(X, axis, out=whole) is whole
    np.testing.assert_array_equal(np.asarray(whole), cupysoft.softmax(X, axis))


def test_logsumexp_may_overlap_its_input() -> None:
    for out_of, column in ((0, 0), (0, 259), (1, 3)):
        arrays = [LARGE.copy(), np.abs(LARGE)]
        expected = cupysoft.logsumexp(LARGE, 1, np.abs(LARGE))
        cupysoft.logsumexp(arrays[0], 1, arrays[1], keepdims=True, out=arrays[out_of][:, column : column + 1])
        np.testing.assert_array_equal(arrays[out_of][:, column], expected)
    memory = LARGE.copy()
    expected = cupysoft.logsumexp(memory, 1)
    cupysoft.logsumexp(memory, 1, out=memory.reshape(-1)[:300])  # the first rows hold the result of all
    np.testing.assert_array_equal(memory.reshape(-1)[:300], expected)
    line = X[0].copy()
    cupysoft.logsumexp(line, (), out=line)
    np.testing.assert_array_equal(line, X[0])


def test_empty_results_are_filled() -> None:
    out, sign = np.zeros(3), np.ones(3)
    cupysoft.logsumexp(np.zeros((0, 3)), 0, return_sign=True, out=(out, sign))
    assert (out == -np.inf).all()
    assert (sign == 0).all()


def read_only() -> np.ndarray[Any, Any]:
    array = np.zeros((4, 6), "f4")
    array.flags.writeable = False
    return array


BAD = [
    ([[0.0] * 6] * 4, "out is an object of type builtins.list; expected a NumPy array of shape"),
    (np.zeros((4, 5), "f4"), r"out has shape \(4, 5\); expected a NumPy array of shape \(4, 6\) and dtype float32"),
    (np.zeros((1, 4, 6), "f4"), r"out has shape \(1, 4, 6\)"),
    (np.zeros((4, 6), "f8"), "out has dtype float64"),
    (np.zeros((4, 6), ">f4"), "out has dtype float32 in foreign byte order"),
    (read_only(), "out is read-only"),
    (np.ma.zeros((4, 6), "f4"), "out is an object of type numpy.ma"),
    (
        np.lib.stride_tricks.as_strided(np.zeros(9, "f4"), (4, 6), (4, 4)),
        r"out has strides \(4, 4\), which put several elements at one address",
    ),
    ((np.zeros((4, 6), "f4"),), "out is an object of type builtins.tuple"),
]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("out", "message"), BAD, ids=[message[:20] for _, message in BAD])
def test_refused(function: Any, out: Any, message: str) -> None:
    before = np.array(out)
    with pytest.raises(OutError, match=f"{function.__name__}: {message}"):
        function(X, axis=1, out=out)
    np.testing.assert_array_equal(np.array(out), before)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros(4, "f4"), "out is an object of type ndarray; with return_sign=True expected a pair"),
        ((np.zeros(4, "f4"),) * 3, "out is 3 arrays"),
        ((np.zeros(4, "f4"), np.zeros(5, "f4")), r"out\[1\] has shape \(5,\)"),
        ((np.zeros(4, "f8"), np.zeros(4, "f4")), r"out\[0\] has dtype float64"),
        ((np.zeros(4, "f4"),) * 2, r"out\[0\] and out\[1\] share memory"),
        ((np.zeros(4, "f4"), None), r"out\[1\] is an object of type builtins.NoneType"),
    ],
)
def test_refused_pairs(out: Any, message: str) -> None:
    with pytest.raises(OutError, match=message):
        cupysoft.logsumexp(X, 1, return_sign=True, out=out)
    for array in out:
        assert array is None or not np.any(array)


@pytest.mark.parametrize(
    "bad",
    [
        {"axis": 5},
        {"axis": "x"},
        {"axis": (0, 0)},
        {"x": np.zeros((4, 6), "c8")},
        {"x": np.ma.zeros((4, 6), "f4")},
        {"x": np.zeros((4, 6), "O")},
    ],
    ids=str,
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_input_leaves_out_alone(function: Any, bad: dict[str, Any]) -> None:
    out = np.full((4, 6), 7, "f4")
    with pytest.raises(cupysoft.CupysoftError):
        function(bad.get("x", X), axis=bad.get("axis"), out=out)
    assert (out == 7).all()
