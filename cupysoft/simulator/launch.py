"""One launch on the simulated device: from checked arguments to finished blocks, records and errors."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SimulatorError
from ..workers import thread_count
from .arguments import Binding, Region, bind, pack
from .checks.granules import granule_shift
from .checks.layout import MOST_BLOCKS
from .compiled import CompiledKernel
from .context import ErrorKind, Slot
from .diagnose import Site, error_from
from .execute import Schedule, execute
from .memory import AddressMap, Variables
from .order import Ordering
from .printf import show
from .remembered import remember
from .stagnation import Stagnation
from .workspace import Workspace

__all__ = ["LoadedKernel", "Outcome", "lies_in_rows"]

Extent = tuple[int, int, int]


def lies_in_rows(block: Extent) -> bool:
    """Tell whether the lanes of every whole warp of a block follow each other along its x axis."""
    return block[0] % 32 == 0 or block[1] * block[2] == 1


#: How many times as long as it takes to do better a kernel may run as it was compiled in haste. Better code saves a
#: third of the time at most: waiting for it is worth its while if the kernel goes on to run as long again and a half.
_PATIENCE = 2.0
#: Workspaces of one shape that are kept for the next launch.
_KEPT = 64
#: A grid with fewer threads than this is run by one thread: to wake a second one would cost more.
_ALONE = 64
#: The same with checks, which in one thread see everything in one order, so that a race is reported the same each time.
_ALONE_CHECKED = 1 << 13
#: Bytes that the barrier of a cooperative grid has to itself.
_GRID_WORKSPACE = 256


@dataclass(frozen=True)
class Outcome:
    """What a launch leaves for the report."""

    binding: Binding
    memory: AddressMap
    workspaces: list[Workspace]
    spare: list[Workspace]

    def read(self) -> None:
        """Leave the workspaces to later launches, of other threads too: their counters have been read."""
        if len(self.spare) < _KEPT:
            self.spare.extend(self.workspaces)


@dataclass
class LoadedKernel:
    """A kernel with the variables of its module, ready to be launched.

    Attributes
    ----------
    kernel : CompiledKernel
        The machine code.
    variables : Variables
        What all kernels of the module share.
    checked : bool
        Whether the machine code is instrumented.
    seconds : float
        How long launches took so far.
    """

    kernel: CompiledKernel
    variables: Variables
    checked: bool
    seconds: float = 0.0
    _spare: dict[tuple[Extent, int, bool], list[Workspace]] = field(default_factory=dict)
    _known: npt.NDArray[np.int64] | None = None
    _last_seconds: float = 0.0

    @property
    def outgrown(self) -> bool:
        """Whether better machine code would have been worth its while."""
        return self.kernel.hasty and self.seconds > _PATIENCE * self.kernel.care

    def _symbols(self) -> npt.NDArray[np.int64]:
        """The addresses of the variables; where they are does not change, but what initialisers say of it may."""
        if self._known is None:
            self._known = np.array(self.variables.require(self.kernel.symbols, self.checked) or [0], np.int64)
        self.variables.relocate(self.checked)
        return self._known

    @cached_property
    def _granule_shift(self) -> int:
        return granule_shift(self.kernel.instructions)

    def launch(
        self,
        label: str,
        grid: Extent,
        block: Extent,
        args: Sequence[object],
        dynamic: int,
        names: Sequence[str] | None = None,
        seed: int | None = None,
        number: int = 0,
        cooperative: bool = False,
        device: str = "",
        called: Callable[[], Sequence[str]] = tuple,
    ) -> Outcome:
        """Run every block to its end.

        Parameters
        ----------
        label : str
            Name of the kernel in messages.
        grid, block : tuple of three ints
            Blocks of the grid, threads of a block.
        args : sequence
            Arguments.
        dynamic : int
            Bytes of dynamic shared memory.
        names : sequence of str, optional
            What messages call the arguments.
        seed : int, optional
            Draws the order of blocks and warps.
        number : int
            Number of the launch.
        cooperative : bool
            Whether all blocks are on the device together, and can wait for each other at the grid's barrier.
        device : str
            How messages call the device.
        called : callable
            Gives the names of the parameters in the source, or none.

        Raises
        ------
        LaunchError
            If the arguments do not fit; nothing has run then.
        SimulatorError
            If a thread went wrong; of several, the one in the lowest block is reported.
        """
        binding = bind(label, self.kernel.parameters, args, names)
        symbols = self._symbols()
        barrier = np.zeros(_GRID_WORKSPACE * cooperative, np.uint8)
        # Memory of 16-byte alignment that stays where it is while the kernel runs.
        last = binding.parameters[-1] if binding.parameters else None
        home = np.zeros((last.offset + last.size if last else 0) // 16 + 1, np.complex128)
        beside = _as_region(barrier, "the grid's barrier", True) + _as_region(home, "the kernel's parameters", False)
        memory = AddressMap.build(binding.regions, self.variables, beside)
        hosts = [region.address + region.start for region in binding.regions]
        parameters = np.frombuffer(pack(binding, memory.addresses if self.checked else hosts), np.uint8)
        home.view(np.uint8)[: parameters.size] = parameters
        blocks = math.prod(grid)
        slots = [
            (Slot.PARAMETERS, _address(home)),
            (Slot.SYMBOLS, _address(symbols)),
            (Slot.NCTAID_X, grid[0]),
            (Slot.NCTAID_Y, grid[1]),
            (Slot.NCTAID_Z, grid[2]),
            (Slot.LAUNCH_ID, number),
        ]
        if self.checked:
            slots.append((Slot.ALLOCATIONS, _address(memory.table)))
            slots.append((Slot.ALLOCATION_COUNT, len(memory.table)))
        if cooperative:
            slots.append((Slot.GRID_WORKSPACE, memory.extra[0] if self.checked else _address(barrier)))
            slots.append((Slot.PATIENCE, 1))  # who waits for the other blocks gives way at once
        schedule = _plan(blocks, math.prod(block), seed, number, self.checked)
        schedule.together = cooperative
        slots.append((Slot.STOP, schedule.stop_address))
        slots += _drawn(seed, number)
        # The same in every launch: like a device's own, results that are drawn depend on the operands alone.
        slots.append((Slot.VALUES, 0 if seed is None else random.Random(f"{seed} values").getrandbits(62) | 1))
        spare = self._spare.setdefault((block, dynamic, cooperative), [])

        ordering = Ordering(blocks, -(-math.prod(block) // 32)) if self.checked else None
        stamps = remember(memory, self._granule_shift) if blocks <= MOST_BLOCKS * self.checked else []

        def workspace() -> Workspace:
            space = _popped(spare) or Workspace(self.kernel, block, dynamic, self.checked)
            space.begin(slots, len(memory.regions))
            if ordering is not None:
                ordering.attach(space)
            return space

        drawn = "" if seed is None else f"seed {seed}: the same launches on {device} do this again"
        stagnation = Stagnation(memory, self.kernel.starts)
        begin = time.perf_counter()
        used = execute(schedule, self.kernel.run, workspace, stagnation, self._last_seconds)
        self._last_seconds = time.perf_counter() - begin
        self.seconds += self._last_seconds
        del stamps
        if ordering is not None and ordering.error is not None:
            raise ordering.error
        show(used, memory if self.checked else None)
        site = Site(label, self.kernel, grid, block, dynamic, memory, self.checked, drawn, called)
        error = self._error(used, site)
        if error is not None:
            raise error  # what the checks noted last is still in these workspaces
        return Outcome(binding, memory, used, spare)

    def _error(self, used: list[Workspace], site: Site) -> SimulatorError | None:
        for space in used:
            space.settle()
        failed = [space for space in used if space[Slot.ERROR_KIND]]
        if not failed:
            return None
        return error_from(site, min(failed, key=_rank), used)


def _popped(spare: list[Workspace]) -> Workspace | None:
    """Take a workspace that is there, while other threads do the same."""
    try:
        return spare.pop()
    except IndexError:
        return None


def _rank(space: Workspace) -> tuple[bool, int]:
    """Order errors: who waits for a block that failed waits for ever, which says less than why that one failed."""
    return space[Slot.ERROR_KIND] == ErrorKind.ENDLESS, space[Slot.ERROR_BLOCK]


def _drawn(seed: int | None, number: int) -> list[tuple[Slot, int]]:
    """Begin the generator of a launch; how far a warp may run at a time, one basic block or many, is drawn first."""
    if seed is None:
        return [(Slot.SEED, 0)]
    rng = random.Random(f"{seed} {number}")
    return [(Slot.SEED, rng.getrandbits(62) | 1), (Slot.BUDGET, 1 << rng.randrange(11))]


def _plan(blocks: int, threads_of_block: int, seed: int | None, number: int, checked: bool) -> Schedule:
    """Say which thread runs which blocks; with a seed, one thread runs them in a drawn order."""
    if seed is not None:
        order = list(range(blocks))
        random.Random(f"{seed} {number} blocks").shuffle(order)
        return Schedule([(block, block + 1) for block in order], ordered=False)
    alone = _ALONE_CHECKED if checked else _ALONE
    return Schedule([(0, blocks)], 1 if blocks * threads_of_block <= alone else min(thread_count(), blocks))


def _as_region(memory: npt.NDArray[Any], label: str, writable: bool) -> list[Region]:
    """Memory that is no argument as a region, if there is any."""
    size = memory.nbytes
    return [Region(label, _address(memory), size, 0, writable, 4, 0, size)] if size else []


def _address(array: npt.NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
