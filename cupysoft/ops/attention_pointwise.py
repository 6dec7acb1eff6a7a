"""Parts of attention, joined element by element on a device: ElementwiseKernels, CuPy's or the simulator's."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from cupysoft.ops.plans_states import Elementwise
from cupysoft.ops.plans_weighted import element_type
from cupysoft.ops.pointwise import Factory, bits, elementwise, joined
from cupysoft.ops.target import PartArrays
from cupysoft.runtime.sources import source

__all__ = ["finish", "join", "merge", "part", "texts"]


def part(factory: Factory, xp: Any, o: Any, lse: Any) -> PartArrays:
    """Give the part (m, l, o) that a result stands for."""
    m, weights, wide = xp.empty(lse.shape, "f8"), xp.empty(lse.shape, "f8"), xp.empty(o.shape, "f8")
    elementwise(factory, _widened(o.dtype))(*joined(xp, bits(o), wide))
    elementwise(factory, _started(lse.dtype))(*joined(xp, lse, m, weights))
    return m, weights, wide


def join(factory: Factory, xp: Any, first: PartArrays, second: PartArrays) -> PartArrays:
    """Give the part of the keys of both."""
    m, weights, o = (xp.empty(word.shape, "f8") for word in first)
    elementwise(factory, _join_weights())(*joined(xp, *first[:2], *second[:2], m, weights))
    a_m, b_m = (xp.broadcast_to(each[0].reshape(*m.shape, 1), o.shape) for each in (first, second))
    elementwise(factory, _join_outputs())(*joined(xp, a_m, first[2], b_m, second[2], o))
    return m, weights, o


def finish(factory: Factory, xp: Any, state: PartArrays, out: Any, lse: Any) -> None:
    """Write the result of a part to `out`, and its logsumexp to `lse`."""
    m, weights, o = state
    over = [xp.broadcast_to(word.reshape(*m.shape, 1), o.shape) for word in (m, weights)]
    elementwise(factory, _output_of(out.dtype))(*joined(xp, *over, o, bits(out)))
    elementwise(factory, _lse_of(lse.dtype))(*joined(xp, m, weights, lse))


def merge(factory: Factory, xp: Any, first: tuple[Any, Any], second: tuple[Any, Any], out: Any, lse: Any) -> None:
    """Write the result over the keys of two results (o, lse) to `out` and `lse`; both are read where they are."""
    words = [
        array for o, of in (first, second) for array in (xp.broadcast_to(of.reshape(*of.shape, 1), o.shape), bits(o))
    ]
    elementwise(factory, _merged_output(out.dtype))(*joined(xp, *words, bits(out)))
    elementwise(factory, _merged_lse(lse.dtype))(*joined(xp, first[1], second[1], lse))


def texts(dtype: np.dtype[Any], lse_dtype: np.dtype[Any]) -> tuple[Elementwise, ...]:
    """Give the texts of all of these for one dtype."""
    return (
        _widened(dtype), _started(lse_dtype), _join_weights(), _join_outputs(), _output_of(dtype), _lse_of(lse_dtype),
        _merged_output(dtype), _merged_lse(lse_dtype),
    )  # fmt: skip


def _type(dtype: np.dtype[Any]) -> str:
    """The type of a parameter."""
    return dtype.name if dtype.itemsize > 2 else "uint16"


def _wide(name: str, dtype: np.dtype[Any]) -> str:
    """A parameter in float64."""
    kind = element_type(dtype)
    return f"widen(Element<{kind}>::load({name if dtype.itemsize > 2 else f'{kind}{{{name}}}'}))"


@functools.cache
def _merged_output(dtype: np.dtype[Any]) -> Elementwise:
    of_lse = "float64" if dtype == np.float64 else "float32"
    inputs = ", ".join(f"{of_lse} {each}_lse, {_type(dtype)} {each}_o" for each in "ab")
    words = ", ".join(f"widen({each}_lse), {_wide(f'{each}_o', dtype)}" for each in "ab")
    bits = "" if dtype.itemsize > 2 else ".bits"
    operation = f"y = merged_output<{element_type(dtype)}>({words}){bits}"
    return _text(inputs, f"{_type(dtype)} y", operation, f"merged_{dtype.name}")


@functools.cache
def _merged_lse(dtype: np.dtype[Any]) -> Elementwise:
    operation = f"lse = Element<{element_type(dtype)}>::round(merged_lse(widen(a_lse), widen(b_lse)))"
    kind = dtype.name
    return _text(f"{kind} a_lse, {kind} b_lse", f"{kind} lse", operation, f"merged_lse_{kind}")


@functools.cache
def _widened(dtype: np.dtype[Any]) -> Elementwise:
    return _text(f"{_type(dtype)} x", "float64 y", f"y = {_wide('x', dtype)}", f"widen_{dtype.name}")


@functools.cache
def _started(dtype: np.dtype[Any]) -> Elementwise:
    return _text(f"{dtype.name} lse", "float64 m, float64 l", "m = widen(lse); l = 1.0", f"part_{dtype.name}")


@functools.cache
def _join_weights() -> Elementwise:
    inputs = "float64 a_m, float64 a_l, float64 b_m, float64 b_l"
    return _text(inputs, "float64 m, float64 l", "join_weights(a_m, a_l, b_m, b_l, m, l)", "join_weights")


@functools.cache
def _join_outputs() -> Elementwise:
    inputs = "float64 a_m, float64 a_o, float64 b_m, float64 b_o"
    return _text(inputs, "float64 o", "o = join_outputs(a_m, a_o, b_m, b_o)", "join_outputs")


@functools.cache
def _output_of(dtype: np.dtype[Any]) -> Elementwise:
    bits = "" if dtype.itemsize > 2 else ".bits"
    operation = f"y = output_of<{element_type(dtype)}>(m, l, o){bits}"
    return _text("float64 m, float64 l, float64 o", f"{_type(dtype)} y", operation, f"output_{dtype.name}")


@functools.cache
def _lse_of(dtype: np.dtype[Any]) -> Elementwise:
    operation = f"lse = Element<{element_type(dtype)}>::round(attention_lse(m, l))"
    return _text("float64 m, float64 l", f"{dtype.name} lse", operation, f"lse_{dtype.name}")


def _text(inputs: str, outputs: str, operation: str, name: str) -> Elementwise:
    return Elementwise(inputs, outputs, operation, f"cupysoft_attention_{name}", source("states/attention.cuh"))
