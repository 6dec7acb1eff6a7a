"""What a report says of GPUs: resources, occupancy, and the part that binds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cupysoft
from cupysoft import simulator
from cupysoft.errors import MissingDependencyError, ReportError
from cupysoft.simulator.profile import PROCESSORS, occupancy, processor
from cupysoft.simulator.report import KernelReport, Traffic
from tests.simulator.devices import launch


def run(body: str, parameters: str, *arguments: np.ndarray, grid: int = 4, block: int = 128) -> KernelReport:
    """Counts of one launch."""
    device = simulator.Device()
    launch(device, body, list(arguments), grid, block, parameters)
    return device.report.kernels["f"]


@pytest.mark.parametrize(
    ("gpu", "threads", "registers", "shared", "blocks", "limit"),
    [
        ("H100", 128, 32, 0, 16, "warps"),
        ("H100", 32, 16, 0, 32, "blocks"),
        ("H100", 256, 128, 0, 2, "registers"),
        ("H100", 256, 129, 0, 1, "registers"),
        ("H100", 32, 8, 12 << 10, 17, "shared"),
        ("A100", 128, 32, 81 << 10, 2, "shared"),
        ("RTX 4090", 256, 40, 0, 6, "warps"),
        ("RTX 4090", 1024, 64, 0, 1, "warps"),
    ],
)
def test_occupancy(gpu: str, threads: int, registers: int, shared: int, blocks: int, limit: str) -> None:
    """By hand, from the tables: 65536 registers, 256 at a time; 228, 164 and 100 KiB, 1 KiB of it for each block."""
    found = occupancy(processor(gpu), threads, registers, shared)
    assert (found.blocks, found.limit) == (blocks, limit)
    assert found.warps == blocks * -(-threads // 32)
    assert found.share == found.warps / processor(gpu).warps


@pytest.mark.parametrize(
    ("gpu", "float32", "float64"), [("H100", 80, 40), ("A100", 38, 19), ("RTX 4090", 328, 5), ("B200", 39, 19)]
)
def test_issue_slots_at_full_bandwidth(gpu: str, float32: int, float64: int) -> None:
    """Slots for an element of 4 bytes that is read and written once."""
    of = processor(gpu)
    elements = of.bandwidth / 8
    for kind, expected in (("float32", float32), ("float64", float64)):
        assert of.multiprocessors * of.clock * of.lanes[kind] / elements == pytest.approx(expected, abs=0.6)


def test_an_unknown_gpu_is_refused() -> None:
    with pytest.raises(ReportError, match="H100, A100, RTX 4090, B200"):
        processor("GTX 480")


def test_a_copy_is_bound_by_memory_and_a_polynomial_by_arithmetic() -> None:
    x, y = np.ones(512, np.float32), np.zeros(512, np.float32)
    index = "int i = blockIdx.x * blockDim.x + threadIdx.x;"
    copied = run(f"{index} y[i] = x[i];", "const float* x, float* y", x, y)
    for gpu in PROCESSORS:
        assert copied.roofline(gpu.name).binds == "memory"
    assert copied.roofline("H100").seconds["memory"] == pytest.approx(2 * 4 * 512 / 3.35e12)
    body = f"{index} float v = x[i]; for (int k = 0; k < 1000; k++) v = fmaf(v, v, 1e-3f); y[i] = v;"
    worked = run(body, "const float* x, float* y", x, y)
    assert worked.roofline("A100").binds == "float32"
    assert worked.roofline("A100").seconds["float32"] == pytest.approx(512 * 1000 / (108 * 1.41e9 * 64), rel=0.01)
    doubled = run(
        body.replace("float v", "double v").replace("fmaf", "fma").replace("1e-3f", "1e-3"),
        "const float* x, float* y",
        x,
        y,
    )
    assert doubled.roofline("RTX 4090").binds == "float64"


def test_what_is_counted_of_matrices() -> None:
    kernel = KernelReport()
    kernel.matrix_operations["f16"] += 989_000_000
    kernel.memory["global read"] = Traffic(units=1)
    assert kernel.roofline("H100").binds == "matrix f16"
    assert kernel.roofline("H100").time == pytest.approx(1e-6)
    kernel.matrix_operations["f64"] += 1
    assert kernel.roofline("RTX 4090").seconds["matrix f64"] == float("inf")


def test_divergence() -> None:
    y = np.zeros(32, np.int32)
    together = run("y[threadIdx.x] = 1;", "int* y", y, grid=1, block=32)
    assert together.divergence == 0.0
    body = "int i = threadIdx.x, v = i; if (i < 4) for (int k = 0; k < 100; k++) v = v * v + k; y[i] = v;"
    apart = run(body, "int* y", y, grid=1, block=32)
    assert 0.75 < apart.divergence < 0.875


def test_resources_come_from_the_assembler() -> None:
    y = np.zeros(128, np.int32)
    kernel = run("__shared__ int s[256]; s[threadIdx.x] = 1; y[threadIdx.x] = s[threadIdx.x];", "int* y", y, grid=1)
    assert kernel.resources is not None
    assert 1 <= kernel.resources.registers <= 32
    assert not kernel.resources.spills
    assert kernel.static_shared == 1024
    held = kernel.occupancy("H100")
    assert held is not None
    assert held.share == 1.0


def test_the_report_prints_exports_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with simulator.Device() as device:
        cupysoft.softmax(np.ones((4, 1000), np.float32), axis=-1)
    text = str(device.report)
    for word in ("registers", "none spilled", "lanes idle", "H100", "B200", "bound by", "walks read"):
        assert word in text
    exported = json.loads(json.dumps(device.report.as_dict()))
    kernel, *_ = exported["kernels"].values()
    assert set(kernel["roofline"]) == set(kernel["occupancy"]) == {gpu.name for gpu in PROCESSORS}
    assert kernel["resources"]["spill_stores"] == 0
    for name in ("roofline.png", "roofline.svg"):
        device.report.plot(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000


def test_nothing_counted_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="check=True"):
        simulator.Device().report.plot(tmp_path / "none.png")


def test_drawing_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulator.Device() as device:
        cupysoft.softmax(np.ones((4, 100), np.float32), axis=-1)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"pip install matplotlib"):
        device.report.plot(tmp_path / "none.png")
