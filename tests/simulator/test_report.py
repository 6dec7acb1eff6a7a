"""Counters of kernels whose traffic can be told by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import cupysoft.simulator as simulator


@pytest.fixture
def device() -> Iterator[simulator.Device]:
    with simulator.Device() as made:
        yield made


def aligned(count: int, dtype: npt.DTypeLike = np.float32, offset: int = 0) -> npt.NDArray[Any]:
    """Zeros that begin ``offset`` bytes into memory of their own."""
    size = np.dtype(dtype).itemsize * count
    return np.zeros(size + offset, np.uint8)[offset:].view(dtype)


COPY = """
template <typename T> __global__ void copy(const T* x, T* y, int stride) {
    long long i = (long long)(blockIdx.x * blockDim.x + threadIdx.x) * stride;
    y[i] = x[i];
}"""


def copy(dtype: str, x: npt.NDArray[Any], y: npt.NDArray[Any], stride: int, threads: int = 128, grid: int = 4) -> None:
    module = simulator.RawModule(code=COPY, name_expressions=[f"copy<{dtype}>"])
    module.get_function(f"copy<{dtype}>")((grid,), (threads,), (x, y, stride))


@pytest.mark.parametrize(
    ("dtype", "numpy_dtype", "stride", "offset", "sectors"),
    [
        ("float", np.float32, 1, 0, 4),
        ("float", np.float32, 1, 16, 5),
        ("float", np.float32, 2, 0, 8),
        ("float", np.float32, 3, 0, 12),
        ("float", np.float32, 8, 0, 32),
        ("double", np.float64, 1, 0, 8),
        ("float4", np.complex128, 1, 0, 16),
        ("unsigned char", np.uint8, 1, 0, 1),
        ("unsigned short", np.uint16, 1, 0, 2),
    ],
)
def test_sectors_of_a_strided_copy(
    device: simulator.Device, dtype: str, numpy_dtype: Any, stride: int, offset: int, sectors: int
) -> None:
    x, y = (aligned(512 * max(stride, 1), numpy_dtype, offset) for _ in range(2))
    copy(dtype, x, y, stride)
    counted = device.report.kernels[f"copy<{dtype}>"]
    warps, size = 512 // 32, x.itemsize
    for traffic in (counted.memory["global read"], counted.memory["global write"]):
        assert traffic.requests == warps
        assert traffic.bytes == 512 * size
        assert traffic.units == warps * sectors
        assert traffic.ideal == warps * min(sectors, size)
        assert traffic.units_per_request == sectors
    assert counted.global_bytes == 2 * 512 * size
    walks = counted.arguments["argument 0"]
    assert walks.walks_read == 512 * size / x.nbytes
    assert walks.walks_written == 0
    assert counted.arguments["argument 1"].walks_written == 512 * size / x.nbytes


def test_sectors_of_one_address(device: simulator.Device) -> None:
    source = 'extern "C" __global__ void f(const float* x, float* y) { y[blockIdx.x * blockDim.x + threadIdx.x] = *x; }'
    simulator.RawKernel(source, "f")((4,), (128,), (aligned(1), aligned(512)))
    read = device.report.kernels["f"].memory["global read"]
    assert (read.requests, read.bytes, read.units, read.ideal) == (16, 512 * 4, 16, 16)


def test_a_warp_that_is_not_full(device: simulator.Device) -> None:
    copy("float", aligned(40), aligned(40), 1, threads=20, grid=2)
    traffic = device.report.kernels["copy<float>"].memory["global read"]
    # 80 bytes from byte 0 touch 3 sectors, 80 bytes from byte 80 touch 3 more.
    assert (traffic.requests, traffic.bytes, traffic.units, traffic.ideal) == (2, 160, 6, 6)


WALKS = """
extern "C" __global__ void mean(const double* x, double* centred, int n) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += x[threadIdx.x * n + i];
    for (int i = 0; i < n; ++i) centred[threadIdx.x * n + i] = x[threadIdx.x * n + i] - sum / n;
}"""


def test_walks_over_rows_views_and_repeated_launches(device: simulator.Device) -> None:
    kernel = simulator.RawKernel(WALKS, "mean")
    x, y = np.ones((32, 7)), np.ones((32, 7))
    for _ in range(3):
        kernel((1,), (32,), (x, y, 7))
    counted = device.report.kernels["mean"]
    assert counted.launches == device.report.launches == 3
    assert counted.arguments["argument 0"].walks_read == 2
    assert counted.arguments["argument 0"].walks_written == 0
    assert counted.arguments["argument 1"].walks_written == 1
    assert counted.arguments["argument 1"].walks_read == 0


def test_walks_where_input_and_output_are_one_array(device: simulator.Device) -> None:
    x = np.ones((32, 7))
    simulator.RawKernel(WALKS, "mean")((1,), (32,), (x, x, 7))
    for name in ("argument 0", "argument 1"):
        walks = device.report.kernels["mean"].arguments[name]
        assert (walks.walks_read, walks.walks_written) == (2, 1)


TRANSPOSE = """
extern "C" __global__ void transpose(const {type}* x, {type}* y) {{
    __shared__ {type} tile[32][{width}];
    for (int row = 0; row < 32; ++row) tile[row][threadIdx.x] = x[row * 32 + threadIdx.x];
    __syncwarp();
    for (int row = 0; row < 32; ++row) y[row * 32 + threadIdx.x] = tile[threadIdx.x][row];
}}"""


@pytest.mark.parametrize(
    ("type_", "dtype", "width", "written", "read"),
    [("float", np.float32, 32, 32, 32 * 32), ("float", np.float32, 33, 32, 32), ("float", np.float32, 34, 32, 64)]
    # 16 lanes of 8 bytes share a pass: at best 2 passes; unpadded all 16 meet in one pair of banks.
    + [("double", np.float64, 32, 64, 32 * 32), ("double", np.float64, 33, 64, 64)]
    + [("unsigned char", np.uint8, 32, 32, 32 * 8)],
)
def test_bank_conflicts_of_a_transpose(
    device: simulator.Device, type_: str, dtype: Any, width: int, written: int, read: int
) -> None:
    x = np.arange(1024).astype(dtype).reshape(32, 32)
    y = np.zeros_like(x)
    simulator.RawKernel(TRANSPOSE.format(type=type_, width=width), "transpose")((1,), (32,), (x, y))
    assert np.array_equal(y, x.T)
    counted = device.report.kernels["transpose"]
    assert counted.memory["shared write"].units == written
    assert counted.memory["shared read"].units == read
    ideal = 64 if type_ == "double" else 32
    assert counted.memory["shared read"].ideal == ideal
    assert counted.bank_conflicts == read - ideal


def test_a_broadcast_has_no_conflict(device: simulator.Device) -> None:
    source = """extern "C" __global__ void f(float* x) {
        __shared__ float s[32]; s[threadIdx.x] = x[threadIdx.x]; __syncthreads(); x[threadIdx.x] = s[5];
    }"""
    simulator.RawKernel(source, "f")((1,), (32,), (np.ones(32, np.float32),))
    counted = device.report.kernels["f"]
    assert counted.memory["shared read"].units == 1
    assert counted.bank_conflicts == 0
    assert counted.barriers == 1


def test_instructions_by_class(device: simulator.Device) -> None:
    source = """extern "C" __global__ void f(double* x, float* y) {
        x += 64 * blockIdx.x;
        y += 64 * blockIdx.x;
        double v = x[threadIdx.x];
        float w = y[threadIdx.x];
        if (threadIdx.x < 8) { v = __dadd_rn(__dmul_rn(v, v), 1.0); }
        x[threadIdx.x] = v;
        y[threadIdx.x] = __fadd_rn(w, __shfl_xor_sync(0xffffffffu, w, 1));
    }"""
    simulator.RawKernel(source, "f")((3,), (64,), (np.ones(192), np.ones(192, np.float32)))
    counted = device.report.kernels["f"]
    assert counted.thread_instructions["float32"] == 3 * 64
    assert counted.warp_instructions["float32"] == 3 * 2
    assert counted.warp_instructions["warp"] == 3 * 2
    assert counted.thread_instructions["store"] == 3 * 2 * 64
    assert counted.thread_instructions["float64"] in (3 * 2 * 8, 3 * 2 * 64)  # a branch, or a selection


def test_the_report_as_a_table_and_as_json(device: simulator.Device) -> None:
    copy("float", aligned(512), aligned(512), 2, threads=32, grid=8)
    text = str(device.report)
    assert "launches: 1" in text
    assert "copy<float>" in text
    line = next(line for line in text.splitlines() if "global read" in line)
    assert line.split() == ["global", "read", "8", "1,024", "64", "32", "8.00"]
    numbers = json.loads(json.dumps(device.report.as_dict()))
    assert numbers["kernels"]["copy<float>"]["walks"]["argument 0"]["read"] == 0.5
    device.report.clear()
    assert device.report.as_dict() == {"launches": 0, "kernels": {}}


def test_without_checks_only_launches_are_counted() -> None:
    with simulator.Device(check=False) as device:
        copy("float", aligned(512), aligned(512), 1)
    assert device.report.kernels["copy<float>"].launches == 1
    assert not device.report.kernels["copy<float>"].warp_instructions


def test_devices_nest() -> None:
    assert simulator.current() is None
    with simulator.Device() as outer:
        with simulator.Device(arch="sm_80") as inner:
            assert simulator.current() is inner
        assert simulator.current() is outer
        with outer:
            assert simulator.current() is outer
        assert simulator.current() is outer
    assert simulator.current() is None
