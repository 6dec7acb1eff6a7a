"""Atomic operations, lane by lane with the atomic instructions of the CPU.

Blocks run on several threads of the CPU at once, so shared memory would do without, but
global memory would not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..addresses import address, space_of
from ..code import LANES
from ..context import Slot
from ..lane_loops import lane_loop, place_of_lane
from ..lanes import load_buffer, store_buffer
from ..literals import bits_of
from ..ptx import SIZES, Instruction, Operand, Sink, Vector, type_of
from ..seam import Access
from . import opcode, unknown
from .memory import within

if TYPE_CHECKING:
    from ..emitter import Emitter, Value

__all__: list[str] = []

_OPERATIONS = ("add", "min", "max", "and", "or", "xor", "exch", "inc", "dec", "cas")
_FLOATING = ("f16", "bf16", "f32", "f64", "f16x2", "bf16x2")
_READ_MODIFY_WRITE = {"exch": "xchg", "inc": "uinc_wrap", "dec": "udec_wrap"}


@opcode("atom", "red")
def atomic(e: Emitter, instruction: Instruction) -> None:
    """``atom`` and ``red``: read, combine and write back in one step."""
    if instruction.has("async"):
        raise unknown(instruction, "reductions that complete later are not simulated")
    returns = instruction.opcode == "atom"
    target: Operand = instruction.operands[0] if returns else Sink()
    place, *sources = instruction.operands[1:] if returns else instruction.operands
    if returns and len(sources) > 1 and not instruction.has("cas"):
        sources = sources[:1]  # the rest is a cache policy
    operation = next((each for each in instruction.modifiers if each in _OPERATIONS), "")
    type_ = type_of(instruction)
    if not operation:
        raise unknown(instruction)
    size, bits = SIZES[type_], f"b{8 * SIZES[type_]}"
    parts = len(sources[0].items) if isinstance(sources[0], Vector) else 1
    access = Access(address(e, place), e.active(), parts * size, space_of(instruction), "atomic")
    in_shared = _in_shared(e, access) if operation == "add" and type_ == "f32" else None
    host = e.checks.access(e, access)
    for part in range(parts):  # the elements of a vector are atomic one by one
        values = [e.read(_part(source, part), bits) for source in sources[: 2 if operation == "cas" else 1]]
        memory = e.map("add <W x i64> {0}, {1}", host, e.constant("i64", part * size)) if part else host
        old = _all_lanes(e, memory, values, operation, type_, f"i{8 * size}", in_shared)
        if part == parts - 1:
            e.checks.observed(e, access)
        e.write(_part(target, part), old, bits)


def _part(operand: Operand, number: int) -> Operand:
    return operand.items[number] if isinstance(operand, Vector) else operand


def _in_shared(e: Emitter, access: Access) -> Value:
    """Return where an access goes to shared memory."""
    if access.space != "generic":
        return e.constant("i1", int(access.space == "shared"))
    return within(e, access.addresses, "shared", Slot.SHARED_BYTES)


def _all_lanes(
    e: Emitter, host: Value, values: list[Value], operation: str, type_: str, lane: str, in_shared: Value | None
) -> Value:
    """Call the helper that goes through the active lanes, and return what they found.

    Sums of float32 in global memory lose subnormal numbers, as the manual says; those in shared memory do not.
    """
    addresses = store_buffer(e, "addresses", host, "i64")
    for number, value in enumerate(values):
        store_buffer(e, "elements", value, lane, number, len(values))
    e.buffer("old", LANES * bits_of(lane) // 8)
    if operation in ("min", "max") and type_ in _FLOATING:
        arithmetic = "f64" if type_ == "f64" else "f32"
        real = "double" if type_ == "f64" else "float"
        e.module.declare(f"declare {real} @llvm.{operation}imumnum.{arithmetic}({real}, {real})")
    step = _compare_and_swap(lane) if operation == "cas" else _combine(operation, type_, lane)
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    calls = [(f"{operation}.{type_}", step, e.active_bits())]
    if in_shared is not None:
        shared = e.bits(e.map("and <W x i1> {0}, {1}", in_shared, e.active()))
        rest = e.code.line(f"xor i32 {e.active_bits()}, {shared}")
        calls = [(*calls[0][:2], shared), (f"{operation}.ftz.{type_}", _by_swapping(operation, type_, True), rest)]
    for name, body, lanes in calls:
        helper = e.runtime(*_helper(name, lane, body, e.order_of_lanes()))
        e.code.effect(f"call void {helper}(ptr {addresses}, i32 {lanes}, ptr %elements, ptr %old, ptr %ctx)")
    return load_buffer(e, "old", lane)


def _combine(operation: str, type_: str, lane: str) -> str:
    """Write one lane's read-modify-write."""
    if type_ in _FLOATING and operation in ("add", "min", "max"):
        return _by_swapping(operation, type_)
    name = _READ_MODIFY_WRITE.get(operation, operation)
    if operation in ("min", "max") and type_[0] == "u":
        name = "u" + operation
    return f"""  %word = load {lane}, ptr %slot
  %found = atomicrmw {name} ptr %memory, {lane} %word seq_cst
  store {lane} %found, ptr %old.slot
  br label %again"""


