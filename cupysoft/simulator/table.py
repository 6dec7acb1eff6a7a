"""A report as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .classes import CLASSES

if TYPE_CHECKING:
    from .report import KernelReport, Report

__all__ = ["rendered"]


def rendered(report: Report) -> str:
    """Lay a report out in tables, one kernel after the other."""
    parts = [f"launches: {report.launches}"]
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
    ]


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
