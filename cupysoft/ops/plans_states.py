"""What is done with arrays of states: the texts of the ElementwiseKernels, CuPy's or the simulator's."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.host.sliced import WORDS
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.sources import source

__all__ = ["Elementwise", "join_states", "share_of", "texts"]


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
    """Two arrays of states to one: the maximum and the words of each in, and those of the joined ones out."""
    listed = {name: ", ".join(f"{name}_{i}" for i in range(WORDS)) for name in "abc"}
    words = {name: f"float64 {name}_m, " + ", ".join(f"uint64 {name}_{i}" for i in range(WORDS)) for name in "abc"}
    operation = (
        f"const unsigned long long a[] = {{{listed['a']}}}, b[] = {{{listed['b']}}}; unsigned long long c[{WORDS}]; "
        f"join_states(a_m, a, b_m, b, c_m, c); " + " ".join(f"c_{i} = c[{i}];" for i in range(WORDS))
    )
    inputs, preamble = f"{words['a']}, {words['b']}", source("states/join.cuh")
    return Elementwise(inputs, words["c"], operation, "cupysoft_join_states", preamble)


@functools.cache
def share_of(dtype: np.dtype[Any]) -> Elementwise:
    """The softmax of elements, given maxima and sums of their rows; and which of them are left open."""
    operation = f"y = share_of<{element_type(dtype)}>(x, m, l_hi, l_lo, open)"
    inputs = f"{_bits(dtype)} x, float64 m, float64 l_hi, float64 l_lo"
    outputs, preamble = f"{_bits(dtype)} y, bool open", source("states/share.cuh")
    return Elementwise(inputs, outputs, operation, f"cupysoft_share_of_{dtype.name}", preamble)


def texts(dtype: np.dtype[Any]) -> tuple[Elementwise, ...]:
    """Give all of these for one dtype."""
    return join_states(), share_of(dtype)


def _bits(dtype: np.dtype[Any]) -> str:
    """The type of a parameter; 16-bit floats travel as their bits."""
    return dtype.name if dtype.itemsize > 2 else "uint16"
