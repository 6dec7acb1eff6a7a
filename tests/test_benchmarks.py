"""The scripts that count for the docs say what is so."""

from __future__ import annotations

import numpy as np
import pytest

import cupysoft
from benchmarks import exactness, host_tiers, weighted_tiers


@pytest.mark.parametrize("function", exactness.FUNCTIONS)
def test_counts_beside_other_libraries(function: str) -> None:
    found = {row["library"]: row for row in exactness.compared(function, "float32", 2000, 100, 10, 0)}
    assert found["cupysoft"]["not correctly rounded, %"] == 0
    assert found["cupysoft"]["bits depend on batch or layout"] == "no"
    assert found["SciPy"]["results"] == (20 if function == "logsumexp" else 2000)
    assert function == "logsumexp" or found["SciPy"]["not correctly rounded, %"] > 10


def test_bits_that_depend_on_the_batch_are_seen() -> None:
    x = np.random.default_rng(0).normal(size=(4, 1000)).astype("f4")

    def by_length(a: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(cupysoft.softmax(a, axis=axis) + np.float32(len(a) == 1) * 1e-7)

    assert exactness.depends_on_batch(by_length, x, by_length(x, 1))
    for function, formula in exactness.FORMULAS.items():
        np.testing.assert_allclose(formula(x, 1), getattr(cupysoft, function)(x, axis=1), rtol=1e-4)


def test_tiers_are_counted() -> None:
    found = host_tiers.counted("logsumexp", "float64", 1000, 10, 1)
    assert found["rows"] == 100
    assert found["integers, rows"] == 0
    assert host_tiers.counted("softmax", "float32", 1 << 19, 1 << 12, 1)["doubted, of a million"] < 100


def test_tiers_of_weighted_sums_are_counted() -> None:
    found = weighted_tiers.counted("float64", 4500, 9, 1, "0 to 1")
    assert (found["rows"], found["last tier, % of rows"]) == (500, 0)
    assert found["second tier, % of rows"] < 1
