"""Loads and stores of a whole warp at host addresses.

Addresses that follow each other lane by lane are one wide access; others go lane by lane
through a helper function, which knows the case that all lanes read one address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .code import LANES
from .literals import bits_of, mangled

if TYPE_CHECKING:
    from .emitter import Emitter, Value

__all__ = ["load_buffer", "load_lanes", "store_buffer", "store_lanes"]


def load_lanes(e: Emitter, host: Value, type_: str, count: int) -> list[Value]:
    """Load `count` neighbouring elements of LLVM type `type_` in each active lane."""
    code = e.code
    active = e.active()
    firsts, wide = _consecutive(e, host, active, bits_of(type_) // 8, count)
    bits = e.active_bits()
    fast, slow, join = (code.fresh(name) for name in ("wide", "lanes", "loaded"))
    code.effect(f"br i1 {wide}, label %{fast}, label %{slow}")
    code.label(fast)
    quick = _wide_load(e, firsts, active, type_, count)
    code.effect(f"br label %{join}")
    code.label(slow)
    addresses = store_buffer(e, "addresses", host, "i64")
    out = e.buffer("elements", LANES * count * bits_of(type_) // 8)
    helper = e.runtime(*_gather(e.W, f"i{bits_of(type_)}", count))
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    code.effect(f"call void {helper}(ptr {addresses}, i32 {bits}, ptr {out})")
    slowly = [load_buffer(e, "elements", type_, element) for element in range(count)]
    code.effect(f"br label %{join}")
    code.label(join)
    template = f"phi <W x {type_}> [ {{0}}, %{fast} ], [ {{1}}, %{slow} ]"
    loaded = [e.map(template, one, other) for one, other in zip(quick, slowly, strict=True)]
    code.flush()  # the phis of both strips come before anything else
    return loaded


def store_lanes(e: Emitter, host: Value, values: list[Value], type_: str) -> None:
    """Store neighbouring elements in each active lane; of lanes at one address the last wins."""
    code = e.code
    count = len(values)
    active = e.active()
    firsts, wide = _consecutive(e, host, active, bits_of(type_) // 8, count)
    bits = e.active_bits()
    fast, slow, join = (code.fresh(name) for name in ("wide", "lanes", "stored"))
    code.effect(f"br i1 {wide}, label %{fast}, label %{slow}")
    code.label(fast)
    _wide_store(e, firsts, active, values, type_)
    code.effect(f"br label %{join}")
    code.label(slow)
    addresses = store_buffer(e, "addresses", host, "i64")
    for element, value in enumerate(values):
        store_buffer(e, "elements", value, type_, element, count)
    helper = e.runtime(*_scatter(f"i{bits_of(type_)}", count))
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    code.effect(f"call void {helper}(ptr {addresses}, i32 {bits}, ptr %elements)")
    code.effect(f"br label %{join}")
    code.label(join)


def store_buffer(e: Emitter, name: str, value: Value, type_: str, element: int = 0, count: int = 1) -> str:
    """Put the lanes of a value into scratch memory, one after the other, and return its name."""
    size = bits_of(type_) // 8
    buffer = e.buffer(name, LANES * size * count)
    for strip in range(e.strips):
        offset = (element * LANES + strip * e.W) * size
        place = e.code.strip(strip, f"getelementptr i8, ptr {buffer}, i64 {offset}")
        e.code.strip_effect(strip, f"store <{e.W} x {type_}> {value[strip]}, ptr {place}, align {size}")
    return buffer


def load_buffer(e: Emitter, name: str, type_: str, element: int = 0) -> Value:
    """Load the lanes of a value from scratch memory."""
    size = bits_of(type_) // 8
    e.code.flush()
    parts = []
    for strip in range(e.strips):
        offset = (element * LANES + strip * e.W) * size
        place = e.code.strip(strip, f"getelementptr i8, ptr %{name}, i64 {offset}")
        parts.append(e.code.strip(strip, f"load <{e.W} x {type_}>, ptr {place}, align {size}"))
    return tuple(parts)


def _consecutive(e: Emitter, host: Value, active: Value, size: int, count: int) -> tuple[Value, str]:
    """Return each strip's first address, and whether every active lane follows on it.

    An access of several elements a lane is wide only when every lane is active.
    """
    code = e.code
    step = size * count
    firsts = e.map("extractelement <W x i64> {0}, i32 0", host)
    start = e.map("insertelement <W x i64> poison, i64 {0}, i32 0", firsts)
    start = e.map("shufflevector <W x i64> {0}, <W x i64> poison, <W x i32> zeroinitializer", start)
    ramp = (f"<{', '.join(f'i64 {step * lane}' for lane in range(e.W))}>",) * e.strips
    strays = e.map("icmp ne <W x i64> {0}, {1}", host, e.map("add <W x i64> {0}, {1}", start, ramp))
    if count == 1:
        strays = e.map("and <W x i1> {0}, {1}", strays, active)
    else:
        idle = e.map("xor <W x i1> {0}, splat (i1 true)", active)
        strays = e.map("or <W x i1> {0}, {1}", strays, idle)
    packed = e.map(f"bitcast <W x i1> {{0}} to i{e.W}", strays)
    total = packed[0]
    for part in packed[1:]:
        total = code.line(f"or i{e.W} {total}, {part}")
    return firsts, code.line(f"icmp eq i{e.W} {total}, 0")


def _wide_load(e: Emitter, firsts: Value, active: Value, type_: str, count: int) -> list[Value]:
    W, size = e.W, bits_of(type_) // 8
    pointers = e.map("inttoptr i64 {0} to ptr", firsts)
    if count == 1:
        name = f"@llvm.masked.load.v{W}{mangled(type_)}.p0"
        e.module.declare(f"declare <{W} x {type_}> {name}(ptr, i32, <{W} x i1>, <{W} x {type_}>)")
        template = f"call <W x {type_}> {name}(ptr {{0}}, i32 {size}, <W x i1> {{1}}, <W x {type_}> zeroinitializer)"
        return [e.map(template, pointers, active)]
    whole = e.map(f"load <{W * count} x {type_}>, ptr {{0}}, align {size}", pointers)
    parts = []
    for element in range(count):
        picks = ", ".join(f"i32 {lane * count + element}" for lane in range(W))
        vector = f"<{W * count} x {type_}>"
        parts.append(e.map(f"shufflevector {vector} {{0}}, {vector} poison, <W x i32> <{picks}>", whole))
    return parts


def _wide_store(e: Emitter, firsts: Value, active: Value, values: list[Value], type_: str) -> None:
    W, size, count = e.W, bits_of(type_) // 8, len(values)
    pointers = e.map("inttoptr i64 {0} to ptr", firsts)
    if count == 1:
        name = f"@llvm.masked.store.v{W}{mangled(type_)}.p0"
        e.module.declare(f"declare void {name}(<{W} x {type_}>, ptr, i32, <{W} x i1>)")
        for strip in range(e.strips):
            value = f"<{W} x {type_}> {values[0][strip]}"
            text = f"call void {name}({value}, ptr {pointers[strip]}, i32 {size}, <{W} x i1> {active[strip]})"
            e.code.strip_effect(strip, text)
        return
    parts, width = list(values), W
    while len(parts) > 1:
        joined = ", ".join(f"i32 {lane}" for lane in range(2 * width))
        template = f"shufflevector <{width} x {type_}> {{0}}, <{width} x {type_}> {{1}}, <{2 * width} x i32> <{joined}>"
        parts = [e.map(template, *pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
        width *= 2
    picks = ", ".join(f"i32 {element * W + lane}" for lane in range(W) for element in range(count))
    vector = f"<{width} x {type_}>"
    whole = e.map(f"shufflevector {vector} {{0}}, {vector} poison, <{width} x i32> <{picks}>", parts[0])
    for strip in range(e.strips):
        e.code.strip_effect(strip, f"store {vector} {whole[strip]}, ptr {pointers[strip]}, align {size}")


def _moves(element: str, count: int, loading: bool) -> str:
    """Write the body of a helper's loop: one lane's elements."""
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
    return "\n".join(lines)


def _loop(element: str, body: str) -> str:
    """Write a loop over the set bits of ``%mask``; the body sees ``%memory`` and ``%slot``."""
    return f"""loop:
  %left = phi i32 [ %mask, %begin ], [ %next, %lane.body ]
  %over = icmp eq i32 %left, 0
  br i1 %over, label %done, label %lane.body
lane.body:
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  %lower = sub i32 %left, 1
  %next = and i32 %left, %lower
  %index = zext i32 %lane to i64
  %place = getelementptr i64, ptr %addresses, i64 %index
  %number = load i64, ptr %place
  %memory = inttoptr i64 %number to ptr
  %slot = getelementptr {element}, ptr %elements, i64 %index
{body}
  br label %loop
done:
  ret void"""


def _scatter(element: str, count: int) -> tuple[str, str]:
    name = f"scatter.{element}.{count}"
    return name, (
        f"define internal void @{name}(ptr noalias %addresses, i32 %mask, ptr noalias %elements) noinline {{\n"
        f"begin:\n  br label %loop\n{_loop(element, _moves(element, count, loading=False))}\n}}"
    )


def _gather(width: int, element: str, count: int) -> tuple[str, str]:
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
{_loop(element, _moves(element, count, loading=True))}
}}""",
    )
