"""Plans of the general logsumexp: with weights, with a sign, of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from cupysoft.arrays import Layout, is_bfloat16
from cupysoft.ops.plans_view import view_of
from cupysoft.runtime.plan import KernelRef, Plan, Step

__all__ = ["element_type", "general_logsumexp"]

# Threads of a block, which has a row (REFINE_WARPS in kernels/softmax/refined.cuh).
_THREADS = 128


def general_logsumexp(layout: Layout, dtype: np.dtype[Any], *, weighted: bool, signed: bool) -> Plan:
    """Plan a logsumexp that is weighted, signed, or complex; parameters as for `cupysoft.ops.plans.logsumexp`."""
    if layout.rows == 0:
        return Plan(())
    is_complex = dtype.kind == "c"
    source, kernel = ("complex", "logsumexp_complex") if is_complex else ("weighted", "logsumexp_weighted")
    view = view_of(layout, 2 + weighted + signed)
    flags = ", ".join("true" if flag else "false" for flag in (weighted, signed))
    name = f"{kernel}<{element_type(dtype)}, {flags}, {view.type}>"
    # An array that is not there is stood in for by one that is; the kernel does not look at it.
    arguments = ("x", "b" if weighted else "x", view.value, "out", "sign" if signed else "out")
    step = Step(KernelRef(f"softmax/{source}.cu", name), (layout.rows, 1, 1), (_THREADS, 1, 1), 0, arguments)
    return Plan((step,))


def element_type(dtype: np.dtype[Any]) -> str:
    """Name the C++ type of a dtype in the kernels; of a complex one, the type of its parts."""
    if is_bfloat16(dtype):
        return "Bfloat16"
    names = {
        "float16": "Float16",
        "float32": "float",
        "float64": "double",
        "complex64": "float",
        "complex128": "double",
    }
    return names[dtype.name]
