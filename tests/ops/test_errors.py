"""Bad input: the class of the error, and that its message names function, argument, what came and the way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft.errors import AxisError, DtypeError, ShapeError

FUNCTIONS = (cupysoft.softmax, cupysoft.log_softmax, cupysoft.logsumexp)
ARGUMENT = {"softmax": "x", "log_softmax": "x", "logsumexp": "a"}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["O", "U1", "S1", "M8[D]", "m8[s]", "V3", np.longdouble], ids=str)
def test_dtypes(function: Any, dtype: Any) -> None:
    name = function.__name__
    with pytest.raises(DtypeError, match=f"{name}: {ARGUMENT[name]} has dtype .*; expected float16") as caught:
        function(np.zeros(3, dtype))
    assert isinstance(caught.value, TypeError)
    assert "Convert it first" in str(caught.value)


@pytest.mark.parametrize("function", FUNCTIONS[:2])
@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex(function: Any, dtype: str) -> None:
    with pytest.raises(DtypeError, match="x has dtype complex"):
        function(np.zeros(3, dtype))


@pytest.mark.parametrize("function", FUNCTIONS[:2])
def test_the_way_out_of_complex_loses_nothing_in_silence(function: Any) -> None:
    with pytest.raises(DtypeError, match=r"for example numpy.abs\(x\) or x.real"):
        function(np.zeros(3, "c8"))
    with pytest.raises(DtypeError, match="logsumexp: a has dtype complex256; expected .*astype.'complex128'"):
        cupysoft.logsumexp(np.zeros(3, np.clongdouble))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_records(function: Any) -> None:
    argument = ARGUMENT[function.__name__]
    with pytest.raises(DtypeError, match=rf"Name one of its fields, such as {argument}\['p'\]"):
        function(np.zeros(3, [("p", "f4"), ("q", "f4")]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_masked_arrays(function: Any) -> None:
    masked = np.ma.masked_array([1.0, 2.0], [False, True])
    for given in (masked, [masked, masked], [[1.0, 2.0], (0.0, np.ma.masked)]):
        with pytest.raises(DtypeError, match=r"masked array, whose mask would be ignored; .*filled\(-numpy.inf\)"):
            function(given)


def test_weights_of_a_wrong_kind() -> None:
    with pytest.raises(DtypeError, match="logsumexp: b has dtype object"):
        cupysoft.logsumexp([1.0], b=np.array([1], "O"))
    with pytest.raises(DtypeError, match=r"logsumexp: b is, or holds, a masked array.* b\.filled\(0\)"):
        cupysoft.logsumexp([1.0], b=np.ma.ones(1))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_things_that_are_no_arrays(function: Any) -> None:
    for value in (None, {"a": 1}, object(), 2**70, (n for n in (1, 2)), [2**70], [None]):
        came = f"{ARGUMENT[function.__name__]} is a {type(value).__name__}, of which NumPy makes an array of objects"
        with pytest.raises(DtypeError, match=f"{function.__name__}: {came}; expected an array"):
            function(value)
    with pytest.raises(DtypeError, match=f"{function.__name__}: "):
        function("text")
    with pytest.raises(ShapeError, match="nested sequences of equal length"):
        function([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_axes(function: Any) -> None:
    name = function.__name__
    with pytest.raises(
        AxisError, match=f"{name}: axis 2 is out of range for an array with 2 axes; expected -2 to 1"
    ) as e:
        function(np.zeros((2, 3)), axis=2)
    assert isinstance(e.value, np.exceptions.AxisError)
    assert isinstance(e.value, ValueError)
    with pytest.raises(AxisError, match="twice"):
        function(np.zeros((2, 3)), axis=(1, -1))
    for axis in (1.0, "0", [0], True, (0, None)):
        with pytest.raises(DtypeError, match=f"{name}: axis holds"):
            function(np.zeros((2, 3)), axis=axis)


def test_every_error_is_a_cupysoft_error_and_a_builtin_one() -> None:
    from cupysoft import errors

    for name in errors.__all__:
        kind = getattr(errors, name)
        assert kind.__doc__
        if not issubclass(kind, Warning):
            assert issubclass(kind, errors.CupysoftError)
            assert kind is errors.CupysoftError or len(kind.__mro__) > len(errors.CupysoftError.__mro__) + 1
