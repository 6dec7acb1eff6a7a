"""The fixture `simulated_device`, as users have it: in test files of their own, in a pytest of their own."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cupysoft
from cupysoft.simulator import Device, ElementwiseKernel, current

ROOT = Path(__file__).parent.parent

SQUARE = ElementwiseKernel("T x", "T y", "y = x * x", "square")

USERS = """
import sys

import numpy as np
import pytest

import kernels


def test_nothing_is_imported_before_it_is_used():
    assert not {"cupysoft", "cupy", "llvmlite"} & set(sys.modules)


def test_three_lines(simulated_device):
    x = np.arange(64, dtype=np.float32)
    assert np.array_equal(kernels.reverse(x, barrier=True), x[::-1])


def test_a_race(simulated_device):
    kernels.reverse(np.arange(64, dtype=np.float32), barrier=False)


@pytest.mark.simulated_device("sm_80")
def test_a_mark_that_is_wrong(simulated_device):
    pass
"""

KERNELS = """
import numpy as np


def reverse(x, barrier):
    from cupysoft.simulator import RawKernel

    source = '''extern "C" __global__ void reverse(const float* x, float* y) {
        __shared__ float tile[64];
        tile[threadIdx.x] = x[threadIdx.x];
        if (BARRIER) __syncthreads();
        y[threadIdx.x] = tile[63 - threadIdx.x];
    }'''
    y = np.empty_like(x)
    RawKernel(source, "reverse", (f"-DBARRIER={int(barrier)}",))((1,), (64,), (x, y))
    return y
"""


def test_a_device_that_checks_and_counts(simulated_device: Device) -> None:
    assert current() is simulated_device
    assert simulated_device.check
    assert SQUARE(np.arange(4)).tolist() == [0, 1, 4, 9]
    assert simulated_device.report.kernels["square"].launches == 1


@pytest.mark.simulated_device(arch="sm_80", check=False, seed=3)
def test_a_device_of_a_marks_options(simulated_device: Device) -> None:
    assert (simulated_device.arch, simulated_device.check, simulated_device.seed) == ("sm_80", False, 3)
    assert cupysoft.softmax(np.zeros((2, 2)), axis=-1).tolist() == [[0.5, 0.5]] * 2
    assert simulated_device.report.launches >= 1


def in_a_pytest_of_its_own(folder: Path) -> str:
    """What pytest says of the tests in a folder, which know of this checkout and nothing of its settings."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "cupysoft_pytest", "--strict-markers", "-q"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_the_file_of_a_user(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(USERS)
    (tmp_path / "kernels.py").write_text(KERNELS)
    said = in_a_pytest_of_its_own(tmp_path)
    assert "1 failed, 2 passed, 1 error" in said, said
    assert "RacecheckError: reverse:" in said
    assert "takes options by name" in said


def test_the_page_on_testing_is_a_test_file_that_finds_its_race(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing-your-kernels.md").read_text()
    python = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    cuda = page.split("```cuda\n")[1].split("```")[0]
    kernel = f"shares = cupy.RawKernel({cuda!r}, 'shares', ('-DBARRIER=(void)0',))"
    (tmp_path / "test_page.py").write_text("\n".join([*python, kernel]))
    said = in_a_pytest_of_its_own(tmp_path)
    assert "1 failed, 2 passed" in said
    assert "RacecheckError: shares: Race reported between Write access" in said
    assert re.search(r"rows=2,\s+E\s+columns=2,\s+E\s+blocks=1,\s+E\s+threads=32,", said), said


def test_an_installed_package_has_the_plugin() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options"]["py_modules"] == "cupysoft_pytest"
    # The name that the tests' own configuration asks for, so that it is not loaded twice.
    assert setup["options.entry_points"]["pytest11"].split() == ["cupysoft_pytest", "=", "cupysoft_pytest"]
