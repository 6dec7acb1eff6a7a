"""Helper functions that go from lane to lane, as LLVM text: loads, stores, and the loop for others."""

from __future__ import annotations

from .code import LANES
from .literals import bits_of

__all__ = ["gather_text", "lane_loop", "place_of_lane", "scatter_text"]


def _moves(element: str, count: int, loading: bool) -> str:
    """Write the body of a loop: one lane's elements."""
    size = bits_of(element) // 8
    lines = []
    for number in range(count):
        memory = f"  %m{number} = getelementptr i8, ptr %memory, i64 {number * size}"
        buffer = f"  %b{number} = getelementptr {element}, ptr %slot, i64 {number * LANES}"
        source, target = ("m", "b") if loading else ("b", "m")
        lines += [
            memory,
            buffer,
            f"  %v{number} = load {element}, ptr %{source}{number}, align {size}",
            f"  store {element} %v{number}, ptr %{target}{number}, align {size}",
        ]
    return place_of_lane(element) + "\n".join(lines) + "\n  br label %again"


def lane_loop(entry: str, body: str, drawn: bool = False) -> str:
    """Write the rest of a function that comes from block `entry`: a loop over the set bits of ``%mask``.

    They come from the lowest on, or, when they are `drawn`, in an order that chance gives them; that takes ``%ctx``.
    The body sees the lane as ``%lane`` and, in 64 bits, ``%index``; it may have blocks of its own, and ends in a branch
    to ``%again``.
    """
    pick = "call i32 @some_lane(ptr %ctx, i32 %left)" if drawn else "call i32 @llvm.cttz.i32(i32 %left, i1 true)"
    return f"""loop:
  %left = phi i32 [ %mask, %{entry} ], [ %next, %again ]
  %over = icmp eq i32 %left, 0
  br i1 %over, label %done, label %lane.body
lane.body:
  %lane = {pick}
  %bit = shl i32 1, %lane
  %next = xor i32 %left, %bit
  %index = zext i32 %lane to i64
{body}
again:
  br label %loop
done:
  ret void"""


def place_of_lane(element: str) -> str:
    """Write lines of a body: the lane's address as ``%memory``, its place in ``%elements`` as ``%slot``."""
    return f"""  %place = getelementptr i64, ptr %addresses, i64 %index
  %number = load i64, ptr %place
  %memory = inttoptr i64 %number to ptr
  %slot = getelementptr {element}, ptr %elements, i64 %index
"""


def scatter_text(element: str, count: int, drawn: bool) -> tuple[str, str]:
    """Write the helper of stores: of lanes at one address the last wins, or, when `drawn`, any."""
    name = f"scatter.{element}.{count}"
    loop = lane_loop("begin", _moves(element, count, loading=False), drawn)
    return name, (
        f"define internal void @{name}(ptr noalias %addresses, i32 %mask, ptr noalias %elements, ptr %ctx)\n"
        f"    noinline {{\nbegin:\n  br label %loop\n{loop}\n}}"
    )


def gather_text(width: int, element: str, count: int) -> tuple[str, str]:
    """Write the helper of loads; lanes that all read one address read it once."""
    name = f"gather.{element}.{count}"
    size = bits_of(element) // 8
    tests, total = [], ""
    for strip in range(LANES // width):
        tests.append(f"""  %a{strip}.place = getelementptr i64, ptr %addresses, i64 {strip * width}
  %a{strip} = load <{width} x i64>, ptr %a{strip}.place, align 8
  %d{strip} = icmp ne <{width} x i64> %a{strip}, %same
  %n{strip} = bitcast <{width} x i1> %d{strip} to i{width}
  %w{strip} = zext i{width} %n{strip} to i32
  %s{strip} = shl i32 %w{strip}, {strip * width}
  %t{strip} = or i32 %s{strip}, {total or "0"}""")
        total = f"%t{strip}"
    splats = []
    for number in range(count):
        splats.append(f"""  %u{number}.place = getelementptr i8, ptr %first, i64 {number * size}
  %u{number} = load {element}, ptr %u{number}.place, align {size}
  %i{number} = insertelement <{LANES} x {element}> poison, {element} %u{number}, i32 0
  %f{number} = shufflevector <{LANES} x {element}> %i{number}, <{LANES} x {element}> poison,
    <{LANES} x i32> zeroinitializer
  %o{number} = getelementptr {element}, ptr %elements, i64 {number * LANES}
  store <{LANES} x {element}> %f{number}, ptr %o{number}, align {size}""")
    tests_text, splats_text = "\n".join(tests), "\n".join(splats)
    return (
        name,
        f"""define internal void @{name}(ptr noalias %addresses, i32 %mask, ptr noalias %elements) noinline {{
entry:
  %none = icmp eq i32 %mask, 0
  br i1 %none, label %done, label %look
look:
  %one = call i32 @llvm.cttz.i32(i32 %mask, i1 true)
  %one.wide = zext i32 %one to i64
  %one.place = getelementptr i64, ptr %addresses, i64 %one.wide
  %one.number = load i64, ptr %one.place
  %same.one = insertelement <{width} x i64> poison, i64 %one.number, i32 0
  %same = shufflevector <{width} x i64> %same.one, <{width} x i64> poison, <{width} x i32> zeroinitializer
{tests_text}
  %others = and i32 {total}, %mask
  %uniform = icmp eq i32 %others, 0
  br i1 %uniform, label %once, label %begin
once:
  %first = inttoptr i64 %one.number to ptr
{splats_text}
  ret void
begin:
  br label %loop
{lane_loop("begin", _moves(element, count, loading=True))}
}}""",
    )
