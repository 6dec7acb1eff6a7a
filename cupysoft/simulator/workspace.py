"""The memory that one block needs while it runs, and the context that tells the machine code where it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .checks.granules import cell_shift
from .checks.layout import CELLS_OFFSET, COUNTERS, IN_SHARED, LOCAL_WINDOW, SHARED_WINDOW, ShadowField
from .checks.pending import PENDING
from .compiled import CompiledKernel
from .context import SLOTS, ErrorKind, Slot
from .copies import QUEUE_BYTES

__all__ = ["BLOCK_COUNTERS", "Workspace"]

#: Counters of a basic block: times it ran, lanes it ran with, instructions it has.
BLOCK_COUNTERS = 3

_LANES = 32
#: As much as a GPU keeps of what its kernels print, unless it is told to keep more.
_PRINTF_BYTES = 1 << 20
#: Basic blocks that a warp may run before the next warp has its turn.
_BUDGET = 1024
#: Turns of its warps, all together, after which a block that spins or is long gives way to another one.
_TURNS = 64


class Workspace:
    """Shared, local and register memory of a block, counters, shadow memory and the context.

    Parameters
    ----------
    kernel : CompiledKernel
        What runs in it.
    block : tuple of three ints
        Threads of a block.
    dynamic : int
        Bytes of dynamic shared memory.
    checked : bool
        Whether the kernel is instrumented.
    """

    def __init__(self, kernel: CompiledKernel, block: tuple[int, int, int], dynamic: int, checked: bool) -> None:
        threads = math.prod(block)
        warps = -(-threads // _LANES)
        shared = kernel.shared_bytes + dynamic
        self._buffers: list[npt.NDArray[np.uint8]] = []
        self.nbytes = 0
        self._slots = np.zeros(SLOTS, np.int64)
        self.address = self._slots.__array_interface__["data"][0]
        self.walks: npt.NDArray[np.int64] = np.zeros((0, 2), np.int64)
        self.counters: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._lanes = _lanes(block, warps)
        full = threads % _LANES == 0
        opcodes = {each.opcode for each in kernel.instructions}
        printed = _PRINTF_BYTES if "call" in opcodes else 0
        fixed = {
            Slot.SHARED_HOST: self._memory(shared, 128),
            Slot.SHARED_BYTES: shared,
            Slot.DYNAMIC_BYTES: dynamic,
            Slot.LOCAL_HOST: self._memory(kernel.local_bytes * warps * _LANES, 128),
            Slot.LOCAL_STRIDE: kernel.local_bytes,
            Slot.NTID_X: block[0],
            Slot.NTID_Y: block[1],
            Slot.NTID_Z: block[2],
            Slot.WARPS: warps,
            Slot.STATES: self._memory(kernel.state_bytes * warps, 128),
            Slot.STATE_STRIDE: kernel.state_bytes,
            Slot.LAST_WARP_MASK: 0xFFFFFFFF if full else (1 << threads % _LANES) - 1,
            Slot.TIDS: self._lanes.__array_interface__["data"][0],
            Slot.BUDGET: _BUDGET,
            Slot.PATIENCE: max(4, _TURNS // warps),
            Slot.PRINTF_BUFFER: self._memory(printed, 128),
            Slot.PRINTF_BYTES: printed,
            Slot.NSMID: 1,
            Slot.COPIES: self._memory(QUEUE_BYTES * warps, 128) if "cp" in opcodes else 0,
        }
        fixed[Slot.SHARED_WINDOW] = SHARED_WINDOW if checked else fixed[Slot.SHARED_HOST]
        fixed[Slot.LOCAL_WINDOW] = LOCAL_WINDOW if checked else fixed[Slot.LOCAL_HOST]
        fixed[Slot.LOCAL_WINDOW_STRIDE] = 0 if checked else kernel.local_bytes
        for slot, value in fixed.items():
            self[slot] = value
        self._shadow: npt.NDArray[np.int64] | None = None
        if checked:
            self._prepare_checks(kernel, shared, warps)

    def _prepare_checks(self, kernel: CompiledKernel, shared: int, warps: int) -> None:
        shift = cell_shift(kernel.instructions)
        cells = -(-shared // (1 << shift))
        room = CELLS_OFFSET // 8 + cells + _LANES  # the check of a warp loads 32 cells
        self._shadow = np.zeros(room + cells // 2 + 1, np.int64)
        self._shadow[ShadowField.ATOMICS] = 8 * room
        self._shadow[ShadowField.CELLS] = cells
        self._shadow[ShadowField.SHIFT] = shift
        self[Slot.SHADOW_SHARED] = self._shadow.__array_interface__["data"][0]
        self[Slot.SHADOW_LOCAL] = self._memory(kernel.local_bytes * warps * _LANES, 128)
        self.counters = np.zeros(COUNTERS + BLOCK_COUNTERS * len(kernel.instructions), np.int64)
        self[Slot.COUNTERS] = self.counters.__array_interface__["data"][0]

    @property
    def head(self) -> npt.NDArray[np.int64]:
        """The clock of the block that runs here, and what the race check knows beside it; only where it is checked."""
        assert self._shadow is not None
        return self._shadow

    def __getitem__(self, slot: Slot) -> int:
        return int(self._slots[slot])

    def at(self, index: int) -> int:
        """The slot of a number, such as a field of a barrier."""
        return int(self._slots[index])

    def __setitem__(self, slot: Slot, value: int) -> None:
        self._slots[slot] = value

    def begin(self, slots: Sequence[tuple[Slot, int]], allocations: int) -> None:
        """Make ready for a launch: what differs from one launch to the next, and empty records."""
        for slot, value in slots:
            self._slots[slot] = value
        self._slots[Slot.PRINTF_USED] = 0
        self._slots[Slot.ERROR_KIND] = 0
        if self._shadow is not None:
            self.counters.fill(0)
            # No epoch and no block has this number: the first access notices that a block has begun.
            self._slots[Slot.CHECK_0] = self._slots[Slot.CHECK_1] = -1
            self._slots[Slot.CHECK_2] = 0
            if len(self.walks) != allocations:
                self.walks = np.zeros((allocations, 2), np.int64)
                self._slots[Slot.WALKS] = self.walks.__array_interface__["data"][0]
            else:
                self.walks.fill(0)

    def settle(self) -> None:
        """Make a read of unwritten shared memory the error, if it is still pending and nothing tells more about it."""
        if self._shadow is None or not self[Slot.CHECK_2]:
            return
        races = (ErrorKind.WRITE_AFTER_READ, ErrorKind.READ_AFTER_WRITE, ErrorKind.WRITE_AFTER_WRITE)
        earlier = self[Slot.CHECK_6] < self[Slot.ERROR_BLOCK]
        if self[Slot.ERROR_KIND] and not earlier and self[Slot.ERROR_KIND] in races:
            return
        for source, target in PENDING.items():
            self[target] = self[source]
        self[Slot.ERROR_DETAIL] = IN_SHARED

    def printed(self) -> bytes:
        """The records of printf."""
        used = min(self[Slot.PRINTF_USED], self[Slot.PRINTF_BYTES])
        if not used:
            return b""
        address = self[Slot.PRINTF_BUFFER]
        for buffer in self._buffers:
            start = address - buffer.__array_interface__["data"][0]
            if 0 <= start < buffer.nbytes:
                return buffer[start : start + used].tobytes()
        return b""

    def _memory(self, size: int, align: int) -> int:
        """Address of zeroed memory that lives as long as this workspace; a few bytes more than asked for."""
        buffer = np.zeros(size + 2 * align, np.uint8)
        self._buffers.append(buffer)
        self.nbytes += buffer.nbytes
        address: int = buffer.__array_interface__["data"][0]
        return -(-address // align) * align


def _lanes(block: tuple[int, int, int], warps: int) -> npt.NDArray[np.int32]:
    """Thread coordinates of each lane, laid out as (warps, 3, 32)."""
    linear = np.arange(warps * _LANES)
    x, y, z = linear % block[0], linear // block[0] % block[1], linear // (block[0] * block[1])
    lanes = np.stack([x, y, z]).reshape(3, warps, _LANES).transpose(1, 0, 2)
    return np.ascontiguousarray(lanes, np.int32)
