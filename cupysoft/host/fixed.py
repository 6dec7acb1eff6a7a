"""exp, log, sin and cos of numbers in fixed point: Python integers that stand for n / 2^bits.

This arithmetic is slow and as precise as one asks. It makes the tables of the fast functions, and settles the rows that
they cannot decide.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

__all__ = [
    "arctan2",
    "cos_sin",
    "exp",
    "exp_table",
    "log",
    "log2",
    "log2_words",
    "log_table",
    "pi",
    "sin_table",
    "to_words",
]

_GUARD = 32
Words = tuple[npt.NDArray[np.float64], ...]


@functools.lru_cache(maxsize=64)
def log2(bits: int) -> int:
    """log(2), by Machin's way: 18 artanh(1/26) - 2 artanh(1/4801) + 8 artanh(1/8749)."""
    wide = bits + _GUARD
    return (18 * _artanh(26, wide) - 2 * _artanh(4801, wide) + 8 * _artanh(8749, wide)) >> _GUARD


@functools.lru_cache(maxsize=64)
def pi(bits: int) -> int:
    """Archimedes' constant, by Machin's formula 16 arctan(1/5) - 4 arctan(1/239)."""
    wide = bits + _GUARD
    return (16 * _artanh(5, wide, -1) - 4 * _artanh(239, wide, -1)) >> _GUARD


def _artanh(inverse: int, bits: int, square_sign: int = 1) -> int:
    """artanh(1/inverse), or arctan with square_sign -1."""
    power = (1 << bits) // inverse
    total, n, sign = 0, 1, 1
    while power:
        total += sign * power // n
        power //= inverse * inverse
        n += 2
        sign *= square_sign
    return total


def exp(x: int, bits: int) -> tuple[int, int]:
    """Give (f, k) with exp(x) = 2^k f and f in [1, 2), to a few units of the last bit."""
    wide = bits + _GUARD + max(0, x.bit_length() - bits)
    k, rest = divmod(x << (wide - bits), log2(wide))
    # exp(rest) = exp(rest / 2^halvings) squared again and again; expm1 keeps the digits through the squarings.
    halvings = math.isqrt(bits)
    extra = wide + 2 * halvings
    small = rest << (extra - wide) >> halvings
    term = total = small
    n = 2
    while term:
        term = (term * small >> extra) // n
        total += term
        n += 1
    for _ in range(halvings):
        total = 2 * total + (total * total >> extra)
    return (total + (1 << extra)) >> (extra - bits), k


def log(x: int, bits: int) -> int:
    """Logarithm of x > 0, by Newton's steps on exp."""
    shift = x.bit_length() - 1 - bits
    mantissa = x >> shift if shift >= 0 else x << -shift
    y = int(math.log(mantissa / (1 << bits)) * (1 << 60)) << bits >> 60
    wide = bits + _GUARD
    y <<= _GUARD
    precision = 40
    while True:
        f, k = exp(-y, wide)
        f = f << k if k >= 0 else f >> -k
        y += (mantissa * f >> bits) - (1 << wide)
        if precision >= bits:
            return (y + shift * log2(wide)) >> _GUARD
        precision *= 2


def cos_sin(x: int, bits: int) -> tuple[int, int]:
    """Cosine and sine of any x."""
    wide = bits + _GUARD + max(0, x.bit_length() - bits)
    half_pi = pi(wide) >> 1
    quarter, rest = divmod(x << (wide - bits), half_pi)
    rest >>= wide - bits - _GUARD
    wide = bits + _GUARD
    one = 1 << wide
    terms = [one]
    n = 1
    while terms[-1]:
        terms.append((terms[-1] * rest >> wide) // n)
        n += 1
    cosine = sum(terms[0::4]) - sum(terms[2::4])
    sine = sum(terms[1::4]) - sum(terms[3::4])
    for _ in range(quarter % 4):
        cosine, sine = -sine, cosine
    return cosine >> _GUARD, sine >> _GUARD


def arctan2(y: int, x: int, bits: int) -> int:
    """Angle of (x, y), not both zero, both of any scale; in (-pi, pi]."""
    size = max(abs(x), abs(y)).bit_length()
    wide = bits + _GUARD
    x, y = (v << (wide - size) if wide >= size else v >> (size - wide) for v in (x, y))
    scale = 1 << wide
    angle = int(math.atan2(y / scale, x / scale) * (1 << 60)) << wide >> 60
    length = math.isqrt(x * x + y * y)
    precision = 40
    while True:
        # Turn back by the angle so far; what is left is small, and is its own sine to the cube.
        c, s = cos_sin(angle, wide)
        angle += (y * c - x * s) // length
        if precision >= bits:
            return angle >> _GUARD
        precision *= 3


def to_words(value: int, bits: int, sizes: tuple[int, ...]) -> tuple[float, ...]:
    """Split value / 2^bits into floats of the given numbers of bits, each the nearest to what is left."""
    words = []
    for size in sizes:
        drop = max(abs(value).bit_length() - size, 0)
        head = (value + ((1 << drop) >> 1)) >> drop
        words.append(math.ldexp(head, drop - bits))
        value -= head << drop
    return tuple(words)


_TABLE_BITS = 320


def log2_words(steps: int, sizes: tuple[int, ...]) -> tuple[float, ...]:
    """log(2) / steps in words."""
    return to_words(log2(_TABLE_BITS) // steps, _TABLE_BITS, sizes)


def exp_table(steps: int, words: int) -> Words:
    """2^(j/steps) for j in range(steps); each product adds a few units of the last bit, far below the words."""
    step = _whole(exp(log2(_TABLE_BITS) // steps, _TABLE_BITS))
    powers = [1 << _TABLE_BITS]
    for _ in range(steps - 1):
        powers.append(powers[-1] * step >> _TABLE_BITS)
    return _table(powers, words)


def _whole(parts: tuple[int, int]) -> int:
    f, k = parts
    return f << k if k >= 0 else f >> -k


def log_table(steps: int, words: int) -> Words:
    """log(j/steps) for j from 3/4 to 3/2 of steps, both ends included."""
    numbers = range(steps * 3 // 4, steps * 3 // 2 + 1)
    return _table([0 if j == steps else log((j << _TABLE_BITS) // steps, _TABLE_BITS) for j in numbers], words)


def sin_table(steps: int, words: int) -> Words:
    """sin(2 pi j/steps) for j in range(steps)."""
    turn = 2 * pi(_TABLE_BITS)
    values = [cos_sin(turn * j // steps, _TABLE_BITS)[1] for j in range(steps)]
    # The quarters are exact; a remainder of some 2^-300 would only be clutter.
    return _table([0 if abs(v) < 1 << 20 else v for v in values], words)


def _table(values: list[int], words: int) -> Words:
    rows = [to_words(value, _TABLE_BITS, (53,) * words) for value in values]
    return tuple(np.array(column) for column in zip(*rows, strict=True))
