"""A report as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .classes import CLASSES
from .profile import PROCESSORS

if TYPE_CHECKING:
    from .report import KernelReport, Report

__all__ = ["rendered"]


def rendered(report: Report) -> str:
    """Lay a report out in tables, one kernel after the other."""
    parts = [f"launches: {report.launches}" + (f", drawn by seed {report.seed}" if report.seed is not None else "")]
    for name, kernel in report.kernels.items():
        parts.append(f"\n{name}, launched {kernel.launches} times" if kernel.launches != 1 else f"\n{name}")
        if kernel.warp_instructions:
            parts += _kernel(kernel)
    return "\n".join(parts)


def _kernel(kernel: KernelReport) -> list[str]:
    instructions = [
        [kind, f"{kernel.thread_instructions[kind]:,}", f"{kernel.warp_instructions[kind]:,}"]
        for kind in CLASSES
        if kernel.warp_instructions[kind]
    ]
    memory = []
    for name, each in sorted(kernel.memory.items()):
        counted = each.units != 0
        units = [f"{each.units:,}", f"{each.ideal:,}", f"{each.units_per_request:.2f}"] if counted else ["", "", ""]
        memory.append([name, f"{each.requests:,}", f"{each.bytes:,}", *units])
    walks = [[name, f"{each.walks_read:.3g}", f"{each.walks_written:.3g}"] for name, each in kernel.arguments.items()]
    return [
        *_aligned(["instructions", "of threads", "of warps"], instructions),
        *_aligned(["memory", "requests", "bytes", "sectors or passes", "ideal", "a request"], memory),
        *_aligned(["argument", "walks read", "walks written"], walks),
        f"  bank conflicts: {kernel.bank_conflicts:,}",
        f"  lanes idle: {kernel.divergence:.1%}",
        *_processors(kernel),
    ]


def _processors(kernel: KernelReport) -> list[str]:
    """What the kernel takes of a processor, and what bounds it on each GPU."""
    lines = []
    if kernel.resources is not None:
        taken = kernel.resources
        shared = kernel.static_shared + kernel.shape.dynamic
        spills = f"{taken.spill_stores + taken.spill_loads:,} bytes spilled" if taken.spills else "none spilled"
        lines.append(f"  a thread: {taken.registers} registers, {spills}; a block: {shared:,} bytes shared")
    rows = []
    for gpu in PROCESSORS:
        roof, held = kernel.roofline(gpu.name), kernel.occupancy(gpu.name)
        occupied = ["", ""] if held is None else [f"{held.share:.0%}", held.limit]
        rows.append([gpu.name, f"{1e6 * roof.time:.3g}", roof.binds, *occupied])
    return lines + _aligned(["GPU", "least us", "bound by", "occupancy", "limited by"], rows)


def _aligned(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a table: the first column to the left, numbers to the right."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, *rows]
    ]
