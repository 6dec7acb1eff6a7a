"""Attention over keys that come in parts: split is whole, on the host and by the kernels' ElementwiseKernels."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cupysoft
from cupysoft import AttentionState, merge_attention
from cupysoft.errors import ArgumentError, DtypeError, ShapeError
from tests.attention_calls import DTYPES, AttentionCall, attention_calls, bits
from tests.attention_reference import Expected, assert_close, batch_of

RNG = np.random.default_rng(0)
Array = np.ndarray[Any, Any]


def part_of(call: AttentionCall, keys: slice) -> tuple[Array, Array, dict[str, Any]]:
    """Keys and values of a part, and the options for it; a mask stands for what is told by places."""
    batch, q_len, kv_len = batch_of(call.q, call.k, call.v), call.q.shape[-2], call.k.shape[-2]
    given = {name: call.options[name] for name in ("mask", "bias") if name in call.options}
    options: dict[str, Any] = {
        name: np.broadcast_to(a, (*batch, q_len, kv_len))[..., keys] for name, a in given.items()
    }
    return call.k[..., keys, :], call.v[..., keys, :], options


def unplaced(call: AttentionCall) -> AttentionCall:
    """The call without the options that depend on where a key is."""
    kept = ("scale", "softcap", "mask", "bias")
    return AttentionCall(call.q, call.k, call.v, {k: v for k, v in call.options.items() if k in kept})


def state_of(call: AttentionCall, cuts: list[int]) -> AttentionState:
    ends = [0, *sorted(cuts), call.k.shape[-2]]
    spans = [slice(*pair) for pair in zip(ends, ends[1:], strict=False)]
    fixed = {name: call.options[name] for name in ("scale", "softcap") if name in call.options}
    k, v, options = part_of(call, spans[0])
    state = AttentionState.from_arrays(call.q, k, v, **fixed, **options)
    for span in spans[1:]:
        k, v, options = part_of(call, span)
        state = state.update(k, v, **options)
    return state


@given(call=attention_calls(), data=st.data())
def test_split_is_whole(call: AttentionCall, data: st.DataObject) -> None:
    call = unplaced(call)
    cuts = data.draw(st.lists(st.integers(0, call.k.shape[-2]), min_size=1, max_size=6))
    state, true = state_of(call, cuts), call.expected()
    assert state.shape == true.o.shape
    assert state.dtype == call.q.dtype
    assert_close(state.output(), state.logsumexp(), true, "ieee", call.head_dim)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_number_of_parts(dtype: Any) -> None:
    q, k, v = (RNG.normal(size=shape).astype(dtype) for shape in ((2, 3, 16), (2, 600, 16), (2, 600, 5)))
    call = AttentionCall(q, k, v)
    state = state_of(call, list(range(1, 600)))
    assert_close(state.output(), state.logsumexp(), call.expected(), "ieee", 16)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_merged_results(place: str, dtype: Any) -> None:
    """What is merged on a device was computed on the host, so that this is about the merge."""
    rng = np.random.default_rng(1)
    o1, o2 = (rng.normal(size=(3, 7, 5)).astype(dtype) for _ in range(2))
    wide = "f8" if dtype == np.float64 else "f4"
    lse1, lse2 = (rng.normal(scale=20, size=(3, 7)).astype(wide) for _ in range(2))
    lse1[0, :3] = lse2[0, 2:5] = -np.inf
    o1[0, 0] = np.nan  # of no key
    before = [x.copy() for x in (o1, lse1, o2, lse2)]
    o, lse = merge_attention(o1, lse1, o2, lse2)
    assert (o.dtype, lse.dtype) == (dtype, np.dtype(wide))
    with np.errstate(all="ignore"):
        top = np.maximum(lse1, lse2).astype("g")
        w1, w2 = np.exp(lse1 - top), np.exp(lse2 - top)
        empty = np.isneginf(top)
        first = np.where(np.isneginf(lse1)[..., None], 0, w1[..., None] * o1.astype("g"))
        second = np.where(np.isneginf(lse2)[..., None], 0, w2[..., None] * o2.astype("g"))
        true = np.where(empty[..., None], 0, (first + second) / (w1 + w2)[..., None])
        true_lse = np.where(empty, -np.inf, top + np.log(w1 + w2))
    spread = np.maximum(np.abs(np.nan_to_num(o1.astype("g"))), np.abs(o2.astype("g")))
    expected = Expected(true, true_lse, spread, np.zeros((3, 7)), np.ones((3, 7, 1), bool) & ~empty[..., None])
    assert_close(o, lse, expected, "ieee", 1)
    alone = o[0, :2]  # the second part as it is
    np.testing.assert_array_equal(bits(alone), bits(o2[0, :2]))
    np.testing.assert_array_equal(lse[0, :2], lse2[0, :2])
    for array, copy in zip((o1, lse1, o2, lse2), before, strict=True):
        np.testing.assert_array_equal(bits(array), bits(copy))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_are_merged_where_they_are(dtype: Any) -> None:
    """On a device with two launches, which read each result once and write nothing but the answer."""
    wide = "f8" if dtype == np.float64 else "f4"
    o1, o2 = RNG.normal(size=(40, 24)).astype(dtype), RNG.normal(size=(24, 40)).astype(dtype).T
    lse1, lse2 = (RNG.normal(size=40).astype(wide) for _ in range(2))
    with cupysoft.simulator.Device(check=True) as device:
        o, lse = merge_attention(o1, lse1, o2, lse2)
    outputs, rows = device.report.kernels.values()
    assert [outputs.launches, rows.launches] == [1, 1]
    walks = {name: each.walks_read for name, each in outputs.arguments.items()}
    assert (walks["a_o"], walks["b_o"], walks["y"]) == (1, 1, 0)
    assert outputs.arguments["y"].walks_written == rows.arguments["lse"].walks_written == 1
    for ours, host in zip((o, lse), merge_attention(o1, lse1, o2, lse2), strict=True):
        np.testing.assert_allclose(
            ours.astype("f8"), host.astype("f8"), rtol={2: 0.02, 4: 1e-6, 8: 1e-14}[dtype.itemsize]
        )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_near_the_largest_number(place: str, dtype: Any) -> None:
    lse, o = np.zeros(3, "f8" if dtype == np.float64 else "f4"), np.full((3, 2), ml_dtypes.finfo(dtype).max)
    o[1] *= dtype.type(-1)
    np.testing.assert_array_equal(bits(merge_attention(o, lse, o, lse)[0]), bits(o))


def test_infinities_and_nan_show(place: str) -> None:
    lse = np.array([np.inf, np.nan, 0.0, 0.0])
    o, merged = merge_attention(np.ones((4, 1)), lse, np.array([[1.0], [1.0], [np.inf], [np.nan]]), np.zeros(4))
    assert not np.isfinite(o).any()
    assert merged[0] == np.inf
    assert np.isnan(merged[1])
    np.testing.assert_allclose(merged[2:], np.log(2))


def test_states_on_the_device() -> None:
    q, k, v = (RNG.normal(size=shape).astype("f4") for shape in ((2, 4, 5, 8), (2, 2, 7, 8), (2, 2, 7, 3)))
    with cupysoft.simulator.Device():
        state = AttentionState.from_arrays(q, k[..., :3, :], v[..., :3, :], precision="ieee", causal="top-left")
        state = state.update(k[..., 3:, :], v[..., 3:, :]).merge(AttentionState.from_arrays(q, k, v, precision="ieee"))
        o, lse = state.output(), state.logsumexp()
    host = AttentionState.from_arrays(q, k[..., :3, :], v[..., :3, :], causal="top-left")
    host = host.update(k[..., 3:, :], v[..., 3:, :]).merge(AttentionState.from_arrays(q, k, v))
    np.testing.assert_allclose(o, host.output(), rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(lse, host.logsumexp(), rtol=1e-6, atol=1e-6)


def test_the_order_of_parts_does_not_matter_much() -> None:
    q, k, v = (RNG.normal(size=shape) for shape in ((3, 8), (90, 8), (90, 4)))
    parts = [AttentionState.from_arrays(q, k[i : i + 30], v[i : i + 30], scale=2) for i in (0, 30, 60)]
    one = parts[0].merge(parts[1]).merge(parts[2])
    other = parts[2].merge(parts[1].merge(parts[0]))
    np.testing.assert_allclose(one.output(), other.output(), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(one.output(), cupysoft.attention(q, k, v, scale=2), rtol=1e-13, atol=1e-14)
    assert repr(one) == "AttentionState(shape=(3, 4), dtype=float64)"
    before = parts[0].output()
    parts[0].update(k, v)
    np.testing.assert_array_equal(parts[0].output(), before)


def test_states_of_nothing() -> None:
    state = AttentionState.from_arrays(np.zeros((2, 0, 4)), np.zeros((5, 4)), np.zeros((5, 3)))
    assert state.update(np.zeros((1, 4)), np.zeros((1, 3))).output().shape == (2, 0, 3)
    assert merge_attention(*(np.zeros(shape) for shape in ((0, 3), (0,), (0, 3), (0,))))[0].shape == (0, 3)
    state = AttentionState.from_arrays(np.ones((2, 4)), np.zeros((0, 4)), np.zeros((0, 3)))
    assert (state.output() == 0).all()
    assert (state.logsumexp() == -np.inf).all()
    np.testing.assert_array_equal(state.update(np.zeros((1, 4)), np.ones((1, 3))).output(), 1)


RESULT: dict[str, Any] = {"o1": np.zeros((3, 2), "f4"), "lse1": np.zeros(3, "f4"), "o2": np.zeros((3, 2), "f4")}
BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"o1": np.zeros(3, "f4")}, ShapeError, r"o1 has shape \(3,\); expected at least two axes"),
    ({"o2": np.zeros((4, 2), "f4")}, ShapeError, r"o2 has shape \(4, 2\); expected \(3, 2\) beside o1"),
    ({"lse1": np.zeros((3, 1), "f4")}, ShapeError, r"lse1 has shape \(3, 1\); expected \(3,\)"),
    ({"lse1": np.zeros(3)}, DtypeError, "lse1 has dtype float64; expected float32 beside o1 of dtype float32"),
    ({"o2": np.zeros((3, 2))}, DtypeError, "o2 has dtype float64; expected float32"),
    ({"o1": np.zeros((3, 2), "c8")}, DtypeError, "o1 has dtype complex64"),
    ({"o1": None}, DtypeError, "o1 is a NoneType"),
]


@pytest.mark.parametrize(("bad", "error", "message"), BAD, ids=[message[:20] for _, _, message in BAD])
def test_results_that_do_not_go_together(bad: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^merge_attention: {message}"):
        merge_attention(**{**RESULT, "lse2": np.zeros(3, "f4"), **bad})


def test_parts_that_do_not_fit() -> None:
    q, k, v = np.zeros((2, 4)), np.zeros((5, 4)), np.zeros((5, 3))
    state = AttentionState.from_arrays(q, k, v)
    with pytest.raises(ShapeError, match=r"^AttentionState.update: the part has a result of shape \(2, 1\)"):
        state.update(k, v[:, :1])
    with pytest.raises(ShapeError, match="^AttentionState.update: k has head_dim 3"):
        state.update(k[:, :3], v)
    with pytest.raises(DtypeError, match="^AttentionState.update: q has dtype float64, k has dtype float32"):
        state.update(k.astype("f4"), v)
    with pytest.raises(DtypeError, match="^AttentionState.merge: other is a ndarray; expected an AttentionState"):
        state.merge(k)  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="^AttentionState.merge: the part has dtype float32"):
        state.merge(AttentionState.from_arrays(*(x.astype("f4") for x in (q, k, v))))
    with pytest.raises(DtypeError, match="^AttentionState.update: got an unexpected option 'scale'; expected some of"):
        state.update(k, v, scale=1)
    with pytest.raises(ArgumentError, match="^AttentionState.from_arrays: softcap is 0"):
        AttentionState.from_arrays(q, k, v, softcap=0)
