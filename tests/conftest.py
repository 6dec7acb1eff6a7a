"""Settings for every test: Hypothesis profiles and the number of workers.

``HYPOTHESIS_PROFILE`` chooses the profile: ``dev`` (default, few examples), ``ci`` or ``nightly``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A simulated kernel is slow beside NumPy, and its first call compiles: time per example says nothing about the test.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", max_examples=20, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("ci", max_examples=60, deadline=None, suppress_health_check=_SLOW_IS_FINE, print_blob=True)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers for single files or tests, whose start would cost more than they run; else xdist's own choice."""
    asked = [argument.split("::")[0] for argument in config.args]
    if asked and all(Path(argument).suffix == ".py" for argument in asked):
        return 0
    return None
