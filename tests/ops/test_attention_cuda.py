"""attention of CuPy arrays and of other libraries' arrays on a device, with CuPy's double: no GPU is needed."""

from __future__ import annotations

import numpy as np
import pytest

import cupysoft
from cupysoft.errors import DtypeError, OutError
from tests.ops.cupy_double import CupyDouble, DeviceArray, Foreign, use_double

RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=shape).astype("f4") for shape in ((4, 5, 8), (4, 7, 8), (4, 7, 3)))


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    return use_double(monkeypatch)


def test_cupy_in_cupy_out(cupy: CupyDouble) -> None:
    result, lse = cupysoft.attention(*map(DeviceArray, (Q, K, V)), causal=True, return_lse=True, precision="ieee")
    expected, expected_lse = cupysoft.attention(Q, K, V, causal=True, return_lse=True)
    for one, other in ((result, expected), (lse, expected_lse)):
        assert isinstance(one, DeviceArray)
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one.memory, other, rtol=1e-5, atol=1e-6)


def test_options_on_the_device(cupy: CupyDouble) -> None:
    mask, bias = RNG.random((5, 7)) < 0.7, RNG.normal(size=(4, 1, 7))
    lengths = np.array([7, 3, 0, 1], "i4")
    out = Foreign(np.zeros((4, 5, 3), "f4"))
    given = cupysoft.attention(
        Foreign(Q), DeviceArray(K), DeviceArray(V), mask=DeviceArray(mask), bias=DeviceArray(bias), out=out,
        kv_lengths=DeviceArray(lengths), precision="ieee",
    )  # fmt: skip
    assert given is out
    expected = cupysoft.attention(Q, K, V, mask=mask, bias=bias, kv_lengths=lengths)
    np.testing.assert_allclose(out.array.memory, expected, rtol=1e-5, atol=1e-6)


def test_scalars_and_empty_calls(cupy: CupyDouble) -> None:
    arrays = [DeviceArray(x) for x in (Q, K, V)]
    assert not cupysoft.attention(*arrays, mask=False, bias=2.0, precision="ieee").memory.any()
    np.testing.assert_allclose(
        cupysoft.attention(*arrays, kv_lengths=3, mask=True, bias=2.0, precision="ieee").memory,
        cupysoft.attention(Q, K[..., :3, :], V[..., :3, :]),
        rtol=1e-4,
        atol=1e-5,
    )
    o, lse = cupysoft.attention(arrays[0], DeviceArray(K[..., :0, :]), DeviceArray(V[..., :0, :]), return_lse=True)
    assert (o.memory == 0).all()
    assert (lse.memory == -np.inf).all()
    assert cupysoft.attention(DeviceArray(Q[:, :0]), *arrays[1:]).shape == (4, 0, 3)


def test_numbers_that_would_have_to_be_waited_for(cupy: CupyDouble) -> None:
    """Lengths on the device are not read: those out of range count as the nearest."""
    arrays = [DeviceArray(x) for x in (Q, K, V)]
    lengths = DeviceArray(np.array([-3, 1 << 40, 7, 7]))
    result, _ = cupysoft.attention(*arrays, kv_lengths=lengths, return_lse=True, precision="ieee")
    assert not result.memory[0].any()
    np.testing.assert_array_equal(result.memory[1], cupysoft.attention(*arrays, precision="ieee").memory[1])
    with pytest.raises(DtypeError, match="attention: scale is a .*DeviceArray; expected a finite number"):
        cupysoft.attention(*arrays, scale=DeviceArray(np.float32(1)))  # type: ignore[arg-type]


def test_arrays_in_two_places(cupy: CupyDouble) -> None:
    with pytest.raises(DtypeError, match="attention: k is a ndarray in host memory, but q is on a CUDA device"):
        cupysoft.attention(DeviceArray(Q), K, DeviceArray(V))
    with pytest.raises(DtypeError, match="attention: mask is a ndarray in host memory"):
        cupysoft.attention(*map(DeviceArray, (Q, K, V)), mask=np.ones((5, 7), bool))
    with pytest.raises(DtypeError, match="all arrays of a call must be on one device"):
        cupysoft.attention(DeviceArray(Q), DeviceArray(K, 1), DeviceArray(V))
    with pytest.raises(OutError, match="attention: out is an object of type numpy.ndarray"):
        cupysoft.attention(*map(DeviceArray, (Q, K, V)), out=np.zeros((4, 5, 3), "f4"))
