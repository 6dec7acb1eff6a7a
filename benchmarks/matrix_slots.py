"""Count what the kernels of attention issue for a tile of keys, and what that leaves of the matrix units of each GPU.

No GPU is needed: kernels are assembled for each architecture and disassembled with NVIDIA's nvdisasm. What counts as a
tile's instructions: cupysoft/runtime/matrix_slots.py; how they are held against a GPU:
cupysoft/simulator/profile/matrices.py.

    python -m benchmarks.matrix_slots [--dtypes float16,float32] [--dims 64,128] [--gpus A100,H100]
"""

from __future__ import annotations

import argparse
from typing import Any

import ml_dtypes
import numpy as np

from benchmarks.measure import table
from cupysoft.attention_layout import AttentionOptions
from cupysoft.ops.attention_views import layout_of
from cupysoft.ops.plans_attention import attention
from cupysoft.runtime.plan import KernelRef
from cupysoft.simulator.profile.matrices import matrix_share
from cupysoft.simulator.profile.processors import Processor, processor

GPUS = ("A100", "H100", "B200", "RTX 5090")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtypes", default="float16,float32,float64", help="comma-separated names")
    parser.add_argument("--dims", default="64,128", help="comma-separated numbers, of head_dim and value_dim")
    parser.add_argument("--gpus", default=",".join(GPUS), help="comma-separated names")
    options = parser.parse_args()
    lines = [
        line(dtype, int(dim), processor(gpu))
        for dtype in options.dtypes.split(",")
        for dim in options.dims.split(",")
        for gpu in options.gpus.split(",")
    ]
    print(table([each for each in lines if each]))


def kernel_of(dtype: Any, dim: int, arch: str) -> KernelRef:
    """The kernel of many queries and keys, with no options."""
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    arrays = {role: np.empty((2, 1000, dim), kind) for role in ("q", "k", "v", "out")}
    return attention(layout_of(arrays, AttentionOptions(1.0)), arch).steps[0].kernel  # type: ignore[arg-type]


def line(dtype: Any, dim: int, of: Processor) -> dict[str, object]:
    """One kernel on one GPU; nothing where it does not use matrix instructions."""
    kernel = kernel_of(dtype, dim, of.arch)
    if kernel.name.startswith("attention_fma"):
        return {}
    found = matrix_share(kernel, of)
    return {
        "dtype": dtype,
        "dim": dim,
        "GPU": of.name,
        "matrix": found.loop.issued["matrix"],
        "slots": found.loop.slots,
        "share": f"{found.loop.share:.0%}",
        "shared memory": f"{found.clocks['shared memory'] / found.clocks['matrix']:.0%}",
        "binds": found.binds,
        "bound": f"{found.bound:.0%}",
        "alone": f"{found.alone:.0%}",
        "of data sheet": f"{found.bound * found.of_peak:.0%}",
    }


if __name__ == "__main__":
    main()
