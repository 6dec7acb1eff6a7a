"""Counting of memory traffic: 32-byte sectors of global memory, passes through the banks of shared memory."""

from __future__ import annotations

from ..context import Slot
from .layout import Access, Counter, Space
from .text import Routine, intrinsic, load_slot

__all__ = ["CTPOP", "CTTZ", "counter_index", "global_traffic", "lanes", "plain_traffic", "shared_traffic", "walk"]

CTTZ = intrinsic("llvm.cttz.i32", "i32", "i32", "i1")
CTPOP = intrinsic("llvm.ctpop.i32", "i32", "i32")
_OR = intrinsic("llvm.vector.reduce.or.v32i32", "i32", "<32 x i32>")
_SECTOR_SHIFT = 5
_BANKS = 32
_BANK_BYTES = 4


def lanes(kind: str, step: int = 1) -> str:
    """A constant vector: lane number times ``step``."""
    return "<" + ", ".join(f"{kind} {lane * step}" for lane in range(32)) + ">"


def counter_index(space: Space, access: Access, counter: Counter) -> int:
    """Slot of a counter."""
    return (space * 3 + access.counted_as) * len(Counter) + counter


def _add(space: Space, access: Access, amounts: dict[Counter, str]) -> str:
    """Lines that add scalars ``i64`` to counters at ``%counters``."""
    lines = []
    for counter, amount in amounts.items():
        name = f"c{counter.value}"
        lines.append(
            f"  %{name}.at = getelementptr i64, ptr %counters, i64 {counter_index(space, access, counter)}\n"
            f"  %{name}.old = load i64, ptr %{name}.at\n"
            f"  %{name}.new = add i64 %{name}.old, {amount}\n"
            f"  store i64 %{name}.new, ptr %{name}.at\n"
        )
    return "".join(lines)


def _bytes(size: int) -> str:
    return f"""  %threads32 = call i32 @llvm.ctpop.i32(i32 %mask)
  %threads = zext i32 %threads32 to i64
  %bytes = mul i64 %threads, {size}
"""


#: Number of different values among the chosen lanes of 32 values.
DISTINCT = Routine(
    "check_distinct",
    """define internal i64 @check_distinct(<32 x i64> %v, ptr %values, i32 %mask) noinline {
entry:
  br label %next
next:
  %rest = phi i32 [%mask, %entry], [%left, %next]
  %n = phi i64 [0, %entry], [%n1, %next]
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %at = getelementptr i64, ptr %values, i32 %lane
  %one = load i64, ptr %at
  %first = insertelement <32 x i64> poison, i64 %one, i32 0
  %all = shufflevector <32 x i64> %first, <32 x i64> poison, <32 x i32> zeroinitializer
  %same = icmp eq <32 x i64> %v, %all
  %bits = bitcast <32 x i1> %same to i32
  %others = xor i32 %bits, -1
  %left = and i32 %rest, %others
  %n1 = add i64 %n, 1
  %done = icmp eq i32 %left, 0
  br i1 %done, label %exit, label %next
exit:
  ret i64 %n1
}
""",
    (CTTZ,),
)


def global_traffic(access: Access, size: int) -> Routine:
    """``void (ctx, addresses, mask)``: count a request to global memory, its bytes and sectors."""
    name = f"count_global_{access.counted_as.name.lower()}_{size}"
    amounts = {Counter.REQUESTS: "1", Counter.BYTES: "%bytes", Counter.UNITS: "%sectors", Counter.IDEAL: "%ideal"}
    text = f"""define internal void @{name}(ptr %ctx, ptr %addresses, i32 %mask) noinline {{
entry:
  %buffer = alloca [32 x i64], align 64
{load_slot("counters", Slot.COUNTERS, "ptr")}{_bytes(size)}  %v = load <32 x i64>, ptr %addresses, align 8
  %a0 = extractelement <32 x i64> %v, i32 0
  %a0first = insertelement <32 x i64> poison, i64 %a0, i32 0
  %a0all = shufflevector <32 x i64> %a0first, <32 x i64> poison, <32 x i32> zeroinitializer
  %expected = add <32 x i64> %a0all, {lanes("i64", size)}
  %same = icmp eq <32 x i64> %v, %expected
  %samebits = bitcast <32 x i1> %same to i32
  %inrow = and i32 %samebits, %mask
  %consecutive = icmp eq i32 %inrow, -1
  br i1 %consecutive, label %row, label %scattered
row:
  %end = add i64 %a0, {32 * size - 1}
  %s0 = lshr i64 %a0, {_SECTOR_SHIFT}
  %s1 = lshr i64 %end, {_SECTOR_SHIFT}
  %span = sub i64 %s1, %s0
  %rowsectors = add i64 %span, 1
  br label %write
scattered:
  %sector = lshr <32 x i64> %v, splat (i64 {_SECTOR_SHIFT})
  store <32 x i64> %sector, ptr %buffer, align 64
  %different = call i64 @check_distinct(<32 x i64> %sector, ptr %buffer, i32 %mask)
  br label %write
write:
  %sectors = phi i64 [%rowsectors, %row], [%different, %scattered]
  %rounded = add i64 %bytes, {(1 << _SECTOR_SHIFT) - 1}
  %packed = lshr i64 %rounded, {_SECTOR_SHIFT}
  %fewer = icmp ult i64 %sectors, %packed
  %ideal = select i1 %fewer, i64 %sectors, i64 %packed
{_add(Space.GLOBAL, access, amounts)}  ret void
}}
"""
    return Routine(name, text, (CTPOP, DISTINCT))


