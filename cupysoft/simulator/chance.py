"""The generator behind a drawn schedule, as LLVM text; its state is in the context, so a seed gives the same again."""

from __future__ import annotations

from .context import Slot

__all__ = ["CHANCE", "SOME_LANE"]

#: ``i64 chance(ctx)``: 40 random bits (xorshift); always 0 without a seed.
CHANCE = f"""define internal i64 @chance(ptr %ctx) noinline {{
  %place = getelementptr i64, ptr %ctx, i64 {Slot.SEED.value}
  %a = load i64, ptr %place
  %b = shl i64 %a, 13
  %c = xor i64 %a, %b
  %d = lshr i64 %c, 7
  %e = xor i64 %c, %d
  %f = shl i64 %e, 17
  %g = xor i64 %e, %f
  store i64 %g, ptr %place
  %h = lshr i64 %g, 24
  ret i64 %h
}}"""

#: ``i32 some_lane(ctx, lanes)``: one of the lanes of a mask that is not empty; the lowest without a seed.
SOME_LANE = """define internal i32 @some_lane(ptr %ctx, i32 %lanes) noinline {
entry:
  %dice = call i64 @chance(ptr %ctx)
  %many = call i32 @llvm.ctpop.i32(i32 %lanes)
  %many.wide = zext i32 %many to i64
  %skip.wide = urem i64 %dice, %many.wide
  %skip = trunc i64 %skip.wide to i32
  br label %loop
loop:
  %left = phi i32 [%lanes, %entry], [%fewer, %drop]
  %number = phi i32 [%skip, %entry], [%number.next, %drop]
  %here = icmp eq i32 %number, 0
  br i1 %here, label %found, label %drop
drop:
  %lower = sub i32 %left, 1
  %fewer = and i32 %left, %lower
  %number.next = sub i32 %number, 1
  br label %loop
found:
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  ret i32 %lane
}"""
