"""Counting of memory traffic: 32-byte sectors of global memory, passes through the banks of shared memory."""

from __future__ import annotations

from ..context import Slot
from .layout import Access, Counter, Space
from .text import Routine, intrinsic, load_slot, splat

__all__ = ["CTPOP", "CTTZ", "counter_index", "global_traffic", "lanes", "plain_traffic", "add_to", "bytes_of", "walk"]

CTTZ = intrinsic("llvm.cttz.i32", "i32", "i32", "i1")
CTPOP = intrinsic("llvm.ctpop.i32", "i32", "i32")
_SECTOR_SHIFT = 5


def lanes(kind: str, step: int = 1) -> str:
    """A constant vector: lane number times ``step``."""
    return "<" + ", ".join(f"{kind} {lane * step}" for lane in range(32)) + ">"


def counter_index(space: Space, access: Access, counter: Counter) -> int:
    """Slot of a counter."""
    return (space * 3 + access.counted_as) * len(Counter) + counter


def add_to(space: Space, access: Access, amounts: dict[Counter, str]) -> str:
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


def bytes_of(size: int) -> str:
    return f"""  %threads32 = call i32 @llvm.ctpop.i32(i32 %mask)
  %threads = zext i32 %threads32 to i64
  %bytes = mul i64 %threads, {size}
"""


#: Number of different values among the chosen lanes of 32 values.
DISTINCT = Routine(
    "check_distinct",
    f"""define internal i64 @check_distinct(<32 x i64> %v, ptr %values, i32 %mask) noinline {{
entry:
  br label %next
next:
  %rest = phi i32 [%mask, %entry], [%left, %next]
  %n = phi i64 [0, %entry], [%n1, %next]
  %lane = call i32 @llvm.cttz.i32(i32 %rest, i1 true)
  %at = getelementptr i64, ptr %values, i32 %lane
  %one = load i64, ptr %at
{splat("all", "%one")}
  %same = icmp eq <32 x i64> %v, %all
  %bits = bitcast <32 x i1> %same to i32
  %others = xor i32 %bits, -1
  %left = and i32 %rest, %others
  %n1 = add i64 %n, 1
  %done = icmp eq i32 %left, 0
  br i1 %done, label %exit, label %next
exit:
  ret i64 %n1
}}
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
{load_slot("counters", Slot.COUNTERS, "ptr")}{bytes_of(size)}  %v = load <32 x i64>, ptr %addresses, align 8
  %a0 = extractelement <32 x i64> %v, i32 0
{splat("a0all", "%a0")}
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
{add_to(Space.GLOBAL, access, amounts)}  ret void
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
    return load_slot("counters", Slot.COUNTERS, "ptr") + bytes_of(size) + add_to(space, access, amounts)
