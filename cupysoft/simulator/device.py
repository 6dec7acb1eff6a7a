"""The simulated device: makes NumPy arrays run through CUDA kernels, and counts what they do."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import LaunchError
from ..forking import unforked
from ..runtime.cache import cache
from ..runtime.compile import Compiled
from ..runtime.resources import Resources
from . import fresh, machine
from .checks import Checked
from .fitting import fit, fit_together
from .launch import LoadedKernel, lies_in_rows
from .memory import Variables
from .parser import parse
from .report import Report, Shape

__all__ = ["Device", "LoadedModule", "checked", "current"]

Extent = tuple[int, int, int]

#: The devices whose ``with`` statements this thread, or this task, is in.
_entered: ContextVar[tuple[Device, ...]] = ContextVar("cupysoft.simulator.device", default=())
#: Threads may share a device, and its report.
_reporting = threading.Lock()


class Device:
    """A simulated CUDA device, made current by a ``with`` statement.

    Parameters
    ----------
    arch : str
        Architecture that kernels are compiled for, such as ``"sm_90"``.
    check : bool
        Whether memory, races, initialisation and synchronisation are checked and everything is counted. Results are
        the same bit for bit; it takes longer.
    seed : int, optional
        Draws what CUDA leaves open, to find what depends on it: the order of blocks, warps and lanes, the moment at
        which asynchronous copies take effect, and inside their bounds approximate results and sums of matrix
        instructions. Then one thread runs everything, and the same seed gives the same again.
    fast : bool
        Whether warps whose lanes stay together may run in the fast version, which is for speed alone. Checks and
        seeds need the masked version and do without.

    Attributes
    ----------
    report : Report
        What ran so far.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft.simulator as simulator
    >>> source = r'''
    ... extern "C" __global__ void twice(const float* x, float* y, int n) {
    ...     int i = blockIdx.x * blockDim.x + threadIdx.x;
    ...     if (i < n) y[i] = 2 * x[i];
    ... }'''
    >>> x, y = np.arange(5, dtype=np.float32), np.zeros(5, np.float32)
    >>> with simulator.Device() as device:
    ...     simulator.RawKernel(source, "twice")((1,), (32,), (x, y, np.int32(5)))
    >>> y
    array([0., 2., 4., 6., 8.], dtype=float32)
    >>> device.report.kernels["twice"].arguments["argument 0"].walks_read
    1.0
    """

    def __init__(self, arch: str = "sm_90", check: bool = True, seed: int | None = None, fast: bool = True) -> None:
        if not isinstance(arch, str) or not re.fullmatch(r"sm_\d+[af]?", arch):
            raise LaunchError(f'Device: arch must look like "sm_90" or "sm_90a", not {arch!r}')
        if seed is not None and not hasattr(seed, "__index__"):
            raise LaunchError(f"Device: seed must be an int or None, not {seed!r}")
        self.arch = arch
        self.check = check
        self.seed = seed
        self.fast = fast
        self.report = Report(seed)

    def __enter__(self) -> Device:
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _entered.set(_entered.get()[:-1])

    def __repr__(self) -> str:
        return f"Device(arch={self.arch!r}, check={self.check}, seed={self.seed})"

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Memory that kernels alone write; with checks, to read of it what none wrote raises `InitcheckError`."""
        return fresh.empty(shape, dtype) if self.check else np.empty(shape, dtype)

    def require_written(self, array: npt.NDArray[Any], name: str = "array") -> None:
        """Raise `InitcheckError` where `array`, or what it is a view of, comes from `empty` and lacks an element.

        Call it before the host reads what kernels were to write; nothing else tells the device of that.

        Parameters
        ----------
        array : ndarray
            All of its elements must have been written by kernels.
        name : str
            What the message calls it.
        """
        fresh.require_written("require_written", name, array)

    def launch(
        self,
        compiled: Compiled,
        name: str,
        grid: Extent,
        block: Extent,
        args: Sequence[object],
        shared_mem: int = 0,
        *,
        names: Sequence[str] | None = None,
        label: str | None = None,
    ) -> None:
        """Launch a kernel of a compilation and wait for its end.

        Parameters
        ----------
        compiled : Compiled
            PTX, as `cupysoft.runtime.compile.compile` gives it.
        name : str
            Lowered name of the kernel.
        grid, block : tuple of three ints
            Blocks of the grid and threads of a block.
        args : sequence
            NumPy arrays and scalars.
        shared_mem : int
            Bytes of dynamic shared memory.
        names : sequence of str, optional
            What reports call the arguments; ``""`` for an argument that has no name.
        label : str, optional
            What reports call the kernel.
        """
        self.run(_shared_module(compiled), name, grid, block, args, shared_mem, names=names, label=label)

    def run(
        self,
        module: LoadedModule,
        name: str,
        grid: Extent,
        block: Extent,
        args: Sequence[object],
        shared_mem: int = 0,
        *,
        names: Sequence[str] | None = None,
        label: str | None = None,
        cooperative: bool = False,
        called: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Launch a kernel of a module that keeps its variables.

        `cooperative`: with all its blocks at one time; `called` gives the names of the parameters in the source.
        """
        label = label or name
        ragged = math.prod(block) % 32 != 0
        loaded = module.kernel(name, self.check, self.fast, self.seed is not None, lies_in_rows(block), ragged)
        fit(label, self.arch, loaded.kernel, grid, block, shared_mem)
        shape = Shape(math.prod(block), shared_mem)
        if cooperative:
            fit_together(label, self.arch, loaded.kernel, math.prod(grid), shape, partial(module.resources, name))
        if names is not None:
            names = [each or f"argument {position}" for position, each in enumerate(names)]
        outcome = loaded.launch(
            label,
            grid,
            block,
            args,
            shared_mem,
            names,
            self.seed,
            self.report.launches,
            cooperative,
            repr(self),
            called,
        )
        with _reporting:
            self.report.add(label, loaded.kernel, outcome, shape, partial(module.resources, name))
        outcome.read()


def checked() -> bool:
    """Whether launches are checked now; outside of any device they are."""
    device = current()
    return device is None or device.check


def current() -> Device | None:
    """The device of the innermost ``with Device(...)`` of this thread, None outside of any."""
    entered = _entered.get()
    return entered[-1] if entered else None


class LoadedModule:
    """The kernels of a PTX text and the variables that they share, which live as long as the module.

    `resources` tells what the assembler says of a kernel.
    """

    def __init__(self, ptx: str, resources: Callable[[str], Resources | None] = lambda name: None) -> None:
        self._ptx = ptx
        self.resources = resources
        self.variables = Variables()
        self._kernels: dict[tuple[str, bool, bool, bool, bool, bool], LoadedKernel] = {}
        self._lock = threading.Lock()

    def kernel(
        self,
        name: str,
        check: bool,
        fast: bool = False,
        drawn: bool = False,
        linear: bool = True,
        ragged: bool = True,
    ) -> LoadedKernel:
        """A kernel by its lowered name, translated at its first use; what is checked or drawn has no fast version.

        What has none is compiled in haste first, and better when it has run for a while.

        `linear`: for blocks in which the lanes of every warp lie along the x axis. `ragged`: for those, too, whose
        last warp has fewer than 32 lanes, which only the checks mind.
        """
        fast = fast and not check and not drawn
        key = name, check, fast, drawn, fast and linear, check and ragged
        with unforked(), self._lock:
            found = self._kernels.get(key)
            if found is None or found.outgrown:
                checks = Checked(ragged) if check else None
                variant = ("checked ragged" if ragged else "checked") if check else ""
                build = partial(machine.build, self._ptx, name, checks, variant, _Store(), haste=found is None)
                built = build(fast=fast, linear=linear, drawn=drawn)
                found = self._kernels[key] = LoadedKernel(built, self.variables, check)
            return found

    def version(self, name: str, check: bool, fast: bool, drawn: bool, ragged: bool) -> LoadedKernel:
        """A kernel as it is loaded already, whatever for, else as `kernel` gives it."""
        found = next((loaded for key, loaded in list(self._kernels.items()) if key[0] == name), None)
        return found or self.kernel(name, check, fast, drawn, ragged=ragged)

    def variable(self, name: str, check: bool) -> npt.NDArray[np.uint8]:
        """The bytes of a global or constant variable, by its lowered name."""
        declared = [each for each in parse(self._ptx).variables.values() if each.space in ("global", "const")]
        if name not in (each.name for each in declared):
            known = ", ".join(each.name for each in declared) or "none"
            raise LaunchError(f"get_global: the module has no global or constant variable {name!r}; it has {known}")
        self.variables.require(declared, check)
        return self.variables.view(name)


class _Store:
    """The package's cache, as the translator wants it."""

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, None when it is not there."""
        return cache().get(key, ".sim")

    def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`."""
        cache().put(key, ".sim", content)


_modules: dict[str, LoadedModule] = {}


def _shared_module(compiled: Compiled) -> LoadedModule:
    """The one module of a compilation of this package's own sources, which keep nothing in variables."""
    found = _modules.get(compiled.key)
    if found is None:
        found = _modules.setdefault(compiled.key, LoadedModule(compiled.code.decode(), compiled.resources))
    return found
