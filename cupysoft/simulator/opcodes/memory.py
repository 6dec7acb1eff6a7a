"""Loads, stores, moves of addresses, conversions between address spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses import address, space_of, symbol_address, window
from ..affine import Affine
from ..code import LANES
from ..context import Slot
from ..lanes import load_lanes, store_lanes
from ..literals import bits_of, llvm_type
from ..ptx import SIZES, Address, Instruction, Operand, Register, Symbol, Vector, type_of
from ..seam import Access
from . import opcode, unknown

if TYPE_CHECKING:
    from ..emitter import Emitter, Value

__all__ = ["move_symbol", "within"]


@opcode("ld", "ldu")
def load(e: Emitter, instruction: Instruction) -> None:
    """``ld``: from any space, one element or a vector of them."""
    type_ = type_of(instruction)
    targets, source = _items(instruction.operands[0]), instruction.operands[1]
    space = space_of(instruction)
    if space == "param" and isinstance(source, Address) and isinstance(source.base, Symbol):
        _load_parameters(e, targets, source, type_)
        return
    size = SIZES[type_] * len(targets)
    access = Access(address(e, source), e.active(), size, space, "load")
    values = load_lanes(e, e.checks.access(e, access), llvm_type(type_), len(targets))
    e.checks.observed(e, access)
    for target, value in zip(targets, values, strict=True):
        e.write(target, value, type_)


@opcode("st")
def store(e: Emitter, instruction: Instruction) -> None:
    """``st``: to any space, one element or a vector of them."""
    if instruction.has("async", "bulk"):
        raise unknown(instruction, "stores that complete later are not simulated")
    type_ = type_of(instruction)
    target, sources = instruction.operands[0], _items(instruction.operands[1])
    values = [e.read(source, type_) for source in sources]
    size = SIZES[type_] * len(sources)
    access = Access(address(e, target), e.active(), size, space_of(instruction), "store")
    store_lanes(e, e.checks.access(e, access), values, llvm_type(type_))


def _items(operand: Operand) -> tuple[Operand, ...]:
    return operand.items if isinstance(operand, Vector) else (operand,)


def _load_parameters(e: Emitter, targets: tuple[Operand, ...], source: Address, type_: str) -> None:
    """Load kernel parameters, which are the same in every lane."""
    assert isinstance(source.base, Symbol)
    name = source.base.name
    if name not in e.layout.parameters:
        raise unknown(e.instruction, f"{name} is no parameter of the kernel")
    start = e.layout.parameters[name].offset + source.offset + source.base.offset
    lane = llvm_type(type_)
    for number, target in enumerate(targets):
        offset = start + number * SIZES[type_]
        place = e.code.scalar(f"getelementptr i8, ptr {e.hoisted(Slot.PARAMETERS, 'ptr')}, i64 {offset}")
        e.write(target, e.splat(lane, e.code.scalar(f"load {lane}, ptr {place}, align 1")), type_)


@opcode("mov")
def move(e: Emitter, instruction: Instruction) -> None:
    """``mov``: of registers and literals, of a variable's address, to and from vectors."""
    target, source = instruction.operands
    type_ = type_of(instruction)
    if isinstance(target, Vector):
        _unpack(e, target, source, type_)
    elif isinstance(source, Vector):
        _pack(e, target, source, type_)
    elif isinstance(source, Symbol):
        move_symbol(e, target, source, type_)
    else:
        e.write(target, e.read(source, type_), type_)


def move_symbol(e: Emitter, target: Operand, source: Symbol, type_: str) -> None:
    """Write the address of a variable, in the variable's own space."""
    value = symbol_address(e, source.name, source.offset)
    e.write(target, e.cast(value, "i64", llvm_type(type_)), type_)


def _unpack(e: Emitter, target: Vector, source: Operand, type_: str) -> None:
    """Cut a register into equal parts, the lowest bits first."""
    whole = f"i{8 * SIZES[type_]}"
    width = bits_of(whole) // len(target.items)
    value = e.read(source, f"b{bits_of(whole)}")
    for number, item in enumerate(target.items):
        part = value
        if number:
            part = e.map(f"lshr <W x {whole}> {{0}}, {{1}}", value, e.constant(whole, number * width))
        e.write(item, e.cast(part, whole, f"i{width}"), f"b{width}")


