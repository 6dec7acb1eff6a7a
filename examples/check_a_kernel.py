"""Check a CUDA kernel of your own on a machine without a GPU.

The kernel reverses each block's 256 numbers through shared memory. One version forgets the barrier between writing
and reading; on a GPU it often works anyway. The simulated device names the two threads and the line.
"""

import numpy as np

from cupysoft import simulator
from cupysoft.errors import RacecheckError

SOURCE = r"""
extern "C" __global__ void reverse(const float* x, float* y) {
    __shared__ float tile[256];
    int first = blockIdx.x * 256;
    tile[threadIdx.x] = x[first + threadIdx.x];
    BARRIER;
    y[first + threadIdx.x] = tile[255 - threadIdx.x];
}
"""


def run(barrier: str) -> np.ndarray:
    """Run the kernel over 1024 numbers, with `barrier` as its barrier statement."""
    x = np.arange(1024, dtype=np.float32)
    y = np.empty_like(x)
    with simulator.Device(arch="sm_90", check=True) as device:
        kernel = simulator.RawKernel(SOURCE, "reverse", options=(f"-DBARRIER={barrier}",))
        kernel((4,), (256,), (x, y))
    print(device.report)
    return y


def main() -> None:
    expected = np.arange(1024, dtype=np.float32).reshape(4, 256)[:, ::-1].ravel()
    print("right with the barrier:", np.array_equal(run("__syncthreads()"), expected))
    try:
        run("(void)0")
    except RacecheckError as error:
        print("without it:", error)


if __name__ == "__main__":
    main()
