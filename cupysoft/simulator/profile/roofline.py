"""The least time that each part of a GPU needs for what was counted; the longest of them binds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .processors import Processor

if TYPE_CHECKING:
    from ..report import KernelReport, Traffic

__all__ = ["Roofline", "roofline"]

_SECTOR = 32
#: Classes of instruction whose units are shared: what they need adds up.
_SHARED_UNITS = {"store": "load", "copy": "load", "atomic": "load", "move": "integer"}


@dataclass(frozen=True)
class Roofline:
    """Times in seconds, if each part of the GPU worked alone and without a pause.

    Attributes
    ----------
    processor : Processor
        The GPU.
    seconds : dict
        By part: ``"memory"`` (every sector that a warp asked for, as if no cache held any), ``"shared"`` (passes
        through the banks), ``"issue"`` (all instructions, one a scheduler and clock), a class of instruction,
        ``"matrix f16"`` and the like.
    """

    processor: Processor
    seconds: dict[str, float]

    @property
    def binds(self) -> str:
        """The part that needs most time."""
        return max(self.seconds, key=lambda part: self.seconds[part])

    @property
    def time(self) -> float:
        """What it needs: no launch can be faster."""
        return self.seconds[self.binds]


def roofline(kernel: KernelReport, of: Processor) -> Roofline:
    """Times for everything counted of a kernel.

    An instruction costs its units 32 lanes whenever a warp executes it, however many of its lanes take part. PTX is
    counted, not machine code: the assembler may merge or split instructions.
    """
    a_second = of.multiprocessors * of.clock
    seconds = {"memory": _SECTOR * sum(each.units for each in _of(kernel, "global")) / of.bandwidth}
    passes = sum(each.units for each in _of(kernel, "shared"))
    if passes:
        seconds["shared"] = passes / a_second  # one a clock
    seconds["issue"] = kernel.warp_instructions.total() / of.schedulers / a_second
    for kind, count in kernel.warp_instructions.items():
        part = _SHARED_UNITS.get(kind, kind)
        if part in of.lanes:
            seconds[part] = seconds.get(part, 0.0) + 32 * count / of.lanes[part] / a_second
    for kind, operations in kernel.matrix_operations.items():
        seconds[f"matrix {kind}"] = operations / of.matrix[kind] if kind in of.matrix else float("inf")
    return Roofline(of, seconds)


def _of(kernel: KernelReport, space: str) -> list[Traffic]:
    return [traffic for name, traffic in kernel.memory.items() if name.startswith(space)]
