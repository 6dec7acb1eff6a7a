"""What the tests of this folder share: where NumPy arrays are computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Backend


@pytest.fixture(params=["host", "simulated"])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the whole test on the host, and again inside a simulated device."""
    with Backend(request.param).active():
        yield request.param


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs a GPU where there is none."""
    if collection_path.name != "test_capture_on_device.py":
        return None
    import cupy

    return None if cupy.cuda.is_available() else True
