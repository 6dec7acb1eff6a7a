"""A plugin for pytest: the fixture ``simulated_device``, in which CUDA kernels run on the CPU, checked.

Pytest finds it where cupysoft is installed. It stands beside the package, so that a test run that does not use it does
not import the package either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cupysoft.simulator import Device

__all__ = ["pytest_configure", "simulated_device"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known that sets the device up."""
    config.addinivalue_line(
        "markers", "simulated_device(**options): options of the cupysoft.simulator.Device that the fixture makes"
    )


@pytest.fixture
def simulated_device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """A simulated GPU for one test: kernels of `cupysoft.simulator` run on it, and its checks are on.

    ``@pytest.mark.simulated_device(arch="sm_80", seed=1)`` passes options to `cupysoft.simulator.Device`.
    """
    from cupysoft.simulator import Device

    mark = request.node.get_closest_marker("simulated_device")
    if mark is not None and mark.args:
        raise TypeError(f'the mark simulated_device takes options by name, such as arch="sm_80", not {mark.args!r}')
    with Device(**(mark.kwargs if mark is not None else {})) as device:
        yield device
