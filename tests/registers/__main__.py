"""Every instantiation of the kernels of attention that a plan can reach, looked at by the assembler.

    python -m tests.registers [--arch sm_90a] [--dtype float16] [--dims 64,128] [--every 50] [--jobs 8]

These are tens of thousands for each architecture, days of processor time: for a change of these kernels, some sizes or
every so-manieth at a time. What spills, or takes more than 10 s to compile, is listed, and makes the command fail.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from os import cpu_count

from cupysoft.runtime.compile import compile
from cupysoft.runtime.plan import KernelRef
from cupysoft.runtime.resources import resources
from cupysoft.runtime.sources import source
from tests.registers.calls import ARCHITECTURES, DIMS, DTYPES, kernels

LONGEST = 10.0  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at what is asked for; 1 if something is wrong with it."""
    parser = argparse.ArgumentParser(prog="python -m tests.registers")
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES, help="may be repeated (all)")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="may be repeated (all)")
    parser.add_argument("--dims", action="append", metavar="64,128", help="head_dim,value_dim; may be repeated (all)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="look at every N-th instantiation only (1)")
    parser.add_argument("--jobs", type=int, default=cpu_count(), help="processes (one for each processor)")
    options = parser.parse_args(arguments)
    dims = [_pair(each) for each in options.dims or ()] or list(itertools.product(DIMS, DIMS))
    wanted = [
        (kernel, arch)
        for arch in options.arch or ARCHITECTURES
        for name in options.dtype or DTYPES
        for kernel in kernels(arch, DTYPES[name], dims)
    ][:: options.every]
    bad = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        for complaint in pool.map(complaint_of, wanted, chunksize=4):
            if complaint:
                bad += 1
                print(complaint, flush=True)
    print(f"{len(wanted)} instantiations, {bad} of them not as they should be")
    return 1 if bad else 0


def _pair(text: str) -> tuple[int, int]:
    head, _, value = text.partition(",")
    return int(head), int(value or head)


def complaint_of(job: tuple[KernelRef, str]) -> str:
    """Compile; say what is wrong, or nothing."""
    kernel, arch = job
    begin = time.process_time()
    path, name = kernel.source, kernel.name
    made = compile(source(path), name=path, arch=arch, names=(name,), kind="cubin", options=("--ptxas-options=-v",))
    seconds = time.process_time() - begin
    found = resources(made.log)[made.names[kernel.name]]
    if found.spills or found.stack:
        return f"{arch} {kernel.name}: {found.spill_stores + found.spill_loads} bytes spilled, {found.stack} of stack"
    return f"{arch} {kernel.name}: {seconds:.1f} s" if seconds > LONGEST else ""


if __name__ == "__main__":
    sys.exit(main())
