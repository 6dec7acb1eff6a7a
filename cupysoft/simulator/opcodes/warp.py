"""Exchanges within a warp: shuffles, votes, matches, warp barriers.

They begin a block of their own where lanes may be missing (see ``meeting``); here every
lane that will ever come is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..code import LANES
from ..lanes import load_buffer, store_buffer
from ..literals import integer
from ..ptx import Immediate, Instruction, Operand, Pair, Register, Sink, type_of
from ..unwritten import companion, names_all
from . import opcode, unknown

if TYPE_CHECKING:
    from ..emitter import Emitter, Value

__all__: list[str] = []


@opcode("shfl")
def shuffle(e: Emitter, instruction: Instruction) -> None:
    """``shfl.sync``: read a register of another lane of the same segment.

    The operand ``c`` holds, in its bits 0 to 4, the bound on the source lane within the
    segment and, in its bits 8 to 12, the bits of the lane number that name the segment.

    What comes from a lane that takes no part is anything: here `_NOTHING`, which counts as unwritten.
    """
    if not instruction.has("sync"):
        raise unknown(instruction, "shuffles without .sync ended with sm_70")
    e.checks.warp_sync(e)
    target, source, b, c, mask = instruction.operands[:5]
    mode = next(each for each in instruction.modifiers if each in ("up", "down", "bfly", "idx"))
    value = e.read(source, "b32")
    if isinstance(b, Immediate) and isinstance(c, Immediate):
        sources, inside = _constant_pattern(mode, integer(b.text), integer(c.text))
        lanes, valid_lanes = e.lanes("i32", sources), e.lanes("i1", inside)

        def move(given: Value) -> Value:
            return _constant_shuffle(e, given, sources)
    else:
        lanes, valid_lanes = _variable_pattern(e, mode, e.read(b, "b32"), e.read(c, "b32"))

        def move(given: Value) -> Value:
            return _permuted(e, given, lanes)

    data, valid = (target.first, target.second) if isinstance(target, Pair) else (target, Sink())
    shuffled = move(value)
    if e.active_name != "-1" or not names_all(mask):
        absent = _absent(e, mask, lanes)
        shuffled = e.select(absent, e.constant("i32", _NOTHING), shuffled, "i32")
        if isinstance(data, Register) and data.name in e.followed:
            _follow(e, data, source, absent, move)
    e.write(data, shuffled, "b32")
    e.write(valid, valid_lanes, "pred")


#: What comes from a lane that takes no part: a NaN in every format, a large integer.
_NOTHING = 0x7FFF7FFF


def _absent(e: Emitter, mask: Operand, lanes: Value) -> Value:
    """Return where the lane that is read is not there, or the reading lane's mask does not name it."""
    members = e.map("and <W x i32> {0}, {1}", e.read(mask, "b32"), e.splat("i32", e.active_bits()))
    bit = e.map("and <W x i32> {0}, splat (i32 1)", e.map("lshr <W x i32> {0}, {1}", members, lanes))
    return e.map("icmp eq <W x i32> {0}, splat (i32 0)", bit)


def _follow(e: Emitter, data: Register, source: Operand, absent: Value, move: Callable[[Value], Value]) -> None:
    """Note which lanes get nothing: what they read is not there, or nothing was written to it."""
    if isinstance(source, Register) and source.name in e.followed:
        mark = e.map("zext <W x i1> {0} to <W x i32>", e.read(companion(source.name), "pred"))
        marked = e.map("icmp ne <W x i32> {0}, splat (i32 0)", move(mark))
        absent = e.map("or <W x i1> {0}, {1}", absent, marked)
    e.write(companion(data.name), absent, "pred")


def _constant_pattern(mode: str, b: int, c: int) -> tuple[list[int], list[int]]:
    """Return whom each lane reads, and whether that lane is in bounds."""
    sources, inside = [], []
    b, bound, segment = b & 31, c & 31, c >> 8 & 31
    for lane in range(LANES):
        first = lane & segment
        last = first | (bound & ~segment)
        source = {"up": lane - b, "down": lane + b, "bfly": lane ^ b, "idx": first | (b & ~segment)}[mode]
        valid = source >= last if mode == "up" else source <= last
        sources.append(source if valid else lane)
        inside.append(int(valid))
    return sources, inside


