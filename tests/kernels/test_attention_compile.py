"""The assembler's work on the kernels of attention: no spills, the matrix instructions meant, and not much time.

Of each family the instantiations that need most registers, or differ most. `python -m tests.registers` looks at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from cupysoft.attention_layout import AttentionOptions, Role
from cupysoft.ops.attention_views import layout_of
from cupysoft.ops.plans_attention import attention
from cupysoft.runtime.compile import compile
from cupysoft.runtime.disassembly import disassembled
from cupysoft.runtime.matrix_slots import multiplications
from cupysoft.runtime.plan import KernelRef
from cupysoft.runtime.resources import resources
from cupysoft.runtime.sources import source
from cupysoft.simulator.profile.matrices import share_of_code
from cupysoft.simulator.profile.processors import processor
from tests.kernels.plans_for import BFLOAT16

__all__ = ["SOURCES", "kernels_of"]

# What is compiled here.
SOURCES = frozenset(f"attention/{name}.cu" for name in ("fma", "half", "wide", "merge"))

# GPUs, and the aims for the share of the rate of mma.sync.
GPUS = {"sm_80": "A100", "sm_90a": "H100", "sm_100": "B200", "sm_120": "RTX 5090"}
AIMS = {"float16": 0.7, "float32": 0.6, "float64": 0.6}
# The matrix instructions that are meant, by the beginning of the name.
MATRICES = {
    "attention_half<Float16": {"HMMA.16816.F32"},
    "attention_half<Bfloat16": {"HMMA.16816.F32.BF16"},
    "attention_wide<Tf32": {"HMMA.1688.F32.TF32"},
    "attention_wide<Float64": {"DMMA.884", "DMMA.16x8x8", "DMMA.8x8x4"},
}


def kernels_of(
    dtype: Any, dim: int, arch: str, *, queries: int = 1000, everything: bool = False
) -> tuple[KernelRef, ...]:
    """Plan a call, plain or with all options and strides."""
    element = np.empty((), dtype)

    def array(rows: int, columns: int, of: Any = element) -> np.ndarray[Any, Any]:
        if not everything:
            return np.empty((2, rows, columns), of.dtype)
        # Three axes of a batch that are not one, and columns that lie apart.
        step = 2 * of.dtype.itemsize
        strides = (rows * columns * step, 7 * rows * columns * step, 50 * rows * columns * step, columns * step, step)
        return as_strided(of, (2, 2, 2, rows, columns), strides)

    arrays: dict[Role, Any] = {
        "q": array(queries, dim), "k": array(3000, dim), "v": array(3000, dim), "out": array(queries, dim)
    }  # fmt: skip
    if everything:
        arrays["mask"] = array(queries, 3000, np.empty((), np.bool_))
        arrays["bias"] = array(queries, 3000, np.empty((), np.float32))
    options = AttentionOptions(0.1, softcap=3.0 if everything else None, precision="tf32x3")
    return attention(layout_of(arrays, options), arch).kernels


def compiled(kernel: KernelRef, arch: str) -> tuple[Any, Any]:
    """Compile, and see that nothing spills; give the machine code and what it takes."""
    path, name = kernel.source, kernel.name
    made = compile(source(path), name=path, arch=arch, names=(name,), kind="cubin", options=("--ptxas-options=-v",))
    found = resources(made.log)[made.names[name]]
    assert not found.spills
    assert found.stack == 0
    return disassembled(made.code)[made.names[name]], found


@pytest.mark.parametrize("arch", GPUS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_the_matrix_units_are_left(dtype: str, arch: str) -> None:
    """Of the loop over the keys: shown, and held to the aims, where the kernel uses them."""
    (kernel,) = kernels_of(dtype, 128, arch)
    code, _ = compiled(kernel, arch)
    meant = next((each for beginning, each in MATRICES.items() if kernel.name.startswith(beginning)), set())
    matrices = {each.opcode for each in code if "MMA" in each.name and multiplications(each.opcode)}
    assert matrices <= meant
    assert bool(matrices) == bool(meant)
    if not meant:
        assert (dtype, arch) == ("float64", "sm_120")
        return
    found = share_of_code(code, kernel, processor(GPUS[arch]))
    loop, bound = found.loop, found.bound
    print(f"{GPUS[arch]}, {dtype}: {loop.issued['matrix']} of {loop.slots} issue slots, {loop.share:.0%}")
    print(f"{found.binds} binds: at most {bound:.0%} of the rate of mma.sync, {bound * found.of_peak:.0%} of the peak")
    assert found.bound >= AIMS[dtype]


@pytest.mark.parametrize("arch", GPUS)
def test_the_most_that_is_asked_of_half_precision(arch: str) -> None:
    compiled(kernels_of(BFLOAT16, 256, arch, everything=True)[0], arch)


@pytest.mark.parametrize(
    ("dtype", "dim", "queries", "everything", "arch"),
    [
        ("float32", 256, 1000, False, "sm_75"),
        ("float64", 256, 1000, True, "sm_120"),
        ("float32", 256, 1000, True, "sm_90a"),
        ("float16", 64, 1, False, "sm_80"),
    ],
)
def test_others(dtype: str, dim: int, queries: int, everything: bool, arch: str) -> None:
    for kernel in kernels_of(dtype, dim, arch, queries=queries, everything=everything):
        compiled(kernel, arch)
