"""For tests of numerical code: distances in ulps, rigorous references, and strategies for Hypothesis.

``reference`` needs python-flint and ``strategies`` needs Hypothesis; both come with the ``test`` extra and are imported
when they are first asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from cupysoft.testing.ulp import ulp_distance

__all__ = ["reference", "strategies", "ulp_distance"]


def __getattr__(name: str) -> ModuleType:
    if name in ("reference", "strategies"):
        return importlib.import_module(f"cupysoft.testing.{name}")
    raise AttributeError(f"module 'cupysoft.testing' has no attribute {name!r}")
