"""Settings for every test: Hypothesis profiles, the number of workers, and the backends.

``HYPOTHESIS_PROFILE`` chooses the profile: ``dev`` (default, few examples), ``ci`` or ``nightly``.
"""

from __future__ import annotations

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from cupysoft.ops import cpu

# A simulated kernel is slow beside NumPy, and its first call compiles: time per example says nothing about the test.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
# The same examples every time: whether a change is right must not depend on luck. The other profiles look further.
settings.register_profile("dev", max_examples=20, derandomize=True, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("ci", max_examples=60, deadline=None, suppress_health_check=_SLOW_IS_FINE, print_blob=True)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers for single files or tests, whose start would cost more than they run; else xdist's own choice."""
    asked = [argument.split("::")[0] for argument in config.args]
    if asked and all(Path(argument).suffix == ".py" for argument in asked):
        return 0
    return None


def pytest_collection_finish() -> None:
    """Leave what is there from the start out of every later search for garbage: the modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


class Backend:
    """One place where operations run. Calling it converts NumPy arguments and gives NumPy results back.

    Attributes
    ----------
    name : str
        ``"host"``, ``"cpu"`` (the kernels, as NumPy arrays have them), ``"simulated"`` (with checks) or ``"gpu"``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run a function of the package on this backend."""
        with self.active():
            return self.numpy(function(*map(self.array, args), **{k: self.array(v) for k, v in kwargs.items()}))

    def array(self, value: Any) -> Any:
        """Move an ndarray to where this backend computes; anything else stays."""
        if self.name == "gpu" and isinstance(value, np.ndarray):
            import cupy

            return cupy.asarray(value)
        return value

    def numpy(self, value: Any) -> Any:
        """Bring a result back."""
        if isinstance(value, tuple):
            return tuple(map(self.numpy, value))
        if self.name == "gpu":
            import cupy

            return cupy.asnumpy(value)[()] if isinstance(value, cupy.ndarray) else value
        return value

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make the simulated device current where this backend is that; else say how NumPy arrays are computed."""
        if self.name != "simulated":
            with cpu.only("kernels" if self.name == "cpu" else "host"):
                yield
            return
        with importlib.import_module("cupysoft.simulator").Device():
            yield


def backend_names() -> list[str]:
    """Every backend of this machine; the GPU only where one is present."""
    import cupy

    return ["host", "simulated", *(["gpu"] if cupy.cuda.is_available() else [])]


def _marked(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.gpu) if name == "gpu" else name


@pytest.fixture(scope="session", params=map(_marked, backend_names()))
def backend(request: pytest.FixtureRequest) -> Backend:
    """The same test on every backend."""
    return Backend(request.param)