def _pack(e: Emitter, target: Operand, source: Vector, type_: str) -> None:
    """Join equal parts into a register, the lowest bits first."""
    whole = f"i{8 * SIZES[type_]}"
    width = bits_of(whole) // len(source.items)
    total: Value | None = None
    for number, item in enumerate(source.items):
        part = e.cast(e.read(item, f"b{width}"), f"i{width}", whole)
        if number:
            part = e.map(f"shl <W x {whole}> {{0}}, {{1}}", part, e.constant(whole, number * width))
        total = part if total is None else e.map(f"or <W x {whole}> {{0}}, {{1}}", total, part)
    assert total is not None
    e.write(target, total, f"b{bits_of(whole)}")


@opcode("cvta")
def convert_address(e: Emitter, instruction: Instruction) -> None:
    """``cvta``: between a space's own addresses and generic ones."""
    type_ = type_of(instruction)
    target, source = instruction.operands
    if isinstance(source, Symbol):
        value = symbol_address(e, source.name, source.offset)
    else:
        value = e.cast(e.read(source, type_), llvm_type(type_), "i64")
    base = window(e, space_of(instruction))
    if base is not None:
        step = "sub" if instruction.has("to") else "add"
        value = e.map(f"{step} <W x i64> {{0}}, {{1}}", value, base)
    e.write(target, e.cast(value, "i64", llvm_type(type_)), type_)


@opcode("isspacep")
def is_space(e: Emitter, instruction: Instruction) -> None:
    """``isspacep``: whether a generic address lies in a space."""
    target, source = instruction.operands
    assert isinstance(source, Register)
    value = e.cast(e.read(source, e.layout.registers[source.name]), llvm_type(e.layout.registers[source.name]), "i64")
    space = space_of(instruction)
    inside = {name: within(e, value, name, size) for name, size in _SIZES.items()}
    if space in inside:
        result = inside[space]
    elif space == "global":
        either = e.map("or <W x i1> {0}, {1}", inside["shared"], inside["local"])
        result = e.map("xor <W x i1> {0}, splat (i1 true)", either)
    else:
        result = e.constant("i1", 0)
    e.write(target, result, "pred")


_SIZES = {"shared": Slot.SHARED_BYTES, "local": Slot.LOCAL_STRIDE}


def within(e: Emitter, value: Value, space: str, size: Slot) -> Value:
    """Return where generic addresses lie in shared memory, or in that of the thread."""
    base = window(e, space)
    assert base is not None
    offset = e.map("sub <W x i64> {0}, {1}", value, base)
    return e.map("icmp ult <W x i64> {0}, {1}", offset, e.splat("i64", e.hoisted(size)))


@opcode("prefetch")
def prefetch(e: Emitter, instruction: Instruction) -> None:
    """``prefetch``: a hint to the CPU, too; addresses that are checked are not its own."""
    (source,) = instruction.operands
    if space_of(instruction) != "global" or e.checks.enabled or instruction.predicate is not None:
        return
    place = address(e, source)
    if isinstance(place, Affine):
        ends = range(0, LANES * abs(place.step), max(_LINE, abs(place.step)))
        starts = [e.code.scalar(f"add i64 {place.base}, {at if place.step > 0 else -at}") for at in ends]
    else:
        # Lanes that lie side by side are not far from one of these.
        lanes = [*range(0, LANES, _LINE // 8), LANES - 1]
        starts = [
            e.code.strip(lane // e.W, f"extractelement <{e.W} x i64> {place[lane // e.W]}, i32 {lane % e.W}")
            for lane in lanes
        ]
    level = 3 if instruction.has("L1") else 2
    e.module.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
    e.code.flush()
    for start in starts:
        pointer = e.code.line(f"inttoptr i64 {start} to ptr")
        e.code.effect(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 {level}, i32 1)")


#: Bytes that the caches of a CPU move at once.
_LINE = 64


@opcode("prefetchu", "discard", "applypriority", "pmevent", "setmaxnreg", "griddepcontrol", "createpolicy")
def hint(e: Emitter, instruction: Instruction) -> None:
    """Instructions that only hint; ``createpolicy`` gives a policy that nobody looks at."""
    if instruction.opcode == "createpolicy":
        e.write(instruction.operands[0], e.constant("i64", 0), "b64")


@opcode("membar", "fence")
def fence(e: Emitter, instruction: Instruction) -> None:
    """``membar`` and ``fence``: order memory between the threads of the CPU too."""
    if not instruction.has("proxy", "mbarrier_init"):
        e.checks.fence(e)
        e.code.effect("fence seq_cst")
