"""``run``: the machine code that takes a range of blocks from their start to their end.

For each block it sets the warps up, gives each a budget in turn until all of them wait or
are gone, releases the barriers that are complete, and begins again. With a seed in the
context, chance decides which warp goes next and how far.
"""

from __future__ import annotations

from collections.abc import Sequence

from .chance import CHANCE
from .context import BARRIER_FIELDS, BARRIER_IDS, BarrierField, ErrorKind, Slot, Status
from .control import barrier_operands
from .fast.handover import advance_text
from .flow import Flow
from .literals import integer
from .module_text import ModuleText
from .pcs import ID_SHIFT, WAITING
from .ptx import Immediate
from .release import release_text, slots_text
from .turns import start_text, turns_text

__all__ = ["run_text"]


def run_text(module: ModuleText, flow: Flow, strict: bool, fast: bool, unset: Sequence[int] = ()) -> tuple[str, bool]:
    """Return the functions of the driver, and whether the kernel has block barriers.

    Parameters
    ----------
    strict : bool
        Whether a barrier without a count that an exited thread misses is an error.
    fast : bool
        Whether the module has the fast version too.
    unset : sequence of int
        Where the state of a warp has predicates that are true in all lanes when a block begins.
    """
    module.declare("declare i32 @llvm.ctpop.i32(i32)")
    module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    numbers = _numbers(flow)
    copies = module.has("copies")
    start, warps = start_text(numbers, copies, unset), turns_text(copies)
    text = "\n".join(
        [
            CHANCE,
            slots_text(),
            release_text(numbers, strict, module.has("check_part_opened")),
            start,
            advance_text(fast),
            warps,
            _RUN,
        ]
    )
    return text, bool(numbers)


def _numbers(flow: Flow) -> list[int]:
    """Return the numbers of the barriers that the kernel uses; all where a register tells."""
    found: set[int] = set()
    for block in flow.blocks:
        for instruction in block.instructions:
            if instruction.opcode in ("bar", "barrier") and not instruction.has("warp", "result", "cluster"):
                number = barrier_operands(instruction)[0]
                if not isinstance(number, Immediate):
                    return list(range(BARRIER_IDS))
                found.add(integer(number.text) % BARRIER_IDS)
    return sorted(found)


_RUN = f"""define i32 @run(ptr %ctx, i64 %first, i64 %last) {{
entry:
  %resume = call i64 @slot(ptr %ctx, i64 {Slot.RESUME.value})
  %patience = call i64 @slot(ptr %ctx, i64 {Slot.PATIENCE.value})
  %fresh = icmp eq i64 %resume, 0
  br i1 %fresh, label %loop, label %enter
loop:
  %block = phi i64 [%first, %entry], [%block.next, %finished]
  %more = icmp slt i64 %block, %last
  br i1 %more, label %begin, label %done
begin:
  %stop = call i1 @stopped(ptr %ctx)
  br i1 %stop, label %halt, label %start
start:
  call void @start_block(ptr %ctx, i64 %block)
  br label %enter
enter:
  %here = phi i64 [%first, %entry], [%block, %start]
  br label %round
round:
  %rounds = phi i64 [0, %enter], [%rounds.next, %again.go], [%rounds, %some]
  %what = call i32 @warps_round(ptr %ctx)
  switch i32 %what, label %error [i32 0, label %open i32 1, label %again i32 2, label %finished]
again:
  %stop.now = call i1 @stopped(ptr %ctx)
  br i1 %stop.now, label %halt, label %again.go
again.go:
  %rounds.next = add i64 %rounds, 1
  %tired = icmp eq i64 %rounds.next, %patience
  br i1 %tired, label %leave, label %round
leave:
  ret i32 {Status.YIELD.value}
open:
  %opened = call i64 @release(ptr %ctx)
  %bad = icmp slt i64 %opened, 0
  br i1 %bad, label %error, label %some
some:
  %none = icmp eq i64 %opened, 0
  br i1 %none, label %deadlock, label %round
deadlock:
  %at = call i64 @stuck_instruction(ptr %ctx)
  %thread = call i64 @stuck_thread(ptr %ctx)
  call void @fail(ptr %ctx, i64 {ErrorKind.DEADLOCK.value}, i64 %at, i64 %thread)
  br label %error
finished:
  %block.next = add i64 %here, 1
  br label %loop
done:
  ret i32 {Status.DONE.value}
halt:
  ret i32 {Status.STOPPED.value}
error:
  ret i32 {Status.ERROR.value}
}}
; The first thread that waits at a barrier, times 16, plus the barrier's number.
define internal i64 @stuck(ptr %ctx) noinline {{
entry:
  br label %warp.loop
warp.loop:
  %warp = phi i64 [0, %entry], [%warp.next, %warp.end]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  br label %lane.loop
lane.loop:
  %lane = phi i64 [0, %warp.loop], [%lane.next, %lane.end]
  %place = getelementptr i32, ptr %state, i64 %lane
  %pc = load i32, ptr %place
  %kind = lshr i32 %pc, {ID_SHIFT + 4}
  %waits = icmp eq i32 %kind, {WAITING >> (ID_SHIFT + 4)}
  br i1 %waits, label %found, label %lane.end
found:
  %base = shl i64 %warp, 5
  %thread = add i64 %base, %lane
  %scaled = shl i64 %thread, 4
  %high = lshr i32 %pc, {ID_SHIFT}
  %number = and i32 %high, 15
  %number.wide = zext i32 %number to i64
  %both = or i64 %scaled, %number.wide
  ret i64 %both
lane.end:
  %lane.next = add i64 %lane, 1
  %lanes.over = icmp eq i64 %lane.next, 32
  br i1 %lanes.over, label %warp.end, label %lane.loop
warp.end:
  %warp.next = add i64 %warp, 1
  br label %warp.loop
}}
define internal i64 @stuck_thread(ptr %ctx) noinline {{
  %both = call i64 @stuck(ptr %ctx)
  %thread = lshr i64 %both, 4
  ret i64 %thread
}}
define internal i64 @stuck_instruction(ptr %ctx) noinline {{
  %both = call i64 @stuck(ptr %ctx)
  %number = and i64 %both, 15
  %offset = mul i64 %number, {BARRIER_FIELDS}
  %index = add i64 %offset, {Slot.BARRIERS + BarrierField.INSTRUCTION}
  %at = call i64 @slot(ptr %ctx, i64 %index)
  ret i64 %at
}}"""
