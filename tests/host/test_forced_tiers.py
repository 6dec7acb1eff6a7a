"""Every tier alone gives the right bits: what is rare is forced on ordinary rows and on those that seek trouble."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cupysoft
from cupysoft.host import first_tier, tiers
from cupysoft.testing import quick_reference, strategies, trouble
from tests.bits import assert_same_bits

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
CHAINS: dict[str, tuple[tiers.Tier, ...] | None] = {
    "first totals": None,
    "double": (tiers.DOUBLE,),
    "wide": (tiers.WIDE,),
    "integers": (),
}
# What the chosen tier does not decide goes to integers, as always.
FIXTURE_IS_FINE = settings(suppress_health_check=[*HealthCheck], max_examples=15)


@pytest.fixture(params=CHAINS)
def forced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first tier doubts everything and gives no value; then only the chosen tier comes."""
    for kind in (first_tier.Plain, first_tier.Double):
        for name in ("shares", "log_shares"):
            monkeypatch.setattr(kind, name, doubtful(getattr(kind, name)))
    chain = CHAINS[request.param]
    if chain is None:
        return str(request.param)
    for kind in (first_tier.Plain, first_tier.Double):
        for name in ("share_total", "rest_total"):
            monkeypatch.setattr(kind, name, boundless(getattr(kind, name)))
    monkeypatch.setattr(tiers, "wider", lambda dtype: chain)
    logsumexp = sys.modules["cupysoft.host.logsumexp"]  # the package has the function by this name
    row_sums = logsumexp.row_sums

    def doubted_sums(*args: Any) -> Any:
        sums = row_sums(*args)
        first = args[-1] is None or (args[-1] is tiers.DOUBLE and chain != (tiers.DOUBLE,))
        return sums._replace(slack=np.maximum(sums.slack, 1e300)) if first else sums

    monkeypatch.setattr(logsumexp, "row_sums", doubted_sums)
    return str(request.param)


def doubtful(method: Callable[..., Any]) -> Callable[..., Any]:
    """Doubt every result that can be wrong, and forget it."""

    def changed(self: Any, *args: Any) -> Any:
        results, _ = method(self, *args)
        doubts = np.isfinite(results) & (results != 0)
        results[doubts] = 7e-5
        return results, doubts

    return changed


def boundless(method: Callable[..., Any]) -> Callable[..., Any]:
    """Give totals of which nothing is known."""

    def changed(self: Any, *args: Any) -> Any:
        total = method(self, *args)
        return total._replace(slack=np.full_like(total.slack, np.inf))

    return changed


@pytest.mark.parametrize("function", FUNCTIONS)
@FIXTURE_IS_FINE
@given(x=strategies.troublesome(columns=st.sampled_from([1, 2, 5, 40])))
def test_one_tier_alone(forced: str, function: str, x: np.ndarray[Any, Any]) -> None:
    assert_same_bits(getattr(cupysoft, function)(x, axis=1), getattr(quick_reference, function)(x, axis=1))


@FIXTURE_IS_FINE
@given(data=st.data())
def test_one_tier_alone_with_weights(forced: str, data: st.DataObject) -> None:
    a = data.draw(strategies.troublesome(columns=st.sampled_from([1, 2, 5, 40])))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    a, b = trouble.draw_weights(data.draw(st.sampled_from(trouble.WEIGHTS)), rng, a)
    ours = cupysoft.logsumexp(a, axis=1, b=b, return_sign=True)
    true = quick_reference.logsumexp(a, axis=1, b=b, return_sign=True)
    assert_same_bits(ours[0], true[0])
    assert_same_bits(ours[1], true[1])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_settled_in_place_and_in_pieces(forced: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To settle an element takes its whole row: also where the row is in pieces that are overwritten one by one."""
    from cupysoft.host import blocks

    for name, value in {"LONG_ROW": 20, "PIECE": 9, "TALL_ROW": 16, "TALL_PIECE": 6}.items():
        monkeypatch.setattr(blocks, name, value)
    x = np.random.default_rng(0).normal(0, 4, (2, 3, 30)).astype(dtype)
    for function in ("softmax", "log_softmax"):
        for axis in (2, (0, 2), None):
            true = getattr(quick_reference, function)(x, axis)
            for given_x in (x.copy(), np.asfortranarray(x)):
                assert getattr(cupysoft, function)(given_x, axis=axis, out=given_x) is given_x
                assert_same_bits(given_x, true)
            assert_same_bits(getattr(cupysoft, function)(x, axis=axis), true)
