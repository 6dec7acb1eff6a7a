"""Devices that tests of the simulator run on: with checks and without, in order and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.harness import Array

__all__ = ["every_device", "ints", "launch", "unchecked"]

every_device = pytest.mark.parametrize(
    "device",
    [
        simulator.Device(check=False),
        simulator.Device(check=False, fast=False),
        simulator.Device(check=True),
        simulator.Device(check=False, seed=7),
    ],
    ids=["fast", "masked", "checked", "drawn"],
)
#: For code that the checks rightly refuse.
unchecked = pytest.mark.parametrize(
    "device",
    [simulator.Device(check=False), simulator.Device(check=False, fast=False), simulator.Device(check=False, seed=3)],
    ids=["fast", "masked", "drawn"],
)


def launch(
    device: simulator.Device,
    body: str,
    arguments: Sequence[Array | np.generic],
    grid: int | tuple[int, ...] = 1,
    block: int | tuple[int, ...] = 32,
    parameters: str = "int* y",
    before: str = "",
    shared: int = 0,
) -> None:
    """Run a kernel with this body; `before` stands in front of it."""
    code = f'{before}\nextern "C" __global__ void f({parameters}) {{\n{body}\n}}'
    grids = (grid,) if isinstance(grid, int) else grid
    blocks = (block,) if isinstance(block, int) else block
    with device:
        simulator.RawKernel(code, "f")(grids, blocks, tuple(arguments), shared_mem=shared)


def ints(*shape: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Zeros to write results into."""
    return np.zeros(shape, np.int32)
