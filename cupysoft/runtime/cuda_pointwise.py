"""Element by element on a GPU: kernels that CuPy compiles itself, at the first use of each variant.

CuPy compiles such a kernel anew for other dtypes, numbers of axes, contiguity, and arrays beyond 2 GiB. It does so
behind the call, and then a graph capture would fail far from its cause: so what was used before is written down here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cupysoft.errors import NotCompiledError
from cupysoft.runtime.cuda import CupyDevice

__all__ = ["ElementwiseKernels", "first_use"]

# From here on CuPy counts an array's bytes in 64 bits.
_WIDE = 1 << 31

_used: set[tuple[object, ...]] = set()


@dataclass(frozen=True)
class ElementwiseKernels:
    """Makes kernels as ``cupy.ElementwiseKernel`` does; a first use during a capture raises.

    Attributes
    ----------
    kernel_class : callable
        That class.
    """

    kernel_class: Callable[..., Any]

    def __call__(
        self, in_params: str, out_params: str, operation: str, name: str, *, preamble: str, options: tuple[str, ...]
    ) -> Callable[..., None]:
        """Make a kernel, which takes all of its arrays, outputs too, in one shape and over the fewest axes."""
        kernel = self.kernel_class(in_params, out_params, operation, name, preamble=preamble, options=options)

        def run(*arrays: Any) -> None:
            first_use(name, arrays, lambda: kernel(*arrays))

        return run


def first_use(name: str, arrays: Sequence[Any], run: Callable[[], object], *more: object) -> None:
    """Run what CuPy compiles at its first use, unless that is now and the current stream captures a graph.

    Parameters
    ----------
    name : str
        What runs.
    arrays : sequence of cupy.ndarray
        What it is given, in one shape and over the fewest axes, which no step of CuPy's could join further.
    run : callable
        Runs it.
    more
        What else decides about the compiled code.

    Raises
    ------
    NotCompiledError
        If it has not run on such arrays before, and the stream is capturing.
    """
    device = CupyDevice()
    variant = (name, device.number, *more, *map(_kind, arrays))
    if variant not in _used and device.capturing:
        raise NotCompiledError(
            f"{name}: CuPy has not compiled it yet for arrays such as these, and the current stream is capturing a "
            "graph, in which nothing can be compiled or loaded; call cupysoft.warmup(...), or the same operation once, "
            "before the capture"
        )
    run()
    _used.add(variant)


def _kind(array: Any) -> tuple[object, ...]:
    """What CuPy's code depends on in an array."""
    steps = zip(array.shape, array.strides, strict=True)
    reach = array.dtype.itemsize + sum((n - 1) * abs(step) for n, step in steps)
    wide = max(reach, array.size * array.dtype.itemsize) > _WIDE
    return array.dtype, array.ndim, bool(array.flags.c_contiguous), wide
