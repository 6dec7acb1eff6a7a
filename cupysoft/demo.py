"""The demo: the lesson of the ladder, and every backend compared with SciPy, measured."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import cupysoft
from cupysoft.ops import cpu
from cupysoft.ops.ladder import RUNGS, Rung, ladder_plan, tail_plan
from cupysoft.runtime import nvrtc
from cupysoft.runtime.launch import run
from cupysoft.simulator import llvm
from cupysoft.testing import ulp_distance

__all__ = [
    "COMPARED",
    "LADDER_ROWS",
    "Backend",
    "Comparison",
    "Measured",
    "backends",
    "comparisons",
    "ladder",
    "ladder_softmax",
]

#: The rows on which the rungs give their answers. The last one overflows float32's exp.
LADDER_ROWS = ((2.0, 1.0, 3.0), (1.0, 3.0, 2.0), (1.0, 90.0, 1000.0))

_COUNTED = (64, 250)  # shape on which walks and bytes are counted
#: Rows and columns on which backends are compared; the reference is slow.
COMPARED = (64, 1000)
_OPERATIONS = ("softmax", "log_softmax", "logsumexp")


@dataclass(frozen=True)
class Backend:
    """One place where calls run.

    Attributes
    ----------
    name : str
        What a table calls it.
    device : object
        What plans run on (a simulated device, or CuPy's), or None for plain calls on NumPy arrays.
    way : {"host", "kernels"}
        How those are computed.
    put, get : callable
        Take a NumPy array there, and bring an array back.
    """

    name: str
    device: Any
    way: cpu.Way = "host"
    put: Callable[[Any], Any] = field(default=lambda x: x)
    get: Callable[[Any], Any] = field(default=lambda x: x)

    def call(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Call an operation of the package there."""
        with self.place():
            return getattr(cupysoft, operation)(*args, **kwargs)

    def place(self) -> AbstractContextManager[Any]:
        """Have the calls of a with statement run there, on arrays that `put` has taken there."""
        if self.name.startswith("GPU"):
            return nullcontext()
        return self.device or cpu.only(self.way)


@dataclass(frozen=True)
class Measured:
    """One rung: what it read and wrote, and what it answered.

    Attributes
    ----------
    title, kernel : str
    reads, scratch_reads : float
        How often each element of the row, and of the scratch, was read.
    bytes : float
        Bytes of global memory moved, for each element of the row.
    answers : tuple of tuple of float
        Softmax of each of `LADDER_ROWS`.
    right : tuple of bool
        Whether each answer is within 1e-6 of the true one.
    """

    title: str
    kernel: str
    reads: float
    scratch_reads: float
    bytes: float
    answers: tuple[tuple[float, ...], ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Comparison:
    """One operation on one backend beside SciPy and the rigorous reference.

    Attributes
    ----------
    backend, operation, dtype : str
    elements : int
        Results that were compared.
    differ_scipy : int or None
        Results whose bits are not those of SciPy in float64, rounded once; None without SciPy.
    differ_reference : int or None
        Results whose bits are not the correctly rounded ones; None without python-flint.
    milliseconds : float
        The best of a few calls.
    scipy_milliseconds : float or None
        SciPy's best for the same input, in float64 as it was compared.
    """

    backend: str
    operation: str
    dtype: str
    elements: int
    differ_scipy: int | None
    differ_reference: int | None
    milliseconds: float
    scipy_milliseconds: float | None


def backends(arch: str = "sm_90") -> Iterator[Backend]:
    """Give every backend that is present: the host, the kernels on the CPU, the simulated device, the GPU."""
    yield Backend("host", None)
    if llvm.available() and nvrtc.available():
        from cupysoft.simulator import Device

        yield Backend("CPU", None, "kernels")
        yield Backend(f"simulated {arch}", Device(arch=arch, check=False))
    cupy = _imported("cupy")
    if cupy and cupy.cuda.is_available():
        from cupysoft.runtime.cuda import CupyDevice

        yield Backend("GPU", CupyDevice(), put=cupy.asarray, get=cupy.asnumpy)


def _imported(name: str) -> Any | None:
    """Import what may not be installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ladder_softmax(rung: Rung, x: Any, device: Any) -> Any:
    """Run a rung, and the tail where it needs one, and return the softmax of the rows of `x`."""
    rows, columns = x.shape
    arrays = {role: np.zeros(x.shape if role in ("x", "y", "scratch") else rows, np.float32) for role in "xyml"}
    arrays |= {"x": x, "scratch": np.zeros_like(x)}
    run(ladder_plan(rung, rows, columns), {role: arrays[role] for role in rung.arrays}, device)
    if rung.needs_tail:
        run(tail_plan(rows, columns), {role: arrays[role] for role in ("x", "m", "l", "y")}, device)
    return arrays["y"]


def ladder(arch: str = "sm_90") -> list[Measured]:
    """Climb the ladder on a simulated device that counts.

    Raises
    ------
    MissingDependencyError
        Where the simulated device cannot run.
    """
    from cupysoft.simulator import Device

    x = np.array(LADDER_ROWS, np.float32)
    truth = cupysoft.softmax(x.astype(np.float64), axis=-1)
    counted = np.random.default_rng(0).normal(size=_COUNTED).astype(np.float32)
    measured = []
    for rung in RUNGS:
        with Device(arch=arch, check=True) as device:
            answers = ladder_softmax(rung, x, device)
        with Device(arch=arch, check=True) as device:
            ladder_softmax(rung, counted, device)
        kernel = device.report.kernels[rung.kernel]
        right = tuple(bool(np.allclose(a, t, rtol=0, atol=1e-6)) for a, t in zip(answers, truth, strict=True))
        measured.append(
            Measured(
                rung.title,
                rung.kernel,
                kernel.arguments["x"].walks_read,
                kernel.arguments["scratch"].walks_read if "scratch" in rung.arrays else 0.0,
                kernel.global_bytes / counted.size,
                tuple(tuple(map(float, row)) for row in answers),
                right,
            )
        )
    return measured


def comparisons(found: list[Backend]) -> Iterator[Comparison]:
    """Compare each operation on each backend with SciPy and the rigorous reference, where they are installed."""
    reference = _imported("cupysoft.testing.reference")
    x = np.random.default_rng(1).normal(scale=8, size=COMPARED).astype(np.float32)
    for operation in _OPERATIONS:
        truth = getattr(reference, operation)(x, axis=-1) if reference else None
        scipy, scipy_ms = _scipy(operation, x)
        for backend in found:
            there = backend.put(x)
            call = partial(backend.call, operation, there, axis=-1)
            result = np.asarray(backend.get(call()))  # compiles, where that is still to be done
            yield Comparison(
                backend.name,
                operation,
                x.dtype.name,
                result.size,
                _differ(result, scipy),
                _differ(result, truth),
                _best_ms(lambda: backend.get(call())),  # noqa: B023
                scipy_ms,
            )


def _differ(result: Any, expected: Any | None) -> int | None:
    return None if expected is None else int(np.count_nonzero(ulp_distance(result, expected)))


def _scipy(operation: str, x: Any) -> tuple[Any, float | None]:
    """SciPy's answer in float64, rounded once, and its time; nothing where SciPy is not installed."""
    special = _imported("scipy.special")
    if special is None:
        return None, None
    function = partial(getattr(special, operation), x.astype(np.float64), axis=-1)
    return function().astype(x.dtype), _best_ms(function)


def _best_ms(call: Callable[[], object], repeats: int = 5) -> float:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best
