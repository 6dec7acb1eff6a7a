"""Counting what a kernel of attention issues for a tile, against code whose counts are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cupysoft.errors import ReportError
from cupysoft.runtime import matrix_slots
from cupysoft.runtime.disassembly import Instruction, Place
from cupysoft.runtime.matrix_slots import multiplications, tile_loop
from cupysoft.runtime.plan import KernelRef
from cupysoft.simulator.profile.matrices import share_of_code
from cupysoft.simulator.profile.processors import processor

KEYS: tuple[Place, ...] = (("attention/half_products.cuh", 1),)
VALUES: tuple[Place, ...] = (("attention/half_products.cuh", 2),)
NAME = "attention_half<Float16, Options<FOLDED, false, None>, 1, 32, 32, 4, 1, 64, 1, 8>"
# One round of a loop: an inner loop of one matrix instruction and one read, and two of the other product.
CODE = (
    Instruction(0, "MOV"),
    Instruction(1, "BAR.SYNC"),
    Instruction(2, "LDSM.16.M88.4"),
    Instruction(3, "HMMA.16816.F32", places=KEYS),
    Instruction(4, "BRA", "@P0", 2),
    Instruction(5, "HMMA.16816.F32", places=VALUES),
    Instruction(6, "HMMA.16816.F32", places=VALUES),
    Instruction(7, "LDS.128"),
    Instruction(8, "MUFU.EX2"),
    Instruction(9, "BRA", "@P0", 1),
    Instruction(10, "EXIT"),
)


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"multiply_keys": frozenset(KEYS), "multiply_values": frozenset(VALUES)}
    monkeypatch.setattr(matrix_slots, "_lines", lambda header, function: found[function])


def wanted(keys: int, values: int) -> dict[str, int]:
    """Matrix instructions of each product, as multiplications."""
    return {"multiply_keys": keys * 2048, "multiply_values": values * 2048}


def test_an_inner_loop_goes_as_often_as_it_has_to() -> None:
    loop = tile_loop(CODE, wanted(5, 2), "attention/half_products.cuh")
    assert loop.matrices == {"HMMA.16816.F32": 7}
    assert loop.issued == {"matrix": 7, "control": 1 + 5 + 1, "load/store": 5 + 1, "special": 1}
    assert loop.passes == 4 * 5 + 4
    assert loop.slots == 21
    assert loop.share == pytest.approx(1 / 3)
    assert loop.multiplications == 7 * 2048


def test_what_loops_cannot_make_up_is_refused() -> None:
    with pytest.raises(ReportError, match="multiply_values is to multiply"):
        tile_loop(CODE, wanted(5, 3), "attention/half_products.cuh")
    with pytest.raises(ReportError, match="no loop"):
        tile_loop((*CODE[:5], Instruction(5, "EXIT")), wanted(5, 2), "attention/half_products.cuh")


def test_a_share_is_what_the_slowest_pipe_leaves() -> None:
    # 16 rows, 64 keys, 32 columns: 16 instructions of each product, of 8 clocks on this GPU.
    many = tuple(Instruction(n, "HMMA.16816.F32", places=VALUES) for n in range(5, 21))
    tail = [replace(each, index=each.index + 14) for each in CODE[7:]]
    code = (*CODE[:5], *many, *tail)
    found = share_of_code(code, KernelRef("attention/half.cu", NAME), processor("A100"))
    assert found.clocks["matrix"] == 32 * 8
    assert found.clocks["shared memory"] == (16 * 4 + 4) * 4
    assert found.binds == "shared memory"
    assert found.bound == pytest.approx(256 / 272)
    assert found.clocks["special"] == 8
    assert found.alone == pytest.approx(256 / (256 + found.loop.slots - 32))
    assert processor("H100").matrix["f16"] / processor("A100").matrix["f16"] > 3
    of_h100 = share_of_code(code, KernelRef("attention/half.cu", NAME), processor("H100"))
    assert of_h100.clocks["matrix"] == pytest.approx(32 * 4 / 0.63)


def test_other_kernels_and_gpus_are_refused() -> None:
    with pytest.raises(ReportError, match="no kernel of attention"):
        share_of_code(CODE, KernelRef("softmax/rows.cu", "softmax_warp<float>"), processor("A100"))
    double = KernelRef(
        "attention/wide.cu", "attention_wide<Float64, Options<FOLDED, false, None>, 1, 32, 32, 4, 32, 1, 2>"
    )
    with pytest.raises(ReportError, match="RTX 5090 has no matrix units for f64"):
        share_of_code(CODE, double, processor("RTX 5090"))


def test_instructions_of_other_kinds_multiply_nothing() -> None:
    opcodes = ("HMMA.1688.F32.TF32", "DMMA.16x8x8", "HFMA2.MMA", "FFMA", "DMMA.884")
    assert [multiplications(each) for each in opcodes] == [1024, 1024, 0, 0, 256]
