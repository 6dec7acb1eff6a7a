"""Generated kernels on a real GPU and on the simulated device: the same bits. Collected only where there is a GPU."""

from __future__ import annotations

import tempfile
from pathlib import Path

import cupy
import pytest
from hypothesis import given, note, settings

from cupysoft import simulator
from tests.simulator.generated.agreement import Arrays, arguments_of, arrays_of, compare, on_device
from tests.simulator.generated.kernel import NAME, Kernel
from tests.simulator.generated.strategies import kernels

pytestmark = pytest.mark.gpu


def on_gpu(kernel: Kernel) -> Arrays:
    """A run of the kernel's own PTX, which the driver assembles."""
    arrays = arrays_of(kernel)
    on_device = {name: cupy.asarray(array) for name, array in arrays.items()}
    numbers = arguments_of(kernel, arrays)[len(arrays) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.ptx"
        path.write_text(kernel.text)
        function = cupy.RawModule(path=str(path)).get_function(NAME)
        function(kernel.grid, kernel.block, (*on_device.values(), *numbers), shared_mem=kernel.dynamic)
        cupy.cuda.Device().synchronize()
    return {name: cupy.asnumpy(array) for name, array in on_device.items()}


@pytest.mark.skipif(int(cupy.cuda.Device().compute_capability) < 80, reason="the kernels are written for sm_80")
@settings(max_examples=10 * settings.default.max_examples if settings.default is not None else 100)
@given(kernels())
def test_a_gpu_gives_the_bits_of_the_simulator(kernel: Kernel) -> None:
    note(kernel.text)
    simulated = on_device(simulator.Device(arch="sm_80", check=False))
    compare(kernel, {"simulated": simulated(kernel), "GPU": on_gpu(kernel)})
