"""What a simulated architecture could run: blocks, grids and shared memory of a launch."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import LaunchError
from ..runtime.limits import limits_of
from ..runtime.resources import Resources
from .compiled import CompiledKernel
from .profile.occupancy import occupancy
from .profile.processors import of_architecture
from .report import Shape

__all__ = ["fit", "fit_together"]

Extent = tuple[int, int, int]


def fit(label: str, arch: str, kernel: CompiledKernel, grid: Extent, block: Extent, dynamic: int) -> None:
    """Refuse what the simulated architecture could not run."""
    limits = limits_of(arch)
    for what, extents, greatest in (("grid", grid, limits.grid), ("block", block, limits.block)):
        for axis, extent, most in zip("xyz", extents, greatest, strict=True):
            if not 1 <= extent <= most:
                raise LaunchError(f"{label}: {what}.{axis} is {extent}; it must be from 1 to {most}")
    threads = block[0] * block[1] * block[2]
    if threads > limits.threads:
        raise LaunchError(f"{label}: a block of {block} has {threads} threads; at most {limits.threads} are allowed")
    for directive, bounds in kernel.limits.items():
        bound = math.prod(bounds)
        if directive == "maxntid" and threads > bound or directive == "reqntid" and threads != bound:
            word = "at most" if directive == "maxntid" else "exactly"
            raise LaunchError(
                f"{label}: a block of {block} has {threads} threads; the kernel was compiled for {word} {bound}"
            )
    shared = kernel.shared_bytes + dynamic
    if dynamic < 0 or shared > limits.shared:
        raise LaunchError(
            f"{label}: {dynamic} bytes of dynamic and {kernel.shared_bytes} of static shared memory were"
            f" asked for; {arch} has {limits.shared} for a block"
        )


def fit_together(
    label: str,
    arch: str,
    kernel: CompiledKernel,
    blocks: int,
    shape: Shape,
    resources: Callable[[], Resources | None],
) -> None:
    """Refuse a cooperative grid of which the device could not hold all blocks at one time."""
    gpu = of_architecture(arch)
    if blocks <= gpu.multiprocessors:
        return
    found = resources()
    registers = found.registers if found is not None else 0
    held = occupancy(gpu, shape.threads, registers, kernel.shared_bytes + shape.dynamic).blocks
    if blocks > held * gpu.multiprocessors:
        raise LaunchError(
            f"{label}: a cooperative grid of {blocks} blocks was asked for; a device ({gpu.name}) holds at most"
            f" {held * gpu.multiprocessors} of them together. Launch fewer, and let each do more"
        )
