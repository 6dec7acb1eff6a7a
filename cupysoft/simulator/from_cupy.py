"""`from_cupy`: a kernel that was made for CuPy, as it is, on the simulated device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from ..errors import DtypeError
from .elementwise import ElementwiseKernel
from .kernels import RawKernel, RawModule
from .reduction import ReductionKernel

__all__ = ["from_cupy"]

Twin: TypeAlias = RawKernel | RawModule | ElementwiseKernel | ReductionKernel


def from_cupy(kernel: Any) -> Any:
    """The simulated twin of a kernel or module of CuPy, which is called in the same way, with NumPy arrays.

    CuPy makes these objects without a GPU, and compiles them when they are called: so a program's own kernels can be
    tested where there is none.

    Parameters
    ----------
    kernel : cupy.RawKernel, cupy.RawModule, cupy.ElementwiseKernel or cupy.ReductionKernel
        What the program calls on a GPU. Of a module, ask the twin for its kernels: CuPy's own ``get_function`` needs
        a GPU.

    Returns
    -------
    RawKernel, RawModule, ElementwiseKernel or ReductionKernel
        The class of `cupysoft.simulator` that has the name of the kernel's.

    Examples
    --------
    >>> import cupy, numpy as np
    >>> import cupysoft.simulator as simulator
    >>> square = cupy.ElementwiseKernel("T x", "T y", "y = x * x", "square")
    >>> simulator.from_cupy(square)(np.arange(5))
    array([ 0,  1,  4,  9, 16])
    """
    make = {
        "RawKernel": _raw_kernel,
        "RawModule": _raw_module,
        "ElementwiseKernel": _elementwise,
        "ReductionKernel": _reduction,
    }.get(type(kernel).__name__)
    if isinstance(kernel, Twin) or make is None:
        raise DtypeError(
            "from_cupy: kernel must be a RawKernel, RawModule, ElementwiseKernel or ReductionKernel of CuPy, not a"
            f" {type(kernel).__module__}.{type(kernel).__qualname__}"
        )
    return make(kernel)


def _raw_kernel(kernel: Any) -> RawKernel:
    made = kernel.__getstate__()  # CuPy shows only a part of it otherwise
    if made["name_expressions"] or made["file_path"]:
        raise DtypeError(f"from_cupy: {kernel.name} comes from a RawModule; pass that, and ask the twin for the kernel")
    return RawKernel(
        made["code"],
        made["name"],
        made["options"],
        made["backend"],
        made["translate_cucomplex"],
        enable_cooperative_groups=made["enable_cooperative_groups"],
        jitify=made.get("jitify"),
    )


def _raw_module(module: Any) -> RawModule:
    given = {"path": module.file_path} if module.code is None else {"code": module.code, "backend": module.backend}
    return RawModule(
        **given,
        options=module.options,
        enable_cooperative_groups=module.enable_cooperative_groups,
        name_expressions=module.name_expressions,
    )


def _elementwise(kernel: Any) -> ElementwiseKernel:
    return ElementwiseKernel(
        _parameters(kernel.in_params, const=True),
        _parameters(kernel.out_params, const=False),
        kernel.operation,
        kernel.name,
        kernel.reduce_dims,
        kernel.preamble,
        kernel.no_return,
        kernel.return_tuple,
        **kernel.kwargs,
    )


def _reduction(kernel: Any) -> ReductionKernel:
    return ReductionKernel(
        _parameters(kernel.in_params, const=True),
        _parameters(kernel.out_params, const=False),
        kernel.map_expr,
        kernel.reduce_expr,
        kernel.post_map_expr,
        kernel.identity or None,
        kernel.name,
        kernel.reduce_type,
        kernel.reduce_dims,
        kernel.preamble,
        kernel.options,
    )


def _parameters(parameters: Sequence[Any], const: bool) -> str:
    """The text that CuPy read these parameters from."""
    return ", ".join(
        f"{'raw ' if each.raw else ''}{'_non_const ' if const and not each.is_const else ''}"
        f"{each.ctype if each.dtype is None else each.dtype.name} {each.name}"
        for each in parameters
    )
