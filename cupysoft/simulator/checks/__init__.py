"""Checks and counters of the simulated device, as instrumentation of the machine code."""

from __future__ import annotations

from .instrument import Checked

__all__ = ["Checked"]
