"""A small kernel with one parameter of every kind, and plans that launch it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupysoft.runtime.plan import Argument, KernelRef, Plan, Scratch, Step

CODE = r"""
#include <cuda_fp16.h>

struct Layout
{
    long long size[3];
    int axes;
};

template <typename T>
__global__ void mixed(const T* x, T* out, long long n, int step, float scale, double offset, Layout layout, bool flag,
                      __half half_way)
{
    extern __shared__ double staged[];
    __shared__ float own[32];
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    own[threadIdx.x & 31] = scale;
    __syncthreads();
    if (i < n && flag) {
        staged[threadIdx.x] = offset + own[(threadIdx.x + 1) & 31] + layout.size[layout.axes] + __half2float(half_way);
        out[i * step] = x[i] + (T)staged[threadIdx.x];
    }
}

template <typename T>
__global__ void twice(T* out, long long n)
{
    if (threadIdx.x < n) out[threadIdx.x] *= T(2);
}
"""

MIXED = KernelRef("sample/sample.cu", "mixed<float>")
TWICE = KernelRef("sample/sample.cu", "twice<float>")
LAYOUT = np.dtype([("size", "i8", 3), ("axes", "i4")], align=True)


def layout(*sizes: int) -> Any:
    """The structure as the kernel has it."""
    return np.array((sizes, 2), LAYOUT)[()]


def arguments() -> tuple[Argument, ...]:
    """Arguments that fit ``mixed``."""
    return (
        "x",
        "partial",
        np.int64(40),
        np.int32(1),
        np.float32(0.5),
        np.float64(0.25),
        layout(1, 2, 3),
        np.bool_(True),
        np.float16(1.5),
    )


def plan(args: tuple[Argument, ...] | None = None, **changes: Any) -> Plan:
    """Two steps: ``mixed`` writes scratch memory, ``twice`` works on the output."""
    given: dict[str, Any] = {"grid": (2, 1, 1), "block": (32, 1, 1), "shared": 32 * 8, **changes}
    first = Step(MIXED, args=arguments() if args is None else args, **given)
    second = Step(TWICE, (1, 1, 1), (64, 1, 1), 0, ("out", np.int64(40)))
    return Plan((first, second), (Scratch("partial", np.dtype("f4"), 40),))
