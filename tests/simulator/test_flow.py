"""Basic blocks, liveness, and what inlining makes of calls."""

from __future__ import annotations

import pytest

from cupysoft.errors import SimulatorError
from cupysoft.simulator.constants import with_known_operands
from cupysoft.simulator.flow import Flow, analyse
from cupysoft.simulator.inline import inlined
from cupysoft.simulator.parser import parse
from cupysoft.simulator.ptx import Immediate, Register

HEAD = ".version 8.5\n.target sm_90\n.address_size 64\n"
REGISTERS = ".reg .pred %p<4>;\n.reg .b32 %r<10>;\n.reg .b64 %rd<4>;\n"


def flow_of(body: str) -> Flow:
    """Analyse a kernel with this body."""
    return analyse(inlined(parse(f"{HEAD}.entry f()\n{{\n{REGISTERS}{body}\n}}\n"), "f"))


def test_a_loop_keeps_its_registers_alive() -> None:
    """The counter and the sum cross blocks, the product does not."""
    flow = flow_of(
        "mov.u32 %r1, 0;\nmov.u32 %r2, 0;\n$LOOP:\nmul.lo.u32 %r3, %r1, %r1;\nadd.u32 %r2, %r2, %r3;\n"
        "add.u32 %r1, %r1, 1;\nsetp.lt.u32 %p1, %r1, 9;\n@%p1 bra $LOOP;\nst.global.u32 [%rd1], %r2;\nret;"
    )
    assert [block.successors for block in flow.blocks] == [(1,), (1, 2), ()]
    assert flow.crossing == {"%r1", "%r2", "%rd1"}
    assert flow.blocks[1].live_out == {"%r1", "%r2", "%rd1"}


def test_a_guarded_write_keeps_the_old_value_alive() -> None:
    """Lanes whose predicate is false still need what was there."""
    flow = flow_of("mov.u32 %r1, 5;\nbra $A;\n$A:\n@%p1 mov.u32 %r1, 6;\nst.global.u32 [%rd1], %r1;\nret;")
    assert "%r1" in flow.blocks[1].live_in
    assert "%r1" in flow_of("@%p1 mov.u32 %r1, 6;\nret;").crossing  # even where nobody reads it, it has a place


def test_meetings_begin_blocks_once_for_each_run_of_one_mask() -> None:
    """Two shuffles with one mask share a block; another mask begins a new one."""
    shuffle = "shfl.sync.bfly.b32 %r1, %r1, {}, 31, {};\n"
    shuffles = "".join(shuffle.format(*each) for each in ((16, -1), (8, -1), (4, 255)))
    flow = flow_of(f"not.b32 %r1, %r1;\n{shuffles}ret;")
    assert [len(block.instructions) for block in flow.blocks] == [1, 2, 2]
    assert [block.meeting for block in flow.blocks] == [False, True, True]


def test_a_guarded_meeting_gets_a_branch() -> None:
    """Only the lanes whose predicate holds go to a guarded shuffle or barrier."""
    flow = flow_of("@%p1 bar.sync 0;\n@!%p2 shfl.sync.idx.b32 %r1, %r1, 0, 31, 3;\nret;")
    opcodes = [[each.opcode for each in block.instructions] for block in flow.blocks]
    assert opcodes == [["bra"], ["bar"], ["bra"], ["shfl"], ["ret"]]
    assert flow.blocks[0].instructions[0].negated
    assert not flow.blocks[2].instructions[0].negated


def test_a_reducing_barrier_is_cut_in_two() -> None:
    """The arrival ends a block, the result begins the next one."""
    flow = flow_of("bar.red.popc.u32 %r1, 0, %p1;\nst.global.u32 [%rd1], %r1;\nret;")
    assert [len(block.instructions) for block in flow.blocks] == [1, 3]
    assert "result" in flow.blocks[1].instructions[0].modifiers
    assert "%r1" not in flow.crossing


def test_constants_in_registers_are_known_to_shuffles() -> None:
    """Older architectures get the pattern of a shuffle in registers; those written twice stay."""
    body = (
        "mov.u32 %r1, 16;\nmov.u32 %r2, 31;\nmov.b32 %r3, -1;\nmov.u32 %r4, 5;\n@%p1 mov.u32 %r4, 6;\n"
        "shfl.sync.bfly.b32 %r5|%p2, %r4, %r1, %r2, %r3;\nadd.u32 %r5, %r5, %r1;\nret;"
    )
    kernel = inlined(parse(f"{HEAD}.entry f()\n{{\n{REGISTERS}{body}\n}}\n"), "f")
    with_known_operands(kernel)
    shuffle, add = kernel.instructions[5:7]
    assert shuffle.operands[1:] == (Register("%r4"), Immediate("16"), Immediate("31"), Immediate("-1"))
    assert add.operands[2] == Register("%r1")


def call(function: str, source: str, target: str) -> str:
    """Write a call as the compiler does."""
    return (
        f"{{\n.param .b32 param0;\nst.param.b32 [param0], {source};\n.param .b32 retval0;\n"
        f"call.uni (retval0), {function}, (param0);\nld.param.b32 {target}, [retval0];\n}}\n"
    )


SQUARE = (
    ".func (.param .b32 out) square(.param .b32 in)\n{\n.reg .b32 %r<3>;\n.reg .pred %p<2>;\n"
    "ld.param.u32 %r1, [in];\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 bra $END;\nmul.lo.u32 %r1, %r1, %r1;\n"
    "$END:\nst.param.u32 [out], %r1;\nret;\n}\n"
)


def test_a_called_function_becomes_moves_and_its_body() -> None:
    """Two calls are two instances with registers and labels of their own; arguments need no memory."""
    body = call("square", "%r1", "%r2") + call("square", "%r2", "%r3") + "ret;"
    text = f"{HEAD}{SQUARE}.entry f()\n{{\n{REGISTERS}{body}\n}}\n"
    kernel = inlined(parse(text), "f")
    opcodes = [each.opcode for each in kernel.instructions]
    assert opcodes.count("mul") == 2
    assert not {"call", "ld", "st"} & set(opcodes)
    assert opcodes[-1] == "ret"
    assert opcodes.count("ret") == 1
    assert len({each.operands[0] for each in kernel.instructions if each.opcode == "mul"}) == 2
    assert not kernel.variables


def test_arguments_of_mixed_sizes_live_in_memory() -> None:
    """Bytes that are written as a whole and read in part cannot be a register."""
    function = (
        ".func part(.param .align 8 .b8 in[8])\n{\n.reg .b32 %r<3>;\nld.param.u32 %r1, [in+4];\n"
        "st.global.u32 [%r1], %r1;\nret;\n}\n"
    )
    body = "{\n.param .align 8 .b8 p[8];\nst.param.b64 [p], %rd1;\ncall.uni part, (p);\n}\nret;"
    kernel = inlined(parse(f"{HEAD}{function}.entry f()\n{{\n{REGISTERS}{body}\n}}\n"), "f")
    assert [variable.space for variable in kernel.variables.values()] == ["local"]
    assert [each.modifiers[0] for each in kernel.instructions[:2]] == ["local", "local"]


def test_recursion_is_refused_by_name() -> None:
    """The chain of calls is in the message."""
    function = SQUARE.replace("mul.lo.u32 %r1, %r1, %r1;\n", call("square", "%r1", "%r1"))
    text = f"{HEAD}{function}.entry f()\n{{\n{REGISTERS}{call('square', '%r1', '%r2')}ret;\n}}\n"
    with pytest.raises(SimulatorError, match="recursion: f -> square -> square"):
        inlined(parse(text), "f")
