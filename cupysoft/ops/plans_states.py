"""What is done with arrays of states: the texts of the ElementwiseKernels, CuPy's or the simulator's."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.sources import source

__all__ = ["Elementwise", "join_states", "logsumexp_of", "softmax_of", "texts"]

_STATE = "float64 m, float64 l_hi, float64 l_lo"


@dataclass(frozen=True)
class Elementwise:
    """What ``cupy.ElementwiseKernel`` is made of, by the names of its parameters.

    Arrays of 16-bit types are passed as ``view(numpy.uint16)``.
    """

    in_params: str
    out_params: str
    operation: str
    name: str
    preamble: str
    options: tuple[str, ...] = ("--std=c++17", "--fmad=false")


@functools.cache
def join_states() -> Elementwise:
    """Two arrays of states to one: six float64 arrays in, three out."""
    return Elementwise(
        "float64 a_m, float64 a_hi, float64 a_lo, float64 b_m, float64 b_hi, float64 b_lo",
        _STATE,
        "join_states(a_m, a_hi, a_lo, b_m, b_hi, b_lo, m, l_hi, l_lo)",
        "cupysoft_join_states",
        _preamble(),
    )


@functools.cache
def logsumexp_of(dtype: np.dtype[Any]) -> Elementwise:
    """The logsumexp of states, in a dtype."""
    operation = f"y = logsumexp_of<{element_type(dtype)}>(m, l_hi, l_lo)"
    return Elementwise(_STATE, f"{_bits(dtype)} y", operation, f"cupysoft_logsumexp_of_{dtype.name}", _preamble())


@functools.cache
def softmax_of(dtype: np.dtype[Any]) -> Elementwise:
    """The softmax of elements, given the states of their rows."""
    operation = f"y = softmax_of<{element_type(dtype)}>(x, m, l_hi, l_lo)"
    inputs = f"{_bits(dtype)} x, {_STATE}"
    return Elementwise(inputs, f"{_bits(dtype)} y", operation, f"cupysoft_softmax_of_{dtype.name}", _preamble())


def texts(dtype: np.dtype[Any]) -> tuple[Elementwise, ...]:
    """Give all of these for one dtype."""
    return join_states(), logsumexp_of(dtype), softmax_of(dtype)


def _bits(dtype: np.dtype[Any]) -> str:
    """The type of a parameter; 16-bit floats travel as their bits."""
    return dtype.name if dtype.itemsize > 2 else "uint16"


@functools.cache
def _preamble() -> str:
    return source("states/states.cuh")
