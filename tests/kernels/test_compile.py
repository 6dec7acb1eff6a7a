"""The assembler's report on every family of kernels and every architecture: nothing spills."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from cupysoft.runtime.compile import compile
from cupysoft.runtime.resources import resources
from cupysoft.runtime.sources import listing, source
from tests.kernels.test_attention_compile import SOURCES as OF_ATTENTION

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120")

PLAIN, BATCHES, PAIRED, GENERAL = "View<2, 1, 1>", "View<2, 6, 1>", "View<2, 2, 2>", "View<2, 6, 6>"
TWO_BATCHES = "View<2, 2, 1>"
OPEN = "int*, int"

# The instantiations of each family that need most registers, or differ most.
KERNELS = {
    "softmax/rows.cu": (
        f"softmax_warp<Softmax<float>, 32, 4, Vectors<4>, {PLAIN}, float*, {OPEN}>",
        f"softmax_warp<Softmax<float>, 32, 4, SideBySide, {PLAIN}, float*, {OPEN}>",
        f"softmax_warp<LogSoftmax<Bfloat16>, 16, 1, Ragged<4>, {BATCHES}, Bfloat16*, {OPEN}>",
        f"softmax_warp<LogSoftmax<Bfloat16>, 32, 2, Elements, {BATCHES}, Bfloat16*, {OPEN}>",
        f"softmax_warp<Softmax<double>, 32, 4, Elements, {PAIRED}, double*, {OPEN}>",
        f"softmax_block<Softmax<Float16>, 16, 2, Vectors<8>, {PLAIN}, Float16*, {OPEN}>",
        f"softmax_block<Softmax<Float16>, 16, 2, SideBySide, {PLAIN}, Float16*, {OPEN}>",
        f"softmax_block<LogSoftmax<float>, 16, 4, Ragged<4>, {PLAIN}, float*, {OPEN}>",
        f"softmax_block<LogSoftmax<float>, 16, 4, SideBySide, {BATCHES}, float*, {OPEN}>",
        f"softmax_block<LogSoftmax<double>, 16, 4, Ragged<2>, {PLAIN}, double*, {OPEN}>",
        f"softmax_block<LogSoftmax<float>, 16, 4, Elements, {PAIRED}, float*, {OPEN}>",
        f"softmax_block<LogSumExp<double>, 16, 4, Elements, {GENERAL}, double*, {OPEN}>",
        f"softmax_shared<Softmax<float>, 32, true, Ragged<4>, {TWO_BATCHES}, float*, {OPEN}>",
        f"softmax_block<Softmax<float>, 16, 4, Elements, {GENERAL}, float*, {OPEN}>",
        f"softmax_block<Softmax<float, ByIntegers>, 16, 4, SideBySide, {TWO_BATCHES}, float*, {OPEN}>",
        f"softmax_shared<Softmax<float, ByIntegers>, 32, true, Ragged<4>, {TWO_BATCHES}, float*, {OPEN}>",
        f"softmax_shared<LogSoftmax<Float16>, 16, false, SideBySide, {BATCHES}, Float16*, {OPEN}>",
        f"softmax_shared<LogSoftmax<double>, 16, false, Elements, {GENERAL}, double*, {OPEN}>",
        f"softmax_shared<LogSoftmax<float>, 32, false, Ragged<4>, {TWO_BATCHES}, float*, {OPEN}>",
        f"softmax_stream<LogSoftmax<Float16>, Elements, {GENERAL}, Float16*, {OPEN}>",
        f"softmax_stream<LogSoftmax<float>, SideBySide, {PLAIN}, float*, {OPEN}>",
        f"softmax_stream<LogSoftmax<double>, Vectors<1>, {PLAIN}, double*, {OPEN}>",
        f"softmax_split<LogSumExp<double>, Elements, {GENERAL}>",
        f"softmax_split<LogSumExp<float>, Ragged<4>, {PLAIN}>",
        f"softmax_apply<LogSoftmax<double>, Elements, {GENERAL}, double*, {OPEN}>",
        f"softmax_apply<Softmax<float>, SideBySide, {PLAIN}, float*, {OPEN}>",
        f"softmax_apply<Softmax<double>, Ragged<2>, {PLAIN}, double*, {OPEN}>",
        "split_merge<LogSoftmax<double>::Arithmetic>",
        f"split_finish<LogSumExp<double>, {PLAIN}, double*, {OPEN}>",
    ),
    "softmax/columns.cu": (
        f"columns_thread<Softmax<float>, 16, {PLAIN}, float*, {OPEN}>",
        f"columns_thread<LogSoftmax<double>, 8, {BATCHES}, double*, {OPEN}>",
        f"columns_block<Softmax<Bfloat16>, 16, 16, {PLAIN}, Bfloat16*, {OPEN}>",
        f"columns_block<LogSoftmax<float>, 16, 16, {PAIRED}, float*, {OPEN}>",
        f"columns_block<LogSumExp<double>, 16, 8, {GENERAL}, double*, {OPEN}>",
        f"columns_block<LogSoftmax<double>, 16, 8, {PLAIN}, double*, {OPEN}>",
        f"columns_stream<Softmax<double>, {GENERAL}, double*, {OPEN}>",
        f"columns_split<LogSumExp<double>, {PLAIN}>",
        f"columns_apply<LogSoftmax<Float16>, {GENERAL}, Float16*, {OPEN}>",
    ),
    "softmax/rows32.cu": (
        f"softmax_block_floats<Softmax<float>, 16, 4, SideBySide, {TWO_BATCHES}, float*, {OPEN}>",
        f"softmax_block_floats<Softmax<Float16>, 16, 2, Vectors<8>, {PLAIN}, Float16*, {OPEN}>",
        f"softmax_block_floats<Softmax<Bfloat16>, 16, 2, Ragged<8>, {TWO_BATCHES}, Bfloat16*, {OPEN}>",
        f"softmax_shared_floats<Softmax<float>, 16, true, SideBySide, {TWO_BATCHES}, float*, {OPEN}>",
        f"softmax_shared_floats<Softmax<float>, 32, false, Ragged<4>, {TWO_BATCHES}, float*, {OPEN}>",
        f"softmax_shared_floats<Softmax<float>, 32, true, Vectors<4>, {PLAIN}, float*, {OPEN}>",
        f"softmax_shared_floats<Softmax<Bfloat16>, 32, true, Ragged<8>, {TWO_BATCHES}, Bfloat16*, {OPEN}>",
        f"softmax_split_floats<Softmax<Bfloat16>, SideBySide, {TWO_BATCHES}>",
        f"softmax_apply_floats<Softmax<Bfloat16>, Ragged<8>, {TWO_BATCHES}, Bfloat16*, {OPEN}>",
        f"softmax_shared_floats<Softmax<Float16>, 16, false, SideBySide, {TWO_BATCHES}, Float16*, {OPEN}>",
    ),
    "softmax/loops.cu": (
        f"softmax_loops<Softmax<float>, WarpRow, true, true, {PLAIN}, float*, {OPEN}>",
        f"softmax_loops<LogSoftmax<double>, LaneRow, false, false, {GENERAL}, double*, {OPEN}>",
        f"softmax_loops<LogSumExp<Bfloat16>, WarpRow, false, true, {PLAIN}, Bfloat16*, {OPEN}>",
        f"softmax_loops<Softmax<double>, LaneRow, true, false, {BATCHES}, double*, {OPEN}>",
    ),
    "softmax/fast.cu": (
        f"fast_block<Fast::LogSoftmax, float, 16, 4, Ragged<4>, {TWO_BATCHES}>",
        f"fast_walk<Fast::LogSoftmax, Bfloat16, SideBySide, {TWO_BATCHES}>",
    ),
    "softmax/settle.cu": (f"settle<{GENERAL}>",),
    "softmax/settle_weighted.cu": (
        "settle_weighted<true, true, View<4, 6, 6>>",
        "settle_weighted<true, false, View<3, 6, 6>>",
        "settle_weighted<false, true, View<3, 6, 6>>",
    ),
    "softmax/weighted.cu": (
        "logsumexp_weighted<double, true, true, BlockTeam<4>, View<4, 6, 6>>",
        "logsumexp_weighted<float, false, true, WarpTeam<1>, View<3, 1, 1>>",
        "logsumexp_weighted_split<Bfloat16, true, ColumnTeam<8>, View<3, 1, 1>>",
        "logsumexp_weighted_split<double, true, BlockTeam<4>, View<3, 2, 2>>",
        "logsumexp_weighted_merge<double, true, true, View<4, 6, 6>>",
        "logsumexp_weighted_walk<double, true, View<4, 6, 6>>",
        "logsumexp_weighted_refine<double, true, true, true, View<4, 6, 6>>",
        "logsumexp_weighted_refine<double, true, false, true, View<3, 1, 1>>",
        "logsumexp_weighted_refine<float, false, true, false, View<3, 1, 1>>",
    ),
    "softmax/complex.cu": (
        "logsumexp_complex<double, true, true, BlockTeam<4>, View<4, 6, 6>>",
        "logsumexp_complex<float, false, false, WarpTeam<32>, View<2, 1, 1>>",
        "logsumexp_complex_split<double, true, ColumnTeam<8>, View<3, 1, 1>>",
        "logsumexp_complex_merge<double, true, true, View<4, 6, 6>>",
        "logsumexp_complex_walk<float, true, View<3, 1, 1>>",
        "logsumexp_complex_refine<double, true, true, true, View<4, 6, 6>>",
        "logsumexp_complex_refine<float, false, false, false, View<2, 1, 1>>",
    ),
    "states/fold.cu": (f"fold_states<BlockTeam<4>, {GENERAL}>",),
    "states/results.cu": ("logsumexp_of_states<128>",),
    "ladder/ladder.cu": (),
}


def test_every_source_is_covered() -> None:
    assert {*KERNELS, *OF_ATTENTION} == set(listing())


# Large kernels that no ordinary row runs.
LARGE = ("softmax/settle.cu", "softmax/settle_weighted.cu", "softmax/weighted.cu", "softmax/complex.cu")

# The first architecture for which kernels of a file are planned, where that is not the first of all.
OLDEST = {"softmax/rows32.cu": "sm_80"}


# Which kernels of a file are compiled for an architecture; the nightly profile compiles all for all.
TURNS = {
    "sm_75": slice(0, None, 2),
    "sm_80": slice(0, None, 2),
    "sm_86": slice(1, None, 4),
    "sm_89": slice(3, None, 4),
    "sm_90a": slice(1, None, 2),
    "sm_100": slice(0, None, 2),
    "sm_120": slice(1, None, 2),
}


def programs() -> Iterator[Any]:
    """Give a file, an architecture, and which of the file's kernels are compiled for it.

    All architectures have as many registers, and the reports are alike: they take turns, so that each kernel is
    compiled for two or three.
    """
    everything = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
    for path, names in KERNELS.items():
        for place, arch in enumerate(ARCHITECTURES):
            if place >= ARCHITECTURES.index(OLDEST.get(path, "sm_75")):
                turns = slice(place % 3, None, 3) if path in LARGE else TURNS[arch]
                some = names if everything else names[turns]
                if some or not names:
                    yield pytest.param(path, arch, some, id=f"{path}-{arch}")


@pytest.mark.parametrize(("path", "arch", "names"), list(programs()))
def test_nothing_spills(path: str, arch: str, names: tuple[str, ...]) -> None:
    made = compile(source(path), name=path, arch=arch, names=names, kind="cubin", options=("--ptxas-options=-v",))
    found = resources(made.log)
    assert set(made.names.values()) <= set(found)
    assert len(found) >= max(len(names), 1)
    spilling = {kernel: report for kernel, report in found.items() if report.spills or report.stack}
    assert not spilling
