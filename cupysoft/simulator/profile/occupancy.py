"""How many warps of a kernel a multiprocessor can hold at one time."""

from __future__ import annotations

from dataclasses import dataclass

from .processors import Processor

__all__ = ["Occupancy", "occupancy"]

#: Registers are given to a thread in steps of eight.
_REGISTER_STEP = 8
#: Shared memory is given to a block in steps of this many bytes.
_SHARED_STEP = 128


@dataclass(frozen=True)
class Occupancy:
    """Resident blocks and warps of a multiprocessor.

    Attributes
    ----------
    blocks, warps : int
        How many are resident.
    share : float
        Share of the warps that could be.
    limits : dict
        Blocks that each resource allows: ``"warps"``, ``"blocks"``, ``"registers"``, ``"shared"``.
    """

    blocks: int
    warps: int
    share: float
    limits: dict[str, int]

    @property
    def limit(self) -> str:
        """The resource that is used up first."""
        return min(self.limits, key=lambda name: self.limits[name])


def occupancy(of: Processor, threads: int, registers: int, shared: int) -> Occupancy:
    """Occupancy of a kernel.

    Parameters
    ----------
    of : Processor
        The GPU.
    threads : int
        Threads of a block.
    registers : int
        Registers of a thread.
    shared : int
        Bytes of shared memory of a block, static and dynamic.
    """
    warps = -(-threads // 32)
    a_warp = -(-32 * (-(-max(registers, 1) // _REGISTER_STEP) * _REGISTER_STEP) // of.register_unit) * of.register_unit
    # Each scheduler has its own part of the registers; a warp lives in one of them.
    held = of.registers // of.schedulers // a_warp * of.schedulers
    room = -(-shared // _SHARED_STEP) * _SHARED_STEP + of.reserved
    limits = {
        "warps": of.warps // warps,
        "blocks": of.blocks,
        "registers": held // warps,
        "shared": of.shared // room if shared else of.blocks,
    }
    blocks = min(limits.values())
    return Occupancy(blocks, blocks * warps, blocks * warps / of.warps, limits)
