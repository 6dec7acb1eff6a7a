"""One rounding to each type."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupysoft.host.rounding import store
from cupysoft.testing.balls import round_dyadic

DTYPES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32), np.dtype(np.float64)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@given(data=st.data())
def test_store_rounds_once(dtype: np.dtype[Any], data: st.DataObject) -> None:
    anything = st.floats(allow_nan=False, allow_infinity=False)
    # Near a tie: halfway between two neighbours of the narrow type, and a hair beside it.
    narrow = st.integers(0, 2**15 - 1).map(lambda bits: float(np.array(bits, np.uint16).view(DTYPES[1])))
    ties = st.builds(
        lambda v, step, hair: v * (1 + step) * (1 + hair),
        narrow.filter(math.isfinite),
        st.sampled_from([2.0**-9, 2.0**-12, 2.0**-25]),
        st.sampled_from([0.0, 2.0**-52, -(2.0**-52), 2.0**-30, -(2.0**-30)]),
    )
    value = data.draw(anything | ties)
    out = np.empty(1, dtype)
    with np.errstate(all="ignore"):
        store(np.array([value]), out)
    numerator, denominator = value.as_integer_ratio() if math.isfinite(value) else (0, 1)
    if math.isfinite(value):
        expected = round_dyadic(numerator, 1 - denominator.bit_length(), dtype)
        assert float(out[0]) == expected


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_special_values(dtype: np.dtype[Any]) -> None:
    values = np.array([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e39, -1e39, 1e-60])
    values[0] = np.array(0x7FF0000000000001, np.uint64).view(np.float64)
    out = np.empty(values.shape, dtype)
    with np.errstate(all="ignore"):
        store(values, out)
        expected = values if dtype.itemsize == 8 else [np.nan, np.nan, np.inf, -np.inf, 0, -0.0, np.inf, -np.inf, 0]
    np.testing.assert_array_equal(out.astype(np.float64), expected)
    assert np.signbit(out.astype(np.float64)[5])


def test_bfloat16_by_float32_would_round_twice() -> None:
    value = np.array([1 + 2.0**-8 + 2.0**-40])
    out = np.empty(1, ml_dtypes.bfloat16)
    store(value, out)
    assert float(out[0]) == 1 + 2.0**-7
    assert float(value.astype(np.float32).astype(ml_dtypes.bfloat16)[0]) == 1.0
