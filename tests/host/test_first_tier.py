"""Every constant of the first tier's proof against ball arithmetic: bounds hold, and not by accident."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
import pytest

from cupysoft.host import double, exact, plain, tiers, wide
from cupysoft.host.double_log import log_pair
from cupysoft.host.nearest import MARGIN
from cupysoft.testing import reference, twofold

Array = np.ndarray[Any, Any]


def ball(*words: Any) -> Any:
    return sum((flint.arb(float(word)) for word in words), flint.arb(0))


class Additions:
    """A number that knows how many additions it has passed through."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __add__(self, other: Additions) -> Additions:
        return Additions(max(self.count, other.count) + 1)


def errors(words: Any, truths: list[Any]) -> Array:
    """Give the relative error of each sum of words."""
    return np.array([float(abs(ball(*(w[i] for w in words)) / t - 1).mid()) for i, t in enumerate(truths)])


@pytest.fixture(autouse=True)
def precision() -> Any:
    with flint.ctx.workprec(1200):
        yield


def arguments() -> Array:
    """Differences to the largest: ordinary, tiny, and just beside where the table's next entry begins."""
    rng = np.random.default_rng(0)
    half_steps = -(np.arange(1, 400) * 37 + 0.5) * np.log(2) / 4096
    edges = [0.0, -1e-300, -1e-20, -(2.0**-53), -1e-5, plain.LOWEST, -690.7]
    return np.concatenate([-rng.exponential(30, 1500), half_steps, np.nextafter(half_steps, 0), edges])


