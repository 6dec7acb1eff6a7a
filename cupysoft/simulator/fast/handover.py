"""``advance``: one turn of a warp, by the fast version where it can, by the masked one where it must."""

from __future__ import annotations

from ..code import LANES
from ..context import Slot, Status
from ..layout import StateOffset

__all__ = ["advance_text"]

#: Changes from one version to the other in one turn: a warp that spins must not keep the others from moving.
_CHANGES = 64


def advance_text(fast: bool) -> str:
    """Return the text of ``advance``. A schedule that is drawn needs the masked version's short turns."""
    if not fast:
        return """define internal i32 @advance(ptr %ctx, ptr %state, i32 %warp, i32 %budget) {
  %result = call i32 @step(ptr %ctx, ptr %state, i32 %warp, i32 %budget)
  ret i32 %result
}"""
    counters = f"<{LANES} x i32>"
    return f"""define internal i32 @advance(ptr %ctx, ptr %state, i32 %warp, i32 %budget) noinline {{
entry:
  %refused.place = getelementptr i8, ptr %state, i64 {StateOffset.REFUSED}
  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  %live = load i32, ptr %live.place
  %full = icmp eq i32 %live, -1
  %seed = call i64 @slot(ptr %ctx, i64 {Slot.SEED.value})
  %plain = icmp eq i64 %seed, 0
  %may = and i1 %full, %plain
  %refused = select i1 %may, i32 -1, i32 -2
  store i32 %refused, ptr %refused.place
  br i1 %may, label %look, label %step
look:
  %where = load {counters}, ptr %state, align 64
  %first = load i32, ptr %state
  %one = insertelement {counters} poison, i32 %first, i32 0
  %all = shufflevector {counters} %one, {counters} poison, {counters} zeroinitializer
  %other = icmp ne {counters} %where, %all
  %others = bitcast <{LANES} x i1> %other to i32
  %together = icmp eq i32 %others, 0
  br i1 %together, label %fast, label %step
fast:
  %changes = phi i32 [0, %look], [%changes.next, %back]
  %quick = call i32 @fast(ptr %ctx, ptr %state, i32 %warp, i32 %budget)
  %apart = icmp eq i32 %quick, {Status.APART.value}
  br i1 %apart, label %step, label %done
step:
  %before = phi i32 [0, %entry], [0, %look], [%changes, %fast]
  %slow = call i32 @step(ptr %ctx, ptr %state, i32 %warp, i32 %budget)
  %joined = icmp eq i32 %slow, {Status.TOGETHER.value}
  br i1 %joined, label %back, label %done
back:
  %changes.next = add i32 %before, 1
  %often = icmp uge i32 %changes.next, {_CHANGES}
  br i1 %often, label %done, label %fast
done:
  %result = phi i32 [%quick, %fast], [%slow, %step], [{Status.YIELD.value}, %back]
  ret i32 %result
}}"""
