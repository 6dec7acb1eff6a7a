"""The assembler's work on the kernels of attention: no spills, the matrix instructions meant, and not much time."""

from __future__ import annotations

import time

import pytest

from cupysoft.runtime.compile import compile
from cupysoft.runtime.disassembly import disassembled
from cupysoft.runtime.resources import resources
from cupysoft.runtime.sources import source

__all__ = ["KERNELS"]

PLAIN, EVERYTHING = "Options<FOLDED, false, None>", "Options<CAPPED, true, float>"

ALL = ("sm_80", "sm_90a", "sm_100", "sm_120")

# Of each family the instantiations that need most registers, or differ most, and the architectures that run them.
KERNELS: dict[str, dict[str, tuple[str, ...]]] = {
    "attention/fma.cu": {
        f"attention_fma<float, {PLAIN}, 1, 4, 4, 4>": ("sm_75", "sm_90a"),
        f"attention_fma<double, {EVERYTHING}, 6, 2, 8, 1>": ("sm_75", "sm_120"),
    },
    "attention/half.cu": {
        f"attention_half<Float16, {PLAIN}, 1, 128, 128, 4, 2, 32, 8>": ALL,
        f"attention_half<Bfloat16, {EVERYTHING}, 6, 256, 256, 4, 1, 32, 1>": ALL,
    },
    "attention/wide.cu": {
        f"attention_wide<Tf32<3>, {PLAIN}, 1, 128, 128, 4, 16, 4>": ALL,
        f"attention_wide<Float64, {PLAIN}, 1, 128, 128, 4, 16, 2>": ("sm_80", "sm_90a", "sm_100"),
    },
    "attention/merge.cu": {f"attention_merge<Bfloat16, float, {PLAIN}, 6>": ("sm_80",)},
}

CASES = [(path, name, arch) for path, names in KERNELS.items() for name, archs in names.items() for arch in archs]
# The matrix instructions that are meant, by the beginning of the name.
MATRICES: dict[str, set[str]] = {
    "attention_fma": set(),
    "attention_merge": set(),
    "attention_half<Float16": {"HMMA.16816.F32"},
    "attention_half<Bfloat16": {"HMMA.16816.F32.BF16"},
    "attention_wide<Tf32": {"HMMA.1688.F32.TF32"},
    "attention_wide<Float64": {"DMMA.884", "DMMA.16", "DMMA.8"},
}


@pytest.mark.parametrize(("path", "name", "arch"), CASES)
def test_nothing_spills(path: str, name: str, arch: str) -> None:
    begin = time.process_time()
    made = compile(source(path), name=path, arch=arch, names=(name,), kind="cubin", options=("--ptxas-options=-v",))
    found = resources(made.log)[made.names[name]]
    assert not found.spills
    assert found.stack == 0
    assert time.process_time() - begin < 10
    matrices = {each.opcode for each in disassembled(made.code)[made.names[name]] if "MMA" in each.name}
    meant = next(each for beginning, each in MATRICES.items() if name.startswith(beginning))
    assert matrices <= meant
    assert bool(matrices) == bool(meant)
