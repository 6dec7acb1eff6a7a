"""The parser: every kind of statement and operand that the compiler writes."""

from __future__ import annotations

import pytest

from cupysoft.errors import SimulatorError
from cupysoft.simulator.literals import integer, literal
from cupysoft.simulator.parser import parse
from cupysoft.simulator.ptx import (
    Address,
    Function,
    Immediate,
    Instruction,
    Negated,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
    type_of,
)

HEAD = '.version 8.5\n.target sm_90a\n.address_size 64\n.file 1 "/src/kernel.cu"\n'


def kernel(body: str, before: str = "") -> Function:
    """Parse a kernel ``f`` with the registers that the tests use."""
    registers = ".reg .pred %p<4>;\n.reg .b16 %h<4>;\n.reg .b32 %r<8>;\n.reg .f32 %f<4>;\n.reg .b64 %rd<4>;\n"
    text = HEAD + before + ".visible .entry f(\n\t.param .u64 f_param_0\n)\n{\n" + registers + body + "\nret;\n}\n"
    return parse(text).functions["f"]


def one(text: str) -> Instruction:
    """Parse one instruction."""
    return kernel(text).instructions[0]


def test_operands_of_every_kind() -> None:
    """Registers, literals, special registers, addresses, vectors, pairs, sinks."""
    assert one("add.s32 %r1, %r2, -5;").operands == (Register("%r1"), Register("%r2"), Immediate("-5"))
    assert one("mov.f32 %f1, 0f3F800000;").operands == (Register("%f1"), Immediate("0f3F800000"))
    assert one("mov.u32 %r1, %tid.x;").operands == (Register("%r1"), Special("%tid.x"))
    assert one("ld.global.v2.u32 {%r1, _}, [%rd1+-8];").operands == (
        Vector((Register("%r1"), Sink())),
        Address(Register("%rd1"), -8),
    )
    assert one("shfl.sync.up.b32 %r1|%p1, %r2, 1, 0, -1;").operands[0] == Pair(Register("%r1"), Register("%p1"))
    assert one("vote.sync.any.pred %p1, !%p2, -1;").operands[1] == Negated(Register("%p2"))
    assert one("st.shared.u32 [table+16], %r1;").operands[0] == Address(Symbol("table"), 16)
    assert one("mov.u64 %rd1, $str$1;").operands[1] == Symbol("$str$1")


def test_opcode_modifiers_and_guard() -> None:
    """The parts of an instruction."""
    found = one("@!%p1 ld.shared::cta.u8 %r1, [%r2];")
    assert (found.opcode, found.modifiers) == ("ld", ("shared::cta", "u8"))
    assert (found.predicate, found.negated) == (Register("%p1"), True)
    assert found.has("u8", "u16")
    assert not found.has("u16")
    assert type_of(found) == "u8"
    assert found.text == "@!%p1 ld.shared::cta.u8 %r1, [%r2]"


def test_lines_and_locations() -> None:
    """PTX lines are counted, and ``.loc`` names the CUDA source."""
    body = ".loc 1 42 7\nadd.s32 %r1, %r2,\n  %r3;\n// a comment; with a semicolon\nnot.b32 %r1, %r1;"
    found = kernel(body).instructions
    assert [each.line for each in found[:2]] == [15, 18]
    assert found[0].location == ("/src/kernel.cu", 42)


def test_inlined_lines_name_their_calls() -> None:
    """A call of a function that was inlined twice can be in more than one line; those of the kernel are told."""
    body = """.loc 1 40 3
    .loc 1 9 5, function_name $L__info_string0, inlined_at 1 40 3
    .loc 1 2 7, function_name $L__info_string1, inlined_at 1 9 5
    not.b32 %r1, %r1;
    .loc 1 40 3
    not.b32 %r2, %r2;
    """
    again = """.loc 1 41 3
    .loc 1 9 5, function_name $L__info_string0, inlined_at 1 41 3
    not.b32 %r3, %r3;
    """
    file = "/src/kernel.cu"
    once, twice = kernel(body).instructions, kernel(body + again).instructions
    assert (once[0].location, once[0].callers) == ((file, 2), ((file, (9,)), (file, (40,))))
    assert (once[1].location, once[1].callers) == ((file, 40), ())
    assert twice[0].callers == ((file, (9,)), (file, (40, 41)))
    assert (twice[2].location, twice[2].callers) == ((file, 9), ((file, (41,)),))


def test_files_may_be_named_at_the_end() -> None:
    """The compiler writes ``.file`` after the code that refers to it."""
    text = kernel_text = HEAD.replace('.file 1 "/src/kernel.cu"\n', "")
    text += ".entry f()\n{\n.loc 2 5 1\nret;\n}\n" + '.file 2 "late.cu"\n.section .debug_str\n{\n.b8 1\n}\n'
    assert kernel_text in text
    assert parse(text).functions["f"].instructions[0].location == ("late.cu", 5)


def test_labels_point_behind_themselves() -> None:
    """A label is the number of the instruction that follows it."""
    found = kernel("bra $L__BB0_1;\nnot.b32 %r1, %r1;\n$L__BB0_1:\nnot.b32 %r2, %r2;")
    assert found.labels == {"$L__BB0_1": 2}


