"""Single sums of matrix units that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.matrices import HALF, Shape, multiply
from tests.simulator.matrix_operands import bits_of

F16, BF16 = Shape(16, 8, "f16", "f32"), Shape(16, 8, "bf16", "f32")
LONG, TF32 = Shape(16, 16, "bf16", "f32"), Shape(16, 8, "tf32", "f32")
TO_F16, LONG_TO_F16 = Shape(16, 8, "f16", "f16"), Shape(16, 16, "f16", "f16")
Pairs = list[tuple[float, float]]
NOTHING = (0.0, 0.0)


def one_sum(arch: str, shape: Shape, pairs: Pairs, c: float, stranger: bool) -> float:
    """Return one element of D; a `stranger` elsewhere in A, a NaN, makes the simulator take another way to it."""
    a, b, start = np.zeros((1, shape.rows, shape.depth)), np.zeros((1, shape.depth, 8)), np.zeros((1, shape.rows, 8))
    for k, (x, y) in enumerate(pairs):
        a[0, 0, k], b[0, k, 0] = x, y
    start[0, 0, 0] = c
    if stranger:
        a[0, 9, 3] = math.nan
    operands = bits_of(a, shape.kind), bits_of(b, shape.kind), bits_of(start, shape.total)
    d = multiply(simulator.Device(arch=arch, check=False), shape, *operands)
    return float(d.view({2: np.float16, 4: np.float32}[d.itemsize])[0, 0, 0])


@pytest.mark.parametrize("stranger", [False, True])
@pytest.mark.parametrize(
    ("shape", "pairs", "c", "ampere", "hopper"),
    [
        pytest.param(F16, [(1, 1), (2**-12, 2**-13), (-1, 1)], 0, 0, 2**-25, id="the 25th bit of f16"),
        pytest.param(TF32, [(1, 1), (2**-12, 2**-13), (-1, 1)], 0, 0, 2**-25, id="the 25th bit of tf32"),
        pytest.param(BF16, [(1, 1), (-1, 1)], 2**-25, 0, 2**-25, id="the accumulator is a term like the others"),
        # A product of 2.25 has the exponent 0 here, not 1.
        pytest.param(HALF, [(1.5, 1.5), (-1.5, 1.5), (2**-12, 2**-12)], 0, 2**-24, 2**-24, id="not normalised"),
        # Large terms cancel in the first half: in one sum nothing of the small one in the second half is left.
        pytest.param(
            LONG, [(2**15, 2**15), (-(2**15), 2**15), *[NOTHING] * 6, (1, 1)], 0, 1, 0, id="halves that cancel"
        ),
        pytest.param(
            TF32,
            [(2**12, 2**11), (1, 0.75), NOTHING, NOTHING, (1, 0.25)],
            0,
            2**23,
            2**23 + 1,
            id="a rounding between the halves",
        ),
        pytest.param(F16, [(1, 1), (2**-12, 2**-12)], 0, 1, 1, id="toward zero"),
        pytest.param(F16, [(-1, 1), (-(2**-12), 2**-12)], 0, -1, -1, id="toward zero from below"),
        # Just above a tie: the last bit is beyond those of float32.
        pytest.param(
            TO_F16, [(1, 1), (2**-5, 2**-6), (2**-12, 2**-12)], 0, 1 + 2**-10, 1 + 2**-10, id="above a tie of f16"
        ),
        pytest.param(TO_F16, [(1, 1), (2**-5, 2**-6)], 0, 1, 1, id="a tie of f16"),
        pytest.param(TO_F16, [(1, 1), (2**-5, 2**-6)], 2**-9, 1 + 2**-9, 1 + 2**-9, id="another tie of f16"),
        pytest.param(TO_F16, [(255, 255), (300, 1.7)], 0, math.inf, math.inf, id="f16 overflows"),
        pytest.param(
            LONG_TO_F16,
            [(250, 250), (250, 250), *[NOTHING] * 6, (-250, 250)],
            0,
            math.inf,
            62500 - 62500 % 32,
            id="the first half of f16 overflows",
        ),
        pytest.param(BF16, [(2**64, 2**63), (2**64, 2**63)], 0, math.inf, math.inf, id="f32 overflows"),
        pytest.param(BF16, [(2**64, 2**64), (-(2**64), 2**64)], 1, 0, 0, id="products beyond f32 cancel"),
        # Below the least exponent the cut stays where it is: at 2 ** -156 and 2 ** -158.
        pytest.param(
            BF16, [(127 * 2**-80, 2**-76), (2**-80, 2**-77), (2**-80, 2**-77)], 0, 0, 2**-149, id="the floor of Ampere"
        ),
        pytest.param(
            BF16, [(73 * 2**-80, 7 * 2**-78), (2**-80, 2**-79), (2**-80, 2**-79)], 0, 0, 0, id="the floor of Hopper"
        ),
        pytest.param(
            BF16, [(73 * 2**-80, 7 * 2**-78), (2**-80, 2**-78)], 0, 0, 2**-149, id="above the floor of Hopper"
        ),
        # Cut off to tf32 it is a zero, and as such no term whose exponent counts.
        pytest.param(TF32, [(2**-149, 2**100)], 2**-60 + 2**-83, 2**-60 + 2**-83, 2**-60 + 2**-83, id="a tf32 zero"),
        pytest.param(TF32, [(1 + 2**-11, 1), (1 + 2**-10, 1)], 0, 2 + 2**-10, 2 + 2**-10, id="tf32 is cut off"),
    ],
)
def test_sums(shape: Shape, pairs: Pairs, c: float, ampere: float, hopper: float, stranger: bool) -> None:
    assert one_sum("sm_80", shape, pairs, c, stranger) == ampere
    assert one_sum("sm_90", shape, pairs, c, stranger) == hopper


@pytest.mark.parametrize("stranger", [False, True])
@pytest.mark.parametrize(
    ("shape", "pairs", "c", "sign"),
    [
        pytest.param(F16, [], -0.0, 1, id="a negative accumulator and zeros"),
        pytest.param(F16, [(-0.0, 1)] * 8, -0.0, 1, id="negative zeros only"),
        pytest.param(F16, [(1, 1), (-1, 1)], -0.0, 1, id="cancellation"),
        pytest.param(BF16, [(-(2**-80), 2**-70)], 0, -1, id="a number too small"),
        pytest.param(TO_F16, [(-(2**-14), 2**-12)], 0, -1, id="a number too small for f16"),
        pytest.param(F16, [(1, 1), (-1, 1), (-(2**-14), 2**-14)], 0, 1, id="a term cut off"),
    ],
)
def test_signs_of_zeros(shape: Shape, pairs: Pairs, c: float, sign: int, stranger: bool) -> None:
    """A sum of no terms but zeros is +0; one that is too small for the format keeps its sign."""
    for arch in ("sm_80", "sm_90"):
        zero = one_sum(arch, shape, pairs, c, stranger)
        assert zero == 0
        assert math.copysign(1, zero) == sign