def test_exp_word_is_within_its_bound() -> None:
    d = np.maximum(arguments(), plain.LOWEST)
    found = errors([plain.exp_word(d.copy())], [ball(v).exp() for v in d])
    assert 1.5 < found.max() / plain.U < plain.EXP_ERROR
    by_columns = np.asfortranarray(d[: d.size // 2 * 2].reshape(-1, 2))
    assert np.array_equal(plain.exp_word(by_columns.copy(order="F")), plain.exp_word(np.ascontiguousarray(by_columns)))
    assert plain.exp_word(np.zeros(1))[0] == 1
    assert np.isnan(plain.exp_word(np.array([np.nan, 0.0]))[0])


def test_exp_pair_is_within_its_bound() -> None:
    d = arguments()
    low = d * 2.0**-54 * np.random.default_rng(1).random(d.size)
    hi, lo, power = double.exp_pair(d, low)
    truths = [ball(a, b).exp() / flint.arb(2) ** int(k) for a, b, k in zip(d, low, power, strict=True)]
    assert 0.2 < errors([hi, lo], truths).max() / double.EXP_ERROR < 1
    assert 0.99 < hi.min() < hi.max() < 2
    assert (np.abs(lo) <= 0.5 * np.spacing(hi)).all()
    zero = [word[0] for word in double.exp_pair(np.zeros(1), 0.0)]
    assert zero == [1, 0, 0]


def test_products_that_the_proof_calls_exact_are() -> None:
    short, _ = double._table()
    assert all(float(t) * 2**26 == int(float(t) * 2**26) for t in short), "27 bits"
    for word, bits in ((plain.STEP_HI, 30), (double.STEP[0], 30), (double.STEP[1], 30)):
        mantissa, _ = np.frexp(word)
        assert mantissa * 2**bits % 1 == 0


@pytest.mark.parametrize("columns", [1, 2, 3, 15, 16, 17, 63, 64, 1000, 4097])
def test_sums_take_no_more_steps_than_their_depth(columns: int) -> None:
    x = np.random.default_rng(columns).random((2, columns))
    found = plain.steady_sum(x)
    assert errors([found], [ball(*row) for row in x]).max() <= plain.depth(columns) * plain.U
    assert np.array_equal(plain.steady_sum(np.asfortranarray(x)), found)
    counts = np.array([[Additions(0)] * columns], dtype=object)
    assert plain.steady_sum(counts)[0].count <= plain.depth(columns) <= 2 * np.log2(columns) + 4


@pytest.mark.parametrize("columns", [1, 2, 33, 1000, 60000])
def test_sums_keep_what_is_above_one(columns: int) -> None:
    rng = np.random.default_rng(columns)
    d = -rng.exponential(10, (2, columns)) - rng.choice([0, 40, 200], (2, 1))
    d[:, 0] = 0
    terms = [[ball(v).exp() for v in row] for row in d]
    rests = [sum(row[1:], flint.arb(0)) for row in terms]
    hi, lo = plain.sums(plain.exp_word(d.copy()))
    slack = plain.rest_slack((hi - 1) + lo, columns, plain.depth(columns))
    for h, t, s, rest in zip(hi, lo, slack, rests, strict=True):
        assert abs(ball(h, t) - 1 - rest) <= float(s)
    first, second, power = double.exp_pair(d, 0.0)
    words = double.sums(np.ldexp(first, power), np.ldexp(second, power))
    shares = double.share_sums(np.ldexp(first, power), np.ldexp(second, power))
    for i, rest in enumerate(rests):
        assert abs(ball(*(w[i] for w in words)) - 1 - rest) <= rest * double.SUM_ERROR + columns * plain.LOWEST_REST
        assert abs(ball(*(w[i] for w in shares)) - 1 - rest) <= (1 + rest) * double.SUM_ERROR


def test_shares_are_within_their_bound() -> None:
    rng = np.random.default_rng(0)
    d = -rng.exponential(5, (8, 100))
    d[:, 0] = 0
    hi, lo, power = double.exp_pair(d, 0.0)
    hi, lo = np.ldexp(hi, power), np.ldexp(lo, power)
    inverses = double.inverse(double.share_sums(hi, lo))
    found = double.shares(hi, lo, (inverses[0][:, None], inverses[1][:, None]))
    for i, row in enumerate(d):
        terms = [ball(v).exp() for v in row]
        total = sum(terms, flint.arb(0))
        assert errors([word[i] for word in found], [t / total for t in terms]).max() < double.SHARE_ERROR
    assert double.STRETCH - 1 >= 2.0**54 * double.SHARE_ERROR * 1.02


def test_what_is_added_to_the_rounding_of_x_less_m() -> None:
    """The mean of abs(x - m), weighted by shares, is at most log(columns)."""
    rng = np.random.default_rng(0)
    for sigma in (1e-3, 1, 30):
        x = rng.normal(0, sigma, 1000)
        d = x - x.max()
        assert (np.exp(d) * -d).sum() / np.exp(d).sum() <= np.log(1000)
        rest = np.exp(d[d < 0])
        bound = np.log(1000) - min(np.log(rest.sum()), 0)
        assert (rest * -d[d < 0]).sum() / rest.sum() <= bound


def test_log_pair_is_within_its_bound() -> None:
    rng = np.random.default_rng(0)
    parts = [1 + 100 * rng.random(300), 2.0 ** rng.uniform(-700, 700, 300)]
    parts += [1 + side * 2.0 ** -rng.uniform(1, 60, 400) for side in (1, -1)]
    edge = 1 + double_edge() * np.array([1, -1])
    x = np.concatenate([*parts, edge, np.nextafter(edge, 2), np.nextafter(edge, 0)])
    words = [x, x * 2.0**-54 * rng.random(x.size), x * 2.0**-107 * rng.random(x.size)]
    hi, lo, bound = log_pair(words)
    found = [float(abs(ball(h, t) - ball(*w).log())) for h, t, *w in zip(hi, lo, *words, strict=True)]
    assert (np.array(found) <= bound).all()
    assert max(np.array(found) / bound) > 0.1


def double_edge() -> float:
    """Where log_pair changes from one way to the other."""
    return 2.0**-14


def test_a_bad_guess_is_no_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    """np.log decides nothing: whatever it gives, the result is right or has no bound."""
    x = np.array([3.0, 70.0])
    for off in (0.0, 1e-15, 2.0**-45, 1e-9, 0.1):
        honest = np.log
        monkeypatch.setattr(np, "log", lambda v, off=off, honest=honest: honest(v) + off)
        hi, lo, bound = log_pair([x, np.zeros(2)])
        monkeypatch.undo()
        for i in range(2):
            assert bound[i] == np.inf or abs(ball(hi[i], lo[i]) - ball(x[i]).log()) <= float(bound[i])
        assert (bound < 1e-20).all() == (off < 1e-12)


def test_exponentials_of_the_reference_are_within_their_bound() -> None:
    d = np.maximum(arguments(), -660)
    low = d * 2.0**-54
    truths = [ball(a, b).exp() for a, b in zip(d, low, strict=True)]
    assert errors(twofold.exponential((d, low)), truths).max() < twofold.EXP_ERROR
    logs = twofold.logarithm((1 - d, low))
    for i in range(d.size):
        assert abs(ball(logs[0][i], logs[1][i]) - ball(1 - d[i], low[i]).log()) < 2.0**-89


def test_bounds_of_the_wide_tier_follow_from_its_parts() -> None:
    assert tiers.WIDE.exp_error == wide.WIDE_ERROR
    d = arguments()[:400]
    words, power = wide.wide_exp_parts(d, 0.0)
    truths = [ball(v).exp() / flint.arb(2) ** int(k) for v, k in zip(d, power, strict=True)]
    assert errors(words, truths).max() < wide.WIDE_ERROR


def test_bounds_add_up() -> None:
    """The slack of a result is no less than what it is made of, and the quick look doubts more than any of it."""
    for columns, folds in ((1, 0), (1000, 26), (1 << 31, 70)):
        steps = plain.share_slack(columns, folds)
        assert steps >= plain.EXP_ERROR + np.log(columns) + folds
        # A share of float32 is at least 2^-150, so x - m at least -104 - log(columns). The quotient is rounded once.
        assert plain.EXP_ERROR + 104 + np.log(columns) + steps + 1 < MARGIN
        rest = plain.rest_slack(np.array([1e-290, 0.5, 40.0]), columns, folds)
        assert (rest >= plain.U * np.array([steps + 667, steps + 0.69, steps]) * [1e-290, 0.5, 40]).all()
        # A logarithm is off by what the rest is, relative to itself; x - m and the difference are rounded once each.
        assert steps - plain.LOWEST + 2**-60 / plain.U + 2 < MARGIN
    assert double.SUM_ERROR >= double.EXP_ERROR + 2.0**-82
    assert double.SHARE_ERROR >= double.EXP_ERROR + double.SUM_ERROR + 1.25 * 2.0**-78
    for tier in (tiers.DOUBLE, tiers.WIDE):
        assert tier.sum_error > 1.05 * tier.exp_error
    assert tiers.WIDE.sum_floor >= 2.0**-119


@pytest.mark.parametrize("tier", [tiers.DOUBLE, tiers.WIDE], ids=lambda tier: tier.name)
@pytest.mark.parametrize("lead", [0, 5, 40, 300])
def test_totals_and_logarithms_of_tiers_are_within_their_slack(tier: tiers.Tier, lead: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 3, (4, 50))
    x[:, 0] = x.max(axis=1) + lead
    rows = np.arange(4)
    found = tiers.total(tier, lambda places: iter([x[places][:, :20], x[places][:, 20:]]), rows, x[:, 0])
    words, slack = tiers.logarithm(tier, found, lambda places: iter([x[places]]), rows)
    for i, row in enumerate(x):
        true = sum(((ball(v) - ball(row[0])).exp() for v in row), flint.arb(0))
        assert abs(ball(*(w[i] for w in found.words)) - true) <= float(found.slack[i])
        assert float(found.slack[i]) >= tier.exp_error * float(true - 1)
        assert abs(ball(*(w[i] for w in words)) - true.log()) <= float(slack[i])


@pytest.mark.parametrize("bits", [40, 100])
def test_integers_of_few_bits_know_their_error(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few bits more is left undecided, and what is decided is right."""
    monkeypatch.setattr(exact, "FIRST_BITS", bits)
    rng = np.random.default_rng(0)
    for sigma in (0.1, 3, 20):
        row = rng.normal(0, sigma, 30)
        counts = exact._counted(row)
        terms, total, error = exact._exponentials(counts, bits)
        m = ball(max(counts))
        true = {v: (ball(v) - m).exp() * flint.arb(2) ** bits for v in counts}
        assert abs(total - sum(true.values(), flint.arb(0))) <= error
        assert max(float(abs(terms[v] - true[v]).mid()) for v in counts) <= 16 <= error
        for dtype in (np.dtype("f4"), np.dtype("f8")):
            assert exact.shares(row, row.tolist(), dtype) == reference.softmax(row, dtype=dtype).tolist()
            assert exact.log_shares(row, row.tolist(), dtype) == reference.log_softmax(row, dtype=dtype).tolist()
            log = float(reference.logsumexp(row, dtype=dtype))
            assert exact.real_logsumexp(row.tolist(), [1.0] * 30, dtype)[0] == exact.log_sum(row, dtype) == log


def test_integers_know_the_sign_of_what_rounds_to_zero() -> None:
    for side in (1, -1):
        row = np.array([0.0, np.log(np.expm1(1e-9))]) if side > 0 else np.array([-1e-9, -40.0])
        found = exact.log_sum(row, np.dtype("f2"))
        assert found == 0
        assert np.signbit(found) == (side < 0)
    assert exact.log_sum(np.array([3.0, -np.inf]), np.dtype("f8")) == 3
