"""The tests of a file, run one at a time in this process by whoever wants to know what becomes of them."""

from __future__ import annotations

import copy
import math
import os
import pickle
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from cupysoft import simulator
from cupysoft.errors import SimulatorError
from cupysoft.simulator import launch

__all__ = ["Session", "be_slow", "in_session", "remember"]

_COUNTERS = re.compile(r"walks|conflicts|report|counts|sectors|\bplan\b")
"""What a statement mentions that is about no value."""


class Session:
    """Runs tests one at a time, each with fixtures of its own: a plugin of pytest."""

    def __init__(self, run: Callable[[Session], tuple[str, Any]]) -> None:
        self._run = run
        self._end = "survived"
        self.error: BaseException | None = None
        self.items: list[pytest.Item] = []
        self.answer: tuple[str, Any] = "failed: pytest", None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run what is to be run in place of each test once."""
        self.items = session.items
        self.answer = self._run(self)
        return True

    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """Keep what was raised first."""
        if call.excinfo is None or self.error is not None or call.excinfo.errisinstance(pytest.skip.Exception):
            return
        self.error = call.excinfo.value
        self._end = f"failed: {type(self.error).__name__}"
        if isinstance(self.error, SimulatorError):
            self._end = type(self.error).__name__
        elif isinstance(self.error, AssertionError) and not _COUNTERS.search(str(call.excinfo.traceback[-1].statement)):
            self._end = "wrong value"

    def run(self, item: pytest.Item) -> str:
        """Run a test; give how it ended, in the words of a verdict. What was raised is in `error`."""
        self.error, self._end = None, "survived"
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        return self._end


def in_session(file: str, run: Callable[[Session], tuple[str, Any]]) -> tuple[str, Any]:
    """Collect a file's tests, and run something in place of them."""
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    # The same examples every time, and no search for a smaller one.
    settings.register_profile(
        "mutants",
        max_examples=20,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    session = Session(run)
    options = ["-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing):
        pytest.main([*options, file], plugins=[session])
    return session.answer


def be_slow(check: bool = True) -> None:
    """Have no simulated device use the fast version, which takes long to compile; nor checks, if so asked."""
    begin = simulator.Device.__init__
    launch._PATIENCE = math.inf

    def made(device: Any, arch: str = "sm_90", **told: Any) -> None:
        begin(device, arch, check and told.get("check", True), told.get("seed"), fast=False)

    simulator.Device.__init__ = made  # type: ignore[method-assign, assignment]


def remember(module: ModuleType) -> None:
    """Have what a mutant's results are compared with be computed once, and be known to all forks."""
    for name in module.__all__:
        known: dict[Any, Any] = {}
        setattr(module, name, partial(_remembered, known, getattr(module, name)))


def _remembered(known: dict[Any, Any], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    key = pickle.dumps((args, kwargs))
    if key not in known:
        known[key] = function(*args, **kwargs)
    return copy.deepcopy(known[key])
