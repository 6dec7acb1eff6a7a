"""What the lanes of a warp store: whether it is the same."""

from __future__ import annotations

from .text import Routine, splat
from .traffic import CTTZ

__all__ = ["SAME_VALUES"]

#: ``i1 (values, components, group)``: whether the lanes of a group store the same 64-bit components.
SAME_VALUES = Routine(
    "check_same_values",
    f"""define internal i1 @check_same_values(ptr %values, i64 %components, i32 %group) noinline {{
entry:
  %lane = call i32 @llvm.cttz.i32(i32 %group, i1 true)
  %outside = xor i32 %group, -1
  %unknown = icmp eq i64 %components, 0
  br i1 %unknown, label %trust, label %begin
trust:
  ret i1 true
begin:
  br label %next
next:
  %index = phi i64 [0, %begin], [%index1, %next]
  %unequal = phi i32 [0, %begin], [%unequal1, %next]
  %row = getelementptr [32 x i64], ptr %values, i64 %index
  %v = load <32 x i64>, ptr %row, align 8
  %at = getelementptr i64, ptr %row, i32 %lane
  %one = load i64, ptr %at
{splat("all", "%one")}
  %same = icmp eq <32 x i64> %v, %all
  %bits = bitcast <32 x i1> %same to i32
  %fine = or i32 %bits, %outside
  %differ = xor i32 %fine, -1
  %unequal1 = or i32 %unequal, %differ
  %index1 = add i64 %index, 1
  %more = icmp ult i64 %index1, %components
  br i1 %more, label %next, label %exit
exit:
  %result = icmp eq i32 %unequal1, 0
  ret i1 %result
}}
""",
    (CTTZ,),
)