def _constant_shuffle(e: Emitter, value: Value, sources: list[int]) -> Value:
    """Shuffle where the pattern is known: one shufflevector a strip."""
    e.code.flush()
    whole = _joined(e, value)
    parts = []
    for strip in range(e.strips):
        picks = ", ".join(f"i32 {source}" for source in sources[strip * e.W : (strip + 1) * e.W])
        vector = f"<{LANES} x i32>"
        text = f"shufflevector {vector} {whole}, {vector} poison, <{e.W} x i32> <{picks}>"
        parts.append(e.code.strip(strip, text))
    return tuple(parts)


def _joined(e: Emitter, value: Value) -> str:
    """Put the strips side by side in one vector of 32 lanes."""
    assert e.strips <= 2
    if e.strips == 1:
        return value[0]
    order = ", ".join(f"i32 {lane}" for lane in range(LANES))
    half = f"<{e.W} x i32>"
    return e.code.scalar(f"shufflevector {half} {value[0]}, {half} {value[1]}, <{LANES} x i32> <{order}>")


def _variable_pattern(e: Emitter, mode: str, b: Value, c: Value) -> tuple[Value, Value]:
    """Compute the same where it is known only at run time."""
    lane = e.lanes("i32", list(range(LANES)))
    b = e.map("and <W x i32> {0}, splat (i32 31)", b)
    segment = e.map("and <W x i32> {0}, splat (i32 31)", e.map("lshr <W x i32> {0}, splat (i32 8)", c))
    outside = e.map("xor <W x i32> {0}, splat (i32 31)", segment)
    first = e.map("and <W x i32> {0}, {1}", lane, segment)
    last = e.map("or <W x i32> {0}, {1}", first, e.map("and <W x i32> {0}, {1}", c, outside))
    if mode == "idx":
        source = e.map("or <W x i32> {0}, {1}", first, e.map("and <W x i32> {0}, {1}", b, outside))
    else:
        step = {"up": "sub", "down": "add", "bfly": "xor"}[mode]
        source = e.map(f"{step} <W x i32> {{0}}, {{1}}", lane, b)
    inside = e.map(f"icmp {'sge' if mode == 'up' else 'sle'} <W x i32> {{0}}, {{1}}", source, last)
    chosen = e.select(inside, source, lane, "i32")
    return chosen, inside


def _permuted(e: Emitter, value: Value, sources: Value) -> Value:
    """Give each lane the value of the lane that `sources` names."""
    table = store_buffer(e, "table", value, "i32")
    choice = store_buffer(e, "choice", sources, "i32")
    result = e.buffer("chosen", 4 * LANES)
    e.runtime("permute", _PERMUTE)
    e.code.effect(f"call void @permute(ptr {table}, ptr {choice}, ptr {result})")
    return load_buffer(e, "chosen", "i32")


