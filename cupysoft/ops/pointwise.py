"""Element by element: ElementwiseKernels, CuPy's or the simulator's, called the same way; and the copies of CuPy.

All arrays of a step are handed over in one shape and over the fewest axes that do for them. So the step is compiled for
few kinds of arrays, and it is known which: a graph capture can rely on those that have run before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from cupysoft.arrays import layout
from cupysoft.ops import plans_states
from cupysoft.ops.plans_states import Elementwise
from cupysoft.ops.target import StateArrays

__all__ = ["Factory", "bits", "elementwise", "joined", "merge", "state_logsumexp", "state_softmax"]

Factory: TypeAlias = Callable[..., Any]
"""The class ElementwiseKernel of a library."""


def merge(factory: Factory, xp: Any, first: StateArrays, second: StateArrays) -> StateArrays:
    """Give the state of the elements of both."""
    m, l_hi, l_lo = (xp.empty(word.shape, word.dtype) for word in first)
    elementwise(factory, plans_states.join_states())(*joined(xp, *first, *second, m, l_hi, l_lo))
    return m, l_hi, l_lo


def state_logsumexp(factory: Factory, xp: Any, state: StateArrays, out: Any) -> None:
    """Write the logarithm of the state's sum of exponentials to `out`."""
    elementwise(factory, plans_states.logsumexp_of(out.dtype))(*joined(xp, *state, bits(out)))


def state_softmax(factory: Factory, xp: Any, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any) -> None:
    """Write exp(x) over the state's sum of exponentials to `out`."""
    rows = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    words = (xp.broadcast_to(word.reshape(rows), x.shape) for word in state)
    elementwise(factory, plans_states.softmax_of(x.dtype))(*joined(xp, bits(x), *words, bits(out)))


def joined(xp: Any, *arrays: Any) -> list[Any]:
    """See arrays of one shape over the fewest axes, the widest steps first; there is at least one axis."""
    axes = layout(arrays[0].shape, (), [array.strides for array in arrays]).batch
    shape = tuple(axis.size for axis in axes) or (1,)
    views = []
    for at, array in enumerate(arrays):
        steps = tuple(axis.strides[at] for axis in axes) or (array.dtype.itemsize,)
        views.append(xp.lib.stride_tricks.as_strided(array, shape, steps))
    return views


@functools.cache
def elementwise(factory: Factory, text: Elementwise) -> Any:
    """Make the kernel of a text, once for each library."""
    return factory(
        text.in_params, text.out_params, text.operation, text.name, preamble=text.preamble, options=text.options
    )


def bits(array: Any) -> Any:
    """See 16-bit floats as the bits that the kernels take."""
    return array.view("u2") if array.dtype.itemsize == 2 else array
