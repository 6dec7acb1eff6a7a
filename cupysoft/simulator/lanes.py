"""Loads and stores of a whole warp at host addresses.

Addresses that follow each other lane by lane are one wide access, as are those 16 bytes
apart; others go lane by lane through a helper function, which knows the case that all lanes
read one address. What the translation knows of addresses is not looked at again when the code runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .affine import Affine
from .code import LANES
from .lane_loops import gather_text, scatter_text
from .literals import bits_of, mangled
from .strided import STEP, strided_load, strided_store
from .strips import Uniform

if TYPE_CHECKING:
    from .emitter import Emitter, Value

__all__ = ["load_buffer", "load_lanes", "store_buffer", "store_lanes"]


def load_lanes(e: Emitter, host: Value, type_: str, count: int) -> list[Value]:
    """Load `count` neighbouring elements of LLVM type `type_` in each active lane."""
    code = e.code
    active, bits = e.active(), e.active_bits()
    if isinstance(host, Uniform) and _everyone(active):
        return _scalar_load(e, host.scalar, type_, count)
    if isinstance(host, Affine) and host.step == count * bits_of(type_) // 8 and _everyone(active):
        return _wide_load(e, _starts(e, host), active, type_, count)
    loaded: dict[str, list[Value]] = {}
    for label, firsts, name in _patterns(e, host, active, type_, count):
        if name == "wide":
            values = _wide_load(e, firsts, active, type_, count)
        elif name == "strided":
            values = [e.map(f"call <W x {type_}> {strided_load(e, type_)}(i64 {{0}})", firsts)]
        elif _everyone(active) and count > 1 and count * bits_of(type_) == 8 * STEP:
            values = _own_loads(e, host, type_, count)
        else:
            addresses = store_buffer(e, "addresses", host, "i64")
            out = e.buffer("elements", LANES * count * bits_of(type_) // 8)
            helper = e.runtime(*gather_text(e.W, f"i{bits_of(type_)}", count))
            e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
            code.effect(f"call void {helper}(ptr {addresses}, i32 {bits}, ptr {out})")
            values = [load_buffer(e, "elements", type_, element) for element in range(count)]
        loaded[label] = values
    ways = ", ".join(f"[ {{{place}}}, %{label} ]" for place, label in enumerate(loaded))
    joined = [e.map(f"phi <W x {type_}> {ways}", *each) for each in zip(*loaded.values(), strict=True)]
    code.flush()  # the phis of both strips come before anything else
    return joined


def store_lanes(e: Emitter, host: Value, values: list[Value], type_: str) -> None:
    """Store neighbouring elements in each active lane; of lanes at one address the last wins, or whom chance likes."""
    code = e.code
    count = len(values)
    active, bits = e.active(), e.active_bits()
    code.flush()  # who reads what others write has read or will read it in all strips
    if isinstance(host, Affine) and host.step == count * bits_of(type_) // 8 and _everyone(active):
        _wide_store(e, _starts(e, host), active, values, type_)
        code.flush()
        return
    for _, firsts, name in _patterns(e, host, active, type_, count):
        if name == "wide":
            _wide_store(e, firsts, active, values, type_)
        elif name == "strided":
            helper = strided_store(e, type_)
            for strip in range(e.strips):
                given = f"i64 {firsts[strip]}, <{e.W} x {type_}> {values[0][strip]}"
                code.strip_effect(strip, f"call void {helper}({given})")
        else:
            addresses = store_buffer(e, "addresses", host, "i64")
            for element, value in enumerate(values):
                store_buffer(e, "elements", value, type_, element, count)
            helper = e.runtime(*scatter_text(f"i{bits_of(type_)}", count, e.order_of_lanes()))
            e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
            code.effect(f"call void {helper}(ptr {addresses}, i32 {bits}, ptr %elements, ptr %ctx)")


def _patterns(e: Emitter, host: Value, active: Value, type_: str, count: int) -> Iterator[tuple[str, Value, str]]:
    """Write, for each pattern of addresses, the test for it and the way there; the caller writes the access.

    The patterns are lanes that follow each other, lanes that are `STEP` bytes apart, and any others. Each
    comes with the label of its block and the address of each strip's first lane.
    """
    code, size = e.code, bits_of(type_) // 8
    steps = {"wide": count}
    if count == 1 and size < STEP:
        steps["strided"] = STEP // size
    join, other = code.fresh("joined"), ""
    for name, elements in steps.items():
        if isinstance(host, Affine) and host.step != size * elements:
            continue
        firsts, fits = _consecutive(e, host, active, size, elements)
        here, other = code.fresh(name), code.fresh("other")
        code.effect(f"br i1 {fits}, label %{here}, label %{other}")
        code.label(here)
        yield here, firsts, name
        code.effect(f"br label %{join}")
        code.label(other)
    if not other:
        other = code.fresh("other")
        code.effect(f"br label %{other}")
        code.label(other)
    yield other, host, "any"
    code.effect(f"br label %{join}")
    code.label(join)


def _everyone(active: Value) -> bool:
    return isinstance(active, Uniform) and active.scalar == "true"


def _starts(e: Emitter, host: Affine) -> Value:
    """Return the address of each strip's first lane."""
    return tuple(e.code.scalar(f"add i64 {host.base}, {strip * e.W * host.step}") for strip in range(e.strips))


