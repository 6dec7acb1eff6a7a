"""How elements come and go: exactly those of the rows, in few sectors, and with the same bits whatever the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft import SoftmaxState, simulator
from tests.kernels.plans_for import DTYPES, Array

ROWS = 3
GUARD = 256


@pytest.fixture
def device() -> Iterator[simulator.Device]:
    with simulator.Device(check=True) as made:
        yield made


class Placed:
    """Rows with gaps between them in the midst of other bytes, `shift` elements beyond an aligned address."""

    def __init__(self, shape: tuple[int, int], dtype: Any, gap: int = 0, shift: int = 0, step: int = 1) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        row = shape[1] * step + gap
        self.strides = (row * self.dtype.itemsize, step * self.dtype.itemsize)
        size = shape[0] * self.strides[0]
        self.memory = np.random.default_rng(size).integers(0, 256, size + 4 * GUARD, np.uint8)
        self.offset = GUARD + -(self.memory.ctypes.data + GUARD) % GUARD + shift * self.dtype.itemsize
        self.array = self.within(self.memory)
        self.other_bytes = self.others()

    def within(self, memory: Array) -> Array:
        """See the rows in a copy of the memory."""
        return np.ndarray(self.shape, self.dtype, memory, self.offset, self.strides)

    def others(self) -> bytes:
        """Give all bytes but those of the rows."""
        memory = self.memory.copy()
        self.within(memory)[...] = 0
        return bytes(memory.tobytes())


def values(columns: int, dtype: Any) -> Array:
    return np.random.default_rng(columns).normal(scale=8, size=(ROWS, columns)).astype(dtype)


def accesses(device: simulator.Device) -> set[str]:
    """Give the names of the accesses in the kernels that ran."""
    found = (re.search(r"Vectors<\d>|Ragged<\d>|SideBySide|Elements", name) for name in device.report.kernels)
    return {match[0] for match in found if match}


# Gap and shift in elements of x and of out, step; and how float32 rows of 1001 (or 1000) come and go then.
PLACES: dict[str, tuple[int, tuple[int, int, int], tuple[int, int, int]]] = {
    "Vectors<4>": (0, (0, 0, 1), (8, 0, 1)),
    "Ragged<4>": (1, (3, 0, 1), (7, 4, 1)),
    "Vectors<2>": (0, (2, 0, 1), (0, 2, 1)),
    "SideBySide": (1, (0, 0, 1), (0, 0, 1)),
    "SideBySide, shifted": (0, (0, 1, 1), (4, 0, 1)),
    "SideBySide, into aligned rows": (1, (0, 3, 1), (7, 0, 1)),
    "SideBySide, of halves": (1, (1, 2, 1), (5, 0, 1)),
    "Elements": (1, (0, 0, 2), (0, 0, 1)),
}
# Rows that a warp holds, a block holds, shared memory keeps, that are streamed, and that are split.
LENGTHS = (100, 1000, 8200, 58_500, 66_000)
CASES = [
    (place, columns)
    for place in PLACES
    for columns in LENGTHS
    if columns < 10_000 or place in ("Ragged<4>", "SideBySide")
]


@pytest.mark.parametrize(("place", "columns"), CASES)
def test_nothing_but_the_rows_is_read_or_written(place: str, columns: int) -> None:
    odd, of_x, of_out = PLACES[place]
    columns += odd
    rows = ROWS if columns < 2000 else 2
    x, out = Placed((rows, columns), "f4", *of_x), Placed((rows, columns), "f4", *of_out)
    x.array[...] = values(columns, "f4")[:rows]
    expected = cupysoft.softmax(x.array, 1)
    with simulator.Device(check=True) as device:
        cupysoft.softmax(x.array, 1, out=out.array)
    assert out.array.tobytes() == expected.tobytes()
    assert x.others() == x.other_bytes
    assert out.others() == out.other_bytes
    kernels = device.report.kernels.values()
    read = sum(kernel.arguments["x"].walks_read for kernel in kernels if "x" in kernel.arguments)
    assert read == (1 if columns < 58_000 else 2)
    assert sum(kernel.arguments["out"].walks_written for kernel in kernels if "out" in kernel.arguments) == 1
    assert accesses(device) == {place.split(",")[0]}


@pytest.mark.parametrize("columns", LENGTHS)
@pytest.mark.parametrize("gap", [0, 3])
def test_a_row_may_be_overwritten(columns: int, gap: int) -> None:
    x = Placed((2, columns + 1), "f4", gap)
    x.array[...] = values(columns + 1, "f4")[:2]
    expected = cupysoft.softmax(x.array, 1)
    with simulator.Device(check=columns < 10_000):
        cupysoft.softmax(x.array, 1, out=x.array)
    assert x.array.tobytes() == expected.tobytes()
    assert x.others() == x.other_bytes


COLUMNS = (3, 9, 33, 101, 1001)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", COLUMNS)
def test_the_way_decides_no_bit(device: simulator.Device, dtype: Any, columns: int) -> None:
    """In float64 too. Elements come and go alike for all functions: each has its turn with every dtype and length."""
    several = values(columns, dtype)
    function = (cupysoft.softmax, cupysoft.log_softmax, cupysoft.logsumexp)[
        (DTYPES.index(dtype) + COLUMNS.index(columns)) % 3
    ]
    results = set()
    seen = set()
    for gap, shift, step in ((0, 0, 1), (-columns % 8, 0, 1), (-columns % 8, 1, 1), (-columns % 4, 4, 1), (0, 0, 2)):
        x = Placed((ROWS, columns), dtype, gap, shift, step)
        x.array[...] = several
        parts = function(x.array, 1), *SoftmaxState.from_array(x.array, 1)._arrays
        results.add(b"".join(part.tobytes() for part in parts))
        assert x.others() == x.other_bytes
        seen |= accesses(device)
    assert len(results) == 1
    assert len(seen) >= 2


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_the_rest_of_a_row_counts(device: simulator.Device, special: float) -> None:
    for columns in (5, 6, 7, 101, 1001, 1002, 1003):
        for gap in (0, -columns % 4):
            x = Placed((ROWS, columns), "f4", gap)
            for at in range(columns - 3, columns):
                x.array[...] = 0
                x.array[1, at] = special
                result = cupysoft.softmax(x.array, 1)
                assert np.isnan(result[1]).all() == (special != -np.inf)
                assert (result[1, at] == 0) == (special == -np.inf)
                assert (result[[0, 2]] == np.float32(1 / columns)).all()


# Gap, and sectors in proportion to the fewest, of reads and of writes. Rows start anywhere in a sector, and what goes
# side by side begins anew in one with each 32 elements.
@pytest.mark.parametrize(
    ("dtype", "columns", "gap", "most"),
    [("f4", 1001, 3, 1.1), ("f4", 1001, 0, 1.3), ("f4", 101, 3, 1.15), ("f2", 1001, 7, 1.1), ("f2", 1001, 0, 1.55),
     ("f4", 9001, 0, 1.3), ("f4", 9001, 3, 1.1), ("f4", 13_001, 0, 1.3), ("f4", 13_001, 3, 1.1), ("f2", 9001, 0, 1.55),
     ("f8", 1001, 1, 1.1), ("f4", 1002, 2, 1.1), ("f4", 1002, 0, 2.1), ("f8", 1001, 0, 2.1)],
)  # fmt: skip
def test_sectors(device: simulator.Device, dtype: str, columns: int, gap: int, most: float) -> None:
    x, out = Placed((ROWS, columns), dtype, gap), Placed((ROWS, columns), dtype, gap)
    x.array[...] = values(columns, dtype)
    cupysoft.softmax(x.array, 1, out=out.array)
    (name, kernel), _ = device.report.kernels.items()  # the second looks at rows in doubt
    # A row also notes, in a sector of its own at worst, whether it is in doubt.
    for direction, notes in (("global read", 0), ("global write", ROWS)):
        if dtype == "f8" and direction == "global read":
            continue  # a table of powers is read between the elements
        traffic = kernel.memory[direction]
        assert traffic.units - notes <= most * traffic.bytes / 32
    # Exponentials are looked up in shared memory, by each lane its own: for 16 bits, and in longer rows of float32.
    if "_floats" not in name and (dtype != "f4" or columns < 129):
        assert kernel.bank_conflicts == 0


def test_sixteen_bytes_at_once(device: simulator.Device) -> None:
    """1001 elements are 250 vectors and one more: eight warps' requests, and one for the rest."""
    x = Placed((1, 1001), "f4")
    x.array[...] = 0
    cupysoft.softmax(x.array, 1)
    kernel, _ = device.report.kernels.values()  # the second looks at rows in doubt
    table = 8192 // 512  # of exponentials, by 16 bytes a lane
    noted = 1  # whether the row is in doubt
    assert kernel.memory["global read"].requests - table == kernel.memory["global write"].requests - noted
    vectors, rest = 8, 3
    assert kernel.memory["global read"].requests - table <= vectors + rest
