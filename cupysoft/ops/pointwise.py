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

__all__ = ["Factory", "bits", "elementwise", "joined", "merge", "share"]

Factory: TypeAlias = Callable[..., Any]
"""The class ElementwiseKernel of a library."""


def merge(factory: Factory, xp: Any, first: StateArrays, second: StateArrays) -> StateArrays:
    """Give the state of the elements of both."""
    m, sums = (xp.empty(array.shape, array.dtype) for array in first)
    words = [word for state in (first, second, (m, sums)) for word in (state[0], *_words(state[1]))]
    elementwise(factory, plans_states.join_states())(*joined(xp, *words))
    return m, sums


def share(
    factory: Factory, xp: Any, rows: tuple[Any, ...], x: Any, axes: tuple[int, ...], out: Any, doubts: Any
) -> None:
    """Write exp(x) over sums to `out`, and which are left open; `rows` are maxima, and sums over them in two words."""
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    words = (xp.broadcast_to(word.reshape(kept), x.shape) for word in rows)
    elementwise(factory, plans_states.share_of(x.dtype))(*joined(xp, bits(x), *words, bits(out), doubts))


def _words(sums: Any) -> list[Any]:
    """See the words of sums one by one, as arrays even where rows have no axis."""
    return [sums[i, ...] for i in range(sums.shape[0])]


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