def _scalar_load(e: Emitter, address: str, type_: str, count: int) -> list[Value]:
    """Load what all lanes read from one address; what other threads may change is read every time."""
    again = " volatile" if e.instruction.has("volatile", "relaxed", "acquire", "mmio") else ""
    e.code.flush()
    found = []
    for element in range(count):
        place = e.code.scalar(f"add i64 {address}, {element * (bits_of(type_) // 8)}")
        pointer = e.code.scalar(f"inttoptr i64 {place} to ptr")
        loaded = e.code.scalar(f"load{again} {type_}, ptr {pointer}, align {bits_of(type_) // 8}")
        found.append(e.splat(type_, loaded))
    return found


def _own_loads(e: Emitter, host: Value, type_: str, count: int) -> list[Value]:
    """Load what each lane has at an address of its own, such as an entry of a table: 16 bytes a lane."""
    code, W = e.code, e.W
    addresses = store_buffer(e, "addresses", host, "i64")
    code.flush()
    entry, size = f"<{count} x {type_}>", bits_of(type_) // 8
    found: list[list[str]] = [[] for _ in range(count)]
    for strip in range(e.strips):
        lanes = []
        for lane in range(strip * W, strip * W + W):
            place = code.strip(strip, f"getelementptr i64, ptr {addresses}, i64 {lane}")
            number = code.strip(strip, f"load i64, ptr {place}")
            pointer = code.strip(strip, f"inttoptr i64 {number} to ptr")
            lanes.append(code.strip(strip, f"load {entry}, ptr {pointer}, align {size}"))
        # Halves of even and of odd lanes apart: two shuffles then put them in order.
        whole, length = lanes[::2] + lanes[1::2], count
        while len(whole) > 2:
            order = ", ".join(f"i32 {each}" for each in range(2 * length))
            vector = f"<{length} x {type_}>"
            whole = [
                code.strip(strip, f"shufflevector {vector} {a}, {vector} {b}, <{2 * length} x i32> <{order}>")
                for a, b in zip(whole[::2], whole[1::2], strict=True)
            ]
            length *= 2
        vector = f"<{length} x {type_}>"
        for element, parts in enumerate(found):
            order = ", ".join(f"i32 {lane // 2 * count + lane % 2 * length + element}" for lane in range(W))
            text = f"shufflevector {vector} {whole[0]}, {vector} {whole[1]}, <{W} x i32> <{order}>"
            parts.append(code.strip(strip, text))
    return [tuple(parts) for parts in found]


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
    if isinstance(host, Affine):
        away = "0" if count == 1 else code.line(f"xor i32 {e.active_bits()}, -1")
        return _starts(e, host), code.line(f"icmp eq i32 {away}, 0")
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
    if count == 1 and _everyone(active):
        return [e.map(f"load <W x {type_}>, ptr {{0}}, align {size}", pointers)]
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
    if count == 1 and _everyone(active):
        for strip in range(e.strips):
            e.code.strip_effect(strip, f"store <{W} x {type_}> {values[0][strip]}, ptr {pointers[strip]}, align {size}")
        return
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
