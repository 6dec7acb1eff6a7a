"""Kernels of this package by reference: compiled when first needed, or ahead of time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from cupysoft.errors import CompileError
from cupysoft.runtime.compile import Compiled, Kind, compile
from cupysoft.runtime.plan import KernelRef
from cupysoft.runtime.resources import Resources, resources
from cupysoft.runtime.sources import source

__all__ = ["Compilation", "compile_all", "compiled", "precompile", "resource_report"]


def compiled(kernel: KernelRef, arch: str, kind: Kind) -> Compiled:
    """One kernel for one architecture, that instantiation alone."""
    return compile(source(kernel.source), name=kernel.source, arch=arch, names=(kernel.name,), kind=kind)


def resource_report(kernel: KernelRef, arch: str) -> Resources:
    """What a kernel takes of a processor of the architecture: registers, spills, stack, shared memory.

    Raises
    ------
    CompileError
        If NVRTC does not know the architecture, so that there is PTX only and no report.
    """
    done = compiled(kernel, arch, "cubin")
    if done.kind != "cubin":
        raise CompileError(f"resource_report: NVRTC {done.nvrtc} does not assemble for {arch}; it stops at {done.arch}")
    return resources(done.log)[done.names[kernel.name]]


def precompile(kernels: Iterable[KernelRef], arch: str, kind: Kind = "cubin") -> tuple[Compiled, ...]:
    """Compile kernels into the cache, several at a time; those already there cost next to nothing."""
    wanted = tuple(dict.fromkeys(kernels))
    with ThreadPoolExecutor(_workers()) as pool:
        return tuple(pool.map(lambda kernel: compiled(kernel, arch, kind), wanted))


@dataclass(frozen=True)
class Compilation:
    """One step of `compile_all`: what was compiled, and how far things are."""

    kernel: KernelRef
    arch: str
    result: Compiled
    done: int
    total: int


def compile_all(
    archs: Sequence[str],
    kernels: Iterable[KernelRef],
    progress: Callable[[Compilation], None] | None = None,
    kind: Kind = "cubin",
) -> tuple[Compilation, ...]:
    """Compile kernels for several architectures into the cache, for machines that have no compiler.

    Parameters
    ----------
    archs : sequence of str
        Architectures, such as ``"sm_90"``.
    kernels : iterable of KernelRef
        What to compile.
    progress : callable, optional
        Called with each `Compilation` as it ends.
    kind : {"cubin", "ptx"}
        What to make: cubins for GPUs, PTX for the simulated device.

    Returns
    -------
    tuple of Compilation
        In the order in which they ended.
    """
    jobs = [(kernel, arch) for arch in dict.fromkeys(archs) for kernel in dict.fromkeys(kernels)]
    ended: list[Compilation] = []
    with ThreadPoolExecutor(_workers()) as pool:
        futures = {pool.submit(compiled, kernel, arch, kind): (kernel, arch) for kernel, arch in jobs}
        try:
            for future in as_completed(futures):
                kernel, arch = futures[future]
                ended.append(Compilation(kernel, arch, future.result(), len(ended) + 1, len(jobs)))
                if progress is not None:
                    progress(ended[-1])
        except BaseException:  # one that fails, or Ctrl-C: do not begin the others
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(ended)


def _workers() -> int:
    return max(1, min(8, os.cpu_count() or 1))
