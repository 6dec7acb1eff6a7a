"""Counting of traffic to shared memory: how often a request has to pass through the banks."""

from __future__ import annotations

from ..context import Slot
from .layout import Access, Counter, Space
from .text import Routine, intrinsic, load_slot, splat
from .traffic import CTPOP, CTTZ, add_to, bytes_of, lanes

__all__ = ["shared_traffic"]

_OR = intrinsic("llvm.vector.reduce.or.v32i32", "i32", "<32 x i32>")
_BANKS = 32
_BANK_BYTES = 4


def _passes() -> Routine:
    """``i64 (offsets, mask, units)``: passes that one phase needs: the most different words wanted of one bank."""
    text = f"""define internal i64 @count_passes(ptr %offsets, <32 x i64> %v, i32 %mask, i64 %words) noinline {{
entry:
  %wanted = alloca [{_BANKS} x i8], align 32
  store <{_BANKS} x i8> zeroinitializer, ptr %wanted, align 32
  %empty = icmp eq i32 %mask, 0
  br i1 %empty, label %none, label %next
none:
  ret i64 0
next:
  %rest = phi i32 [%mask, %entry], [%left, %placed]
  %most = phi i8 [0, %entry], [%most2, %placed]
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %at = getelementptr i64, ptr %offsets, i32 %lane
  %one = load i64, ptr %at
{splat("all", "%one")}
  %same = icmp eq <32 x i64> %v, %all
  %bits = bitcast <32 x i1> %same to i32
  %others = xor i32 %bits, -1
  %left = and i32 %rest, %others
  br label %place
place:
  %word = phi i64 [0, %next], [%word1, %place]
  %top = phi i8 [%most, %next], [%most2, %place]
  %position = add i64 %one, %word
  %bank = and i64 %position, {_BANKS - 1}
  %slot = getelementptr i8, ptr %wanted, i64 %bank
  %old = load i8, ptr %slot
  %new = add i8 %old, 1
  store i8 %new, ptr %slot
  %more = icmp ugt i8 %new, %top
  %most2 = select i1 %more, i8 %new, i8 %top
  %word1 = add i64 %word, 1
  %all.placed = icmp eq i64 %word1, %words
  br i1 %all.placed, label %placed, label %place
placed:
  %done = icmp eq i32 %left, 0
  br i1 %done, label %exit, label %next
exit:
  %result = zext i8 %most2 to i64
  ret i64 %result
}}
"""
    return Routine("count_passes", text, (CTTZ,))


