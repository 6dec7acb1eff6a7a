"""Matrices to multiply: usual numbers, and every way in which sums of products are hard.

A way to draw is a function of a generator, a shape and a format, and gives bits.
"""

from __future__ import annotations

import numpy as np

from tests.simulator.exact import FORMATS, Format
from tests.simulator.harness import Array
from tests.simulator.matrices import Shape

__all__ = ["bits_of", "matrices", "spread", "usual"]


def bits_of(values: Array, kind: str) -> Array:
    """Round float64 numbers to a format; what does not fit becomes infinite. Of tf32 all bits of a float32 are kept."""
    with np.errstate(over="ignore"):
        if kind == "f64":
            return values.view(np.uint64)
        if kind == "f16":
            return values.astype(np.float16).view(np.uint16)
        words = values.astype(np.float32).view(np.uint32)
    return (words >> 16).astype(np.uint16) if kind == "bf16" else words


def layout(kind: str) -> Format:
    """The format that elements lie in: tf32 in the bits of a float32."""
    return FORMATS["f32" if kind == "tf32" else kind]


def usual(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    return bits_of(rng.normal(size=shape), kind)


def spread(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Finite numbers with any exponent, subnormal ones and zeros of both signs among them."""
    form = layout(kind)
    bits = rng.integers(0, form.infinity, shape, dtype=np.uint64)
    bits[rng.random(shape) < 0.1] &= np.uint64((1 << (form.precision - 1)) - 1)
    bits[rng.random(shape) < 0.1] = 0
    bits |= rng.integers(0, 2, shape, dtype=np.uint64) * np.uint64(form.sign)
    return bits.astype({16: np.uint16, 32: np.uint32, 64: np.uint64}[form.sign.bit_length()])


def near(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Exponents within a few of each other, at a place where all of them may be moderate or hardly be so."""
    middle = 2.0 ** float(rng.choice([0, 0, 5, -12] if kind == "f16" else [0, 44, -45, 89, -90, 63, -63, -75, 126]))
    return bits_of(rng.normal(size=shape) * middle * 2.0 ** rng.integers(-3, 4, shape), kind)


def large(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Significands near 2, all of one sign: the largest aligned totals."""
    return bits_of(np.where(rng.random(shape) < 0.9, 1.9999, 1.7) * float(rng.choice([-1, 1])), kind)


def strange(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Infinities and NaNs here and there."""
    form, bits = layout(kind), near(rng, shape, kind)
    odd = np.array([form.infinity, form.infinity | form.sign, form.infinity + 1, form.sign - 1], np.uint64)
    return np.where(rng.random(shape) < 0.02, rng.choice(odd, shape), bits).astype(bits.dtype)


def overflowing(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Array:
    """Products that leave the range of the totals, or the sums of them do."""
    top = 2.0 ** (7.8 if kind == "f16" else 63.9)
    return bits_of(np.where(rng.random(shape) < 0.5, top, -top) * rng.uniform(0.5, 1, shape), kind)


DRAWS = [usual, spread, near, large, strange, overflowing]


def matrices(shape: Shape, count: int, seed: int) -> tuple[Array, Array, Array]:
    """Draw A, B and C, the kinds of operands in turn, with rows whose terms cancel."""
    rng = np.random.default_rng([seed, shape.depth, shape.rows, len(shape.kind)])
    parts: list[tuple[Array, Array, Array]] = []
    for number_ in range(count):
        draw = DRAWS[number_ % len(DRAWS)]
        a = draw(rng, (shape.rows, shape.depth), shape.kind)
        b = draw(rng, (shape.depth, 8), shape.kind)
        c = draw(rng, (shape.rows, 8), shape.total)
        half = shape.depth // 2
        a[1, half:], b[half:, 1] = a[1, :half] ^ a.dtype.type(layout(shape.kind).sign), b[:half, 1]
        c[::3] = 0
        c[1, ::2] = FORMATS[shape.total].sign
        parts.append((a, b, c))
    a, b, c = (np.stack(each) for each in zip(*parts, strict=True))
    return a, b, c
