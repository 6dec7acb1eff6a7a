"""Layouts: rows and columns of strided views."""

from __future__ import annotations

from cupysoft.arrays import Axis, Layout, layout


def test_contiguous_batch_axes_become_one() -> None:
    assert layout((2, 3, 4), [2], [(12, 4, 1)]) == Layout((Axis(6, (4,)),), (Axis(4, (1,)),))
