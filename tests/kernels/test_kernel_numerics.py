"""The constants and error bounds that the tiers of the kernels rest on, against ball arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flint
import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.runtime.sources import source
from tests.kernels.plans_for import Array

LIMBS = 12


@pytest.fixture(autouse=True)
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=False, fast=False) as made:
        yield made


def computed(inputs: int, outputs: str, code: str, *arrays: Array, header: str = "numerics/float64.cuh") -> list[Array]:
    """Run some device code element by element on float64 inputs a, b, ...; give the outputs."""
    told = ", ".join(f"float64 {name}" for name in "abcdef"[:inputs])
    kernel: Any = simulator.ElementwiseKernel(
        told, outputs, code, "numerics", preamble=source(header), options=("--std=c++17", "--fmad=false")
    )
    found = kernel(*arrays)
    results: list[Array] = list(found) if isinstance(found, tuple) else [found]
    return results


def arguments(low: float, high: float, count: int = 1500) -> Array:
    """Numbers of all sizes up to the ends."""
    rng = np.random.default_rng(int(-low + 7))
    sizes = np.concatenate([rng.uniform(0, -low, count), -low * 2.0 ** rng.uniform(-70, 0, count), [-high]])
    found: Array = -np.abs(sizes)
    return found


def worst(found: list[Any], true: list[Any]) -> float:
    """Give the greatest relative error."""
    with flint.ctx.workprec(700):
        return max(abs(float(((f - t) / t).mid())) for f, t in zip(found, true, strict=True))


def exponentials(d: Array, low: Array | None = None) -> list[Any]:
    with flint.ctx.workprec(700):
        words = np.zeros_like(d) if low is None else low
        return [(flint.arb(float(x)) + flint.arb(float(y))).exp() for x, y in zip(d, words, strict=True)]


def pairs(hi: Array, lo: Array, power: int = 0) -> list[Any]:
    with flint.ctx.workprec(700):
        scale = flint.arb(2) ** power
        return [(flint.arb(float(x)) + flint.arb(float(y))) * scale for x, y in zip(hi, lo, strict=True)]


def test_one_word_of_exp() -> None:
    d = arguments(-690.0, 0.0)
    (found,) = computed(1, "float64 y", "y = exp_narrow(Two{a, 0.0})", d)
    assert worst(pairs(found, np.zeros_like(found)), exponentials(d)) <= 1.75 * 2.0**-53
    assert computed(1, "float64 y", "y = exp_narrow(Two{a, 0.0})", np.zeros(1))[0][0] == 1.0


def test_one_word_of_exp_near_an_anchor() -> None:
    """Above it, too, and several side by side."""
    d = np.concatenate([arguments(-690.0, 0.0), -arguments(-256.0, 0.0)])
    code = "const Several<2> e = exp_near(Several<2>{{a, a / 2}}); y = e.of[0]; z = e.of[1]; w = exp_near(a)"
    found, of_half, alone = computed(1, "float64 y, float64 z, float64 w", code, d)
    assert worst(pairs(found, np.zeros_like(found)), exponentials(d)) <= 1.75 * 2.0**-53
    assert worst(pairs(of_half, np.zeros_like(found)), exponentials(d / 2)) <= 1.75 * 2.0**-53
    np.testing.assert_array_equal(found, alone)


def test_two_words_of_exp() -> None:
    d = arguments(-790.0, 0.0)
    low = d * np.random.default_rng(0).uniform(-(2.0**-54), 2.0**-54, d.shape)
    hi, lo = computed(2, "float64 y, float64 z", "const Two e = exp_pair(Two{a, b}); y = e.hi; z = e.lo", d, low)
    assert worst(pairs(hi, lo, -256), exponentials(d, low)) <= 2.0**-86


def test_logarithms_in_two_words() -> None:
    """From 1 + 2^-190 to 2^31; the bound that comes with a logarithm holds, and is no larger than it is said to be."""
    rng = np.random.default_rng(1)
    count = np.concatenate([np.ones(1500), np.floor(2.0 ** rng.uniform(0, 31, 500))])
    rest = np.concatenate([2.0 ** rng.uniform(-190, 3, 1500), rng.uniform(0, 5, 500)])
    low = rest * rng.uniform(-(2.0**-54), 2.0**-54, rest.shape)
    code = (
        "const LogPair l = log_pair(a, Two{b * PAIR_LIFTED, c * PAIR_LIFTED}, 0.0);"
        "y = l.value.hi; z = l.value.lo; e = l.error"
    )
    hi, lo, bound = computed(3, "float64 y, float64 z, float64 e", code, count, rest, low)
    with flint.ctx.workprec(700):
        sums = [
            flint.arb(float(c)) + flint.arb(float(r)) + flint.arb(float(s))
            for c, r, s in zip(count, rest, low, strict=True)
        ]
        missed = [abs(float((f - t.log()).mid())) for f, t in zip(pairs(hi, lo), sums, strict=True)]
    assert (np.array(missed) <= bound).all()
    assert (bound <= np.minimum(hi * 2.0**-76, 2.0**-83)).all()


def test_one_logarithm_in_a_word_and_a_half() -> None:
    sums = 2.0 ** np.random.default_rng(2).uniform(0, 31, 2000)
    hi, lo = computed(1, "float64 y, float64 z", "const Two v = log_two(Two{a, 0.0}, 0); y = v.hi; z = v.lo", sums)
    with flint.ctx.workprec(700):
        assert worst(pairs(hi, lo), [flint.arb(float(x)).log() for x in sums]) <= 2.0**-57


def fixed(limbs: list[Array]) -> list[Any]:
    with flint.ctx.workprec(700):
        numbers = [sum(int(w[i]) << (30 * at) for at, w in enumerate(limbs)) for i in range(len(limbs[0]))]
        return [flint.arb(flint.fmpz(n)) * flint.arb(2) ** -330 for n in numbers]


def test_fixed_point_exponentials_and_quotients() -> None:
    """To 2^-300, which leaves room for the 2^-270 of results."""
    outputs = ", ".join([f"uint32 w{i}" for i in range(LIMBS)] + ["int32 power"])
    store = "; ".join(f"w{i} = found.w[{i}]" for i in range(LIMBS))
    y = -arguments(-1900.0, 0.0, 150)
    code = f"const FixedExp e = exp_of_minus(fixed_of(big_of(a)), a); const Fixed found = e.w; power = e.power; {store}"
    *limbs, power = computed(1, outputs, code, y, header="numerics/fixed_functions.cuh")
    with flint.ctx.workprec(700):
        found = [w * flint.arb(2) ** -int(p) for w, p in zip(fixed(limbs), power, strict=True)]
    assert worst(found, exponentials(-y)) <= 2.0**-300
    code = f"const Fixed found = inverse_of(big_of(a).w); power = big_of(a).power; {store}"
    *limbs, power = computed(1, outputs, code, 1.0 + y, header="numerics/fixed_functions.cuh")
    with flint.ctx.workprec(700):
        true = [1 / (flint.arb(float(1.0 + v)) * flint.arb(2) ** -int(p)) for v, p in zip(y, power, strict=True)]
    assert worst(fixed(limbs), true) <= 2.0**-300


def test_fixed_point_logarithms() -> None:
    """Of 1 + 2^-900 as of 2^31."""
    rng = np.random.default_rng(3)
    rest = 2.0 ** np.concatenate([rng.uniform(-900, 0, 100), rng.uniform(0, 31, 100)])
    outputs = ", ".join([f"uint32 w{i}" for i in range(LIMBS)] + ["int32 power"])
    store = "; ".join(f"w{i} = log.w.w[{i}]" for i in range(LIMBS))
    code = (
        "const Big less = big_of(a); const Big l = add(big_of(1.0), less); const double guess = log_guess(l);"
        "FixedExp e = {fixed_of(1u), 0}; if (guess > 0.0) e = exp_of_minus(fixed_near(guess), guess);"
        "bool cut = false; const Fixed above = shift_right(multiply(l.w, e.w), e.power, cut);"
        f"const Big log = log_of(l, less, guess, above); power = log.power; {store}"
    )
    *limbs, power = computed(1, outputs, code, rest, header="numerics/fixed_functions.cuh")
    with flint.ctx.workprec(2200):
        found = [w * flint.arb(2) ** int(p) for w, p in zip(fixed(limbs), power, strict=True)]
        true = [(1 + flint.arb(float(r))).log() for r in rest]
        assert max(abs(float(((f - t) / t).mid())) for f, t in zip(found, true, strict=True)) <= 2.0**-270
