"""Calls of attention as Hypothesis draws them: every option with every other, odd shapes, views, hostile contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

import cupysoft
from tests.attention_reference import Expected, assert_close, batch_of, expected, live_keys, over_batch

__all__ = ["CONTENTS", "DTYPES", "AttentionCall", "attention_calls", "kernel_calls"]

Array = npt.NDArray[Any]

DTYPES = (np.dtype("f4"), np.dtype("f8"), np.dtype("f2"), np.dtype(ml_dtypes.bfloat16))

CONTENTS = ("normal", "equal", "positive", "extreme logits", "few values", "one leads")
"""Characters of arrays: normal; all elements one number, and all of one sign, where rounding errors add up; scores of
10,000; ties; one key far above the rest."""

_BIAS_DTYPES = ("f2", "f4", "f8", ml_dtypes.bfloat16, "i1", "i4", "i8", "u2")


@dataclass
class AttentionCall:
    """Arguments of one call of attention. Its representation is what Hypothesis prints."""

    q: Array
    k: Array
    v: Array
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def head_dim(self) -> int:
        """Length of a query."""
        return int(self.q.shape[-1])

    def run(self, **more: Any) -> Any:
        """Make the call."""
        return cupysoft.attention(self.q, self.k, self.v, **{**self.options, **more})

    def expected(self) -> Expected:
        """The true answer."""
        options = {name: value for name, value in self.options.items() if name != "precision"}
        return expected(self.q, self.k, self.v, **options)

    def check(self, precision: str | None = None) -> None:
        """Make the call, with lse and without, and compare with the reference by the bounds of `precision`."""
        o, lse = self.run(return_lse=True)
        assert o.dtype == self.q.dtype
        assert_close(o, lse, self.expected(), precision or self.options.get("precision"), self.head_dim)
        np.testing.assert_array_equal(bits(self.run()), bits(o))


def bits(array: Array) -> Array:
    """See floating-point numbers as integers; all NaN are one."""
    clean = np.where(np.isnan(array.astype("f8")), np.zeros((), array.dtype), array)
    return np.asarray(np.where(np.isnan(array.astype("f8")), -1, clean.view(f"i{array.dtype.itemsize}")))


@st.composite
def attention_calls(
    draw: st.DrawFn,
    dtypes: Sequence[np.dtype[Any]] = DTYPES,
    *,
    dims: Sequence[int] = (1, 2, 3, 8, 16, 31, 32, 33, 64, 65, 72, 128, 129, 200, 256),
    lengths: Sequence[int] = (0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100),
    keys: Sequence[int] = (0, 1, 2, 5, 16, 33, 63, 64, 65, 127, 128, 129, 200, 255, 256, 257),
    most: int = 20_000,
    contents: Sequence[str] = CONTENTS,
    options: bool = True,
) -> AttentionCall:
    """Draw calls.

    Parameters
    ----------
    dtypes, dims, lengths, keys
        What dtype, head_dim and value_dim, q_len, and kv_len are drawn from.
    most : int
        Scores of a call.
    contents : sequence of str
        Some of `CONTENTS`.
    options : bool
        Whether options are drawn, too.
    """
    dtype, head_dim = draw(st.sampled_from(dtypes)), draw(st.sampled_from(dims))
    value_dim = draw(st.sampled_from(dims) | st.just(head_dim))
    q_len, kv_len = draw(st.sampled_from(lengths)), draw(st.sampled_from(keys))
    room = most // max(1, q_len * kv_len)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    leads = draw(st.sampled_from([each for each in _LEADS if _entries(each) <= max(1, room)]))
    shapes = [
        (*lead, *own)
        for lead, own in zip(leads, ((q_len, head_dim), (kv_len, head_dim), (kv_len, value_dim)), strict=True)
    ]
    content = draw(st.sampled_from(list(contents)))
    q, k, v = (_strided(draw, _filled(content, rng, shape, i)).astype(dtype) for i, shape in enumerate(shapes))
    q, k, v = (_strided(draw, array) for array in (q, k, v))
    call = AttentionCall(q, k, v, _options(draw, rng, q, k, v) if options else {})
    if options and draw(st.booleans()):
        _poison(call, rng, live_too=draw(st.booleans()))
    return call


@st.composite
def kernel_calls(draw: st.DrawFn, dtype: np.dtype[Any], apart: int = 24) -> AttentionCall:
    """Draw calls that a few instantiations of the kernels serve, since each takes seconds to compile.

    There is no batch; rows begin `apart` elements apart; and mask, bias and softcap come together, or not.
    """
    with_all = draw(st.booleans())
    odd = not with_all and draw(st.booleans())
    dims = st.sampled_from([1, 7, 9, apart - 1] if odd else [8, 16, apart])
    head_dim, value_dim = draw(dims), draw(dims)
    q_len = draw(st.sampled_from([1, 2, 7, 15, 16, 17, 33, 63, 64]))
    kv_len = draw(st.sampled_from([1, 2, 5, 16, 31, 33, 63, 64, 65, 100, 127, 129, 200]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    content = draw(st.sampled_from(CONTENTS))
    arrays: list[Array] = []
    for place, shape in enumerate(((q_len, head_dim), (kv_len, head_dim), (kv_len, value_dim))):
        rows = np.zeros((shape[0], apart), dtype)[:, : shape[1]]
        rows[...] = _filled(content, rng, shape, place)
        arrays.append(rows)
    q, k, v = arrays
    options = _options(draw, rng, q, k, v)
    options.pop("precision", None)
    if with_all:
        options.setdefault("softcap", 20.0)
        options.setdefault("mask", rng.random((q_len, kv_len)) < 0.8)
        options["bias"] = np.atleast_1d(options.get("bias", rng.normal(size=kv_len))).astype("f4")
        if draw(st.booleans()):
            options["bias"][..., ::3] = -np.inf
    else:
        options = {name: value for name, value in options.items() if name in ("causal", "window", "kv_lengths")}
        options["scale"] = draw(st.sampled_from([0.01, 0.3, 1.0]))
    call = AttentionCall(q, k, v, options)
    if draw(st.booleans()):
        _poison(call, rng, live_too=draw(st.booleans()))
    return call


# Leading axes of q, k and v: none, broadcast, of heads in groups, and all of that together.
_LEADS: tuple[tuple[tuple[int, ...], ...], ...] = (
    ((), (), ()),
    ((2,), (2,), (2,)),
    ((3,), (), (1,)),
    ((), (2,), (2,)),
    ((4,), (2,), (2,)),
    ((6,), (3,), (1,)),
    ((2, 4), (2, 2), (2, 2)),
    ((1, 4), (3, 1), (1, 1)),
    ((2, 1, 6), (1, 2, 2), (2, 2, 2)),
    ((0,), (1,), (1,)),
)


def _entries(leads: tuple[tuple[int, ...], ...]) -> int:
    return int(np.prod(batch_of(*(np.zeros((*lead, 0, 0)) for lead in leads)), dtype=int))


def _filled(content: str, rng: np.random.Generator, shape: tuple[int, ...], place: int) -> Array:
    """Contents of q (place 0), k (1) or v (2)."""
    x = rng.normal(size=shape)
    if content == "equal":
        return np.full(shape, rng.uniform(0.1, 1))
    if content == "positive":
        return np.asarray(rng.uniform(0.1, 1, shape))
    if content == "few values":
        # No value is 0: beside it the share of a key whose exponential has all but vanished would count.
        return np.asarray(np.where(x > 0, np.ceil(2 * x), np.floor(2 * x)))
    if content == "extreme logits" and place < 2:
        return np.asarray(x * 100 / shape[-1] ** 0.25)
    if content == "one leads" and place == 1 and x.size:
        x[..., rng.integers(shape[-2]), :] *= 30
    return x


def _strided(draw: st.DrawFn, array: Array) -> Array:
    """Give the same numbers with other strides: apart, turned, reversed, or as they are."""
    way = draw(st.sampled_from(["as it is", "as it is", "apart", "turned", "reversed"]))
    if way == "apart":
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1] + 3), array.dtype)
        view = wide[..., 1 : 1 + 2 * array.shape[-1] : 2]
    elif way == "turned":
        view = np.swapaxes(np.zeros((*array.shape[:-2], array.shape[-1], array.shape[-2]), array.dtype), -1, -2)
    elif way == "reversed":
        view = np.zeros_like(array)[..., ::-1, ::-1]
    else:
        return array
    view[...] = array
    return view


def _options(draw: st.DrawFn, rng: np.random.Generator, q: Array, k: Array, v: Array) -> dict[str, Any]:
    """Draw options; each is there in about a third of all calls."""
    batch, q_len, kv_len = batch_of(q, k, v), q.shape[-2], k.shape[-2]
    third = st.sampled_from([False, False, True])
    options: dict[str, Any] = {}
    if draw(third):
        options["scale"] = draw(st.sampled_from([1.0, 0.0, -0.3, 2.0, 0.01]))
    if draw(st.booleans()):
        options["causal"] = draw(st.sampled_from([True, "bottom-right", "top-left", False]))
    if draw(third):
        ends = st.none() | st.sampled_from([0, 1, 2, 7, 40, 300])
        options["window"] = (draw(ends), draw(ends))
    if draw(third):
        options["softcap"] = draw(st.sampled_from([0.5, 5.0, 30.0]))
    if draw(third):
        shape = tuple(draw(st.sampled_from([n, 1])) for n in batch)
        options["kv_lengths"] = rng.integers(0, kv_len + 1, shape)
    if draw(third):
        options["mask"] = rng.random(_part(draw, (*batch, q_len, kv_len))) < draw(st.sampled_from([0.0, 0.1, 0.7]))
    if draw(third):
        dtype = np.dtype(draw(st.sampled_from(_BIAS_DTYPES)))
        bias = rng.normal(scale=3, size=_part(draw, (*batch, q_len, kv_len)))
        bias = (np.abs(bias) if dtype.kind == "u" else bias).astype(dtype)
        if dtype.kind not in "iu" and draw(st.booleans()):
            bias[rng.random(bias.shape) < 0.3] = -np.inf
        options["bias"] = bias
    if draw(third):
        options["precision"] = draw(st.sampled_from(["tf32x3", "ieee"]))
    return options


def _part(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Draw a shape that broadcasts to `shape`."""
    some = tuple(draw(st.sampled_from([n, n, 1])) for n in shape)
    return some[draw(st.integers(0, len(some))) :] if draw(st.booleans()) else some


def _poison(call: AttentionCall, rng: np.random.Generator, *, live_too: bool) -> None:
    """Put NaN and infinities into keys and values that take part in nothing, and maybe into some that do."""
    batch = batch_of(call.q, call.k, call.v)
    live = live_keys(batch, call.q.shape[-2], call.k.shape[-2], **call.options)
    if "bias" in call.options:
        live = live & (call.options["bias"].astype("f8") > -np.inf)
    seen = live.any(axis=-2)
    for array in (call.k, call.v):
        numbers = np.arange(array[..., 0].size).reshape(array.shape[:-1])
        dead = np.ones(numbers.size, bool)
        dead[np.unique(over_batch(numbers[..., None], batch, 2)[..., 0][seen])] = False
        spots = dead.reshape(numbers.shape)
        if live_too and spots.size:
            spots = spots | (rng.random(spots.shape) < 1 / (1 + call.k.shape[-2]))
        count = int(spots.sum())
        array[spots, rng.integers(array.shape[-1], size=count)] = rng.choice([np.nan, np.inf, -np.inf], count)
