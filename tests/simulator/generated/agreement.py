"""Runs a generated kernel in several ways on the same arrays, and compares what they leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from cupysoft import simulator
from cupysoft.simulator.device import LoadedModule
from tests.simulator.generated.kernel import NAME, Kernel
from tests.simulator.generated.memory import INPUTS
from tests.simulator.generated.sharing import ATOMIC_ROWS, CELLS
from tests.simulator.harness import Array, floats, words
from tests.simulator.oracle import machine

__all__ = ["Arrays", "Run", "arrays_of", "compare", "on_device", "on_oracle"]

Arrays: TypeAlias = dict[str, Array]
Run: TypeAlias = Callable[[Kernel], Arrays]

_DTYPES = {"i": np.uint8, "f": np.float32, "d": np.float64, "e": np.float16, "b": np.uint16}


def arrays_of(kernel: Kernel) -> Arrays:
    """The arrays of a launch, by parameter: inputs full of edge values, outputs that hold something already."""
    rng = np.random.default_rng(kernel.seed)
    arrays: Arrays = {}
    for name, (size, count) in INPUTS.items():
        numbers = np.frombuffer(rng.bytes(size * count), f"u{size}")
        if name == "i":  # numbers of all sizes, and of both signs
            wide = np.frombuffer(rng.bytes(count), np.uint64).view(np.int64) >> rng.integers(0, 64, count // 8)
            numbers = wide.view(np.uint8)
        else:
            edges = floats(np.uint16 if size == 2 else _DTYPES[name], 1, 8)[0].view(f"u{size}")
            numbers = np.where(rng.random(count) < 0.4, rng.choice(edges, count), numbers)
        arrays[f"in_{name}"] = numbers.astype(f"u{size}").view(_DTYPES[name])
    for name, size in kernel.outputs.items():
        arrays[f"out_{name}"] = np.full(size, 3, np.uint8).view(_DTYPES[name])
    arrays["cells"] = np.arange(CELLS * len(ATOMIC_ROWS), dtype=np.uint32) * 77
    return arrays


def arguments_of(kernel: Kernel, arrays: Arrays) -> list[Array | np.generic]:
    """The arguments of a launch."""
    numbers: list[np.generic] = [
        np.uint32(kernel.seed % 13),
        np.uint32(kernel.seed % 7),
        np.float32(1.7),
        np.float64(-0.3),
    ]
    return [*arrays.values(), *numbers]


def on_device(device: simulator.Device, module: LoadedModule | None = None) -> Run:
    """A run on a simulated device; runs of one kernel may share its module."""

    def run(kernel: Kernel) -> Arrays:
        arrays = arrays_of(kernel)
        loaded = module or LoadedModule(kernel.text)
        device.run(loaded, NAME, kernel.grid, kernel.block, arguments_of(kernel, arrays), kernel.dynamic)
        return arrays

    return run


def on_oracle(kernel: Kernel) -> Arrays:
    """A run of the interpreter in Python."""
    arrays = arrays_of(kernel)
    machine.run(kernel.text, NAME, kernel.grid, kernel.block, arguments_of(kernel, arrays), kernel.dynamic)
    return arrays


def compare(kernel: Kernel, results: Mapping[str, Arrays]) -> None:
    """Fail unless all results have the same bits, every NaN as one value."""
    (first, expected), *others = results.items()
    for name, got in others:
        for array, want in expected.items():
            wrong = np.flatnonzero(_words(array, want) != _words(array, got[array]))
            if wrong.size:
                k = int(wrong[0])
                raise AssertionError(
                    f"{array}[{k}] and {wrong.size - 1} others: {first} has {want[k]!r}, {name} {got[array][k]!r}\n"
                    f"grid {kernel.grid}, block {kernel.block}, seed {kernel.seed}\n{kernel.text}"
                )


def _words(name: str, array: Array) -> Array:
    bits = words(array)
    return np.where(bits & 0x7FFF > 0x7F80, 0xFFFF, bits) if name.endswith("_b") else bits
