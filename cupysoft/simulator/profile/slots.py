"""What the issue slots and the pipes of a GPU leave of its bandwidth, from the instructions of a kernel's elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import ReportError
from ...runtime.ahead import compiled
from ...runtime.disassembly import disassembled
from ...runtime.issue_slots import PIPES, sections
from ...runtime.plan import Plan
from .processors import Processor

__all__ = ["Slots", "slots", "slots_of_plan"]

_WARP = 32


@dataclass(frozen=True)
class Slots:
    """What a kernel issues for an element, beside what a GPU can in the time of the element's memory traffic.

    Attributes
    ----------
    issued, budget : mapping
        Instructions for an element, and how many there may be at full bandwidth, by pipe; ``"issue"`` is all together.
    """

    issued: Mapping[str, float]
    budget: Mapping[str, float]

    @property
    def share(self) -> float:
        """The modelled share of the bandwidth: 1 where no pipe is the limit."""
        return min([1.0, *(self.budget[pipe] / count for pipe, count in self.issued.items() if count)])

    @property
    def binds(self) -> str:
        """What is nearest to its limit."""
        return min(self.issued, key=lambda pipe: self.budget[pipe] / (self.issued[pipe] or 1e-9))


def slots(issued: Mapping[str, float], traffic: float, of: Processor) -> Slots:
    """Hold instructions for an element against a GPU.

    Parameters
    ----------
    issued : mapping
        Instructions for an element by pipe, as `cupysoft.runtime.issue_slots` names them.
    traffic : float
        Bytes that an element moves to and from device memory.
    of : Processor
        The GPU. A model of throughput alone: every latency is taken to be hidden.
    """
    clocks = of.multiprocessors * of.clock * traffic / of.bandwidth
    every = _WARP * of.schedulers
    lanes = {
        **of.lanes,
        "load/store": of.lanes["load"],
        "float16": of.lanes["float16"] // 2,  # an instruction works on pairs
        "control": every,
        "issue": every,
    }
    counts = {**issued, "issue": sum(issued.values())}
    return Slots(counts, {pipe: clocks * lanes[pipe] for pipe in counts})


def slots_of_plan(plan: Plan, itemsize: int, of: Processor, arch: str | None = None) -> Slots:
    """The same for all kernels of a plan that touch every element of x, each compiled for the GPU's architecture.

    Parameters
    ----------
    plan : Plan
        Its kernels move vectors of 16 bytes.
    itemsize : int
        Bytes of an element.
    of : Processor
        The GPU.
    arch : str, optional
        Another architecture to compile for.

    Raises
    ------
    ReportError
        If a kernel's loads do not tell how many elements a thread handles.
    """
    issued = dict.fromkeys(PIPES, 0.0)
    traffic = 0.0
    for step in plan.steps:
        # What looks again at rare rows reads x too, but not in vectors.
        if "x" in step.args and step.kernel.name.startswith("softmax_"):
            made = compiled(step.kernel, arch or of.arch, "cubin")
            found = sections(disassembled(made.code)[made.names[step.kernel.name]], itemsize)
            # Loads that stand by for the rest of a row would pass for loads of further elements.
            if not found or "Ragged" in step.kernel.name:
                raise ReportError(
                    f"slots_of_plan: how many elements a thread of {step.kernel.name} handles cannot be told from its "
                    "loads; expected a plan for contiguous rows whose length is a multiple of 16 bytes"
                )
            for section in found:
                issued = {pipe: count + section.an_element(pipe) for pipe, count in issued.items()}
                traffic += section.bytes / section.elements
    return slots(issued, traffic, of)
