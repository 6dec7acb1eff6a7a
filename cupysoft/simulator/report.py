"""What ran on a simulated device, counted: instructions, memory traffic, walks over the arguments."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..runtime.resources import Resources
from .checks.layout import COUNTERS, Access, Counter, Space
from .classes import matrix_operations
from .compiled import CompiledKernel
from .launch import Outcome
from .profile import PROCESSORS, Occupancy, Roofline, occupancy, plot, processor, roofline
from .workspace import BLOCK_COUNTERS

__all__ = ["ArgumentReport", "KernelReport", "Report", "Shape", "Traffic"]


@dataclass
class Traffic:
    """Requests of warps to one kind of memory.

    Attributes
    ----------
    requests : int
        Instructions that a warp executed.
    bytes : int
        Asked for by its threads.
    units : int
        32-byte sectors of global memory, or passes through the banks of shared memory.
    ideal : int
        The fewest units that could have served the requests.
    """

    requests: int = 0
    bytes: int = 0
    units: int = 0
    ideal: int = 0

    def add(self, numbers: Any) -> None:
        """Add the four counters of a launch."""
        self.requests += int(numbers[Counter.REQUESTS])
        self.bytes += int(numbers[Counter.BYTES])
        self.units += int(numbers[Counter.UNITS])
        self.ideal += int(numbers[Counter.IDEAL])

    @property
    def units_per_request(self) -> float:
        """Sectors, or passes, of an average request."""
        return self.units / self.requests if self.requests else 0.0

    @property
    def excess(self) -> int:
        """Units beyond the ideal: sectors fetched in vain, bank conflicts."""
        return self.units - self.ideal


@dataclass
class ArgumentReport:
    """How often an array that was passed to a kernel was walked over.

    Attributes
    ----------
    read, written : int
        Bytes.
    footprint : int
        Bytes of all elements, summed over the launches.
    """

    read: int = 0
    written: int = 0
    footprint: int = 0

    @property
    def walks_read(self) -> float:
        """How often the average element was read in a launch: 1.0 when each was read once."""
        return self.read / self.footprint if self.footprint else 0.0

    @property
    def walks_written(self) -> float:
        """How often the average element was written in a launch."""
        return self.written / self.footprint if self.footprint else 0.0


class Shape(NamedTuple):
    """Threads of a block, and bytes of its dynamic shared memory."""

    threads: int
    dynamic: int


@dataclass
class KernelReport:
    """Everything counted of one kernel, summed over its launches.

    Attributes
    ----------
    launches : int
        How often it ran.
    thread_instructions, warp_instructions : dict
        Instructions executed, by class (`cupysoft.simulator.classes`), counted for every thread and for every warp.
    memory : dict
        `Traffic` by name: ``"global read"``, ``"shared write"``, ``"local atomic"`` and so on.
    arguments : dict
        `ArgumentReport` by the argument's name.
    matrix_operations : dict
        Multiplications and additions of matrix instructions, by the type of the factors.
    shape : Shape
        Threads and dynamic shared memory of the last launch.
    """

    launches: int = 0
    thread_instructions: Tally[str] = field(default_factory=Tally)
    warp_instructions: Tally[str] = field(default_factory=Tally)
    memory: dict[str, Traffic] = field(default_factory=dict)
    arguments: dict[str, ArgumentReport] = field(default_factory=dict)
    matrix_operations: Tally[str] = field(default_factory=Tally)
    shape: Shape = field(default_factory=lambda: Shape(1, 0))
    static_shared: int = 0
    _resources: Callable[[], Resources | None] = field(default=lambda: None, repr=False, compare=False)

    @property
    def resources(self) -> Resources | None:
        """Registers, spills and stack, by NVRTC's assembler; None where it has none. The first look compiles."""
        return self._resources()

    @property
    def divergence(self) -> float:
        """Share of the lanes that took no part in what their warps executed."""
        warps = self.warp_instructions.total()
        return 1 - self.thread_instructions.total() / (32 * warps) if warps else 0.0

    def occupancy(self, gpu: str) -> Occupancy | None:
        """Warps that a multiprocessor of a GPU, such as ``"H100"``, could hold; None where registers are not known."""
        of, found = processor(gpu), self.resources
        if found is None:
            return None
        return occupancy(of, self.shape.threads, found.registers, self.static_shared + self.shape.dynamic)

    def roofline(self, gpu: str) -> Roofline:
        """Least time that each part of a GPU, such as ``"H100"``, needs for everything counted."""
        return roofline(self, processor(gpu))

    @property
    def barriers(self) -> int:
        """Block barriers, counted once for each warp that came to one."""
        return self.warp_instructions["barrier"]

    @property
    def bank_conflicts(self) -> int:
        """Passes through the banks of shared memory beyond the fewest possible."""
        return sum(traffic.excess for name, traffic in self.memory.items() if name.startswith("shared"))

    @property
    def global_bytes(self) -> int:
        """Bytes of global memory that threads asked for."""
        return sum(traffic.bytes for name, traffic in self.memory.items() if name.startswith("global"))

    def add(
        self, kernel: CompiledKernel, outcome: Outcome, shape: Shape, assembled: Callable[[], Resources | None]
    ) -> None:
        """Add the records of one launch."""
        self.launches += 1
        self.shape, self.static_shared, self._resources = shape, kernel.shared_bytes, assembled
        if not any(space.counters.size for space in outcome.workspaces):
            return
        counters = np.sum([space.counters for space in outcome.workspaces], axis=0)
        for space in Space:
            for access in (Access.READ, Access.WRITE, Access.ATOMIC):
                start = (space * 3 + access) * len(Counter)
                if counters[start + Counter.REQUESTS]:
                    name = f"{space.name.lower()} {access.name.lower()}"
                    self.memory.setdefault(name, Traffic()).add(counters[start : start + len(Counter)])
        lengths = np.max([space.counters[COUNTERS + 2 :: BLOCK_COUNTERS] for space in outcome.workspaces], axis=0)
        self._add_instructions(kernel, counters[COUNTERS:].reshape(-1, BLOCK_COUNTERS), lengths)
        walks = np.sum([space.walks for space in outcome.workspaces], axis=0)
        for region, number in zip(outcome.binding.regions, outcome.memory.numbers, strict=True):
            argument = self.arguments.setdefault(region.label, ArgumentReport())
            argument.read += int(walks[number, 0])
            argument.written += int(walks[number, 1])
            argument.footprint += region.footprint

    def _add_instructions(self, kernel: CompiledKernel, blocks: Any, lengths: Any) -> None:
        classes = kernel.classes
        for first in np.flatnonzero(blocks[:, 0]).tolist():
            times, lanes = int(blocks[first, 0]), int(blocks[first, 1])
            for number in range(first, first + int(lengths[first])):
                kind = classes[number]
                self.warp_instructions[kind] += times
                self.thread_instructions[kind] += lanes
                if kind == "matrix":
                    factors, operations = matrix_operations(kernel.instructions[number])
                    self.matrix_operations[factors] += times * operations

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, fit for JSON."""
        return {
            "launches": self.launches,
            "thread_instructions": dict(self.thread_instructions),
            "warp_instructions": dict(self.warp_instructions),
            "memory": {
                name: {
                    "requests": each.requests,
                    "bytes": each.bytes,
                    "sectors" if name.startswith("global") else "passes": each.units,
                    "ideal": each.ideal,
                }
                for name, each in self.memory.items()
            },
            "matrix_operations": dict(self.matrix_operations),
            "divergence": self.divergence,
            "bank_conflicts": self.bank_conflicts,
            "barriers": self.barriers,
            "threads": self.shape.threads,
            "resources": None if self.resources is None else asdict(self.resources),
            "occupancy": {
                each.name: None if (found := self.occupancy(each.name)) is None else found.share for each in PROCESSORS
            },
            "roofline": {each.name: self.roofline(each.name).seconds for each in PROCESSORS},
            "walks": {
                name: {"read": each.walks_read, "written": each.walks_written} for name, each in self.arguments.items()
            },
        }


class Report:
    """Counters of a device, by kernel. Printing it gives a table.

    Attributes
    ----------
    seed : int or None
        That of the device, from which everything can be had again.
    launches : int
        Launches so far, of all kernels.
    kernels : dict
        `KernelReport` by the name of the kernel. Only launches are counted where checks are off.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.launches = 0
        self.kernels: dict[str, KernelReport] = {}

    def add(
        self,
        label: str,
        kernel: CompiledKernel,
        outcome: Outcome,
        shape: Shape,
        assembled: Callable[[], Resources | None],
    ) -> None:
        """Add one launch; `assembled` asks the assembler what the kernel takes."""
        self.launches += 1
        self.kernels.setdefault(label, KernelReport()).add(kernel, outcome, shape, assembled)

    def clear(self) -> None:
        """Forget everything."""
        self.launches = 0
        self.kernels.clear()

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, fit for JSON."""
        return {
            **({} if self.seed is None else {"seed": self.seed}),
            "launches": self.launches,
            "kernels": {name: each.as_dict() for name, each in self.kernels.items()},
        }

    def plot(self, path: str | Path) -> None:
        """Draw the roofline of every kernel on several GPUs; see `cupysoft.simulator.profile.plot`."""
        plot(self, path)

    def __str__(self) -> str:
        from .table import rendered

        return rendered(self)
