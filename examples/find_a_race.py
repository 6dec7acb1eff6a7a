"""Test a CuPy kernel without a GPU: Hypothesis finds a race in it, and the smallest launch that shows it.

The kernel divides each row of a matrix by its sum. Its author tried it with a block for each row, and it was right; in
use, large matrices get fewer blocks than rows, and now and then a row is wrong. As a script this file prints what the
search finds; ``pytest examples/find_a_race.py`` runs it as the test file that it is.
"""

from __future__ import annotations

from collections.abc import Callable

import cupy  # needs no GPU to be imported
import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cupysoft.errors import RacecheckError
from cupysoft.simulator import Device, from_cupy

SOURCE = r"""
extern "C" __global__ void shares(const float* x, float* y, int rows, int columns) {
    __shared__ float part[128];
    const int thread = threadIdx.x;
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        float sum = 0;
        for (int column = thread; column < columns; column += blockDim.x) sum += x[row * columns + column];
        part[thread] = sum;
        __syncthreads();
        for (int half = blockDim.x / 2; half > 0; half /= 2) {
            if (thread < half) part[thread] += part[thread + half];
            __syncthreads();
        }
        for (int column = thread; column < columns; column += blockDim.x)
            y[row * columns + column] = x[row * columns + column] / part[0];
        BARRIER;  // without one, thread 0 begins the next row while others still read this row's sum
    }
}
"""
BROKEN = cupy.RawKernel(SOURCE, "shares", ("-DBARRIER=(void)0",))
MENDED = cupy.RawKernel(SOURCE, "shares", ("-DBARRIER=__syncthreads()",))


def check(kernel: cupy.RawKernel, rows: int, columns: int, blocks: int, threads: int) -> None:
    """Launch the kernel and compare with NumPy."""
    x = (1 + np.arange(rows * columns) % 7).astype(np.float32).reshape(rows, columns)
    y = np.empty_like(x)
    from_cupy(kernel)((blocks,), (threads,), (x, y, rows, columns))
    assert np.array_equal(y, x / x.sum(axis=1, keepdims=True))


def any_launch(test: Callable[..., None]) -> Callable[[], None]:
    """Let Hypothesis draw shapes, launches, and the seed of the order in which warps and blocks move."""
    drawn = given(
        rows=st.integers(1, 9),
        columns=st.integers(1, 100),
        blocks=st.integers(1, 9),
        threads=st.sampled_from([32, 64, 128]),
        seed=st.integers(0, 2**32 - 1),
    )
    ways = settings(
        max_examples=100, deadline=None, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink]
    )
    return ways(drawn(test))


def test_a_block_for_each_row(simulated_device: Device) -> None:
    """What the author tried: right, race or no race."""
    check(BROKEN, rows=5, columns=300, blocks=5, threads=128)


@any_launch
def test_any_launch(rows: int, columns: int, blocks: int, threads: int, seed: int) -> None:
    """What had to be tried: the kernel with its barrier holds."""
    with Device(seed=seed):
        check(MENDED, rows, columns, blocks, threads)


@any_launch
def search(rows: int, columns: int, blocks: int, threads: int, seed: int) -> None:
    """The same for the kernel as it was."""
    with Device(seed=seed):
        check(BROKEN, rows, columns, blocks, threads)


@any_launch
def search_unchecked(rows: int, columns: int, blocks: int, threads: int, seed: int) -> None:
    """The same without checks, as on a GPU: there has to be a wrong number before anybody notices."""
    with Device(seed=seed, check=False):
        check(BROKEN, rows, columns, blocks, threads)


def main() -> None:
    """Print what is found."""
    with Device():
        check(BROKEN, rows=5, columns=300, blocks=5, threads=128)
    print("a block for each row: right")
    for what, run in (("with checks", search), ("without", search_unchecked)):
        try:
            run()
        except (RacecheckError, AssertionError) as error:
            print(f"{what}: {type(error).__name__}: {error}".splitlines()[0])
            print(error.__notes__[0])
    test_any_launch()
    print("with the barrier: right for any launch")


if __name__ == "__main__":
    main()
