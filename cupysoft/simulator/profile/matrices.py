"""What a kernel of attention leaves of a GPU's matrix units, from the instructions of its loop over the keys."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import ReportError
from ...runtime.ahead import compiled
from ...runtime.disassembly import Instruction, disassembled
from ...runtime.matrix_slots import TileLoop, tile_loop
from ...runtime.plan import KernelRef
from .processors import Processor

__all__ = ["MatrixShare", "matrix_share", "share_of_code"]

_WARP = 32
# Rows of a matrix instruction, of which a warp has one or more.
_ROWS = 16
# The share of the data sheet's rate that mma.sync reaches, where wgmma and tcgen05 alone reach all of it. H100: W. Luo
# et al., "Benchmarking and dissecting the Nvidia Hopper GPU architecture via microbenchmarking", 2024: 63 % on average.
# B200: not published; taken to do in a clock what the H100 does, which is half of its own rate. Of float64 there is no
# other instruction.
_SYNCHRONOUS = {"H100": 0.63, "B200": 0.63 / 2}


@dataclass(frozen=True)
class MatrixShare:
    """How busy the matrix units can be: a model of throughput alone.

    Attributes
    ----------
    loop : TileLoop
        What is issued for a tile.
    clocks : mapping
        Clocks of one scheduler that a tile takes of each pipe, ``"issue"``, ``"shared memory"`` and ``"matrix"``.
    of_peak : float
        The share of the data sheet's rate that mma.sync reaches.
    """

    loop: TileLoop
    clocks: Mapping[str, float]
    of_peak: float

    @property
    def binds(self) -> str:
        """What takes longest."""
        return max(self.clocks, key=lambda pipe: self.clocks[pipe])

    @property
    def bound(self) -> float:
        """The share of the rate of mma.sync, if all pipes work at the same time."""
        return self.clocks["matrix"] / max(self.clocks.values())

    @property
    def alone(self) -> float:
        """The same if matrix units stand still whenever something else is issued, as for a warp that is alone."""
        return self.clocks["matrix"] / (self.clocks["matrix"] + self.clocks["issue"] - self.loop.issued["matrix"])


def matrix_share(kernel: KernelRef, of: Processor) -> MatrixShare:
    """Hold a kernel of attention against a GPU.

    Parameters
    ----------
    kernel : KernelRef
        One of kernels/attention that uses matrix instructions.
    of : Processor
        The GPU, for whose architecture it is compiled.

    Raises
    ------
    ReportError
        If the kernel is another one, or the GPU has no such units.
    """
    made = compiled(kernel, of.arch, "cubin")
    return share_of_code(disassembled(made.code)[made.names[kernel.name]], kernel, of)


def share_of_code(code: Sequence[Instruction], kernel: KernelRef, of: Processor) -> MatrixShare:
    """The same of machine code that is there."""
    header, kind, wanted = _wanted(kernel.name)
    if kind not in of.matrix:
        raise ReportError(f"matrix_share: {of.name} has no matrix units for {kind}, of which {kernel.name} makes use")
    loop = tile_loop(code, wanted, header)
    share = 1.0 if kind == "f64" else _SYNCHRONOUS.get(of.name, 1.0)
    # A power of two in a clock; data sheets count at clocks of their own.
    rate = of.matrix[kind] / 2 / of.multiprocessors / of.clock / of.schedulers
    lanes = {**of.lanes, "float16": of.lanes["float16"] // 2}  # an instruction works on pairs
    clocks = {pipe: count * _WARP * of.schedulers / lanes[pipe] for pipe, count in loop.issued.items() if pipe in lanes}
    clocks["issue"] = float(loop.slots)
    clocks["shared memory"] = float(loop.passes * of.schedulers)
    clocks["matrix"] = loop.multiplications / 2 ** round(math.log2(rate)) / share
    return MatrixShare(loop, clocks, share)


def _wanted(name: str) -> tuple[str, str, dict[str, int]]:
    """Where the products of a kernel are, the type of their factors, and what each multiplies for a tile of keys."""
    found = re.fullmatch(r"attention_(half|wide)<([^,]+), Options<.*>, \d+, ([\d, ]+)>", name)
    if found is None:
        raise ReportError(f"matrix_share: {name} is no kernel of attention that uses matrix instructions")
    family, unit, numbers = found[1], found[2], [int(each) for each in found[3].split(", ")]
    head, value = numbers[:2]
    bands, keys = (numbers[3], numbers[4]) if family == "half" else (1, numbers[3])
    times = 3 if unit == "Tf32<3>" else 1
    pairs = {"multiply_keys": head, "multiply_values": value}
    kind = {"Float16": "f16", "Bfloat16": "bf16", "Float64": "f64"}.get(unit, "tf32")
    header = f"attention/{family}_products.cuh"
    return header, kind, {each: times * _ROWS * bands * keys * columns for each, columns in pairs.items()}
