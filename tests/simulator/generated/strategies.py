"""The Hypothesis strategy of generated kernels."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from tests.simulator.generated.draws import Draws
from tests.simulator.generated.kernel import Kernel, draw_kernel

__all__ = ["kernels"]


@cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


@st.composite
def kernels(draw: st.DrawFn, size: int = 40) -> Kernel:
    """Draw valid PTX kernels of about `size` statements, without races, whose results are exact."""
    return draw_kernel(Draws(lambda low, high: draw(_integers(low, high))), size)
