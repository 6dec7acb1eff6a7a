"""What the tests of this folder share: where NumPy arrays are computed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Backend


@pytest.fixture(params=["host", "simulated"])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the whole test on the host, and again inside a simulated device."""
    with Backend(request.param).active():
        yield request.param
