"""Run a plan on a device, simulated or CuPy's: the same steps, the same checks, the same sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cupysoft.runtime.ahead import compiled
from cupysoft.runtime.compile import Compiled
from cupysoft.runtime.cuda import CupyDevice
from cupysoft.runtime.fit import check_arguments, check_extents
from cupysoft.runtime.limits import Limits, limits_of
from cupysoft.runtime.parameters import Parameter
from cupysoft.runtime.plan import Extent, KernelRef, Plan, Scratch, Step

__all__ = ["Kernel", "Launcher", "SimulatedDevice", "SimulatedKernel", "SimulatedLauncher", "run"]


class Kernel(Protocol):
    """A kernel that is ready to be launched."""

    @property
    def parameters(self) -> Sequence[Parameter]:
        """What it takes."""

    @property
    def shared(self) -> int:
        """Bytes of shared memory that it declares itself."""

    @property
    def threads(self) -> int:
        """Threads that a block of it can have."""


class Launcher(Protocol):
    """What running a plan asks of a device."""

    @property
    def limits(self) -> Limits:
        """What the device allows."""

    def kernel(self, kernel: KernelRef) -> Any:
        """Make a kernel ready: compile it, or find it compiled."""

    def empty(self, scratch: Scratch) -> Any:
        """Memory for as long as a plan runs."""

    def launch(self, kernel: Any, step: Step, args: Sequence[Any]) -> None:
        """Launch one step; arrays stand for pointers, NumPy scalars for their bytes."""


class SimulatedDevice(Protocol):
    """What is asked of a device of `cupysoft.simulator`."""

    @property
    def arch(self) -> str:
        """Architecture that PTX is made for."""

    def empty(self, shape: int, dtype: Any) -> Any:
        """An array that nobody has written."""

    def launch(
        self,
        compiled: Compiled,
        name: str,
        grid: Extent,
        block: Extent,
        args: Sequence[Any],
        shared_mem: int = 0,
        *,
        names: Sequence[str] | None = None,
        label: str | None = None,
    ) -> None:
        """Run the kernel `name` of a compilation; `names` and `label` are what reports call the arguments and it."""


def run(plan: Plan, arrays: Mapping[str, Any], device: Any) -> None:
    """Run the steps of a plan, one after the other, on one device.

    Every kernel is made ready and every step is checked before the first is launched.

    Parameters
    ----------
    plan : Plan
        What to do.
    arrays : mapping
        Role in the plan to array: CuPy arrays on CuPy's current device, NumPy arrays on a simulated one.
    device : CupyDevice or SimulatedDevice
        Where to run: on `cupysoft.runtime.cuda.CupyDevice`, or on a device of `cupysoft.simulator`.

    Raises
    ------
    LaunchError
        If a step does not fit its kernel or the device; nothing has run then.
    NotCompiledError
        If a kernel is not ready and cannot be made so, because the stream is capturing a graph.
    CompileError, MissingDependencyError
        If a kernel cannot be compiled.
    """
    launcher: Launcher = device if isinstance(device, CupyDevice) else SimulatedLauncher(device)
    limits = launcher.limits
    roles = {*arrays, *(scratch.name for scratch in plan.scratch)}
    kernels = [launcher.kernel(step.kernel) for step in plan.steps]
    for kernel, step in zip(kernels, plan.steps, strict=True):
        check_extents(step, limits, kernel.shared, kernel.threads)
        check_arguments(step, kernel.parameters, roles)
    bound = {**arrays, **{scratch.name: launcher.empty(scratch) for scratch in plan.scratch}}
    for kernel, step in zip(kernels, plan.steps, strict=True):
        launcher.launch(kernel, step, [bound[each] if isinstance(each, str) else each for each in step.args])


class SimulatedKernel:
    """A kernel as PTX, for the simulated device."""

    def __init__(self, compiled: Compiled, name: str) -> None:
        self.compiled = compiled
        self.name = compiled.names[name]
        self.parameters = compiled.parameters[self.name]
        self.shared = compiled.shared
        self.threads = 1024  # registers are no limit there


_simulated: dict[tuple[KernelRef, str], SimulatedKernel] = {}


class SimulatedLauncher:
    """Hands steps to a simulated device, whose memory is NumPy's."""

    def __init__(self, device: SimulatedDevice) -> None:
        self.device = device

    @property
    def limits(self) -> Limits:
        """Those of the architecture that is simulated."""
        return limits_of(self.device.arch)

    def kernel(self, kernel: KernelRef) -> SimulatedKernel:
        """The kernel's PTX for the simulated architecture."""
        key = (kernel, self.device.arch)
        found = _simulated.get(key)
        if found is None:
            found = _simulated[key] = SimulatedKernel(compiled(kernel, self.device.arch, "ptx"), kernel.name)
        return found

    def empty(self, scratch: Scratch) -> Any:
        """An array that nobody has written."""
        return self.device.empty(scratch.count, scratch.dtype)

    def launch(self, kernel: SimulatedKernel, step: Step, args: Sequence[Any]) -> None:
        """Run one step to its end."""
        self.device.launch(
            kernel.compiled,
            kernel.name,
            step.grid,
            step.block,
            args,
            shared_mem=step.shared,
            names=[each if isinstance(each, str) else "" for each in step.args],
            label=step.kernel.name,
        )