def test_scopes_hide_registers_and_labels() -> None:
    """Inline assembly declares registers and labels of its own, again and again."""
    block = "{\n.reg .b32 t;\n.reg .b32 %r1;\nWAIT:\nadd.s32 t, %r1, %r2;\n@%p1 bra WAIT;\n}\n"
    found = kernel("not.b32 %r1, %r1;\n" + block + block)
    first, second = (each for each in found.instructions if each.opcode == "add")
    assert len({*first.operands, *second.operands}) == 5  # both t, both inner %r1, and the one %r2
    assert Register("%r1") not in first.operands
    targets = [each.operands[0] for each in found.instructions if each.opcode == "bra"]
    assert len(set(targets)) == 2
    assert sorted(found.labels.values()) == [1, 3]


def test_variables_with_initial_contents() -> None:
    """Bytes, numbers, addresses of other variables; sizes and alignments."""
    before = (
        ".global .align 4 .b8 bytes[6] = {1, 2, 255};\n"
        ".const .align 8 .f64 half = 0d3FE0000000000000;\n"
        ".global .align 8 .u64 pointers[3] = {bytes, generic(bytes)+4, 7};\n"
        ".extern .shared .align 16 .b8 dynamic[];\n"
        ".global .u16 grid[2][3];\n"
    )
    module = parse(HEAD + before)
    assert module.target == "sm_90a"
    assert module.variables["bytes"].initial == bytes([1, 2, 255, 0, 0, 0])
    assert module.variables["half"].initial == bytes.fromhex("000000000000e03f")
    pointers = module.variables["pointers"]
    assert [(each.offset, each.symbol, each.addend, each.generic) for each in pointers.relocations] == [
        (0, "bytes", 0, False),
        (8, "bytes", 4, True),
    ]
    assert pointers.initial[16:] == (7).to_bytes(8, "little")
    assert (module.variables["dynamic"].size, module.variables["dynamic"].align) == (0, 16)
    assert module.variables["grid"].size == 12


def test_parameters_are_laid_out() -> None:
    """Each parameter stands at a multiple of its alignment."""
    text = (
        ".visible .entry f(\n.param .u8 a,\n.param .u64 .ptr .global .align 4 b,\n"
        ".param .align 8 .b8 c[24],\n.param .f32 d\n)\n.maxntid 128, 1, 1\n{\nret;\n}\n"
    )
    found = parse(HEAD + text).functions["f"]
    assert [(each.name, each.offset, each.size, each.pointer) for each in found.parameters] == [
        ("a", 0, 1, False),
        ("b", 8, 8, True),
        ("c", 16, 24, False),
        ("d", 40, 4, False),
    ]
    assert found.directives["maxntid"] == (128, 1, 1)


def test_functions_calls_and_branch_targets() -> None:
    """A device function, a call of it, and a table of labels."""
    text = (
        ".func (.param .b32 result) g(.param .b64 a, .param .b32 b)\n{\nret;\n}\n"
        ".entry f()\n{\n.reg .b32 %r<3>;\n{\n.param .b32 ret0;\ncall.uni (ret0), g, (a0, b0);\n}\n"
        "table: .branchtargets $A, $B;\nbrx.idx %r1, table;\n$A:\nret;\n$B:\nret;\n}\n"
    )
    module = parse(HEAD + text)
    assert not module.functions["g"].entry
    assert [each.name for each in module.functions["g"].results] == ["result"]
    assert list(module.kernels) == ["f"]
    call = module.functions["f"].instructions[0]
    assert call.operands[1:] == (Symbol("g"), Vector((Symbol("a0"), Symbol("b0"))))
    assert module.functions["f"].branch_targets == {"table": ("$A", "$B")}


@pytest.mark.parametrize(
    ("text", "value"), [("0x1F", 31), ("-7", -7), ("017", 15), ("0b101", 5), ("42U", 42), ("0xFFFFFFFFU", 2**32 - 1)]
)
def test_integer_literals(text: str, value: int) -> None:
    """All bases, the sign and the suffix."""
    assert integer(text) == value


@pytest.mark.parametrize(
    ("text", "type_", "written"),
    [
        ("0f3F800000", "float", "0x3FF0000000000000"),
        ("-0f3F800000", "float", "0xBFF0000000000000"),
        ("0f00000001", "float", "0x36A0000000000000"),
        ("0f7FC00001", "float", "0x7FF8000020000000"),
        ("0f3F800000", "i32", str(0x3F800000)),
        ("0d4000000000000000", "double", "0x4000000000000000"),
        ("1.5", "double", "0x3FF8000000000000"),
        ("-1", "i16", "65535"),
        ("0x3C00", "half", "0xH3C00"),
        ("1", "i1", "true"),
    ],
)
def test_literals_as_llvm_writes_them(text: str, type_: str, written: str) -> None:
    """Exact bits, NaN payloads and subnormal numbers included."""
    assert literal(text, type_) == written


def test_an_error_names_its_line() -> None:
    """What is not PTX is refused with its place."""
    with pytest.raises(SimulatorError, match="PTX line 5 cannot be read"):
        parse(HEAD + "nonsense;\n")
