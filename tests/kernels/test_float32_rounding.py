"""How results out of float32 alone are rounded: rightly, or they say that they are in doubt."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from cupysoft import simulator
from cupysoft.runtime.compile import compile
from cupysoft.runtime.sources import source

Array = npt.NDArray[np.float32]

ASKED = """
extern "C" __global__ void rounding(const float* hi, const float* lo, int is_small, float* result, int* doubts, int n)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    bool doubt = false;
    const Floats q = {hi[i], lo[i]};
    result[i] = is_small ? rounded_small(q, doubt) : rounded_normal(q, doubt);
    doubts[i] = doubt;
}
"""


def rounded(hi: Array, lo: Array, small: bool) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Round quotients times 2^32; tell which are in doubt."""
    made = compile(source("numerics/float32_rounding.cuh") + ASKED, name="rounding.cu", arch="sm_90")
    result, doubts = np.empty(hi.shape, np.float32), np.empty(hi.shape, np.int32)
    arguments = [hi, lo, np.int32(small), result, doubts, np.int32(hi.size)]
    simulator.Device(check=False, fast=False).launch(
        made, "rounding", (-(-hi.size // 128), 1, 1), (128, 1, 1), arguments
    )
    return result, doubts.astype(bool)


@pytest.mark.parametrize("small", [False, True])
def test_results_are_right_or_in_doubt(small: bool) -> None:
    """Anywhere, and beside middles, where the second word and the bound of the error decide."""
    rng = np.random.default_rng(0)
    anywhere = np.ldexp(rng.uniform(0.5, 1, 2000), rng.integers(-118 if small else -93, -80, 2000)).astype(np.float32)
    middle = np.ldexp(np.concatenate([np.arange(1, 600, 2), rng.integers(1, 2**23, 300) * 2 + 1]), -118)
    hi = np.concatenate([anywhere, np.repeat(middle.astype(np.float32) if small else anywhere[:400], 6)])
    lo = np.spacing(hi) * (rng.integers(-(2**23), 2**23, hi.shape) * 2.0**-24).astype(np.float32)
    sizes = np.spacing(hi[2000:]) * np.resize([2.0**-23, -(2.0**-23), 2.0**-14, -(2.0**-14), 0, 0], hi.size - 2000)
    lo[2000:] = sizes + np.resize([0, 0, 0, 0, 2.0**-143, -(2.0**-143)], sizes.size) * small
    result, doubt = rounded(hi, lo, small)
    exact = hi.astype(np.float64) + lo
    assert np.array_equal(exact - hi, lo)
    right = np.ldexp(exact, -32).astype(np.float32)
    assert np.array_equal(result[~doubt], right[~doubt])
    assert doubt[:2000].mean() < 1e-3
    if small:  # a middle is in doubt where the error may lead across it, and nowhere else
        beside = doubt[2000:].reshape(-1, 6)
        assert beside[:, :2].all()
        assert beside[300:, 2:4].mean() < 0.05
