"""Single rows to the last bit, however much cancels: the last tier, Ziv's loop over integers of rising size.

The loop ends: sums of exponentials of distinct numbers are never 0, and neither their logarithms nor their quotients
lie on a tie, unless a term stands alone (Lindemann and Weierstrass). What can be exact is found before the loop. At
LAST_BITS, which nothing has ever needed, the nearest value at that width would be given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host import fixed
from cupysoft.host.nearest import format_of

__all__ = ["complex_logsumexp", "log_shares", "log_sum", "real_logsumexp", "rounded", "shares"]

FIRST_BITS = 256
LAST_BITS = 1 << 16
COMPLEX_BITS = 80  # a complex result is done when its error is below 2^-80 of its modulus
CUT_BITS = 1 << 13  # more than there are between the largest and the smallest product of three numbers of float64

_Term = tuple[tuple[float, float], tuple[Fraction, Fraction]]  # exponent and weight, each (real, imaginary)


def shares(row: npt.NDArray[np.float64], chosen: list[float], dtype: np.dtype[Any]) -> list[float]:
    """Give exp(x) over the sum of exp(row), rounded to `dtype`, for chosen elements; all finite, or -inf."""
    counts = _counted(row)

    def quotients(bits: int) -> list[tuple[int, int, int]]:
        terms, total, error = _exponentials(counts, bits)
        # Term and sum are off by `error` at most, so the quotient is by twice that, the sum being 1 or more.
        return [((terms[x] << bits) // total, -bits, 2 * error) for x in chosen]

    return [abs(value) for value in _loop(quotients, dtype)]


def log_shares(row: npt.NDArray[np.float64], chosen: list[float], dtype: np.dtype[Any]) -> list[float]:
    """Give x less the logarithm of the sum of exp(row), rounded to `dtype`, for chosen elements; finite, or -inf."""
    counts = _counted(row)
    m = max(counts)
    if len(counts) == 1 and counts[m] == 1:
        return [0.0] * len(chosen)

    def differences(bits: int) -> list[tuple[int, int, int]]:
        _, total, error = _exponentials(counts, bits)
        log = fixed.log(total, bits)
        return [(_fixed(x, bits) - _fixed(m, bits) - log, -bits, error + 16) for x in chosen]

    return _loop(differences, dtype)


def log_sum(row: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> float:
    """Give the logarithm of the sum of exp(row), rounded to `dtype`; all finite, or -inf, but one finite at least."""
    counts = _counted(row)
    m = max(counts)
    if len(counts) == 1 and counts[m] == 1:
        return m + 0.0

    def logarithm(bits: int) -> list[tuple[int, int, int]]:
        _, total, error = _exponentials(counts, bits)
        return [(_fixed(m, bits) + fixed.log(total, bits), -bits, error + 16)]

    (result,) = _loop(logarithm, dtype)
    # The loop knows no sign of what rounds to zero.
    return result or real_logsumexp(row.tolist(), [1.0] * row.size, dtype)[0]


def _loop(values: Callable[[int], list[tuple[int, int, int]]], dtype: np.dtype[Any]) -> list[float]:
    """Raise the width until each (integer, exponent of 2, error) has one rounding; of zeros take the lower."""
    bits = FIRST_BITS
    while True:
        found = values(bits)
        ends = [[rounded(n + end, power, dtype) for end in (-error, error)] for n, power, error in found]
        if bits >= LAST_BITS or all(low == high for low, high in ends):
            return [low for low, _ in ends]
        bits *= 2


def _counted(row: npt.NDArray[np.float64]) -> dict[float, int]:
    """Give the distinct finite elements, and how often each is there."""
    values, counts = np.unique(row[row > -np.inf], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _exponentials(counts: dict[float, int], bits: int) -> tuple[dict[float, int], int, int]:
    """Give exp(x - m) of all elements in units of 2^-bits, m the largest, their sum, and a bound of any error."""
    m = _fixed(max(counts), bits)
    terms = {}
    for x in counts:
        f, k = fixed.exp(_fixed(x, bits) - m, bits)
        terms[x] = f >> -k
    return terms, sum(terms[x] * n for x, n in counts.items()), 16 * sum(counts.values())


def rounded(integer: int, power: int, dtype: np.dtype[Any]) -> float:
    """Round integer 2^power to `dtype`: nearest, ties to even, subnormals kept, overflow to infinity."""
    bits, least = format_of(dtype)
    size = abs(integer)
    quantum = max(power + size.bit_length() - bits, least)
    if quantum > power:
        shift = quantum - power
        whole, rest = size >> shift, size & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        size, power = whole + (rest > half or (rest == half and whole & 1)), quantum
    highest = {"float16": 16, "float64": 1024}.get(dtype.name, 128)
    value = math.inf if size and power + size.bit_length() > highest else math.ldexp(size, power)
    return -value if integer < 0 else value


def real_logsumexp(a: Iterable[float], b: Iterable[float], dtype: np.dtype[Any]) -> tuple[float, float]:
    """Give log(abs(sum(b exp(a)))) rounded to `dtype`, and the sum's sign; all finite, or a = -inf."""
    pairs = list(zip(a, b, strict=True))
    terms = _grouped(pairs)
    if not terms:
        return -math.inf, 0.0
    (value, _), (weight, _) = terms[0]
    if len(terms) == 1 and abs(weight) == 1:
        return value + 0.0, float(weight)
    bits = FIRST_BITS
    while True:
        total, _, scale, error = _sum(terms, bits)
        size = abs(total)
        if size > error << 8:
            log = fixed.log(size, bits) + scale * fixed.log2(bits)
            margin = (error << bits) // size + abs(scale) + 16
            low, high = (rounded(end, -bits, dtype) for end in (log - margin, log + margin))
            if low == high or bits >= LAST_BITS:
                sign = 1.0 if total > 0 else -1.0
                # What rounds to zero lies on the side on which the size of the sum lies of 1.
                return (low if low else sign * math.copysign(0.0, _sign([*pairs, (0.0, -sign)]))), sign
        bits *= 2


