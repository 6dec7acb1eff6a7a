"""A probe of the kernels, and the rows that probes are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

import cupysoft
from cupysoft import simulator
from tests.near_ties import NEAR_TIES

__all__ = ["BFLOAT16", "FUNCTIONS", "Array", "Probe", "near_tie_rows", "special_rows"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Probe:
    """A call, and how to make its result comparable.

    Attributes
    ----------
    name : str
    call : callable
        Gives arrays.
    seed : int or None
        Of the device that checks it.
    """

    name: str
    call: Callable[[], Iterator[Array]]
    seed: int | None = None

    def run(self, check: bool = True) -> Iterator[bytes]:
        """Give the bits of each result, NaN as one value."""
        with simulator.Device(check=check, seed=self.seed, fast=False):
            yield from map(_bits, self.call())


def _bits(array: Array) -> bytes:
    array = np.asarray(array)
    if array.dtype.kind in "bu":
        return array.tobytes()
    parts = (array.real, array.imag) if array.dtype.kind == "c" else (array,)
    return b"".join(np.where(np.isnan(part), np.nan, part).astype(part.dtype).tobytes() for part in parts)


FUNCTIONS = (cupysoft.softmax, cupysoft.log_softmax, cupysoft.logsumexp)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
# Rows that are decided by what is infinite, NaN, equal, far apart, or nearly cancels.
SPECIAL = [
    [np.inf, 0, 1], [-np.inf] * 3, [-np.inf, 0, -np.inf], [np.nan, 1, np.inf], [np.inf, np.inf, -np.inf], [0, 0, 0],
    [-0.0, 0, -1e4], [0, -30, -60], [0, -40, -700], [3, -1, 2], [-1.5, -0.25251291, -900], [88, 90, 1000],
    [-98, -101, 3],
]  # fmt: skip


def special_rows(dtype: Any, columns: int, seed: int = 0) -> Array:
    """Make rows that begin with what is special and go on with what is not."""
    rng = np.random.default_rng([seed, columns])
    x = rng.normal(size=(len(SPECIAL) + 4, columns)) * 6
    head = np.array(SPECIAL)[:, : min(columns, 3)]
    x[: len(SPECIAL)] -= 20
    x[: len(SPECIAL), : head.shape[1]] = head
    x[6, 3:] = -np.inf
    return x.astype(dtype)


def near_tie_rows(function: str, dtype: Any, columns: int) -> Array:
    """Make rows with one result next to a tie, in the middle."""
    name = np.dtype(dtype).name
    found = [row for known, kind, _, row in NEAR_TIES if (known, kind) == (function, name) and len(row) < columns / 2]
    x = np.full((len(found), columns), -np.inf)
    for line, row in zip(x, found, strict=True):
        line[columns // 2 :][: len(row)] = row
    return x.astype(dtype)
