"""The assembler's report on the kernels of attention: nothing spills, and one instantiation is quick."""

from __future__ import annotations

import time

import pytest

from cupysoft.runtime.compile import compile
from cupysoft.runtime.resources import resources
from cupysoft.runtime.sources import source

__all__ = ["KERNELS"]

PLAIN, EVERYTHING = "Options<FOLDED, false, None>", "Options<CAPPED, true, float>"

# The instantiations of each family that need most registers, or differ most; and the architectures that run them.
KERNELS = {
    "attention/fma.cu": (
        ("sm_75", "sm_90a"),
        (
            f"attention_fma<float, {PLAIN}, 1, 4, 4, 4>",
            f"attention_fma<double, {EVERYTHING}, 6, 2, 8, 1>",
        ),
    ),
    "attention/half.cu": (
        ("sm_80", "sm_90a", "sm_100", "sm_120"),
        (
            f"attention_half<Float16, {PLAIN}, 1, 128, 128, 4, 2, 32, 8>",
            f"attention_half<Bfloat16, {EVERYTHING}, 6, 256, 256, 4, 1, 32, 1>",
        ),
    ),
    "attention/merge.cu": (("sm_80",), (f"attention_merge<Bfloat16, float, {PLAIN}, 6>",)),
}

CASES = [(path, name, arch) for path, (archs, names) in KERNELS.items() for name in names for arch in archs]


@pytest.mark.parametrize(("path", "name", "arch"), CASES)
def test_nothing_spills(path: str, name: str, arch: str) -> None:
    begin = time.process_time()
    made = compile(source(path), name=path, arch=arch, names=(name,), kind="cubin", options=("--ptxas-options=-v",))
    found = resources(made.log)[made.names[name]]
    assert not found.spills
    assert found.stack == 0
    assert time.process_time() - begin < 10
