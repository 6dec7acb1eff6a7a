"""The roofline of a report as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import MissingDependencyError, ReportError
from .processors import PROCESSORS
from .roofline import roofline

if TYPE_CHECKING:
    from ..report import Report

__all__ = ["plot"]

_BAR = "#9db4c8"
_BINDING = "#c1440e"


def plot(report: Report, path: str | Path) -> None:
    """Draw, for each kernel and GPU, the time that each part needs; the part that binds is marked.

    Parameters
    ----------
    report : Report
        Counts of launches on a device with ``check=True``.
    path : str or Path
        The picture; its ending says the format, such as ``.png`` or ``.svg``.

    Raises
    ------
    ReportError
        If the report has no counts.
    MissingDependencyError
        If matplotlib is not installed.
    """
    counted = {name: kernel for name, kernel in report.kernels.items() if kernel.warp_instructions}
    if not counted:
        raise ReportError("report.plot: nothing was counted; run kernels on a Device(check=True) first")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("report.plot: matplotlib is needed; pip install matplotlib") from error
    figure = Figure(figsize=(4 * len(PROCESSORS), 1 + 2.5 * len(counted)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(counted), len(PROCESSORS), squeeze=False)
    for row, (name, kernel) in zip(panels, counted.items(), strict=True):
        for panel, gpu in zip(row, PROCESSORS, strict=True):
            lines = roofline(kernel, gpu)
            finite = {part: 1e6 * value for part, value in lines.seconds.items() if value < float("inf")}
            colors = [_BINDING if part == lines.binds else _BAR for part in finite]
            panel.barh(list(finite), list(finite.values()), color=colors)
            panel.invert_yaxis()
            panel.set_xlabel("microseconds")
            panel.set_title(f"{gpu.name}: {lines.binds} binds", fontsize=9)
        row[0].set_ylabel(name if len(name) < 40 else f"{name[:37]}...", fontsize=8)
    figure.savefig(path)
