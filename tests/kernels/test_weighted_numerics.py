"""The constants and error bounds that the tiers of weighted sums rest on, against integers and ball arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flint
import numpy as np
import pytest

from cupysoft import simulator
from cupysoft.host.exact import rounded
from cupysoft.runtime.sources import source
from tests.kernels.plans_for import BFLOAT16, Array
from tests.kernels.test_kernel_numerics import computed, pairs, worst

WORDS = (16, 32, 64)


@pytest.fixture(autouse=True)
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=False, fast=False) as made:
        yield made


def exps(x: Array) -> list[Any]:
    with flint.ctx.workprec(700):
        return [flint.arb(float(v)).exp() for v in x]


def arguments(seed: int, largest: float, count: int = 400) -> Array:
    """Numbers of all sizes and both signs."""
    rng = np.random.default_rng(seed)
    found: Array = rng.choice([-1, 1], 2 * count) * np.concatenate(
        [rng.uniform(0, 40, count), largest * 2.0 ** rng.uniform(-80, 0, count)]
    )
    return found


# 2^(2 far + near) as an exponent; words as the outputs a, b, c.
LEVEL = "far = level.far; near = level.near"


def levelled(words: tuple[Array, ...], far: Array, near: Array) -> list[Any]:
    """Give the numbers that words and their levels stand for, none being a label."""
    with flint.ctx.workprec(700):
        powers = [flint.arb(2) ** (int(2 * f) + int(n)) for f, n in zip(far, near, strict=True)]
        return [sum((flint.arb(float(w[i])) for w in words), flint.arb(0)) * power for i, power in enumerate(powers)]


def test_exponentials_of_the_first_tier() -> None:
    """2^-66 of themselves; of small x, 2^-50 x^2, since less than x^2 is not exact there."""
    x = arguments(1, 2.0**62)
    code = f"Level level; const Two e = exp_two<true>(a, level); y = e.hi; z = e.lo; {LEVEL}"
    outputs = "float64 y, float64 z, float64 far, int64 near"
    hi, lo, far, near = computed(1, outputs, code, x, header="numerics/power.cuh")
    found, true = levelled((hi, lo), far, near), exps(x)
    assert worst(found, true) <= 2.0**-66
    small = np.flatnonzero((np.abs(x) < 2.0**-9) & (np.abs(x) > 1e-20))
    for i in small:
        assert worst([found[i]], [true[i]]) <= 2.0**-50 * x[i] ** 2


def test_logarithms_of_the_first_tier() -> None:
    """Of f in two words from sqrt(1/2) to sqrt(2): to 2^-66, and 2^-57 of themselves."""
    rng = np.random.default_rng(2)
    f = np.concatenate(
        [rng.uniform(0.7072, 1.414, 500), 1 + rng.choice([-1, 1], 500) * 2.0 ** rng.uniform(-50, -2, 500)]
    )
    low = f * rng.uniform(-(2.0**-54), 2.0**-54, f.shape)
    code = "const Two v = log_precise(Two{a, b}); y = v.hi; z = v.lo"
    hi, lo = computed(2, "float64 y, float64 z", code, f, low, header="numerics/power.cuh")
    with flint.ctx.workprec(700):
        true = [t.log() for t in pairs(f, low)]
        missed = [abs(float((v - t).mid())) for v, t in zip(pairs(hi, lo), true, strict=True)]
        assert max(missed) <= 2.0**-66
        assert all(m <= 2.0**-57 * abs(float(t.mid())) + 2.0**-1000 for m, t in zip(missed, true, strict=True))


@pytest.mark.parametrize("words", [2, 3])
def test_expansions_of_the_second_tier(words: int) -> None:
    """Exponentials and logarithms miss less than 2^-REFINED_BITS."""
    bound = {2: 2.0**-96, 3: 2.0**-144}[words]
    x = arguments(3, 2.0**62, 150)
    outputs = "float64 p, float64 q, float64 r, float64 far, int64 near"
    code = (
        f"Level level; const auto e = exp_words<{words}>(a, level); p = e.w[0]; q = e.w[1]; "
        f"r = e.w[{words - 1}] * ({words} > 2); {LEVEL}"
    )
    *found, far, near = computed(1, outputs, code, x, header="numerics/power.cuh")
    assert worst(levelled(tuple(found), far, near), exps(x)) <= bound
    rng = np.random.default_rng(4)
    size = rng.uniform(0.5, 1.0, 200)
    low, lowest = (size * rng.uniform(-end, end, 200) for end in (2.0**-54, 2.0**-109))
    code = (
        f"Expansion<{words}> l = {{}}; l.w[0] = a; l.w[1] = b; if ({words} > 2) l.w[{words - 1}] = c;"
        f"const auto e = log_expansion(l); p = e.w[0]; q = e.w[1]; r = e.w[{words - 1}] * ({words} > 2)"
    )
    found = computed(3, "float64 p, float64 q, float64 r", code, size, low, lowest, header="numerics/power.cuh")
    with flint.ctx.workprec(700):
        parts = (size, low, lowest)[:words]
        true = [sum((flint.arb(float(v[i])) for v in parts), flint.arb(0)).log() for i in range(size.size)]
        sums = [sum((flint.arb(float(v[i])) for v in found), flint.arb(0)) for i in range(size.size)]
        assert max(abs(float((s - t).mid())) for s, t in zip(sums, true, strict=True)) <= bound


def test_a_logarithm_beside_one() -> None:
    """log(1 + d) to 2^-90 of itself, for d below 2^-39."""
    rng = np.random.default_rng(5)
    w = rng.choice([-1, 1], 300) * rng.uniform(0.5, 1, 300)
    low = w * rng.uniform(-(2.0**-54), 2.0**-54, w.shape)
    power = np.floor(rng.uniform(-800, -39, 300))
    code = (
        "const Two v = log_beside_one(Expansion<2>{{a, b}}, Level{0.0, static_cast<long long>(c)}); y = v.hi; z = v.lo"
    )
    header = "softmax/cancelled.cuh"
    hi, lo = computed(3, "float64 y, float64 z", code, w, low, power, header=header)
    with flint.ctx.workprec(3000):
        true = [(1 + t * flint.arb(2) ** int(p)).log() for t, p in zip(pairs(w, low), power, strict=True)]
        assert worst(pairs(hi, lo), true) <= 2.0**-90


OPERATIONS = ("multiply", "divide", "sum", "difference", "weighted", "lower", "exp", "log", "rounded")

KERNEL = r"""
extern "C" __global__ void compute(int operation, int words, const unsigned* a, const unsigned* b, double number,
                                   int told, unsigned* out, double* value) {
    __shared__ unsigned numbers[6][MOST_WORDS];
    const Wide wide = wide_of_words(words);
    for (int i = threadIdx.x; i < 6 * MOST_WORDS; i += 32) numbers[0][i] = i;
    for (int i = threadIdx.x; i < words; i += 32) {
        numbers[0][i] = a[words * blockIdx.x + i];
        numbers[1][i] = b[words * blockIdx.x + i];
    }
    __syncwarp();
    unsigned* result = numbers[2];
    const WideRoom room = {numbers[3], numbers[4], numbers[5]};
    const Format formats[] = {format_of<Float16>(), format_of<Bfloat16>(), format_of<float>(), format_of<double>()};
    if (operation == 0) wide.multiply(result, numbers[0], numbers[1]);
    if (operation == 1) wide.divide(result, numbers[0], told);
    if (operation == 2 || operation == 3) {
        wide.lower(result, numbers[0], 0);
        wide.add(result, numbers[1], operation == 2 ? 1 : -1);
        wide.add(result, number);
    }
    if (operation == 4) wide.multiply(result, numbers[0], static_cast<unsigned long long>(number));
    if (operation == 5) wide.lower(result, numbers[0], told);
    if (operation == 6) result = exp_of_minus(wide, numbers[0], told, room);
    if (operation == 7) log_of(wide, result, numbers[0], room);
    if (operation == 8) value[blockIdx.x] = rounded(wide, numbers[0], formats[told]);
    for (int i = threadIdx.x; i < words; i += 32) out[words * blockIdx.x + i] = result[i];
    // Nothing beyond the width is touched.
    for (int i = threadIdx.x; i < 6 * MOST_WORDS; i += 32)
        if (i % MOST_WORDS >= words && numbers[0][i] != i) value[blockIdx.x] = __longlong_as_double(-1LL);
}
"""


class Numbers:
    """Runs one operation of numerics/wide.cuh; numbers are integers, in units of the last bit."""

    def __init__(self, words: int) -> None:
        self.words, self.bits = words, 32 * (words - 3)
        self.kernel = simulator.RawModule(
            code=source("numerics/wide_functions.cuh") + KERNEL, options=("--std=c++17", "--fmad=false")
        ).get_function("compute")

    def __call__(
        self, operation: str, a: list[int], b: list[int] | None = None, *, number: float = 0.0, told: int = 0
    ) -> tuple[list[int], Array]:
        out, value = np.zeros((len(a), self.words), np.uint32), np.zeros(len(a))
        told_all = (np.int32(OPERATIONS.index(operation)), np.int32(self.words), self.packed(a), self.packed(b or a))
        self.kernel((len(a),), (32,), (*told_all, number, np.int32(told), out, value))
        found = [int.from_bytes(row.tobytes(), "little", signed=True) for row in out]
        assert not np.isnan(value).any()
        return found, value

    def packed(self, numbers: list[int]) -> Array:
        raw = b"".join(n.to_bytes(4 * self.words, "little", signed=True) for n in numbers)
        return np.frombuffer(raw, np.uint32).copy()

    def drawn(self, rng: np.random.Generator, below: int) -> list[int]:
        """Numbers from 0 to `below`, with long runs of ones and zeros, through which carries go."""
        words = [
            rng.choice(np.array([0, 0xFFFFFFFF, 1, int(w)], np.uint32), self.words)
            for w in rng.integers(1 << 32, size=40)
        ]
        ones = (below << self.bits) - 1
        return [ones, 0, 1, 1 << self.bits, *(int.from_bytes(w.tobytes(), "little") & ones for w in words)]


@pytest.mark.parametrize("words", WORDS)
def test_arithmetic_of_any_width(words: int) -> None:
    """Sums, and products with weights, are exact; other products and quotients lose at most the last bit."""
    run = Numbers(words)
    rng = np.random.default_rng(words)
    a, b = run.drawn(rng, 4), run.drawn(rng, 4)[::-1]
    assert run("sum", a, b, number=-1.5)[0] == [x + y - (3 << run.bits - 1) for x, y in zip(a, b, strict=True)]
    assert run("difference", a, b, number=2.0**-300)[0] == [
        x - y + (1 << run.bits - 300) for x, y in zip(a, b, strict=True)
    ]
    weight = 2**53 - 1
    assert run("weighted", a, number=float(weight))[0] == [x * weight for x in a]
    for by in (0, 1, 31, 32, 33, run.bits - 1, run.bits + 70, -1, -33):
        values = [x >> 40 for x in a] if by < 0 else a
        assert run("lower", values, told=by)[0] == [x >> by if by >= 0 else x << -by for x in values], by
    for n in (1, 2, 3, 7, 271, 1023):
        assert run("divide", a, told=n)[0] == [x // n for x in a], n
    products = zip(run("multiply", a, b)[0], a, b, strict=True)
    assert all(0 <= (x * y >> run.bits) - found <= 1 for found, x, y in products)


@pytest.mark.parametrize("words", WORDS)
def test_exponentials_and_logarithms_of_any_width(words: int) -> None:
    """Within 2^32 units, and 2^34."""
    run = Numbers(words)
    rng = np.random.default_rng(words)
    with flint.ctx.workprec(32 * words + 200):
        for y in (*rng.uniform(0, 1, 3), *rng.uniform(0, 8000, 3), 8191.9, 2.0**-200, 5e-324):
            numerator, denominator = float(y).as_integer_ratio()
            power = int(y * float.fromhex("0x1.71547652b8300p+0")) + 1
            (found,), _ = run("exp", [(numerator << run.bits) // denominator], told=power)
            true = (-flint.arb(float(y))).exp() * flint.arb(2) ** (power + run.bits)
            assert abs(found - true) < 2**32, y
        f = [1.0, 1 + 2.0**-52, 2 - 2.0**-52, *rng.uniform(1, 2, 5)]
        given = [int(v * 2.0**52) << run.bits - 52 for v in f]
        given += [(1 << run.bits) + 1, (2 << run.bits) - 1, (1 << run.bits) + (1 << run.bits // 2)]
        for x, found in zip(given, run("log", given)[0], strict=True):
            true = (flint.arb(flint.fmpz(x)) / flint.arb(2) ** run.bits).log() * flint.arb(2) ** run.bits
            assert abs(found - true) < 2**34, x


def test_rounding_of_any_width() -> None:
    """To the nearest, ties to even, of numbers about every kind of tie; zeros keep their sign."""
    run = Numbers(64)
    rng = np.random.default_rng(0)
    for told, dtype in enumerate((np.dtype("f2"), BFLOAT16, np.dtype("f4"), np.dtype("f8"))):
        bits, least = {"float16": (11, -24), "bfloat16": (8, -133), "float32": (24, -149)}.get(dtype.name, (53, -1074))
        numbers = []
        for _ in range(60):
            size = int(rng.integers(1 << (bits - 1), 1 << bits)) * 2 + int(rng.integers(2))
            place = (
                run.bits + max(least - int(rng.integers(0, bits + 2)), least - bits) + int(rng.choice([0, bits, 40]))
            )
            number = size << place - 1 if place >= 1 else size
            numbers += [number, -number, number + 1, 1 - number]
        numbers += [0, 1, -1]
        _, found = run("rounded", numbers, told=told)
        true = np.array([rounded(n, -run.bits, dtype) for n in numbers])
        true[np.isinf(true)] = found[np.isinf(true)]  # left to the conversion to the type
        assert np.array_equal(found, true)
        assert np.array_equal(np.signbit(found), [n < 0 for n in numbers])