def _compare_and_swap(lane: str) -> str:
    return f"""  %compare = load {lane}, ptr %slot
  %value.slot = getelementptr {lane}, ptr %slot, i64 {LANES}
  %value = load {lane}, ptr %value.slot
  %pair = cmpxchg ptr %memory, {lane} %compare, {lane} %value seq_cst seq_cst
  %found = extractvalue {{ {lane}, i1 }} %pair, 0
  store {lane} %found, ptr %old.slot
  br label %again"""


def _by_swapping(operation: str, type_: str, flush: bool = False) -> str:
    """Write a floating operation as a loop around compare-and-swap; of float32, `flush` makes subnormals zero."""
    bits = 8 * SIZES[type_]
    single = {"f16x2": "f16", "bf16x2": "bf16"}.get(type_, type_)
    parts = bits // (8 * SIZES[single])
    lines, total = [], "0"
    for part in range(parts):
        lines += _part_of_word(f"p{part}.", bits, single, part * 8 * SIZES[single], operation, flush)
        lines.append(f"  %joined{part} = or i{bits} {total}, %p{part}.placed")
        total = f"%joined{part}"
    body = "\n".join(lines)
    return f"""  %given = load i{bits}, ptr %slot
  %first = load atomic i{bits}, ptr %memory seq_cst, align {SIZES[type_]}
  br label %try
try:
  %word = phi i{bits} [ %first, %lane.body ], [ %found, %try ]
{body}
  %pair = cmpxchg ptr %memory, i{bits} %word, i{bits} {total} seq_cst seq_cst
  %found = extractvalue {{ i{bits}, i1 }} %pair, 0
  %success = extractvalue {{ i{bits}, i1 }} %pair, 1
  br i1 %success, label %keep, label %try
keep:
  store i{bits} %found, ptr %old.slot
  br label %again"""


def _part_of_word(p: str, bits: int, single: str, shift: int, operation: str, flush: bool) -> list[str]:
    """Combine one number that lies `shift` bits up in ``%word`` and ``%given``."""
    width = 8 * SIZES[single]
    arithmetic = "double" if single == "f64" else "float"
    lines = []
    for name, source in (("a", "word"), ("b", "given")):
        lines.append(f"  %{p}{name}.down = lshr i{bits} %{source}, {shift}")
        cut = f"trunc i{bits} %{p}{name}.down to i{width}" if width < bits else f"or i{bits} %{p}{name}.down, 0"
        lines += _flushed(f"{p}{name}.bits", cut) if flush else [f"  %{p}{name}.bits = {cut}"]
        lines += _widened(f"{p}{name}", single, arithmetic)
    if operation == "add":
        lines.append(f"  %{p}sum = fadd {arithmetic} %{p}a, %{p}b")
    else:
        name = f"@llvm.{operation}imumnum.{'f64' if arithmetic == 'double' else 'f32'}"
        lines.append(f"  %{p}sum = call {arithmetic} {name}({arithmetic} %{p}a, {arithmetic} %{p}b)")
    if flush:
        lines.append(f"  %{p}sum.bits = bitcast float %{p}sum to i32")
        lines += _flushed(f"{p}out", f"or i32 %{p}sum.bits, 0")
    else:
        lines += _narrowed(p, single, arithmetic)
    grow = f"zext i{width} %{p}out to i{bits}" if width < bits else f"or i{bits} %{p}out, 0"
    return [*lines, f"  %{p}wide = {grow}", f"  %{p}placed = shl i{bits} %{p}wide, {shift}"]


