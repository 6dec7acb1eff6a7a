"""attention: bad input is a typed error before anything is written; where the result goes; what counts as an array."""

from __future__ import annotations

import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.errors import ArgumentError, DtypeError, OutError, ShapeError

RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=shape).astype("f4") for shape in ((2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 3)))
OUT, LSE = (2, 4, 5, 3), (2, 4, 5)


def read_only(shape: tuple[int, ...]) -> Any:
    array = np.zeros(shape, "f4")
    array.flags.writeable = False
    return array


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"q": Q[0, 0, 0]}, ShapeError, r"q has shape \(8,\); expected at least two axes, \(..., q_len, head_dim\)"),
    ({"v": np.float32(3)}, ShapeError, r"v has shape \(\); expected at least two axes"),
    ({"k": K[..., :7]}, ShapeError, "k has head_dim 7, q has 8; they must be equal"),
    ({"v": V[..., :6, :]}, ShapeError, "v has kv_len 6, k has 7; they must be equal"),
    ({"q": Q[..., :0], "k": K[..., :0]}, ShapeError, "q and k have head_dim 0; expected 1 to 256"),
    ({"v": np.zeros((2, 2, 7, 257), "f4")}, ShapeError, "v have value_dim 257; expected 1 to 256"),
    ({"v": V[..., :0]}, ShapeError, "v have value_dim 0"),
    ({"k": np.zeros((2, 3, 7, 8), "f4")}, ShapeError, "leading axes must broadcast.* a divisor of q's"),
    ({"k": np.zeros((2, 8, 7, 8), "f4")}, ShapeError, "leading axes must broadcast"),
    ({"k": np.zeros((2, 4, 7, 8), "f4")}, ShapeError, "leading axes must broadcast"),
    ({"q": Q[:, :0]}, ShapeError, "leading axes must broadcast"),
    ({"q": np.zeros((3, 4, 5, 8), "f4")}, ShapeError, "q has shape"),
    ({"k": K.astype("f8")}, DtypeError, "q has dtype float32, k has dtype float64, v has dtype float32; expected one"),
    ({"q": Q.astype("i4"), "k": K.astype("i8"), "v": V.astype("i8")}, DtypeError, "expected one dtype for all"),
    ({"q": Q.astype("c8")}, DtypeError, "q has dtype complex64"),
    ({"q": Q.astype("g"), "k": K.astype("g"), "v": V.astype("g")}, DtypeError, "q has dtype .*; expected float16"),
    ({"q": None}, DtypeError, "q is a NoneType"),
    ({"v": np.ma.masked_array(V)}, DtypeError, "v is, or holds, a masked array"),
    ({"mask": np.ones((5, 7))}, DtypeError, r"mask has dtype float64; expected bool.*mask.astype\(bool\).*a bias"),
    (
        {"mask": np.ones((4, 7), bool)},
        ShapeError,
        r"mask has shape \(4, 7\); expected one that broadcasts to \(2, 4, 5",
    ),
    ({"mask": np.ones((1, 2, 4, 5, 7), bool)}, ShapeError, "mask has shape"),
    ({"mask": np.ones((2, 2, 5, 7), bool)}, ShapeError, "mask has shape"),
    ({"bias": np.ones((5, 6))}, ShapeError, r"bias has shape \(5, 6\)"),
    ({"bias": np.ones((5, 7), bool)}, DtypeError, "bias has dtype bool.*mask="),
    ({"bias": np.ones((5, 7), "c16")}, DtypeError, "bias has dtype complex128"),
    ({"bias": np.ones((5, 7), "g")}, DtypeError, "bias has dtype"),
    ({"bias": "much"}, DtypeError, "bias has dtype"),
    ({"kv_lengths": [3, 7]}, ShapeError, r"kv_lengths has shape \(2,\); expected.* \(2, 4\).* kv_lengths\[:, None\]"),
    ({"kv_lengths": [[3], [8]]}, ArgumentError, "kv_lengths holds 8; expected 0 to kv_len, which is 7"),
    ({"kv_lengths": -1}, ArgumentError, "kv_lengths holds -1"),
    ({"kv_lengths": 3.0}, DtypeError, "kv_lengths has dtype float64; expected integers"),
    ({"kv_lengths": True}, DtypeError, "kv_lengths has dtype bool"),
    ({"causal": "bottom"}, ArgumentError, "causal is 'bottom'; expected False, True or 'bottom-right'"),
    ({"causal": 1}, ArgumentError, "causal is 1"),
    ({"causal": None}, ArgumentError, "causal is None"),
    ({"causal": np.ones(2, bool)}, ArgumentError, "causal is array"),
    ({"window": 3}, ArgumentError, r"window is 3; expected a pair \(left, right\)"),
    ({"window": (1, 2, 3)}, ArgumentError, "window is"),
    ({"window": (-1, 0)}, ArgumentError, "window holds -1; expected integers from 0 up.*None for an open end"),
    ({"window": (None, 1.5)}, ArgumentError, "window holds 1.5"),
    ({"window": (True, 1)}, ArgumentError, "window holds True"),
    ({"softcap": 0}, ArgumentError, "softcap is 0; expected a number above 0"),
    ({"softcap": -2.0}, ArgumentError, "softcap is -2.0"),
    ({"softcap": np.inf}, ArgumentError, "softcap is inf; expected a finite number above 0"),
    ({"softcap": True}, DtypeError, "softcap is a builtins.bool"),
    ({"scale": np.nan}, ArgumentError, "scale is nan; expected a finite number"),
    ({"scale": 10**400}, ArgumentError, "scale is 10"),
    ({"scale": "1"}, DtypeError, "scale is a builtins.str"),
    ({"scale": 1j}, DtypeError, "scale is a builtins.complex"),
    ({"scale": np.complex64(1)}, DtypeError, "scale is a numpy.complex64"),
    ({"scale": np.ones(2)}, DtypeError, "scale is a numpy.ndarray"),
    ({"precision": "float32"}, ArgumentError, "precision is 'float32'; expected one of 'tf32x3', 'ieee', 'tf32'"),
    ({"precision": 3}, ArgumentError, "precision is 3"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=[message[:30] for _, _, message in BAD])