_PERMUTE = f"""define internal void @permute(ptr noalias %table, ptr noalias %choice, ptr noalias %result) noinline {{
entry:
  br label %loop
loop:
  %lane = phi i64 [ 0, %entry ], [ %next, %loop ]
  %choice.place = getelementptr i32, ptr %choice, i64 %lane
  %source = load i32, ptr %choice.place
  %source.low = and i32 %source, {LANES - 1}
  %source.wide = zext i32 %source.low to i64
  %place = getelementptr i32, ptr %table, i64 %source.wide
  %value = load i32, ptr %place
  %result.place = getelementptr i32, ptr %result, i64 %lane
  store i32 %value, ptr %result.place
  %next = add i64 %lane, 1
  %more = icmp ult i64 %next, {LANES}
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""


@opcode("vote")
def vote(e: Emitter, instruction: Instruction) -> None:
    """``vote.sync``: whether all, any, or which lanes of the mask bring a true predicate."""
    if not instruction.has("sync"):
        raise unknown(instruction, "votes without .sync ended with sm_70")
    e.checks.warp_sync(e)
    target, source, mask = instruction.operands[:3]
    mode = next(each for each in instruction.modifiers if each in ("all", "any", "uni", "ballot"))
    bits = e.bits(e.map("and <W x i1> {0}, {1}", e.read(source, "pred"), e.active()))
    true = e.splat("i32", bits)
    members = e.map("and <W x i32> {0}, {1}", e.read(mask, "b32"), e.splat("i32", e.active_name))
    chosen = e.map("and <W x i32> {0}, {1}", true, members)
    if mode == "ballot":
        e.write(target, chosen, "b32")
    else:
        every = e.map("icmp eq <W x i32> {0}, {1}", chosen, members)
        some = e.map("icmp ne <W x i32> {0}, splat (i32 0)", chosen)
        none = e.map("xor <W x i1> {0}, splat (i1 true)", some)
        result = {"all": every, "any": some, "uni": e.map("or <W x i1> {0}, {1}", every, none)}[mode]
        e.write(target, result, "pred")


@opcode("activemask")
def active_mask(e: Emitter, instruction: Instruction) -> None:
    """``activemask``: the lanes that execute together right now."""
    e.write(instruction.operands[0], e.splat("i32", e.active_bits()), "b32")


@opcode("elect")
def elect(e: Emitter, instruction: Instruction) -> None:
    """``elect.sync``: the lowest lane of the mask is told that it is the one."""
    e.checks.warp_sync(e)
    target, mask = instruction.operands
    members = e.map("and <W x i32> {0}, {1}", e.read(mask, "b32"), e.splat("i32", e.active_name))
    leader = e.intrinsic("cttz", "i32", members, types=("i32",), trailing="i1 false")
    chosen = e.map("icmp eq <W x i32> {0}, {1}", leader, e.lanes("i32", list(range(LANES))))
    assert isinstance(target, Pair)
    e.write(target.first, leader, "b32")
    e.write(target.second, chosen, "pred")


@opcode("match")
def match_lanes(e: Emitter, instruction: Instruction) -> None:
    """``match.sync``: which lanes of the mask hold the same value."""
    e.checks.warp_sync(e)
    target, source, mask = instruction.operands[:3]
    type_ = type_of(instruction)
    lane_type = f"i{64 if type_.endswith('64') else 32}"
    table = store_buffer(e, f"values.{lane_type}", e.read(source, type_), lane_type)
    result = e.buffer("chosen", 4 * LANES)
    helper = e.runtime(*_match(lane_type))
    e.code.effect(f"call void {helper}(ptr {table}, i32 {e.active_name}, ptr {result})")
    members = e.map("and <W x i32> {0}, {1}", e.read(mask, "b32"), e.splat("i32", e.active_name))
    same = e.map("and <W x i32> {0}, {1}", load_buffer(e, "chosen", "i32"), members)
    if instruction.has("any"):
        e.write(target, same, "b32")
    else:
        every = e.map("icmp eq <W x i32> {0}, {1}", same, members)
        same = e.select(every, members, e.constant("i32", 0), "i32")
        e.write(target.first if isinstance(target, Pair) else target, same, "b32")
        if isinstance(target, Pair):
            e.write(target.second, every, "pred")


def _match(type_: str) -> tuple[str, str]:
    """Write a helper that compares each lane's value with all the others'."""
    name = f"match.{type_}"
    return (
        name,
        f"""define internal void @{name}(ptr noalias %table, i32 %active, ptr noalias %result) noinline {{
entry:
  br label %outer
outer:
  %lane = phi i64 [ 0, %entry ], [ %lane.next, %store ]
  %mine.place = getelementptr {type_}, ptr %table, i64 %lane
  %mine = load {type_}, ptr %mine.place
  br label %inner
inner:
  %other = phi i64 [ 0, %outer ], [ %other.next, %inner ]
  %mask = phi i32 [ 0, %outer ], [ %mask.next, %inner ]
  %its.place = getelementptr {type_}, ptr %table, i64 %other
  %its = load {type_}, ptr %its.place
  %same = icmp eq {type_} %mine, %its
  %one = zext i1 %same to i32
  %other.small = trunc i64 %other to i32
  %bit = shl i32 %one, %other.small
  %mask.next = or i32 %mask, %bit
  %other.next = add i64 %other, 1
  %more = icmp ult i64 %other.next, {LANES}
  br i1 %more, label %inner, label %store
store:
  %result.place = getelementptr i32, ptr %result, i64 %lane
  store i32 %mask.next, ptr %result.place
  %lane.next = add i64 %lane, 1
  %rest = icmp ult i64 %lane.next, {LANES}
  br i1 %rest, label %outer, label %done
done:
  ret void
}}""",
    )
