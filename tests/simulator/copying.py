"""Kernels with asynchronous copies: macros for the instructions, bytes to copy, a pipeline and its faults."""

from __future__ import annotations

import numpy as np

from cupysoft import simulator
from tests.simulator.devices import launch
from tests.simulator.harness import Array

__all__ = ["CHECKED", "FAULTS", "PIPELINE", "PLAIN", "ZERO", "numbered", "run", "sums"]

BEFORE = r"""
#define SHARED(p) ((unsigned)__cvta_generic_to_shared(p))
#define COPY(how, size, to, from) \
    asm volatile("cp.async." how ".shared.global [%0], [%1], " size ";" :: "r"(SHARED(to)), "l"(from) : "memory")
#define COMMIT() asm volatile("cp.async.commit_group;" ::: "memory")
#define WAIT(groups) asm volatile("cp.async.wait_group " groups ";" ::: "memory")
#define WAIT_ALL() asm volatile("cp.async.wait_all;" ::: "memory")
"""
CHECKED = simulator.Device()
PLAIN = simulator.Device(check=False)
ZERO = np.int32(0)


def run(device: simulator.Device, body: str, *arguments: Array | np.generic, block: int = 64, grid: int = 1) -> None:
    """Run a kernel of ``int* y``, ``const unsigned char* x`` and an int."""
    parameters = "int* y, const unsigned char* x, int n"
    launch(device, body, arguments, grid, block, parameters=parameters, before=BEFORE)


def numbered(count: int) -> Array:
    """Bytes that are hardly ever equal to their neighbours, nor zero."""
    return (np.arange(count) * 37 % 251 + 1).astype(np.uint8)


PIPELINE = """__shared__ int s[2][64];
    int t = threadIdx.x, sum = 0;
    COPY("ca", "4", &s[0][t], x + 4 * t); COMMIT();
    for (int tile = 0; tile < n; ++tile) {
        if (tile + 1 < n) COPY("ca", "4", &s[(tile + 1) & 1][t], x + 4 * (64 * (tile + 1) + t));
        COMMIT();
        WAIT("1");
        __syncthreads();  // visible to all
        for (int k = 0; k < 64; k += 7) sum = sum * 31 + s[tile & 1][(t + k) & 63];
        __syncthreads();  // free again
    }
    y[64 * blockIdx.x + t] = sum;"""
FAULTS = {
    "wait": ('        WAIT("1");\n', ""),
    "wait for too few": ('WAIT("1")', 'WAIT("2")'),
    "commit": ("        COMMIT();\n", ""),
    "first barrier": ("        __syncthreads();  // visible to all\n", ""),
    "second barrier": ("        __syncthreads();  // free again\n", ""),
}


def sums(tiles: int) -> tuple[Array, Array]:
    """Input of the pipeline, and what it makes of it."""
    x = np.random.default_rng(tiles).integers(-(2**31), 2**31, (tiles, 64)).astype(np.int32)
    total = np.zeros(64, np.int32)
    for tile in x:
        for k in range(0, 64, 7):
            total = total * np.int32(31) + np.roll(tile, -k)
    return x.view(np.uint8).ravel(), total
