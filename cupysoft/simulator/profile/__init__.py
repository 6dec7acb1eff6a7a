"""What the counts of a simulated launch say about a GPU: its occupancy, and the time that each of its parts needs."""

from __future__ import annotations

from .occupancy import Occupancy, occupancy
from .plot import plot
from .processors import PROCESSORS, Processor, processor
from .roofline import Roofline, roofline

__all__ = ["PROCESSORS", "Occupancy", "Processor", "Roofline", "occupancy", "plot", "processor", "roofline"]