def test_bad_input_is_told_and_nothing_is_written(bad: dict[str, Any], error: Any, message: str) -> None:
    arguments = {"q": Q, "k": K, "v": V, **bad}
    out = np.full(OUT, 7, "f4")
    with pytest.raises(error, match=f"^attention: .*{message}"):
        cupysoft.attention(**arguments, out=out)
    assert (out == 7).all()


BAD_OUT: list[tuple[Any, bool, str]] = [
    (
        np.zeros((2, 4, 5, 8), "f4"),
        False,
        r"out has shape \(2, 4, 5, 8\); expected a NumPy array of shape \(2",
    ),
    (np.zeros(OUT), False, "out has dtype float64"),
    (np.zeros(OUT, ">f4"), False, "out has dtype float32 in foreign byte order"),
    (read_only(OUT), False, "out is read-only"),
    ([[0.0]], False, "out is an object of type builtins.list"),
    (np.broadcast_to(np.zeros((5, 3), "f4"), OUT), False, "out is read-only|out has strides"),
    ((np.zeros(OUT, "f4"), np.zeros(LSE, "f4")), False, "out is an object of type builtins.tuple"),
    ((np.zeros(OUT, "f4"),), True, "out is 1 arrays; .* a pair of arrays"),
    ((np.zeros(OUT, "f4"), np.zeros(LSE)), True, r"out\[1\] has dtype float64"),
    ((np.zeros(OUT, "f4"), np.zeros((2, 4, 5, 1), "f4")), True, r"out\[1\] has shape"),
    ((np.zeros(OUT, "f4"), None), True, r"out\[1\] is an object of type builtins.NoneType"),
]


@pytest.mark.parametrize(("out", "return_lse", "message"), BAD_OUT, ids=range(len(BAD_OUT)))
def test_an_out_that_does_not_fit(out: Any, return_lse: bool, message: str) -> None:
    with pytest.raises(OutError, match=f"^attention: (?:{message})"):
        cupysoft.attention(Q, K, V, out=out, return_lse=return_lse)
    assert not any(np.any(array) for array in out if array is not None)


def test_results_that_share_memory() -> None:
    memory = np.zeros(OUT, "f4")
    with pytest.raises(OutError, match=r"out\[0\] and out\[1\] share memory"):
        cupysoft.attention(Q, K, V, return_lse=True, out=(memory, memory[..., 0]))


def test_out_is_written_and_returned() -> None:
    expected, expected_lse = cupysoft.attention(Q, K, V, return_lse=True)
    apart, turned = np.empty((*OUT[:3], 7), "f4")[..., ::-3], np.empty(OUT[::-1], "f4").T
    for out in (np.empty(OUT, "f4"), apart, turned):
        assert cupysoft.attention(Q, K, V, out=out) is out
        np.testing.assert_array_equal(out, expected)
        out[...] = 0
        got = cupysoft.attention(Q, K, V, out=out, return_lse=True)
        assert got[0] is out
        np.testing.assert_array_equal(out, expected)
        np.testing.assert_array_equal(got[1], expected_lse)
    pair = np.empty(OUT, "f4"), np.empty((*LSE, 2), "f4")[..., 1]
    got = cupysoft.attention(Q, K, V, out=pair, return_lse=True)
    assert got[0] is pair[0]
    assert got[1] is pair[1]
    np.testing.assert_array_equal(pair[1], expected_lse)


