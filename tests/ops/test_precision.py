"""``precision="fast"``: as near to the truth as SciPy in float32, on the host and by the kernels; what it refuses."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import scipy.special

import cupysoft
from cupysoft import simulator
from cupysoft.errors import ArgumentError
from cupysoft.testing import ulp_distance

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
DEVICES = ("host", "simulated", "adversary")


def place(name: str) -> AbstractContextManager[Any]:
    """Where to compute."""
    if name == "host":
        return nullcontext()
    return simulator.Device(arch="sm_90", seed=2 if name == "adversary" else None)


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("rows", "columns"), [(60, 1000), (4, 9000)])
def test_errors_are_no_larger_than_scipys(function: str, where: str, rows: int, columns: int) -> None:
    rng = np.random.default_rng(columns)
    for sigma in (1.0, 10.0):
        x = (rng.normal(size=(rows, columns)) * sigma).astype(np.float32)
        with place(where):
            ours = getattr(cupysoft, function)(x, axis=-1, precision="fast")
        true = getattr(cupysoft, function)(x, axis=-1)
        scipys = getattr(scipy.special, function)(x, axis=-1)
        assert ours.dtype == np.float32
        our_error, their_error = ulp_distance(ours, true), ulp_distance(scipys, true)
        # The adversary's exponentials are as bad as the PTX manual allows, 2 ulp.
        slack = 2 if where == "adversary" else 0
        assert our_error.max() <= max(their_error.max(), 1) + slack
        assert our_error.mean() <= max(their_error.mean(), 0.05) + slack


def other_data(rng: np.random.Generator) -> Any:
    """Rows that are no normal logits."""
    yield rng.random((200, 40))
    yield rng.integers(-5, 5, (20, 300))
    yield 1000 + 3 * rng.normal(size=(20, 300))
    yield np.maximum(0, rng.normal(size=(20, 300)))
    yield -20 * rng.exponential(size=(200, 40))
    yield np.full((2, 300), 0.1)
    logits = rng.normal(size=(20, 300))
    yield logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("seed", [1, 2])
def test_errors_on_the_host_are_no_larger_on_other_data(seed: int) -> None:
    for x in other_data(np.random.default_rng(seed)):
        x = x.astype(np.float32)
        for function in FUNCTIONS:
            ours = getattr(cupysoft, function)(x, axis=-1, precision="fast")
            true = getattr(cupysoft, function)(x, axis=-1)
            with np.errstate(all="ignore"):
                scipys = getattr(scipy.special, function)(x, axis=-1)
            our_error, their_error = ulp_distance(ours, true), ulp_distance(scipys, true)
            assert our_error.max() <= their_error.max()
            assert our_error.mean() <= their_error.mean()


def test_shares_by_the_kernels_are_no_worse_on_other_data() -> None:
    for x in other_data(np.random.default_rng(1)):
        x = x.astype(np.float32)
        with place("simulated"):
            ours = cupysoft.softmax(x, axis=-1, precision="fast")
        true = cupysoft.softmax(x, axis=-1)
        our_error, their_error = ulp_distance(ours, true), ulp_distance(scipy.special.softmax(x, axis=-1), true)
        assert our_error.max() <= their_error.max()
        assert our_error.mean() <= their_error.mean()


@pytest.mark.parametrize("columns", [1000, 9000])
def test_what_lies_far_below_is_nothing_beside_a_logarithm(columns: int) -> None:
    x = np.zeros((1, columns), np.float32)
    x[0, 7] = 500
    with place("simulated"):
        found = cupysoft.log_softmax(x, axis=-1, precision="fast")
        assert cupysoft.logsumexp(x, axis=-1, precision="fast") == 500
    assert found[0, 7] == 0
    assert found[0, 0] == -500


@pytest.mark.parametrize("where", DEVICES)
def test_logsumexp_is_nearer_than_scipys(where: str) -> None:
    x = np.random.default_rng(9).normal(size=(1500, 100)).astype(np.float32)
    with place(where):
        ours = cupysoft.logsumexp(x, axis=-1, precision="fast")
    true = cupysoft.logsumexp(x, axis=-1)
    assert ulp_distance(ours, true).mean() < 0.5 * ulp_distance(scipy.special.logsumexp(x, axis=-1), true).mean()


@pytest.mark.parametrize("where", DEVICES[:2])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_types_of_16_bits_are_within_an_ulp(function: str, dtype: Any, where: str) -> None:
    x = (np.random.default_rng(3).normal(size=(20, 300)) * 4).astype(dtype)
    with place(where):
        ours = getattr(cupysoft, function)(x, axis=-1, precision="fast")
    assert ours.dtype == x.dtype
    assert ulp_distance(ours, getattr(cupysoft, function)(x, axis=-1)).max() <= 1


@pytest.mark.parametrize("where", DEVICES[:2])
@pytest.mark.parametrize("columns", [1000, 9000])
def test_special_values_are_those_of_exact(where: str, columns: int) -> None:
    x = np.random.default_rng(4).normal(size=(8, columns)).astype(np.float32)
    x[1, 1], x[2, 2], x[3, 0] = np.nan, np.inf, -np.inf
    x[4] = -np.inf
    x[5, :2] = np.inf
    x[6] = 2e38
    x[7] = -2e38
    x[7, 1] = 3e38
    for function in FUNCTIONS:
        exact = getattr(cupysoft, function)(x, axis=-1)
        with place(where):
            fast = getattr(cupysoft, function)(x, axis=-1, precision="fast")
            assert np.array_equal(np.isnan(fast), np.isnan(exact)), function
            np.testing.assert_allclose(fast, exact, rtol=1e-5, atol=1e-30, err_msg=function)


@pytest.mark.parametrize("where", DEVICES[:2])
def test_any_layout_is_taken(where: str) -> None:
    x = np.random.default_rng(5).normal(size=(6, 40, 9)).astype(np.float32)
    for axis, view in ((2, x[:, ::-2]), ((0, 2), x)):
        exact, sum_of_exact = cupysoft.softmax(view, axis=axis), cupysoft.logsumexp(view, axis=axis, keepdims=True)
        with place(where):
            fast = cupysoft.softmax(view, axis=axis, precision="fast")
            sums = cupysoft.logsumexp(view, axis=axis, keepdims=True, precision="fast")
        np.testing.assert_allclose(fast, exact, rtol=1e-5)
        np.testing.assert_allclose(sums, sum_of_exact, rtol=1e-6)
    out = x.copy()
    with place(where):
        assert cupysoft.log_softmax(out, axis=2, out=out, precision="fast") is out
    np.testing.assert_allclose(out, cupysoft.log_softmax(x, axis=2), rtol=1e-5)


def test_weights_and_signs_are_exact_all_the_same() -> None:
    a, b = [1.0, 2.0, 3.0], [1.0, -1.0, 0.5]
    exact = cupysoft.logsumexp(a, b=b, return_sign=True)
    assert cupysoft.logsumexp(a, b=b, return_sign=True, precision="fast") == exact


@pytest.mark.parametrize("function", FUNCTIONS)
def test_other_precisions_are_refused(function: str) -> None:
    with pytest.raises(ArgumentError, match=f'{function}: precision is \'quick\'; expected "exact" or "fast"'):
        getattr(cupysoft, function)([1.0], precision="quick")