def _flushed(name: str, bits: str) -> list[str]:
    """Set ``%<name>`` to the bits of a float32, of a subnormal one to those of a zero of its sign."""
    return [
        f"  %{name}.all = {bits}",
        f"  %{name}.power = and i32 %{name}.all, {0x7F800000}",
        f"  %{name}.tiny = icmp eq i32 %{name}.power, 0",
        f"  %{name}.sign = and i32 %{name}.all, {-0x80000000}",
        f"  %{name} = select i1 %{name}.tiny, i32 %{name}.sign, i32 %{name}.all",
    ]


def _widened(name: str, single: str, arithmetic: str) -> list[str]:
    """Turn ``%<name>.bits`` into a number of the arithmetic's type."""
    if single == "f16":
        return [
            f"  %{name}.half = bitcast i16 %{name}.bits to half",
            f"  %{name} = fpext half %{name}.half to float",
        ]
    if single == "bf16":
        return [
            f"  %{name}.high = zext i16 %{name}.bits to i32",
            f"  %{name}.up = shl i32 %{name}.high, 16",
            f"  %{name} = bitcast i32 %{name}.up to float",
        ]
    return [f"  %{name} = bitcast i{8 * SIZES[single]} %{name}.bits to {arithmetic}"]


def _narrowed(p: str, single: str, arithmetic: str) -> list[str]:
    """Round ``%<p>sum`` to the type in memory, as ``%<p>out``.

    A float32 has more than twice the bits of a 16-bit number plus two, so rounding the
    sum twice is rounding it once. The processor's own conversion to bfloat16 loses
    subnormal numbers, so that one is made of integers.
    """
    if single == "f16":
        return [f"  %{p}half = fptrunc float %{p}sum to half", f"  %{p}out = bitcast half %{p}half to i16"]
    if single == "bf16":
        return [
            f"  %{p}raw = bitcast float %{p}sum to i32",
            f"  %{p}odd.down = lshr i32 %{p}raw, 16",
            f"  %{p}odd = and i32 %{p}odd.down, 1",
            f"  %{p}step = add i32 %{p}odd, 32767",
            f"  %{p}rounded = add i32 %{p}raw, %{p}step",
            f"  %{p}nan = fcmp uno float %{p}sum, %{p}sum",
            f"  %{p}chosen = select i1 %{p}nan, i32 2147418112, i32 %{p}rounded",
            f"  %{p}high = lshr i32 %{p}chosen, 16",
            f"  %{p}out = trunc i32 %{p}high to i16",
        ]
    return [f"  %{p}out = bitcast {arithmetic} %{p}sum to i{8 * SIZES[single]}"]


def _helper(what: str, lane: str, step: str, drawn: bool) -> tuple[str, str]:
    """Write the loop over the active lanes around one lane's `step`."""
    name = f"atomic.{what}"
    body = f"{place_of_lane(lane)}  %old.slot = getelementptr {lane}, ptr %old, i64 %index\n"
    if lane == "i128":  # where a GPU would end the kernel, the CPU would end the process
        body += """  %odd = and i64 %number, 15
  %whole = icmp eq i64 %odd, 0
  br i1 %whole, label %aligned, label %again
aligned:
"""
    body += step
    return (
        name,
        f"""define internal void @{name}(ptr noalias %addresses, i32 %mask, ptr noalias %elements,
    ptr noalias %old, ptr %ctx) noinline {{
entry:
  br label %loop
{lane_loop("entry", body, drawn)}
}}""",
    )
