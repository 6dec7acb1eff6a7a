"""Counting of traffic to shared memory: how often a request has to pass through the banks."""

from __future__ import annotations

from ..context import Slot
from .layout import Access, Counter, Space
from .passes import BANKS, ROWS, by_addresses, by_rows
from .text import Routine, intrinsic, load_slot, splat
from .traffic import CTPOP, add_to, bytes_of, lanes

__all__ = ["shared_traffic"]

_EXTREMES = tuple(intrinsic(f"llvm.vector.reduce.{kind}.v32i32", "i32", "<32 x i32>") for kind in ("umin", "umax"))
_OR = intrinsic("llvm.vector.reduce.or.v32i32", "i32", "<32 x i32>")
_BANK_BYTES = 4


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
  %rows = alloca [32 x i32], align 64
  %bits = alloca [32 x i32], align 64
{load_slot("counters", Slot.COUNTERS, "ptr")}{bytes_of(size)}
  %v = load <32 x i64>, ptr %offsets, align 8
  %word = lshr <32 x i64> %v, splat (i64 2)
  %small = trunc <32 x i64> %word to <32 x i32>
  %active = bitcast i32 %mask to <32 x i1>
{_apart(size)}{quick}  br i1 %quick, label %write, label %slow
slow:
{_place(words)}  br i1 %far, label %scattered, label %close
close:
{_close_lines(phases)}  br label %write
scattered:
  store <32 x i64> %word, ptr %buffer, align 64
{_phase_lines(phases, words)}  br label %write
write:
  %passes = phi i64 [%least, %entry], [%total, %scattered], [%near, %close]
{add_to(Space.SHARED, access, amounts)}  ret void
}}
""",
        (CTPOP, _OR, *_EXTREMES, by_addresses(), by_rows(), *needs),
    )


def _apart(size: int) -> str:
    """Lines that set ``%apart``: no two lanes meet in a bank (4 bytes), or the warp wants one run of bytes."""
    if size == _BANK_BYTES:
        return f"""  %bank = and <32 x i32> %small, splat (i32 {BANKS - 1})
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
            f"  %near{phase} = icmp ule i32 %span{phase}, {BANKS - words}\n"
            f"  %in{phase} = and i32 %mask, {part - (1 << 32) if part >> 31 else part}\n"
            f"  %some{phase} = icmp ne i32 %in{phase}, 0\n"
            f"  %one{phase} = zext i1 %some{phase} to i64\n"
            f"  %least{phase} = add i64 {least}, %one{phase}\n"
            f"  %quick{phase} = {combine}\n"
        )
        least, quick = f"%least{phase}", f"%quick{phase}"
    lines.append(f"  %least = add i64 {least}, 0\n  %quick = or i1 {quick}, false\n")
    return "".join(lines), (low, high)


def _place(words: int) -> str:
    """Lines that find each lane's row and banks, and ``%far``: the rows are too many."""
    return f"""  %lowest = call i32 @llvm.vector.reduce.umin.v32i32(<32 x i32> %lows)
  %highest = call i32 @llvm.vector.reduce.umax.v32i32(<32 x i32> %highs)
  %first.row = lshr i32 %lowest, {BANKS.bit_length() - 1}
  %last.row = lshr i32 %highest, {BANKS.bit_length() - 1}
  %last = sub i32 %last.row, %first.row
  %far = icmp uge i32 %last, {ROWS}
{splat("first.rowv", "%first.row", "i32")}  %row = lshr <32 x i32> %small, splat (i32 {BANKS.bit_length() - 1})
  %row.near = sub <32 x i32> %row, %first.rowv
  %row.kept = select <32 x i1> %active, <32 x i32> %row.near, <32 x i32> zeroinitializer
  %column = and <32 x i32> %small, splat (i32 {BANKS - 1})
  %wanted = shl <32 x i32> splat (i32 {(1 << words) - 1}), %column
  %wanted.kept = select <32 x i1> %active, <32 x i32> %wanted, <32 x i32> zeroinitializer
  store <32 x i32> %row.kept, ptr %rows, align 64
  store <32 x i32> %wanted.kept, ptr %bits, align 64
"""


def _close_lines(phases: int) -> str:
    """Lines that serve a part of the warp after the other, by rows: ``%near`` passes."""
    lines, total, width = [], "0", 32 // phases
    for phase in range(phases):
        lines.append(
            f"  %rows{phase} = call i64 @count_rows(ptr %rows, ptr %bits, i64 {phase * width},"
            f" i64 {(phase + 1) * width}, i32 %last)\n"
            f"  %near.total{phase} = add i64 {total}, %rows{phase}\n"
        )
        total = f"%near.total{phase}"
    lines.append(f"  %near = add i64 {total}, 0\n")
    return "".join(lines)


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
