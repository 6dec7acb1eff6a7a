"""Instructions issued for an element, counted in the machine code, of kernels whose counts are known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from cupysoft.errors import CompileError, ReportError
from cupysoft.runtime import machine_blocks
from cupysoft.runtime.compile import compile
from cupysoft.runtime.disassembly import Instruction, disassembled
from cupysoft.runtime.issue_slots import Section, pipe_of, sections
from cupysoft.runtime.machine_blocks import Flow, rare_lines
from cupysoft.simulator.profile.processors import processor
from cupysoft.simulator.profile.slots import slots, slots_of_plan
from tests.kernels.plans_for import contiguous, plan_of

ARCHITECTURES = ("sm_80", "sm_90a", "sm_100", "sm_120")

# Twelve fused operations for an element, none of which can be left out; a branch that is rare, and one that is not.
KNOWN = """
__device__ bool rarely(bool condition) { return __builtin_expect(condition, 0); }
__device__ float worked(float v, float a)
{
#pragma unroll
    for (int i = 0; i < 12; i++) v = __fmaf_rn(v, a, v);
    return v;
}
extern "C" __global__ void walked(float4* x, float a, int n)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < n; i += 32) {
        float4 v = x[i];
        v = {worked(v.x, a), worked(v.y, a), worked(v.z, a), worked(v.w, a)};
        if (rarely(v.x == 3.0f)) {
            v.x = static_cast<float>(exp(static_cast<double>(v.y)));
        }
        x[i] = v;
    }
}
extern "C" __global__ void held(float4* x, float a)
{
    float4 v = x[threadIdx.x];
    v = {worked(v.x, a), worked(v.y, a), worked(v.z, a), 1.0f / worked(v.w, a)};
    x[threadIdx.x] = v;
}
"""
RARE = range(16, 17)  # the one line between the braces


@cache
def known(arch: str) -> dict[str, tuple[Instruction, ...]]:
    """The machine code of the kernels above."""
    return disassembled(compile(KNOWN, name="known/known.cu", arch=arch, kind="cubin").code)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_loop_counts_what_its_elements_cost(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_blocks, "rare_lines", lambda: {("known/known.cu", line) for line in RARE})
    (loop,) = sections(known(arch)["walked"], 4)
    assert (loop.what, loop.elements, loop.bytes) == ("loop", 4, 32)
    assert loop.an_element("float32") == 12
    assert loop.an_element("float64") == 0
    assert loop.issued["load/store"] == 2
    assert loop.rare > 10
    # Beside those: the address, the counter, its comparison, the branches.
    assert 12.5 < loop.an_element() < 16


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_branch_that_nobody_calls_rare_counts(arch: str) -> None:
    (loop,) = sections(known(arch)["walked"], 4)
    assert loop.issued["float64"] > 5


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_straight_code_counts_as_a_whole_but_for_slow_paths(arch: str) -> None:
    code = known(arch)["held"]
    (whole,) = sections(code, 4)
    assert (whole.what, whole.elements, whole.bytes) == ("kernel", 4, 32)
    # The reciprocal: a first guess, two fused operations that refine it, and a test of whether its slow path is wanted.
    assert whole.issued["float32"] in range(48 + 2, 48 + 5)
    assert whole.issued["special"] == 1
    assert any(each.subroutine for each in code)
    assert whole.rare > 10
    assert sum(whole.issued.values()) + whole.rare < len(code)


def linear(*opcodes: str, targets: Sequence[tuple[int, int]] = (), guards: str = "") -> tuple[Instruction, ...]:
    """Instructions one after the other; `targets` are branches, which are conditional where `guards` has a ``?``."""
    to = dict(targets)
    return tuple(
        Instruction(i, opcode, "@P0" if guards[i : i + 1] == "?" else "", to.get(i)) for i, opcode in enumerate(opcodes)
    )


def test_blocks_end_at_branches_and_loops_are_found() -> None:
    #             0      1      2      3      4      5      6
    code = linear("MOV", "LDG", "BRA", "FADD", "BRA", "BRA", "EXIT", targets=((2, 4), (4, 1), (5, 0)), guards="  ? ??")
    flow = Flow(code)
    assert sorted(flow.blocks) == [0, 1, 3, 4, 5, 6]
    assert [(loop.head, sorted(loop.blocks), loop.innermost) for loop in flow.loops] == [
        (0, [0, 1, 3, 4, 5], False),
        (1, [1, 3, 4], True),
    ]


def test_a_call_that_does_not_leave_the_kernel_is_a_jump() -> None:
    code = linear("MOV", "CALL.REL.NOINC", "BRA", "EXIT", targets=((1, 3), (2, 0)), guards=" ?")
    assert Flow(code).complete
    assert Flow(code).blocks[0].following == (3, 2)


def test_where_lanes_have_parted_nobody_goes() -> None:
    code = linear("MOV", "BRA.DIV", "SHFL", "EXIT", "WARPSYNC", "BRA", targets=((1, 4), (5, 3)), guards=" ?")
    assert sorted(Flow(code).common) == [0, 2, 3]


def test_what_alone_leads_to_what_is_needed_is_not_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_blocks, "rare_lines", lambda: {("k/k.cu", 7)})
    code = (
        Instruction(0, "BRA", "@P0", 4),
        Instruction(1, "CS2R", "", None, False, (("k/k.cu", 7),)),
        Instruction(2, "BRA", "@P1", 4),
        Instruction(3, "HMMA.16816.F32"),
        Instruction(4, "EXIT"),
    )
    assert sorted(Flow(code).common) == [0, 4]
    assert sorted(Flow(code, lambda each: each.name == "HMMA").common) == [0, 1, 3, 4]


def test_what_only_a_rare_block_leads_to_is_rare() -> None:
    inner = (("softmax/rows.cu", 10**6),)
    code = (
        Instruction(0, "BRA", "@P0", 3),
        Instruction(1, "CALL.REL.NOINC", "", 5, True),
        Instruction(2, "MOV", "", None, False, inner),
        Instruction(3, "FADD", "", None, False, inner),
        Instruction(4, "EXIT"),
        Instruction(5, "MUFU.RCP"),
        Instruction(6, "RET.REL.NODEC"),
    )
    assert sorted(Flow(code).common) == [0, 3]


def test_what_every_way_goes_through_is_not_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_blocks, "rare_lines", lambda: {("k/k.cu", 7)})
    told = (("k/k.cu", 7), ("k/k.cu", 20))
    code = (
        Instruction(0, "BRA", "@P0", 3),
        Instruction(1, "FADD", "", None, False, told),
        Instruction(2, "FADD", "", None, False, told),
        Instruction(3, "FMUL", "", None, False, told),
        Instruction(4, "BRA", "@P0", 6),
        Instruction(5, "FADD", "", None, False, (("k/k.cu", 8),)),
        Instruction(6, "EXIT"),
    )
    assert sorted(Flow(code).common) == [0, 3, 5, 6]


def test_pipes() -> None:
    expected = {
        "FFMA": "float32",
        "FMUL.FTZ": "float32",
        "DADD": "float64",
        "HFMA2.MMA": "float16",
        "FMNMX.NAN": "integer",
        "IMAD.MOV.U32": "integer",
        "FSEL": "integer",
        "ULDC.64": "integer",
        "F2FP.F16.F32.PACK_AB": "conversion",
        "F2F.F64.F32": "wide conversion",
        "F2F.BF16.F32": "special",
        "MUFU.EX2": "special",
        "LDG.E.128": "load/store",
        "STS.64": "load/store",
        "SHFL.BFLY": "load/store",
        "BAR.SYNC.DEFER_BLOCKING": "control",
        "NOP": "control",
    }
    assert {opcode: pipe_of(opcode) for opcode in expected} == expected


def test_a_share_is_what_the_scarcest_pipe_leaves() -> None:
    of = processor("H100")
    assert slots({"float32": 40.0, "float64": 0.0}, 8, of).share == 1
    halved = slots({"float32": 40.0, "float64": 80.0}, 8, of)
    assert halved.binds == "float64"
    assert halved.share == pytest.approx(0.5, abs=0.01)
    assert slots({"float32": 100.0, "integer": 30.0, "control": 30.0}, 8, of).binds == "issue"


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(CompileError, match="nvdisasm refused"):
        disassembled(b"no cubin")
    with pytest.raises(ReportError, match="multiple of 16 bytes"):
        slots_of_plan(plan_of("softmax", contiguous(1, 1001), np.float32), 4, processor("H100"))


def test_no_kernel_without_a_section() -> None:
    assert sections(linear("MOV", "EXIT"), 4) == ()
    with pytest.raises(ReportError, match="no common path"):
        sections(linear("MOV", "BRA", targets=((1, 0),)), 4)
    assert Section("kernel", 4, 32, {"float32": 8, "control": 2}).an_element() == 2.5


def test_rare_lines_lie_inside_their_braces() -> None:
    text = ["if (rarely(a)) {", "b;", "if (c) { d; }", "} else {", "e;", "}", "if (a) {", "f;", "}"]
    assert machine_blocks.inside(text) == {2, 3}
    assert machine_blocks.inside(["if (usually(a)) {", "b;", "} else {", "c;", "}", "d;"]) == {4}
    assert machine_blocks.inside(["if (usually(a)) {", "b;", "}", "else_too;", "{", "}"]) == set()
    assert all(number > 0 and path.count("/") == 1 for path, number in rare_lines())
