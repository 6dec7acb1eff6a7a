"""Drawn calls of attention on the simulated device with checks: options together, odd sizes, hostile contents."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cupysoft import simulator
from tests.attention_calls import kernel_calls
from tests.kernels.test_attention import SOURCES, kernel_of


# Each call has a kernel of its own to compile.
@pytest.mark.parametrize("family", SOURCES, ids=kernel_of)
@settings(max_examples=settings().max_examples // 3)
@given(data=st.data())
def test_every_element_is_within_its_bound(family: tuple[Any, ...], data: st.DataObject) -> None:
    arch, dtype, precision, kernel = family
    call = data.draw(kernel_calls(dtype))
    if precision:
        call.options["precision"] = precision
    with simulator.Device(arch=arch, check=True) as device:
        call.check()
    assert all(name.startswith((kernel, "attention_merge")) for name in device.report.kernels)
