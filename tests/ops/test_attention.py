"""attention beside its formula in wider arithmetic, and what an answer may not depend on."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given

import cupysoft
from tests.attention_calls import DTYPES, AttentionCall, attention_calls, bits
from tests.attention_reference import EPSILON, batch_of, expected, naive, over_batch

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(0)


def normal(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], dtype: Any = "f4") -> tuple[Array, Array, Array]:
    """Normal numbers in three shapes."""
    rng = np.random.default_rng(0)
    first, second, third = (rng.normal(size=shape).astype(dtype) for shape in (q, k, v))
    return first, second, third


@given(call=attention_calls())
def test_every_element_is_within_its_bound(call: AttentionCall) -> None:
    call.check("ieee")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dims", [(64, 64), (256, 1), (1, 256), (130, 129)])
def test_long_rows(dtype: Any, dims: tuple[int, int]) -> None:
    """Many tiles of keys, and queries on both sides of the end of a task."""
    q, k, v = normal((259, dims[0]), (1030, dims[0]), (1030, dims[1]), dtype=dtype)
    for options in ({}, {"kv_lengths": 515, "causal": True, "window": (300, None)}):
        AttentionCall(q[-37:] if dtype == np.float64 else q, k, v, options).check("ieee")


@pytest.mark.parametrize("of", ["scores", "outputs"])
def test_what_is_small_beside_a_sum_is_not_lost(of: str) -> None:
    """255 terms just below half an ulp of the first: added to it one by one, all of them would vanish."""
    terms = np.full((256, 16), 0.49 * 2.0**-52)
    terms[0] = 1
    if of == "scores":
        terms[1:, ::2] = 0
        q, k, v = np.ones((2, 256)), terms.T, np.where(np.arange(16) % 2, 1.0, -1.0)[:, None]
    else:
        q, k, v = np.zeros((2, 1)), np.zeros((256, 1)), terms
    AttentionCall(q, k, v, {"scale": 1.0}).check()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(64, 64), (1, 300), (129, 65), (40, 1024)])
def test_not_worse_than_the_naive_computation(dtype: Any, shape: tuple[int, int]) -> None:
    for head_dim in (64, 128):
        q, k, v = normal((4, shape[0], head_dim), (4, shape[1], head_dim), (4, shape[1], head_dim), dtype=dtype)
        true = expected(q, k, v).o
        ours, theirs = (
            np.abs(o.astype(true.dtype) - true).max() for o in (cupysoft.attention(q, k, v), naive(q, k, v))
        )
        assert ours <= 1.5 * theirs + 2 * EPSILON[dtype.name] * np.abs(true).max()


# ---------------------------------------------------------------------------------------------------------------------


def picked(call: AttentionCall, entry: tuple[int, ...], rows: Any) -> AttentionCall:
    """The same call for one entry of the batch and some of its queries."""
    batch, q_len, kv_len = batch_of(call.q, call.k, call.v), call.q.shape[-2], call.k.shape[-2]
    q, k, v = (over_batch(array, batch, 2)[entry] for array in (call.q, call.k, call.v))
    options = dict(call.options)
    for name in ("mask", "bias"):
        if name in options:
            options[name] = np.broadcast_to(options[name], (*batch, q_len, kv_len))[entry][rows]
    if "kv_lengths" in options:
        options["kv_lengths"] = np.broadcast_to(options["kv_lengths"], batch)[entry]
    return AttentionCall(q[rows], k, v, options)


WINDOWED = AttentionCall(
    *normal((9, 2, 64), (9, 700, 64), (9, 700, 3), dtype="f8"),
    {"kv_lengths": np.arange(9) * 77, "causal": True, "window": (200, None)},
)
GROUPED = AttentionCall(*normal((6, 40, 128), (2, 700, 128), (2, 700, 128), dtype="f8"))


@given(call=attention_calls(keys=(1, 5, 64, 129, 300, 700), most=60_000))
@example(call=GROUPED)
@example(call=WINDOWED)
def test_an_answer_does_not_know_its_batch(call: AttentionCall) -> None:
    """Alone, or among other entries, heads and queries: the same bits."""
    together = call.run(return_lse=True)
    batch, q_len = batch_of(call.q, call.k, call.v), call.q.shape[-2]
    placed = call.options.get("causal") or call.options.get("window") not in (None, (None, None))
    rng = np.random.default_rng(0)
    for entry in list(np.ndindex(batch))[:: max(1, int(np.prod(batch)) // 3)]:
        choices: list[Any] = [slice(None)]
        if not placed and q_len:
            choices += [slice(rng.integers(q_len), None), rng.integers(q_len, size=1), rng.permutation(q_len)[:3]]
        for rows in choices:
            alone = picked(call, entry, rows).run(return_lse=True)
            for one, other in zip(alone, together, strict=True):
                np.testing.assert_array_equal(bits(one), bits(other[entry][rows]))


def test_many_small_entries() -> None:
    """Hundreds of them are one task, whether their axes follow from one another in memory or not."""
    q, k, v = normal((40, 30, 3, 5), (40, 30, 4, 5), (40, 30, 4, 2))
    k, v = k.copy(order="F"), v[:, ::-1]
    options = {"mask": RNG.random((30, 3, 4)) < 0.8, "bias": RNG.normal(size=(40, 1, 1, 4)), "causal": True}
    options["kv_lengths"] = RNG.integers(0, 5, (40, 1))
    out = np.empty((30, 2, 3, 40), "f4").transpose(3, 0, 2, 1), np.empty((30, 3, 40), "f4").transpose(2, 0, 1)
    call = AttentionCall(q, k, v, options)
    call.check("ieee")
    together = call.run(return_lse=True, out=out)
    for entry in ((0, 0), (7, 29), (21, 13), (39, 28)):
        alone = picked(call, entry, slice(None)).run(return_lse=True)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(bits(one), bits(other[entry]))


@given(call=attention_calls())
def test_the_same_call_gives_the_same_bits(call: AttentionCall) -> None:
    first = call.run(return_lse=True)
    for one, other in zip(call.run(return_lse=True), first, strict=True):
        np.testing.assert_array_equal(bits(one), bits(other))


def test_an_answer_does_not_know_how_many_threads_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = normal((40, 1, 64), (40, 700, 64), (40, 700, 33))
    v[7, 5, 3] = np.inf
    seen = []
    for threads in ("1", "3", "64"):
        monkeypatch.setenv("CUPYSOFT_THREADS", threads)
        seen.append(bits(cupysoft.attention(q, k, v)))
    np.testing.assert_array_equal(seen[1], seen[0])
    np.testing.assert_array_equal(seen[2], seen[0])


@given(call=attention_calls())
def test_a_view_is_its_copy(call: AttentionCall) -> None:
    copied = AttentionCall(call.q.copy(), call.k.copy(), call.v.copy(), call.options)
    np.testing.assert_array_equal(bits(call.run()), bits(copied.run()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_takes_no_part_does_not_matter(dtype: Any) -> None:
    """The bits are those without the keys that are masked, whatever these hold; what is live shows."""
    q, k, v = normal((2, 20, 32), (2, 300, 32), (2, 300, 16), dtype=dtype)
    mask = np.random.default_rng(1).random((20, 300)) < 0.5
    clean = cupysoft.attention(q, k, v, mask=mask)
    for special in (np.nan, np.inf, -np.inf):
        for array in (k, v):
            spoilt = array.copy()
            spoilt[1, 7, 3] = special
            others = {id(k): k, id(v): v} | {id(array): spoilt}
            o = cupysoft.attention(q, others[id(k)], others[id(v)], mask=mask)
            np.testing.assert_array_equal(bits(o[0]), bits(clean[0]))
            np.testing.assert_array_equal(bits(o[1, ~mask[:, 7]]), bits(clean[1, ~mask[:, 7]]))
            seen = o[1, mask[:, 7]].astype("f8")
            if array is v:
                assert not np.isfinite(seen[:, 3]).any()
                assert np.isfinite(np.delete(seen, 3, axis=1)).all()
            elif np.isnan(special):
                assert np.isnan(seen).all()


def test_infinite_values_that_are_seen() -> None:
    q, k = np.zeros((1, 1)), np.zeros((600, 1))
    v = np.ones((600, 4))
    v[1, 0] = v[2, 1] = v[3, 2] = v[590, 3] = np.inf
    v[595, 1] = -np.inf
    v[4, 2] = np.nan
    np.testing.assert_array_equal(cupysoft.attention(q, k, v), [[np.inf, np.nan, np.nan, np.inf]])
    # An exponential that vanishes is still above 0.
    k[1:] = -5000
    np.testing.assert_array_equal(cupysoft.attention(q + 1, k, v), [[np.inf, np.nan, np.nan, np.inf]])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_values_near_the_largest(dtype: Any) -> None:
    """A sum of weighted values may be beyond what float64 holds, a mean is not; and who overflows tells nobody else."""
    q, k, v = normal((2, 5, 8), (2, 600, 8), (2, 600, 3), dtype=dtype)
    clean = cupysoft.attention(q, k, v)
    largest = ml_dtypes.finfo(dtype).max
    v[1] = largest * np.where(v[1] > 0, 1, -1).astype(dtype)
    v[1, :, 1] = largest
    v[1, 590, 2] = np.inf  # beside sums that overflow
    call = AttentionCall(q, k, v)
    call.check()
    np.testing.assert_array_equal(bits(call.run()[0]), bits(clean[0]))
    assert np.isfinite(call.run(mask=np.arange(600) != 590).astype("f8")).all()


def test_rows_with_nothing_to_attend_to() -> None:
    q, k, v = normal((3, 5, 8), (3, 7, 8), (3, 7, 2))
    q[1, 2] = np.nan
    for options in (
        {"mask": False},
        {"bias": -np.inf},
        {"kv_lengths": 0},
        {"kv_lengths": 0, "causal": True},
        {"causal": "top-left", "window": (0, None), "mask": np.arange(7) > 4},
    ):
        o, lse = cupysoft.attention(q, k, v, return_lse=True, **options)
        assert (o == 0).all()
        assert (lse == -np.inf).all()
    empty = cupysoft.attention(q, k[:, :0], v[:, :0], return_lse=True)
    assert (empty[0] == 0).all()
    assert (empty[1] == -np.inf).all()


def test_shapes_of_nothing() -> None:
    for q, kv in (((0, 5), (7, 5)), ((0, 3, 5), (7, 5)), ((3, 0, 5), (0, 5)), ((2, 0, 4, 5), (1, 7, 5))):
        o, lse = cupysoft.attention(np.zeros(q), np.zeros(kv), np.zeros((*kv[:-1], 2)), return_lse=True)
        assert o.shape == (*q[:-1], 2)
        assert lse.shape == q[:-1]


def test_infinite_scores() -> None:
    """As in softmax: a score of +inf leaves nothing to compare with, one of -inf takes no part."""
    k, v = np.array([[1.0], [np.inf], [2.0]]), np.array([[1.0], [5.0], [3.0]])
    o, lse = cupysoft.attention([[1.0], [-1.0], [np.nan]], k, v, scale=1, return_lse=True)
    assert np.isnan(o[[0, 2]]).all()
    assert lse[0] == np.inf
    assert np.isnan(lse[2])
    np.testing.assert_allclose(o[1], (np.exp(-1) + 3 * np.exp(-2)) / (np.exp(-1) + np.exp(-2)))


def test_float64_bias_is_used_as_it_is() -> None:
    q, k, v = normal((1, 4), (3, 4), (3, 4))
    bias = np.array([0.0, 1e-9, -1e300])
    np.testing.assert_array_equal(
        cupysoft.attention(q, k, v, bias=bias), cupysoft.attention(q, k[:2], v[:2], bias=bias[:2])
    )
