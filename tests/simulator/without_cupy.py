"""An environment in which CuPy is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cupysoft.runtime import compile as compile_module
from cupysoft.runtime.cupy_headers import headers_of
from cupysoft.runtime.toolchain import toolchain
from cupysoft.simulator import frame, loading

__all__ = ["without_cupy"]


@contextmanager
def without_cupy(really: bool = True) -> Iterator[None]:
    """Hide the headers of an installed CuPy."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (compile_module, frame, loading) if really else ():
            patch.setattr(module, "cupy_headers", lambda: headers_of(None, toolchain().headers))
        yield
