"""GPUs by name: what their multiprocessors hold and how much they do in a clock.

Sources: the tables "Technical Specifications per Compute Capability" and "Throughput of Native
Arithmetic Instructions" of the CUDA C++ Programming Guide, and NVIDIA's architecture papers and
data sheets of the A100, H100, Ada and Blackwell (multiprocessors, boost clock, bandwidth, matrix rates
without sparsity).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...errors import ReportError

__all__ = ["PROCESSORS", "Processor", "of_architecture", "processor"]


@dataclass(frozen=True)
class Processor:
    """A GPU.

    Attributes
    ----------
    name, arch : str
        What it is called, and the architecture it is compiled for.
    multiprocessors : int
        How many it has.
    clock : float
        Boost clock in Hz.
    bandwidth : float
        Bytes a second to and from device memory.
    lanes : mapping
        Results of a class of instruction that one multiprocessor gives in a clock.
    matrix : mapping
        Operations a second of the matrix units, by the type of the factors, on the whole GPU.
    warps, blocks : int
        Most that are resident on one multiprocessor.
    shared : int
        Bytes of shared memory of one multiprocessor.
    reserved : int
        Bytes of it that the system takes for each block.
    """

    name: str
    arch: str
    multiprocessors: int
    clock: float
    bandwidth: float
    lanes: Mapping[str, int]
    matrix: Mapping[str, float] = field(default_factory=dict)
    warps: int = 64
    blocks: int = 32
    shared: int = 228 << 10
    reserved: int = 1 << 10

    #: 32-bit registers of a multiprocessor, and what a warp takes them in.
    registers: int = 65536
    register_unit: int = 256
    #: Warps are dealt to this many schedulers, each of which issues one instruction in a clock.
    schedulers: int = 4


def _lanes(float32: int, float64: int, float16: int, integer: int, load: int) -> dict[str, int]:
    """Rates of all classes; those that the guide's table has alike for these GPUs are written here."""
    return {
        "float32": float32,
        "float64": float64,
        "float16": float16,
        "integer": integer,
        "special": 16,
        "conversion": 64,
        "wide conversion": 2 if float64 == 2 else 16,
        "move": integer,
        "load": load,
        "store": load,
        "copy": load,
        "atomic": load,
        "warp": 32,
    }


#: The GPUs that reports speak of.
PROCESSORS = (
    Processor(
        name="H100",
        arch="sm_90a",
        multiprocessors=132,
        clock=1.98e9,
        bandwidth=3.35e12,
        lanes=_lanes(float32=128, float64=64, float16=256, integer=64, load=32),
        matrix={"f16": 989e12, "bf16": 989e12, "tf32": 494e12, "f64": 67e12},
    ),
    Processor(
        name="A100",
        arch="sm_80",
        multiprocessors=108,
        clock=1.41e9,
        bandwidth=2.039e12,
        lanes=_lanes(float32=64, float64=32, float16=256, integer=64, load=32),
        matrix={"f16": 312e12, "bf16": 312e12, "tf32": 156e12, "f64": 19.5e12},
        shared=164 << 10,
    ),
    Processor(
        name="RTX 4090",
        arch="sm_89",
        multiprocessors=128,
        clock=2.52e9,
        bandwidth=1.008e12,
        lanes=_lanes(float32=128, float64=2, float16=128, integer=64, load=16),
        matrix={"f16": 165.2e12, "bf16": 165.2e12, "tf32": 82.6e12},
        warps=48,
        blocks=24,
        shared=100 << 10,
    ),
    Processor(
        name="B200",
        arch="sm_100",
        multiprocessors=148,
        clock=1.965e9,
        bandwidth=7.7e12,
        lanes=_lanes(float32=128, float64=64, float16=256, integer=64, load=32),
        matrix={"f16": 2250e12, "bf16": 2250e12, "tf32": 1125e12, "f64": 37e12},
    ),
    Processor(
        name="RTX 5090",
        arch="sm_120",
        multiprocessors=170,
        clock=2.407e9,
        bandwidth=1.792e12,
        lanes=_lanes(float32=128, float64=2, float16=128, integer=64, load=16),
        matrix={"f16": 209.5e12, "bf16": 209.5e12, "tf32": 104.8e12},
        warps=48,
        blocks=24,
        shared=100 << 10,
    ),
)


def processor(name: str) -> Processor:
    """A GPU by its name.

    Raises
    ------
    ReportError
        If it is not one of `PROCESSORS`.
    """
    for each in PROCESSORS:
        if each.name == name:
            return each
    raise ReportError(f"processor: {name!r} is not known; known are {', '.join(each.name for each in PROCESSORS)}")


def of_architecture(arch: str) -> Processor:
    """The GPU that stands for an architecture: the newest of `PROCESSORS` that is not newer, else the oldest."""
    older = [each for each in PROCESSORS if _number(each.arch) <= _number(arch)]
    return (
        max(older, key=lambda each: _number(each.arch))
        if older
        else min(PROCESSORS, key=lambda each: _number(each.arch))
    )


def _number(arch: str) -> int:
    return int(re.sub(r"\D", "", arch))
