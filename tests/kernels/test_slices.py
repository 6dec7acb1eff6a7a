"""States by kernels: the constants of the digits, the teams that fold, and the bits of the host."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cupysoft import SoftmaxState, host, simulator
from cupysoft.host import slices
from cupysoft.ops import cpu, device_states, plans_sliced
from cupysoft.runtime.sources import kernels_folder
from cupysoft.testing import strategies
from tests.kernels.test_kernel_numerics import computed


def test_kernels_have_the_tables_of_the_host() -> None:
    text = (kernels_folder() / "numerics/slices_table.cuh").read_text()
    numbers = [int(word, 16) for word in re.findall(r"0x([0-9a-f]{8})", text)]
    made = slices.tables()
    rows = [made.log2_e, *made.series, *made.coarse, *made.fine]
    assert numbers == [limb for row in rows for limb in row]


def assert_same_state(x: Any, axes: tuple[int, ...], device: simulator.Device) -> None:
    """Fold in by kernels, and on the host."""
    m, sums = device_states.state_of(device, np, x, axes)
    true = host.state_of(x, axes)
    assert m.tobytes() == true.m.tobytes()
    assert sums.tobytes() == true.sums.tobytes()


@pytest.fixture(scope="module")
def device() -> simulator.Device:
    return simulator.Device()


@given(data=st.data())
def test_kernels_fold_to_the_bits_of_the_host(device: simulator.Device, data: st.DataObject) -> None:
    """Of any numbers, views and axes."""
    x = data.draw(strategies.real_arrays(shape=strategies.shapes(most_axes=3, most_elements=300)))
    x = data.draw(strategies.views(x))
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, x.ndim - 1), min_size=1))))
    assert_same_state(x, axes, device)


# The last digits of the first two hang on the last limb of each step of the series, those of the others on what is
# carried out of the limbs that are left off.
LAST_DIGITS = [83.08203125, -458.765625, float.fromhex("0x1.dbba892887778p+60"), float.fromhex("0x1.28415a04c46cfp+60")]


def test_terms_are_those_of_the_host() -> None:
    """Their places too, which no state shows where numbers are huge."""
    x = np.ldexp(np.random.default_rng(4).normal(size=200), np.arange(-100, 100))
    x = np.concatenate([x, LAST_DIGITS, [2.0**61, -(2.0**61), 1e300, -1e300, 5e-324, 0.0]])
    digits = range(slices.SLICES)
    code = "const SlicedTerm t = exp_slices(a); const auto digits = digits_of(t); place = t.place; k = t.k;"
    code += "".join(f"d{i} = digits.w[{i}];" for i in digits)
    outputs = "int64 place, int32 k" + "".join(f", uint32 d{i}" for i in digits)
    with simulator.Device(check=False, fast=False):
        place, k, *found = computed(1, outputs, code, x, header="numerics/slices.cuh")
    true = slices.terms(x)
    assert np.array_equal(place, true.place)
    assert np.array_equal(k, true.k)
    assert np.array_equal(found, true.digits)


@given(x=st.lists(st.floats(), min_size=4, max_size=4))
@example(x=LAST_DIGITS)
@settings(max_examples=30)
def test_any_numbers_of_float64(device: simulator.Device, x: list[float]) -> None:
    rows = np.array(x)[:, None] * np.array([1.0, 1 - 2.0**-53, 0.5, -1.0])
    assert_same_state(rows, (1,), device)


@pytest.mark.parametrize("columns", [1, 4, 5, 64, 65, 513])
def test_every_team(device: simulator.Device, columns: int) -> None:
    x = np.random.default_rng(columns).normal(scale=9, size=(3, columns)).astype("f4")
    assert_same_state(x, (1,), device)


def test_large_arrays_of_numpy_go_through_kernels() -> None:
    x = np.random.default_rng(5).normal(scale=20, size=(3, 500)).astype("f4")
    with cpu.only("kernels"):
        m, sums = SoftmaxState.from_array(x, 1)._arrays
        found = cpu.state_of(x[:0], (1,))
    true = host.state_of(x, (1,))
    assert m.tobytes() == true.m.tobytes()
    assert sums.tobytes() == true.sums.tobytes()
    assert found is not None
    assert found[0].shape == (0,)
    assert cpu.state_of(x, (1,)) is None


def test_rows_in_parts(device: simulator.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans_sliced, "_SPLIT", 300)
    monkeypatch.setattr(plans_sliced, "_PART", 100)
    device_states._fold.cache_clear()
    x = np.random.default_rng(1).normal(scale=50, size=(2, 3, 350))
    x[0, 1, 120:] = -np.inf
    x[0, 2, 349] = np.nan
    assert_same_state(x, (2,), device)
    assert_same_state(x.transpose(2, 0, 1), (0, 2), device)
    device_states._fold.cache_clear()
