"""Where a call runs: the host, the simulated device, or a CUDA device."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from cupysoft.arrays import library_of
from cupysoft.errors import DtypeError
from cupysoft.ops.arguments import is_weak
from cupysoft.ops.device_targets import CudaTarget, SimulatedTarget
from cupysoft.ops.host_target import HostTarget
from cupysoft.ops.target import Target

__all__ = ["simulated_device", "target_of"]


def target_of(function: str, operands: Mapping[str, object]) -> Target:
    """Choose where a call runs, from where its operands lie.

    Raises
    ------
    DtypeError
        If some operands lie on a CUDA device and others in host memory; scalars go with either.
    """
    given = {name: value for name, value in operands.items() if value is not None}
    on_cuda = [name for name, value in given.items() if library_of(value) != "numpy"]
    if not on_cuda:
        device = simulated_device()
        return HostTarget() if device is None else SimulatedTarget(device)
    for name, value in given.items():
        if name not in on_cuda and not is_weak(value) and not isinstance(value, np.generic):
            raise DtypeError(
                f"{function}: {name} is a {type(value).__name__} in host memory, but {on_cuda[0]} is on a CUDA device; "
                f"move one of them, for example with cupy.asarray({name})"
            )
    return CudaTarget(function, given)


def simulated_device() -> Any | None:
    """Give the device of the ``with cupysoft.simulator.Device()`` around the call, or None."""
    # Only who imported the simulator can have made a device current; a plain call need not pay for the import.
    simulator = sys.modules.get("cupysoft.simulator")
    # Another thread may be in the middle of that import, for a large array; then there is no such device yet.
    current = getattr(simulator, "current", None)
    return None if current is None else current()
