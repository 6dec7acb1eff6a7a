"""For tests of numerical code: distances in ulps, rigorous references, and strategies for Hypothesis.

``reference`` and ``quick_reference`` need python-flint and ``strategies`` needs Hypothesis; both come with the ``test``
extra and are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from cupysoft.errors import MissingDependencyError
from cupysoft.testing.ulp import ulp_distance

__all__ = ["quick_reference", "reference", "strategies", "ulp_distance"]

_NEEDS = {"quick_reference": "python-flint", "reference": "python-flint", "strategies": "hypothesis"}


def __getattr__(name: str) -> ModuleType:
    if name not in _NEEDS:
        raise AttributeError(f"module 'cupysoft.testing' has no attribute {name!r}")
    try:
        return importlib.import_module(f"cupysoft.testing.{name}")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"cupysoft.testing.{name} needs {_NEEDS[name]}, which cannot be imported ({error}); "
            f"install it with: pip install {_NEEDS[name]}"
        ) from error
