"""States element by element: ElementwiseKernels, CuPy's or the simulator's, called the same way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from cupysoft.ops import plans_states
from cupysoft.ops.plans_states import Elementwise
from cupysoft.ops.target import StateArrays

__all__ = ["Factory", "merge", "state_logsumexp", "state_softmax"]

Factory: TypeAlias = Callable[..., Any]
"""The class ElementwiseKernel of a library."""


def merge(factory: Factory, xp: Any, first: StateArrays, second: StateArrays) -> StateArrays:
    """Give the state of the elements of both."""
    m, l_hi, l_lo = (xp.empty(word.shape, word.dtype) for word in first)
    _kernel(factory, plans_states.join_states())(*first, *second, m, l_hi, l_lo)
    return m, l_hi, l_lo


def state_logsumexp(factory: Factory, state: StateArrays, out: Any) -> None:
    """Write the logarithm of the state's sum of exponentials to `out`."""
    _kernel(factory, plans_states.logsumexp_of(out.dtype))(*state, _bits(out))


def state_softmax(factory: Factory, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any) -> None:
    """Write exp(x) over the state's sum of exponentials to `out`."""
    rows = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    words = (word.reshape(rows) for word in state)
    _kernel(factory, plans_states.softmax_of(x.dtype))(_bits(x), *words, _bits(out))


@functools.cache
def _kernel(factory: Factory, text: Elementwise) -> Any:
    return factory(
        text.in_params, text.out_params, text.operation, text.name, preamble=text.preamble, options=text.options
    )


def _bits(array: Any) -> Any:
    """See 16-bit floats as the bits that the kernels take."""
    return array.view("u2") if array.dtype.itemsize == 2 else array
