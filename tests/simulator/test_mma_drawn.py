"""Products of matrices with a seed: any sum that some unit may give."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.exact import FORMATS
from tests.simulator.matrices import HALF, NARROW, Shape, multiply
from tests.simulator.matrix_operands import matrices, usual
from tests.simulator.matrix_unit import AMPERE, HOPPER, bound, exact_sum, number, published


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("shape", NARROW, ids=str)
def test_drawn_values_stay_within_a_bound_that_covers_every_unit(shape: Shape, arch: str) -> None:
    """With a seed, sums are what some unit may give; each published one may."""
    a, b, c = matrices(shape, 5, seed=3)
    results = []
    for seed in (1, 2, 1):
        results.append(multiply(simulator.Device(arch=arch, check=False, seed=seed), shape, a, b, c))
    assert np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[1])
    greatest = FORMATS[shape.total].infinity
    for place in np.ndindex(c.shape):
        p, i, j = place
        row, column = a[p, i].tolist(), b[p, :, j].tolist()
        units = [published(unit, shape.kind, shape.total, row, column, int(c[place])) for unit in (AMPERE, HOPPER)]
        if any(number(x, shape.kind).special is not None for x in row + column) or _special(c[place], shape):
            assert {int(results[0][place]), int(results[1][place])} == {*units}
            continue
        exact, size = exact_sum(shape.kind, shape.total, row, column, int(c[place]))
        limit = bound(shape.depth, shape.total, size)
        for bits in (int(results[0][place]), int(results[1][place]), *units):
            if bits & greatest == greatest:
                form = FORMATS[shape.total]
                assert abs(exact) + limit >= Fraction(2) ** (form.bias + 1) * (1 - Fraction(1, 1 << form.precision))
            else:
                assert abs(number(bits, shape.total).value - exact) <= limit


def _special(c: Any, shape: Shape) -> bool:
    return number(int(c), shape.total).special is not None


def test_equal_operands_give_equal_drawn_values() -> None:
    """As in a unit of hardware, a result depends on nothing but the operands."""
    rng = np.random.default_rng(0)
    a, b = usual(rng, (1, 16, 16), "f16"), usual(rng, (1, 16, 8), "f16")
    c = usual(rng, (1, 16, 8), "f32")
    a[:, 8:], c[:, 8:] = a[:, :8], c[:, :8]
    a, b, c = (np.repeat(each, 5, axis=0) for each in (a, b, c))
    d = multiply(simulator.Device(check=False, seed=4), HALF, a, b, c)
    assert (d == d[0]).all()
    assert np.array_equal(d[:, :8], d[:, 8:])


def test_nothing_added_changes_nothing() -> None:
    """Where all products are zeros every unit gives the accumulator back, and so does the draw."""
    rng = np.random.default_rng(0)
    a, b = usual(rng, (1, 16, 16), "f16"), np.zeros((1, 16, 8), np.uint16)
    c = usual(rng, (1, 16, 8), "f32")
    for seed in (None, 4):
        assert np.array_equal(multiply(simulator.Device(check=False, seed=seed), HALF, a, b, c), c)
