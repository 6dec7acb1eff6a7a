"""Lines that judge 32 granules of global memory side by side: their stamps against those of a warp's lanes."""

from __future__ import annotations

from .layout import (
    BLOCK_MASK,
    OTHER_BLOCKS,
    OTHER_LANES,
    OTHER_WARPS,
    STAMP_TIME,
    THREAD_MASK,
    WARP_MASK,
    ShadowField,
)
from .text import splat

__all__ = ["calm", "row_times", "verdict"]

_WORDS = "<32 x i64>"


def row_times() -> str:
    """Lines that load the times, as stamps have them in their place: ``%start``, ``%synced``; and ``%parted``."""
    text = ""
    for name, field, index in (
        ("first", ShadowField.FIRST, ""),
        ("start", ShadowField.START, ""),
        ("synced", ShadowField.WARPS, "%w"),
        ("parted", ShadowField.PARTED, "%w"),
    ):
        at = str(field.value)
        if index:
            text += f"  %{name}.field = add i64 {index}, {field.value}\n"
            at = f"%{name}.field"
        text += f"  %{name}.at = getelementptr i64, ptr %shadow, i64 {at}\n  %{name}.time = load i64, ptr %{name}.at\n"
    text = "  %w.of = zext i32 %warp to i64\n" + text.replace("i64 %w,", "i64 %w.of,")
    for name in ("start", "synced"):
        text += f"""  %{name}.since0 = sub i64 %{name}.time, %first.time
  %{name}.since = add i64 %{name}.since0, 1
  %{name}.here = icmp sgt i64 %{name}.since, 0
  %{name}.kept = select i1 %{name}.here, i64 %{name}.since, i64 0
  %{name}.stamp = shl i64 %{name}.kept, {STAMP_TIME}
{splat(name, f"%{name}.stamp")}"""
    # Where only some warps have met since the last barrier of all, what they know of each other is looked up.
    return text + "  %divided = icmp sge i64 %parted.time, %start.time\n"


def calm(stamp: str) -> str:
    """Lines that set ``%<stamp>.calm``: nothing was there, or it is ordered before this access, or the thread's own."""
    s = f"%{stamp}"
    bits = {
        "blocks": OTHER_BLOCKS,
        "warps": OTHER_WARPS,
        "crowd": OTHER_WARPS | OTHER_LANES,
    }
    flags = "".join(
        f"  {s}.{name}.bits = and {_WORDS} {s}, splat (i64 {value})\n"
        f"  {s}.no.{name} = icmp eq {_WORDS} {s}.{name}.bits, zeroinitializer\n"
        for name, value in bits.items()
    )
    differ = {"block": BLOCK_MASK, "warp": BLOCK_MASK | WARP_MASK, "thread": BLOCK_MASK | THREAD_MASK}
    same = "".join(
        f"  {s}.x.{name} = and {_WORDS} {s}.x, splat (i64 {value})\n"
        f"  {s}.same.{name} = icmp eq {_WORDS} {s}.x.{name}, zeroinitializer\n"
        for name, value in differ.items()
    )
    return f"""  {s}.none = icmp eq {_WORDS} {s}, zeroinitializer
  {s}.x = xor {_WORDS} {s}, %me
{flags}{same}  {s}.early = icmp ult {_WORDS} {s}, %start
  {s}.synced = icmp ult {_WORDS} {s}, %synced
  {s}.in.warp = and <32 x i1> {s}.same.warp, {s}.synced
  {s}.settled.warp = and <32 x i1> {s}.in.warp, {s}.no.warps
  {s}.itself = and <32 x i1> {s}.same.thread, {s}.no.crowd
  {s}.own0 = or <32 x i1> {s}.settled.warp, {s}.itself
  {s}.own1 = or <32 x i1> {s}.own0, {s}.early
  {s}.own2 = and <32 x i1> {s}.own1, {s}.same.block
  {s}.own = and <32 x i1> {s}.own2, {s}.no.blocks
  {s}.calm = or <32 x i1> {s}.own, {s}.none
"""


def verdict(read: bool) -> str:
    """Lines that go to ``store``, or leave for one lane after the other; a read may join others that read before."""
    if not read:
        return """  %ok = and <32 x i1> %w.fine, %r.calm
  %okbits = bitcast <32 x i1> %ok to i32
  %clear = icmp eq i32 %okbits, -1
  br i1 %clear, label %store, label %one.by.one
"""
    return f"""  %w.bits = bitcast <32 x i1> %w.fine to i32
  %w.clear = icmp eq i32 %w.bits, -1
  br i1 %w.clear, label %reads.too, label %one.by.one
reads.too:
  %r.bits = bitcast <32 x i1> %r.calm to i32
  %r.clear = icmp eq i32 %r.bits, -1
  br i1 %r.clear, label %store, label %several
several:
  br i1 %divided, label %one.by.one, label %merge
merge:
  %foreign0 = xor <32 x i1> %r.same.block, splat (i1 true)
  %somebody = xor <32 x i1> %r.none, splat (i1 true)
  %foreign = and <32 x i1> %foreign0, %somebody
  %foreign.bit = select <32 x i1> %foreign, {_WORDS} splat (i64 {OTHER_BLOCKS}), {_WORDS} zeroinitializer
  %blocks = or {_WORDS} %foreign.bit, %r.blocks.bits
  %and.lanes = or {_WORDS} %r.crowd.bits, splat (i64 {OTHER_LANES})
  %in.warp = select <32 x i1> %r.same.thread, {_WORDS} %r.crowd.bits, {_WORDS} %and.lanes
  %of.warp = select <32 x i1> %r.synced, {_WORDS} %r.warps.bits, {_WORDS} %in.warp
  %late = select <32 x i1> %r.same.warp, {_WORDS} %of.warp, {_WORDS} splat (i64 {OTHER_WARPS})
  %live0 = xor <32 x i1> %r.early, splat (i1 true)
  %live1 = and <32 x i1> %live0, %somebody
  %live = and <32 x i1> %live1, %r.same.block
  %others = select <32 x i1> %live, {_WORDS} %late, {_WORDS} zeroinitializer
  %flags = or {_WORDS} %others, %blocks
  %merged = or {_WORDS} %me, %flags
  br label %store
"""