def test_out_may_be_the_input() -> None:
    x = RNG.normal(size=(3, 600, 8))
    expected = cupysoft.attention(x, x, x)
    for place in (np.s_[:], np.s_[:, ::-1], np.s_[::-1]):
        memory = x.copy()
        assert cupysoft.attention(memory, memory, memory, out=memory[place]) is not None
        np.testing.assert_array_equal(memory[place], expected)
    bias = RNG.normal(size=(600, 600))
    expected = cupysoft.attention(x[0], x[0], x[0], bias=bias)
    cupysoft.attention(x[0], x[0], x[0], bias=bias, out=bias[:, 5:13])
    np.testing.assert_array_equal(bias[:, 5:13], expected)


@pytest.mark.parametrize("dtype", ["i4", "u8", "?", "i1"])
def test_integers_are_computed_in_float64(dtype: str) -> None:
    q, k, v = (RNG.integers(0, 2, (6, 4)).astype(dtype) for _ in range(3))
    result = cupysoft.attention(q, k, v)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, cupysoft.attention(*(x.astype("f8") for x in (q, k, v))))


def test_sequences_subclasses_foreign_order_and_packed_records() -> None:
    q, k, v = Q[0, 0], K[0, 0], V[0, 0]
    expected = cupysoft.attention(q, k, v)
    np.testing.assert_array_equal(cupysoft.attention(q.astype(">f4"), k, v.astype(">f4")), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        assert type(cupysoft.attention(q.view(np.matrix), k, v)) is np.ndarray
    records = np.zeros(k.shape, [("tag", "u1"), ("k", "f4")])
    records["k"] = k
    np.testing.assert_array_equal(cupysoft.attention(q, records["k"], v), expected)
    wide = [x.astype("f8") for x in (q, k, v)]
    np.testing.assert_array_equal(cupysoft.attention(*(x.tolist() for x in wide)), cupysoft.attention(*wide))


class Foreign:
    """Another library's array in host memory."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()  # type: ignore[no-any-return]

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)


def test_arrays_of_other_libraries() -> None:
    result = cupysoft.attention(Foreign(Q), Foreign(K), V, bias=Foreign(np.zeros(7)))
    np.testing.assert_array_equal(result, cupysoft.attention(Q, K, V))


def test_scalars_as_options() -> None:
    plain = cupysoft.attention(Q, K, V)
    for options in (
        {"scale": np.float32(8**-0.5) * 0 + np.float64(8) ** -0.5},
        {"scale": np.array(1 / 8**0.5)},
        {"mask": True, "bias": 0},
        {"kv_lengths": np.int8(7), "window": [np.int64(6), 10**30]},
        {"causal": np.False_, "window": (None, None)},
    ):
        np.testing.assert_array_equal(cupysoft.attention(Q, K, V, **options), plain)
    np.testing.assert_allclose(cupysoft.attention(Q, K, V, softcap=1e9), plain, rtol=1e-5)
    assert not cupysoft.attention(Q, K, V, mask=False).any()


def test_memory_does_not_grow_with_the_square_of_the_length() -> None:
    """Beside the result there are a few tiles: far less than (q_len, kv_len), whatever mask and bias are broadcast."""
    length = 3000
    q, k, v = (RNG.normal(size=(2, length, 16)).astype("f4").swapaxes(0, 1).copy().swapaxes(0, 1) for _ in range(3))
    row = np.arange(length) > 5
    options: dict[str, Any] = {"mask": row, "bias": row[:, None] * 0.5, "kv_lengths": [2999, 1500], "causal": True}
    cupysoft.attention(q, k, v, **options)
    tracemalloc.start()
    try:
        result = cupysoft.attention(q, k, v, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - result.nbytes < length * length * 4 / 3


def test_answers_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (RNG.normal(size=(5, 400, 40)) for _ in range(3))
    results = []
    for count in ("1", "2", "5"):
        monkeypatch.setenv("CUPYSOFT_THREADS", count)
        results.append(cupysoft.attention(q, k, v))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_no_warning_reaches_the_user() -> None:
    q = np.array([[np.inf, -np.inf], [np.nan, 1e308], [1e-308, 5e-324]])
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        cupysoft.attention(q, q, q, softcap=1e-300, return_lse=True)
        cupysoft.attention(q, q, q, kv_lengths=0, return_lse=True)
