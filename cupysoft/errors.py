"""Every exception class of the package.

Each one is a :class:`CupysoftError` and also the built-in class that a caller of NumPy would expect, so that both
``except cupysoft.CupysoftError`` and ``except ValueError`` work.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "ArgumentError",
    "AxisError",
    "CacheError",
    "CacheWarning",
    "CompileError",
    "CupysoftError",
    "DeadlockError",
    "DtypeError",
    "InitcheckError",
    "LaunchError",
    "MemcheckError",
    "MissingDependencyError",
    "NotCompiledError",
    "OutError",
    "RacecheckError",
    "ShapeError",
    "SimulatorError",
    "SynccheckError",
    "TrapError",
    "UndecidedError",
    "UndecidedWarning",
    "UnknownInstructionError",
]


class CupysoftError(Exception):
    """Base class of every error that this package raises on purpose."""


class ShapeError(CupysoftError, ValueError):
    """A shape does not fit: an empty reduced axis, or arrays that do not broadcast."""


class AxisError(CupysoftError, np.exceptions.AxisError):
    """An axis is out of range or given twice."""


class ArgumentError(CupysoftError, ValueError):
    """A number or a word is not among those that the argument takes."""


class DtypeError(CupysoftError, TypeError):
    """A dtype, or a kind of argument, that the function does not take."""


class OutError(CupysoftError, ValueError):
    """``out=`` has the wrong shape, dtype, device, memory, or cannot be written."""


class MissingDependencyError(CupysoftError, ImportError):
    """An optional package or a shared library is not installed."""


class CompileError(CupysoftError, RuntimeError):
    """NVRTC refused a kernel; the message holds file, line, options and log."""


class CacheError(CupysoftError, RuntimeError):
    """The disk cache cannot be used safely."""


class CacheWarning(UserWarning):
    """The folder that was to hold compiled kernels is not used; the message says why and what is used instead."""


class NotCompiledError(CupysoftError, RuntimeError):
    """A kernel was first called where it cannot be compiled, such as inside a graph capture."""


class LaunchError(CupysoftError, RuntimeError):
    """Arguments, grid, block or shared memory do not fit the kernel or the device."""


class ReportError(CupysoftError, ValueError):
    """A report was asked for what it does not have."""


class SimulatorError(CupysoftError, RuntimeError):
    """Something went wrong on the simulated device."""


class MemcheckError(SimulatorError):
    """A kernel touched memory out of bounds, or at a misaligned address."""


class RacecheckError(SimulatorError):
    """Two threads touched the same memory, one of them writing, with nothing that orders them."""


class UndecidedError(CupysoftError, ArithmeticError):
    """The rigorous reference could not tell to which of two numbers a value rounds; ``bits`` is how many it tried."""

    def __init__(self, message: str, bits: int) -> None:
        super().__init__(message)
        self.bits = bits


class UndecidedWarning(UserWarning):
    """A state's digits do not tell to which of two numbers some result rounds; one of them was given."""


class SynccheckError(SimulatorError):
    """A barrier or a warp instruction was not reached by every thread that it names."""


class InitcheckError(SimulatorError):
    """A kernel read memory that nobody wrote."""


class DeadlockError(SimulatorError):
    """No thread of a block can go on, or all that are left spin for ever."""


class TrapError(SimulatorError):
    """A kernel executed ``trap``, or an assertion in it failed."""


class UnknownInstructionError(SimulatorError):
    """The translator does not know an instruction of the PTX."""
