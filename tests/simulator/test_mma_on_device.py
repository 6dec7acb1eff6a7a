"""Products of matrices on the GPU of this machine and on its simulation: the same kernel, the same bits."""

from __future__ import annotations

import cupy
import numpy as np
import pytest

from cupysoft import simulator
from tests.simulator.matrices import FORMS, Shape, multiply, source
from tests.simulator.matrix_operands import matrices, spread, usual

pytestmark = pytest.mark.gpu
ARCH = int(cupy.cuda.Device().compute_capability) if cupy.cuda.is_available() else 0
#: What the GPU here has.
HERE = [shape for shape in FORMS if ARCH >= 90 or (shape.kind != "f64" or shape.rows == 8)]


@pytest.mark.parametrize("shape", HERE, ids=str)
def test_a_gpu_gives_the_same_bits(shape: Shape) -> None:
    if shape.kind == "f64":
        rng = np.random.default_rng(6)
        sizes = (shape.rows, shape.depth), (shape.depth, 8), (shape.rows, 8)
        a, b, c = (np.stack([draw(rng, size, "f64") for draw in (usual, spread)] * 8) for size in sizes)
    else:
        a, b, c = matrices(shape, 60, seed=6)
    arrays = [cupy.asarray(each) for each in (a, b, c, np.zeros_like(c))]
    cupy.RawKernel(source(shape), "f")((len(a),), (32,), tuple(arrays))
    found = cupy.asnumpy(arrays[3])
    simulated = multiply(simulator.Device(arch=f"sm_{ARCH}", check=False), shape, a, b, c)
    if shape.kind == "f64":
        found, simulated = found.view(np.float64), simulated.view(np.float64)
        assert np.array_equal(np.isnan(found), np.isnan(simulated))
        found, simulated = (np.where(np.isnan(each), 0, each).view(np.uint64) for each in (found, simulated))
    assert np.array_equal(simulated, found)