def shared_traffic(access: Access, size: int) -> Routine:
    """``void (ctx, offsets, mask)``: count a request to shared memory.

    Accesses of 8 and 16 bytes are served half a warp and a quarter of a warp at a time.
    """
    name = f"count_shared_{access.counted_as.name.lower()}_{size}"
    words = max(1, size // _BANK_BYTES)
    phases = min(words, 4)
    amounts = {Counter.REQUESTS: "1", Counter.BYTES: "%bytes", Counter.UNITS: "%passes", Counter.IDEAL: "%least"}
    quick, needs = _quick(phases, words)
    return Routine(
        name,
        f"""define internal void @{name}(ptr %ctx, ptr %offsets, i32 %mask) noinline {{
entry:
  %buffer = alloca [32 x i64], align 64
{load_slot("counters", Slot.COUNTERS, "ptr")}{bytes_of(size)}
  %v = load <32 x i64>, ptr %offsets, align 8
  %word = lshr <32 x i64> %v, splat (i64 2)
  %small = trunc <32 x i64> %word to <32 x i32>
  %active = bitcast i32 %mask to <32 x i1>
{_apart(size)}{quick}  br i1 %quick, label %write, label %slow
slow:
  store <32 x i64> %word, ptr %buffer, align 64
{_phase_lines(phases, words)}  br label %write
write:
  %passes = phi i64 [%least, %entry], [%total, %slow]
{add_to(Space.SHARED, access, amounts)}  ret void
}}
""",
        (CTPOP, _OR, _passes(), *needs),
    )


def _apart(size: int) -> str:
    """Lines that set ``%apart``: no two lanes meet in a bank (4 bytes), or the warp wants one run of bytes."""
    if size == _BANK_BYTES:
        return f"""  %bank = and <32 x i32> %small, splat (i32 {_BANKS - 1})
  %bit = shl <32 x i32> splat (i32 1), %bank
  %own = select <32 x i1> %active, <32 x i32> %bit, <32 x i32> zeroinitializer
  %banks = call i32 @llvm.vector.reduce.or.v32i32(<32 x i32> %own)
  %used = call i32 @llvm.ctpop.i32(i32 %banks)
  %apart = icmp eq i32 %used, %threads32
"""
    return f"""  %o0 = extractelement <32 x i64> %v, i32 0
{splat("o0all", "%o0")}  %expected = add <32 x i64> %o0all, {lanes("i64", size)}
  %same = icmp eq <32 x i64> %v, %expected
  %samebits = bitcast <32 x i1> %same to i32
  %inrow = and i32 %samebits, %mask
  %apart = icmp eq i32 %inrow, -1
"""


def _quick(phases: int, words: int) -> tuple[str, tuple[Routine, ...]]:
    """Lines that set ``%least``, the phases with a lane, and ``%quick``: each of them surely is one pass.

    It is where all words that a phase wants lie within the span of the banks, so that none meets another one.
    """
    width = 32 // phases
    low, high = (
        intrinsic(f"llvm.vector.reduce.{kind}.v{width}i32", "i32", f"<{width} x i32>") for kind in ("umin", "umax")
    )
    lines = [
        "  %lows = select <32 x i1> %active, <32 x i32> %small, <32 x i32> splat (i32 -1)\n"
        "  %highs = select <32 x i1> %active, <32 x i32> %small, <32 x i32> zeroinitializer\n"
    ]
    least, quick = "0", "%apart" if words == 1 else "true"
    for phase in range(phases):
        picks = ", ".join(f"i32 {lane}" for lane in range(phase * width, (phase + 1) * width))
        part = ((1 << width) - 1) << (phase * width)
        parts = {}
        for name, routine in (("lows", low), ("highs", high)):
            parts[name] = f"%{name}{phase}"
            lines.append(
                f"  {parts[name]}.v = shufflevector <32 x i32> %{name}, <32 x i32> poison, <{width} x i32> <{picks}>\n"
                f"  {parts[name]} = call i32 @{routine.name}(<{width} x i32> {parts[name]}.v)\n"
            )
        combine = f"or i1 %apart, %near{phase}" if words == 1 else f"and i1 {quick}, %near{phase}"
        lines.append(
            f"  %span{phase} = sub i32 %highs{phase}, %lows{phase}\n"
            f"  %near{phase} = icmp ule i32 %span{phase}, {_BANKS - words}\n"
            f"  %in{phase} = and i32 %mask, {part - (1 << 32) if part >> 31 else part}\n"
            f"  %some{phase} = icmp ne i32 %in{phase}, 0\n"
            f"  %one{phase} = zext i1 %some{phase} to i64\n"
            f"  %least{phase} = add i64 {least}, %one{phase}\n"
            f"  %quick{phase} = {combine}\n"
        )
        least, quick = f"%least{phase}", f"%quick{phase}"
    lines.append(f"  %least = add i64 {least}, 0\n  %quick = or i1 {quick}, false\n")
    return "".join(lines), (low, high)


def _phase_lines(phases: int, words: int) -> str:
    """Lines that serve a part of the warp after the other: ``%total`` passes."""
    lines, total = [], "0"
    for phase in range(phases):
        lines.append(
            f"  %passes{phase} = call i64 @count_passes(ptr %buffer, <32 x i64> %word, i32 %in{phase}, i64 {words})\n"
            f"  %total{phase} = add i64 {total}, %passes{phase}\n"
        )
        total = f"%total{phase}"
    lines.append(f"  %total = add i64 {total}, 0\n")
    return "".join(lines)
