"""The assembler's report, read from a real compilation and from a text."""

from __future__ import annotations

import pytest

from cupysoft.runtime.compile import compile
from cupysoft.runtime.resources import Resources, resources

SPILLING = r"""
extern "C" __global__ void __launch_bounds__(1024, 2) heavy(double* x)
{
    __shared__ double s[64];
    double v[64];
#pragma unroll
    for (int i = 0; i < 64; ++i) v[i] = x[i * 1024 + threadIdx.x];
    s[threadIdx.x & 63] = v[0];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 64; ++i) x[i * 1024 + threadIdx.x] = v[63 - i] * s[i];
}
extern "C" __global__ void light(int* x) { x[threadIdx.x] = 1; }
"""


@pytest.mark.usefixtures("cache_folder")
def test_spills_of_a_real_kernel_are_seen() -> None:
    found = resources(compile(SPILLING, arch="sm_90", kind="cubin").log)
    assert set(found) == {"heavy", "light"}
    assert found["heavy"].spills
    assert found["heavy"].registers <= 32
    assert found["heavy"].shared == 512
    assert found["heavy"].barriers == 1
    assert not found["light"].spills
    assert found["light"].shared == 0


def test_a_report_is_read_line_by_line() -> None:
    log = """
ptxas info    : 2 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_75'
ptxas info    : Function properties for a
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 24 registers, used 1 barriers, 1024+0 bytes smem, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'b' for 'sm_75'
ptxas info    : Function properties for b
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 4 registers
"""
    assert resources(log) == {
        "a": Resources(registers=24, barriers=1, stack=16, spill_stores=8, spill_loads=12, shared=1024),
        "b": Resources(registers=4, barriers=0, stack=0, spill_stores=0, spill_loads=0, shared=0),
    }
