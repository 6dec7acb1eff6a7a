"""exp, log, cos and sin of the host, in words and in integers, against ball arithmetic."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest

from cupysoft.host import exponential, fixed, trigonometric, wide

PRECISION = 500


def ball(*words: Any) -> Any:
    return sum((flint.arb(float(word)) for word in words), flint.arb(0))


def worst(results: Any, truths: list[Any], relative_to: Any = None) -> float:
    """Give the largest error of sums of words, relative to the truth (or to 1)."""
    errors = []
    for i, truth in enumerate(truths):
        error = abs(ball(*(word[i] for word in results)) - truth)
        errors.append(error / abs(truth) if relative_to is None else error)
    return max(float(e.mid()) for e in errors)


def arguments(count: int, largest: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    d = -rng.exponential(20, count)
    d[:6] = [0.0, -1e-5, -1e-30, -largest, -np.log(2) / 512, -0.35]
    return np.maximum(d, -largest), d * 2.0**-54 * rng.random(count)


def test_exp_words() -> None:
    d, low = arguments(3000, 690)
    with flint.ctx.workprec(PRECISION):
        truths = [ball(a, b).exp() for a, b in zip(d, low, strict=True)]
        assert worst(exponential.exp_words(d, low), truths) < 2.0**-60


def test_exp_of_what_underflows_is_zero_and_of_nan_nan() -> None:
    hi, lo = exponential.exp_words(np.array([-800.0, -745.0, np.nan]))
    assert hi[0] == 0
    assert hi[1] == 5e-324
    assert np.isnan(hi[2])
    assert lo[0] == 0


def test_log_words() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            1 + 100 * rng.random(500),
            1 + 2.0 ** -rng.uniform(1, 60, 500),
            1 - 2.0 ** -rng.uniform(1, 50, 500),
            2.0 ** rng.uniform(-900, 900, 500),
            np.array([0.75, 1.5, np.nextafter(1.5, 0), np.nextafter(1, 2)]),
        ]
    )
    low = x * 2.0**-54 * rng.random(x.size)
    with flint.ctx.workprec(PRECISION):
        truths = [ball(a, b).log() for a, b in zip(x, low, strict=True)]
        assert worst(exponential.log_words(x, low), truths) < 2.0**-60


def test_log_words_of_special_values() -> None:
    with np.errstate(all="ignore"):
        hi, lo = exponential.log_words(np.array([1.0, 1.0, 0.0, np.inf, np.nan]), np.array([0.0, 1e-300, 0, 0, 0]))
    np.testing.assert_array_equal(hi, [0.0, 1e-300, -np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(lo, np.zeros(5))


def test_wide_exp() -> None:
    d, low = arguments(500, 600)
    with flint.ctx.workprec(PRECISION):
        truths = [ball(a, b).exp() for a, b in zip(d, low, strict=True)]
        assert worst(wide.wide_exp(d, low), truths) < wide.WIDE_ERROR


def test_wide_log() -> None:
    rng = np.random.default_rng(0)
    for x, limit in [
        (1 + 1000 * rng.random(300), wide.WIDE_ERROR),
        (2.0 ** rng.uniform(-500, 500, 300), wide.WIDE_ERROR),
        (1 + 2.0 ** -rng.uniform(12, 60, 300), wide.WIDE_ERROR * 2**12),
    ]:
        words = [x, x * 2.0**-54 * rng.random(x.size), x * 2.0**-108 * rng.random(x.size)]
        with flint.ctx.workprec(PRECISION):
            truths = [ball(*triple).log() for triple in zip(*words, strict=True)]
            assert worst(wide.wide_log(words), truths) < limit


def test_wide_sums() -> None:
    rng = np.random.default_rng(0)
    terms = 2.0 ** -rng.exponential(30, (2, 400))
    words = [terms, terms * 2.0**-54, terms * 2.0**-108]
    with flint.ctx.workprec(PRECISION):
        truths = [ball(*(word[i, j] for word in words for j in range(400))) for i in range(2)]
        assert worst(wide.wide_sums(list(words), np.ones((2, 1))), truths) < 2.0**-140


def test_cos_sin_words() -> None:
    rng = np.random.default_rng(0)
    angle = np.concatenate([rng.normal(0, 10, 500), rng.uniform(-(2.0**20), 2.0**20, 500), [0.0, np.pi, 1e-20]])
    cosine, sine = trigonometric.cos_sin_words(angle)
    with flint.ctx.workprec(PRECISION):
        assert worst(cosine, [ball(a).cos() for a in angle], relative_to=1) < 2.0**-60
        assert worst(sine, [ball(a).sin() for a in angle], relative_to=1) < 2.0**-60


@pytest.mark.parametrize("bits", [100, 256, 1000])
@pytest.mark.parametrize("value", [0.3, 1.0, 700.25, -700.25, 1e-9, -5.5, 1e17])
def test_integers(bits: int, value: float) -> None:
    x = int(value * 2**60) << bits >> 60
    with flint.ctx.workprec(2 * bits + 200):
        unit = flint.arb(2) ** -bits
        truth = flint.arb(x) * unit
        f, k = fixed.exp(x, bits)
        assert abs(f * unit - truth.exp() / flint.arb(2) ** k) < 8 * unit
        assert 1 <= f >> bits < 2
        cosine, sine = fixed.cos_sin(x, bits)
        assert abs(cosine * unit - truth.cos()) < 8 * unit
        assert abs(sine * unit - truth.sin()) < 8 * unit
        if x > 0:
            assert abs(fixed.log(x, bits) * unit - truth.log()) < 8 * unit
        y = 3 << (bits - 2)
        assert abs(fixed.arctan2(x, -y, bits) * unit - flint.arb.atan2(truth, -y * unit)) < 8 * unit
    assert abs(fixed.pi(bits) * 2.0**-bits - np.pi) < 1e-15
