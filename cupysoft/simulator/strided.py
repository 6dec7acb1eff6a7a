"""Loads and stores of lanes that are 16 bytes apart: one element of each lane's own vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .literals import bits_of, mangled

if TYPE_CHECKING:
    from .emitter import Emitter

__all__ = ["STEP", "strided_load", "strided_store"]

#: Bytes from one lane to the next.
STEP = 16
#: Bytes of a part of memory that is read or written at once.
_PART = 64


def strided_load(e: Emitter, type_: str) -> str:
    """Return a function ``<W x type> (i64 address of lane 0)``; it touches the lanes' elements alone."""
    W, size = e.W, bits_of(type_) // 8
    element, wide, mask, every, parts = _shape(e, size)
    load = f"@llvm.masked.load.v{_PART // size}{element}.p0"
    e.module.declare(f"declare {wide} {load}(ptr, i32, <{_PART // size} x i1>, {wide})")
    lines = []
    for part in range(parts):
        lines += [
            f"  %a{part} = add i64 %first, {part * _PART}",
            f"  %p{part} = inttoptr i64 %a{part} to ptr",
            f"  %v{part} = call {wide} {load}(ptr %p{part}, i32 {size}, {mask}, {wide} zeroinitializer)",
        ]
    picks = [(part, lane * every) for part in range(parts) for lane in range(_PART // STEP)]
    total = f"<{W} x {element}>"
    pairs = []
    for pair in range(parts // 2):
        chosen = [which % 2 * (_PART // size) + place for which, place in picks if which // 2 == pair]
        chosen += [chosen[-1]] * (W - len(chosen))
        order = ", ".join(f"i32 {each}" for each in chosen)
        lines.append(f"  %w{pair} = shufflevector {wide} %v{2 * pair}, {wide} %v{2 * pair + 1}, <{W} x i32> <{order}>")
        pairs.append(f"%w{pair}")
    order = ", ".join(f"i32 {each}" for each in (*range(W // 2), *range(W, W + W // 2)))
    lines.append(f"  %all = shufflevector {total} {pairs[0]}, {total} {pairs[1]}, <{W} x i32> <{order}>")
    body = "\n".join(lines)
    own = f"<{W} x {type_}>"
    cast = "" if type_ == element else f"  %result = bitcast {total} %all to {own}\n"
    name = f"strided.load.{mangled(type_)}"
    result = "%result" if cast else "%all"
    return e.runtime(
        name, f"define internal {own} @{name}(i64 %first) noinline {{\n{body}\n{cast}  ret {own} {result}\n}}"
    )


def strided_store(e: Emitter, type_: str) -> str:
    """Return a function ``void (i64 address of lane 0, <W x type>)``; it touches the lanes' elements alone."""
    W, size = e.W, bits_of(type_) // 8
    element, wide, mask, every, parts = _shape(e, size)
    own, total = f"<{W} x {type_}>", f"<{W} x {element}>"
    store = f"@llvm.masked.store.v{_PART // size}{element}.p0"
    e.module.declare(f"declare void {store}({wide}, ptr, i32, <{_PART // size} x i1>)")
    lines = [f"  %all = bitcast {own} %value to {total}"]
    for part in range(parts):
        order = ", ".join(f"i32 {(part * _PART + place * size) // STEP}" for place in range(_PART // size))
        lines += [
            f"  %v{part} = shufflevector {total} %all, {total} poison, <{_PART // size} x i32> <{order}>",
            f"  %a{part} = add i64 %first, {part * _PART}",
            f"  %p{part} = inttoptr i64 %a{part} to ptr",
            f"  call void {store}({wide} %v{part}, ptr %p{part}, i32 {size}, {mask})",
        ]
    body = "\n".join(lines)
    name = f"strided.store.{mangled(type_)}"
    return e.runtime(
        name, f"define internal void @{name}(i64 %first, {own} %value) noinline {{\n{body}\n  ret void\n}}"
    )


def _shape(e: Emitter, size: int) -> tuple[str, str, str, int, int]:
    """Return the element's and a part's type, the mask of a part, elements from lane to lane, and the parts."""
    element, count, every = f"i{8 * size}", _PART // size, STEP // size
    mask = ", ".join(f"i1 {'false' if place % every else 'true'}" for place in range(count))
    return element, f"<{count} x {element}>", f"<{count} x i1> <{mask}>", every, e.W * STEP // _PART
