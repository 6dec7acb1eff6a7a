"""Exponentials as wrong as their bound allows change no bit: it is the bounds that decide, not luck.

The bounds are made so much larger than the truth, and the exponentials so much worse, that results which the first tier
vouched for wrongly would come up by the dozen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.host import double, nearest, plain, tiers
from cupysoft.testing import quick_reference
from tests.bits import assert_same_bits

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")


@pytest.fixture(params=["random", "all too large", "all too small"])
def signs(request: pytest.FixtureRequest) -> Any:
    """Give what exponentials are multiplied by, in terms of their error; the largest element keeps its 1."""
    rng = np.random.default_rng(0)

    def draw(d: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        drawn = rng.choice([-1.0, 1.0], d.shape) if request.param == "random" else np.ones(d.shape)
        return np.where(d < 0, -drawn if request.param == "all too small" else drawn, 0.0)

    return draw


@pytest.mark.parametrize("sigma", [1, 20])
def test_one_word(signs: Any, sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by 2^15 u: of 100,000 results of float32 some ten lie so near to a tie."""
    honest = plain.exp_word
    monkeypatch.setattr(plain, "EXP_ERROR", 2.0**15 + 3)
    monkeypatch.setattr(nearest, "MARGIN", 1 << 18)
    monkeypatch.setattr(plain, "exp_word", lambda d: honest(d.copy()) * (1 + signs(d) * 2.0**15 * plain.U))
    x = np.random.default_rng(1).normal(0, sigma, (200, 500)).astype("f4")
    for function in FUNCTIONS:
        assert_same_bits(getattr(cupysoft, function)(x, axis=1), getattr(quick_reference, function)(x, 1))


@pytest.mark.parametrize("sigma", [1, 20])
def test_two_words(signs: Any, sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off by 2^-65 of themselves: of 100,000 results of float64 some twenty lie so near to a tie."""
    honest = double.exp_pair
    wrong, bound = 2.0**-65, 1.1 * 2.0**-65

    def worse(d: Any, d_lo: Any) -> Any:
        hi, lo, power = honest(d, d_lo)
        return hi, lo + signs(d) * wrong * hi, power

    monkeypatch.setattr(double, "exp_pair", worse)
    monkeypatch.setattr(double, "SUM_ERROR", 1.1 * bound)
    monkeypatch.setattr(double, "STRETCH", 1 + 2.0**54 * 2.4 * bound)
    monkeypatch.setattr(tiers, "DOUBLE", tiers.DOUBLE._replace(exp_error=bound, sum_error=1.1 * bound))
    x = np.random.default_rng(1).normal(0, sigma, (200, 500))
    for function in FUNCTIONS:
        assert_same_bits(getattr(cupysoft, function)(x, axis=1), getattr(quick_reference, function)(x, 1))