def walk(access: Access) -> str:
    """Lines that add ``%bytes`` to what was read or written of allocation ``%number``."""
    fields = [field for field, wanted in ((0, access.reads), (1, access.writes)) if wanted]
    text = load_slot("walks", Slot.WALKS, "ptr")
    for field in fields:
        text += f"""  %walk{field} = getelementptr [2 x i64], ptr %walks, i64 %number, i64 {field}
  %walk{field}.old = load i64, ptr %walk{field}
  %walk{field}.new = add i64 %walk{field}.old, %bytes
  store i64 %walk{field}.new, ptr %walk{field}
"""
    return text


def plain_traffic(space: Space, access: Access, size: int) -> str:
    """Lines that count a request and its bytes, nothing more."""
    amounts = {Counter.REQUESTS: "1", Counter.BYTES: "%bytes"}
    return load_slot("counters", Slot.COUNTERS, "ptr") + _bytes(size) + _add(space, access, amounts)


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
  %first = insertelement <32 x i64> poison, i64 %one, i32 0
  %all = shufflevector <32 x i64> %first, <32 x i64> poison, <32 x i32> zeroinitializer
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
    """``i1 (ctx, offsets, mask)``: count a request to shared memory; true where the lanes surely have different bytes.

    Accesses of 8 and 16 bytes are served half a warp and a quarter of a warp at a time.
    """
    name = f"count_shared_{access.counted_as.name.lower()}_{size}"
    words = max(1, size // _BANK_BYTES)
    phases = min(words, 4)
    amounts = {Counter.REQUESTS: "1", Counter.BYTES: "%bytes", Counter.UNITS: "%passes", Counter.IDEAL: "%ideal"}
    return Routine(
        name,
        f"""define internal i1 @{name}(ptr %ctx, ptr %offsets, i32 %mask) noinline {{
entry:
  %buffer = alloca [32 x i64], align 64
{load_slot("counters", Slot.COUNTERS, "ptr")}{_bytes(size)}  %v = load <32 x i64>, ptr %offsets, align 8
  %word = lshr <32 x i64> %v, splat (i64 2)
{_quick_test(size)}  br i1 %apart, label %quick, label %slow
quick:
  br label %write
slow:
  store <32 x i64> %word, ptr %buffer, align 64
{_phase_lines(phases, words)}  br label %write
write:
  %passes = phi i64 [{phases}, %quick], [%total, %slow]
  %ideal = phi i64 [{phases}, %quick], [%least, %slow]
{_add(Space.SHARED, access, amounts)}  ret i1 %apart
}}
""",
        (CTPOP, _OR, _passes()),
    )


def _quick_test(size: int) -> str:
    """Lines that set ``%apart``: no two lanes meet in a bank (4 bytes), or the warp reads one run of bytes."""
    if size == _BANK_BYTES:
        return f"""  %word32 = trunc <32 x i64> %word to <32 x i32>
  %bank = and <32 x i32> %word32, splat (i32 {_BANKS - 1})
  %bit = shl <32 x i32> splat (i32 1), %bank
  %lanes = bitcast i32 %mask to <32 x i1>
  %own = select <32 x i1> %lanes, <32 x i32> %bit, <32 x i32> zeroinitializer
  %banks = call i32 @llvm.vector.reduce.or.v32i32(<32 x i32> %own)
  %used = call i32 @llvm.ctpop.i32(i32 %banks)
  %apart = icmp eq i32 %used, %threads32
"""
    return f"""  %o0 = extractelement <32 x i64> %v, i32 0
  %o0first = insertelement <32 x i64> poison, i64 %o0, i32 0
  %o0all = shufflevector <32 x i64> %o0first, <32 x i64> poison, <32 x i32> zeroinitializer
  %expected = add <32 x i64> %o0all, {lanes("i64", size)}
  %same = icmp eq <32 x i64> %v, %expected
  %samebits = bitcast <32 x i1> %same to i32
  %inrow = and i32 %samebits, %mask
  %apart = icmp eq i32 %inrow, -1
"""


def _phase_lines(phases: int, words: int) -> str:
    """Lines that serve a part of the warp after the other: ``%total`` passes, at least ``%least``."""
    width = 32 // phases
    lines, total, least = [], "0", "0"
    for phase in range(phases):
        part = ((1 << width) - 1) << (phase * width)
        lines.append(
            f"  %part{phase} = and i32 %mask, {part - (1 << 32) if part >> 31 else part}\n"
            f"  %passes{phase} = call i64 @count_passes(ptr %buffer, <32 x i64> %word, i32 %part{phase}, i64 {words})\n"
            f"  %total{phase} = add i64 {total}, %passes{phase}\n"
            f"  %some{phase} = icmp ne i32 %part{phase}, 0\n"
            f"  %one{phase} = zext i1 %some{phase} to i64\n"
            f"  %least{phase} = add i64 {least}, %one{phase}\n"
        )
        total, least = f"%total{phase}", f"%least{phase}"
    lines.append(f"  %total = add i64 {total}, 0\n  %least = add i64 {least}, 0\n")
    return "".join(lines)