def _sign(pairs: list[tuple[float, float]]) -> int:
    """Give the sign of a sum of weighted exponentials, which is 0 only if all cancel."""
    terms = _grouped(pairs)
    bits = FIRST_BITS
    while terms and bits <= LAST_BITS:
        total, _, _, error = _sum(terms, bits)
        if abs(total) > error:
            return 1 if total > 0 else -1
        bits *= 2
    return 0


def complex_logsumexp(a: Iterable[complex], b: Iterable[complex]) -> tuple[complex, complex]:
    """Give log(sum(b exp(a))) to 2^-52 of its modulus, and sum / abs(sum); all finite, or a.real = -inf."""
    terms = _grouped(zip(a, b, strict=True))
    if not terms:
        return complex(-math.inf, 0.0), 0j
    if terms == [((0.0, 0.0), (Fraction(1), Fraction(0)))]:
        return 0j, 1 + 0j
    real = _is_real(terms)
    bits = FIRST_BITS
    while True:
        re, im, scale, error = _sum(terms, bits)
        # Just below the negative axis the angle is -pi: the sign of im is wanted, but it may be 0 for good.
        if real:
            im = 0
        elif re < 0 and abs(im) <= error:
            if bits < CUT_BITS:
                bits *= 2
                continue
            im = 0
        size = math.isqrt((re * re + im * im) << (2 * bits))  # with `bits` more places
        if size >> bits > error << 8:
            log = fixed.log(size, 2 * bits) + scale * fixed.log2(2 * bits) >> bits
            angle = fixed.arctan2(im, re, bits)
            margin = (error << (2 * bits)) // size + abs(scale) + 16
            if margin << COMPLEX_BITS < math.isqrt(log * log + angle * angle) or bits >= LAST_BITS:
                one = 1 << bits
                return complex(log / one, angle / one), complex((re << bits) / size, (im << bits) / size)
        bits *= 2


def _grouped(pairs: Iterable[tuple[complex, complex]]) -> list[_Term]:
    """Add the weights of equal exponents exactly and drop what is zero."""
    groups: dict[complex, tuple[Fraction, Fraction]] = {}
    for value, weight in pairs:
        if weight != 0 and value.real != -math.inf:
            re, im = groups.get(value, (Fraction(0), Fraction(0)))
            groups[value] = re + Fraction(weight.real), im + Fraction(weight.imag)
    return [((v.real, v.imag), w) for v, w in groups.items() if w[0] or w[1]]


def _is_real(terms: list[_Term]) -> bool:
    """Whether every term comes with its conjugate, or is real."""
    weights = dict(terms)
    return all(weights.get((value, -angle)) == (re, -im) for (value, angle), (re, im) in terms)


def _sum(terms: list[_Term], bits: int) -> tuple[int, int, int, int]:
    """Give (re, im, scale, error): the sum is 2^(scale - bits) (re + i im), each part off by at most `error`."""
    factors = [fixed.exp(_fixed(value, bits), bits) for (value, _), _ in terms]
    orders = [k + _order(weight) for (_, k), (_, weight) in zip(factors, terms, strict=True)]
    scale = max(orders)
    re = im = 0
    for (f, k), ((_, angle), (b_re, b_im)) in zip(factors, terms, strict=True):
        cosine, sine = fixed.cos_sin(_fixed(angle, bits), bits) if angle else (1 << bits, 0)
        re += _scaled(f * (b_re * cosine - b_im * sine), k - scale - bits)
        im += _scaled(f * (b_re * sine + b_im * cosine), k - scale - bits)
    return re, im, scale, 64 * len(terms)


def _fixed(x: float, bits: int) -> int:
    numerator, denominator = x.as_integer_ratio()
    return (numerator << bits) // denominator


def _order(weight: tuple[Fraction, Fraction]) -> int:
    """Give an exponent of 2 just above the weight's parts."""
    return max(w.numerator.bit_length() - w.denominator.bit_length() + 1 for w in weight if w)


def _scaled(value: Fraction | int, power: int) -> int:
    """Give value 2^power as an integer, rounded down."""
    value = Fraction(value)
    numerator, denominator = value.numerator, value.denominator
    if power >= 0:
        return (numerator << power) // denominator
    if numerator.bit_length() + power < -4:
        return 0
    return (numerator >> -power) // denominator if denominator == 1 else numerator // (denominator << -power)
