"""How often a request to shared memory has to pass through the banks: the most different words wanted of one bank."""

from __future__ import annotations

from .text import Routine, splat
from .traffic import CTTZ

__all__ = ["BANKS", "ROWS", "by_addresses", "by_rows"]

BANKS = 32
#: Rows of words, one from each bank, that lie close enough to have a set of their banks each.
ROWS = 64


def by_rows() -> Routine:
    """``i64 (rows, bits, first, last, highest)``: passes that the lanes of one phase need.

    Memory is seen as rows of a word from each bank; a lane has the number of its row, at most ``highest``, and the bits
    of the banks that it wants of it. So equal words count once, and a bank needs a pass for each row that has its bit:
    the bits are added up column by column, in counters of six bits that lie across six words.
    """
    digits = max(ROWS.bit_length() - 1, 1) + 1
    phis = "".join(f"  %d{k} = phi i32 [0, %wanted], [%d{k}.next, %add]\n" for k in range(digits))
    adds, carry = "", "%line"
    for k in range(digits):
        adds += f"  %d{k}.next = xor i32 %d{k}, {carry}\n  %carry{k} = and i32 %d{k}, {carry}\n"
        carry = f"%carry{k}"
    most, among = "", "-1"
    total = "0"
    for k in reversed(range(digits)):  # the greatest counter, its highest digit first
        most += (
            f"  %has{k} = and i32 %d{k}.next, {among}\n"
            f"  %any{k} = icmp ne i32 %has{k}, 0\n"
            f"  %among{k} = select i1 %any{k}, i32 %has{k}, i32 {among}\n"
            f"  %worth{k} = select i1 %any{k}, i64 {1 << k}, i64 0\n"
            f"  %total{k} = add i64 {total}, %worth{k}\n"
        )
        among, total = f"%among{k}", f"%total{k}"
    text = f"""define internal i64 @count_rows(ptr %rows, ptr %bits, i64 %first, i64 %last, i32 %highest) noinline {{
entry:
  %lines = alloca [{ROWS} x i32], align 64
  store <{ROWS} x i32> zeroinitializer, ptr %lines, align 64
  br label %want
want:
  %lane = phi i64 [%first, %entry], [%lane1, %want]
  %row.at = getelementptr i32, ptr %rows, i64 %lane
  %row = load i32, ptr %row.at
  %bit.at = getelementptr i32, ptr %bits, i64 %lane
  %bit = load i32, ptr %bit.at
  %line.at = getelementptr i32, ptr %lines, i32 %row
  %old = load i32, ptr %line.at
  %new = or i32 %old, %bit
  store i32 %new, ptr %line.at
  %lane1 = add i64 %lane, 1
  %more = icmp ult i64 %lane1, %last
  br i1 %more, label %want, label %wanted
wanted:
  br label %add
add:
  %index = phi i32 [0, %wanted], [%index1, %add]
{phis}  %this.at = getelementptr i32, ptr %lines, i32 %index
  %line = load i32, ptr %this.at
{adds}  %index1 = add i32 %index, 1
  %again = icmp ule i32 %index1, %highest
  br i1 %again, label %add, label %most
most:
{most}  ret i64 {total}
}}
"""
    return Routine("count_rows", text)


def by_addresses() -> Routine:
    """``i64 (words, vector, mask, count)``: the same where rows lie far apart: each different address in turn."""
    text = f"""define internal i64 @count_passes(ptr %offsets, <32 x i64> %v, i32 %mask, i64 %words) noinline {{
entry:
  %wanted = alloca [{BANKS} x i8], align 32
  store <{BANKS} x i8> zeroinitializer, ptr %wanted, align 32
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
  %bank = and i64 %position, {BANKS - 1}
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
