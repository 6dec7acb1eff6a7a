"""The way through CuPy, without a GPU: a double writes down what the driver would be handed."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cupysoft.errors import CacheError, LaunchError, MissingDependencyError, NotCompiledError
from cupysoft.runtime import ahead, compile, cuda, launch
from cupysoft.runtime.cuda import CupyDevice, as_cupy
from tests.runtime.cupy_double import CupyDouble, DeviceArray, RawKernel, Stream, use_double
from tests.runtime.sample import MIXED, TWICE, arguments, plan

pytestmark = pytest.mark.usefixtures("sample")


def arrays(double: CupyDouble) -> dict[str, Any]:
    return {"x": DeviceArray(double, 0xABC0), "out": DeviceArray(double, 0xDEF0)}


def params_of(kernel: Any, arch: str) -> list[int]:
    """Sizes of the kernel's parameters, read from its PTX by other means than the package's."""
    done = ahead.compiled(kernel, arch, "ptx")
    head = re.search(rf"\.entry {re.escape(done.names[kernel.name])}\((.*?)\)", done.code.decode(), re.S)
    assert head is not None
    sizes = []
    for line in head[1].split(","):
        width = re.search(r"\.[usbf](\d+)", line)
        count = re.search(r"\[(\d+)\]", line)
        assert width is not None
        sizes.append(int(width[1]) // 8 * (int(count[1]) if count else 1))
    return sizes


def test_what_the_driver_is_handed(cupy_double: CupyDouble) -> None:
    launch.run(plan(), arrays(cupy_double), CupyDevice())
    first, second = cupy_double.launches
    assert first.code.startswith(b"\x7fELF")
    assert (first.grid, first.block, first.shared) == ((2, 1, 1), (32, 1, 1), 256)
    assert (second.grid, second.block, second.shared) == ((1, 1, 1), (64, 1, 1), 0)
    assert first.stream == second.stream == 7
    (scratch,) = cupy_double.allocated
    assert scratch.shape == (160,)
    told = tuple(each[:28] for each in first.args)  # the structure's last four bytes are padding
    assert told == (
        struct.pack("<q", 0xABC0),
        struct.pack("<q", scratch.data.ptr),
        struct.pack("<q", 40),
        struct.pack("<i", 1),
        struct.pack("<f", 0.5),
        struct.pack("<d", 0.25),
        struct.pack("<qqqi", 1, 2, 3, 2),
        b"\1",
        struct.pack("<e", 1.5),
    )
    assert [len(each) for each in first.args] == params_of(MIXED, "sm_90")
    assert [len(each) for each in second.args] == params_of(TWICE, "sm_90")


def test_a_kernel_is_loaded_once_a_device(cupy_double: CupyDouble) -> None:
    for number in (0, 1, 0, 1):
        with cupy_double.cuda.Device(number):
            launch.run(plan(), arrays(cupy_double), CupyDevice())
    assert sorted(device for _, device in cupy_double.loads) == [0, 0, 1, 1]
    assert [each.device for each in cupy_double.launches] == [0, 0, 1, 1, 0, 0, 1, 1]


def test_the_current_stream_is_used(cupy_double: CupyDouble) -> None:
    cupy_double.stream = Stream(ptr=99)
    launch.run(plan(), arrays(cupy_double), CupyDevice())
    assert {each.stream for each in cupy_double.launches} == {99}


def test_large_shared_memory_is_asked_for(cupy_double: CupyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Kernel(RawKernel):
        """Writes down what is asked for."""

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "max_dynamic_shared_size_bytes":
                asked.append(value)
            super().__setattr__(name, value)

    monkeypatch.setattr("tests.runtime.cupy_double.RawKernel", Kernel)
    for shared in (256, 100_000, 90_000, 100_000):
        launch.run(plan(shared=shared), arrays(cupy_double), CupyDevice())
    # as loaded (twice, for two kernels), then once for all that need more
    assert asked == [48 << 10, 48 << 10, 100_000]
    launch.run(plan(shared=(48 << 10) - 100), arrays(cupy_double), CupyDevice())  # with the static 128 above 48 KiB
    assert asked == [48 << 10, 48 << 10, 100_000]


def test_static_shared_memory_counts_against_what_nobody_asks_for(cupy_double: CupyDouble) -> None:
    launch.run(plan(shared=(48 << 10) - 100), arrays(cupy_double), CupyDevice())
    function = cuda._loaded[MIXED, 0].function
    assert function.max_dynamic_shared_size_bytes == (48 << 10) - 100


def test_what_does_not_fit_is_refused_before_any_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    double = use_double(monkeypatch, CupyDouble(threads=48))
    with pytest.raises(LaunchError, match="twice<float>: .* has 64 threads; this kernel can have 48 here"):
        launch.run(plan(), arrays(double), CupyDevice())
    with pytest.raises(LaunchError, match="argument 8 is a int16"):
        launch.run(plan((*arguments()[:-1], np.int16(1))), arrays(double), CupyDevice())
    double.shared_optin = 99 << 10
    cuda._limits.clear()
    with pytest.raises(LaunchError, match="the device has 101376"):
        launch.run(plan(shared=100 << 10), arrays(double), CupyDevice())
    assert not double.launches


def test_a_capture_needs_its_kernels_loaded_before(cupy_double: CupyDouble) -> None:
    cupy_double.stream = Stream(ptr=5, capturing=True)
    with pytest.raises(NotCompiledError, match=r"mixed<float>: .*cupysoft\.warmup"):
        launch.run(plan(), arrays(cupy_double), CupyDevice())
    assert not cupy_double.loads
    cupy_double.stream = Stream(ptr=5)
    CupyDevice().load(plan().kernels)
    cupy_double.stream = Stream(ptr=5, capturing=True)
    launch.run(plan(), arrays(cupy_double), CupyDevice())
    assert [each.stream for each in cupy_double.launches] == [5, 5]


def test_scratch_of_a_graph_is_never_given_back(cupy_double: CupyDouble) -> None:
    launch.run(plan(), arrays(cupy_double), CupyDevice())
    assert not cuda._held_for_graphs
    cupy_double.stream = Stream(ptr=5, capturing=True)
    launch.run(plan(), arrays(cupy_double), CupyDevice())
    assert cuda._held_for_graphs == [cupy_double.allocated[1]]


def test_loading_ahead_compiles_only_what_is_missing(cupy_double: CupyDouble) -> None:
    CupyDevice().load([MIXED])
    CupyDevice().load([MIXED, TWICE, TWICE])
    assert len(cupy_double.loads) == 2


def test_a_driver_older_than_the_compiler_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    double = use_double(monkeypatch, CupyDouble(driver=12080))
    with pytest.raises(LaunchError, match=r"NVRTC 1[3-9]\.\d+, but the driver is of CUDA 12.*cupy-cuda12x\[ctk\]"):
        launch.run(plan(), arrays(double), CupyDevice())


def test_a_device_newer_than_the_compiler_gets_ptx(monkeypatch: pytest.MonkeyPatch) -> None:
    double = use_double(monkeypatch, CupyDouble(capability="999", driver=99000))
    launch.run(plan(), arrays(double), CupyDevice())
    assert all(b".entry" in each.code for each in double.launches)
    assert [len(each) for each in double.launches[0].args] == params_of(MIXED, "sm_90")


def test_without_any_folder_the_remedy_is_named(cupy_double: CupyDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile.Compiled, "path", None)
    with pytest.raises(CacheError, match="CUPYSOFT_CACHE_DIR"):
        launch.run(plan(), arrays(cupy_double), CupyDevice())


def test_without_cupy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(MissingDependencyError, match=r"cupy-cuda13x\[ctk\]"):
        cuda.import_cupy()


class Exporter:
    """A device array of another library."""

    def __init__(self, stream: int | None, *, dlpack: bool = False) -> None:
        self.pointer = 0x7000
        self.asked: list[Any] = []
        self.__cuda_array_interface__ = {
            "data": (self.pointer, False),
            "shape": (3,),
            "typestr": "<f4",
            "version": 3,
            "stream": stream,
        }
        if dlpack:
            self.__dlpack__ = lambda stream: self.asked.append(stream)
            self.__dlpack_device__ = lambda: (2, 0)


def test_cupy_arrays_are_taken_as_they_are(cupy_double: CupyDouble) -> None:
    array = DeviceArray(cupy_double, 0x10)
    assert as_cupy(array) is array


def test_dlpack_orders_the_streams_itself(cupy_double: CupyDouble) -> None:
    exporter = Exporter(None, dlpack=True)
    assert as_cupy(exporter).data.ptr == 0x7000
    assert exporter.asked == [7]


def test_half_of_dlpack_does_not_count(cupy_double: CupyDouble) -> None:
    """CuPy asks for the device first."""
    exporter = Exporter(None, dlpack=True)
    del exporter.__dlpack_device__
    assert as_cupy(exporter).data.ptr == 0x7000
    assert exporter.asked == []


@pytest.mark.parametrize("producer", [None, 7, 2])
@pytest.mark.parametrize("capturing", [False, True])
def test_an_interface_is_taken_without_a_wait_of_the_host(
    cupy_double: CupyDouble, producer: int | None, capturing: bool
) -> None:
    cupy_double.stream.capturing = capturing
    array = as_cupy(Exporter(producer))
    assert (array.data.ptr, array.shape) == (0x7000, (3,))
    expected = [2] if producer == 2 and not capturing else []
    assert [event.stream.ptr for event in cupy_double.stream.waited_for] == expected


def test_the_double_has_nothing_that_cupy_lacks(sample: Path) -> None:
    """CuPy imports without a driver: hold the double's surface against it."""
    cupy = pytest.importorskip("cupy")
    module = cupy.RawModule(path=str(sample / "sample/sample.cu"))  # opened only when a function is asked for
    assert callable(module.get_function)
    for name in ("max_threads_per_block", "max_dynamic_shared_size_bytes", "__call__"):
        assert hasattr(cupy.RawKernel, name)
    double = CupyDouble()
    for name in vars(double.cuda):
        assert hasattr(cupy.cuda, name)
    for name in vars(double.cuda.runtime):
        assert hasattr(cupy.cuda.runtime, name)
    for name in ("is_capturing", "wait_event"):
        assert hasattr(cupy.cuda.Stream, name)
    assert hasattr(cupy.cuda.Event, "record")
    for name in ("empty", "from_dlpack", "asarray"):
        assert callable(getattr(cupy, name))
