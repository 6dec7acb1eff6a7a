"""``run``: the machine code that takes a range of blocks from their start to their end.

For each block it sets the warps up, gives each a budget in turn until all of them wait or
are gone, releases the barriers that are complete, and begins again. With a seed in the
context, chance decides which warp goes next and how far.
"""

from __future__ import annotations

from .code import LANES
from .context import BARRIER_FIELDS, BARRIER_IDS, BarrierField, ErrorKind, Slot, Status
from .control import barrier_operands
from .fast.handover import advance_text
from .flow import Flow
from .layout import StateOffset
from .literals import integer
from .module_text import ModuleText
from .pcs import EXITED, ID_SHIFT, WAITING
from .ptx import Immediate
from .release import release_text, slots_text

__all__ = ["run_text"]


def run_text(module: ModuleText, flow: Flow, strict: bool, fast: bool) -> tuple[str, bool]:
    """Return the functions of the driver, and whether the kernel has block barriers.

    Parameters
    ----------
    strict : bool
        Whether a barrier without a count that an exited thread misses is an error.
    fast : bool
        Whether the module has the fast version too.
    """
    module.declare("declare i32 @llvm.ctpop.i32(i32)")
    module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    numbers = _numbers(flow)
    copies = module.has("copies")
    start, warps = _start(numbers, copies), _warps(copies)
    text = "\n".join([slots_text(), release_text(numbers, strict), start, advance_text(fast), warps, _RUN])
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


def _field(number: int, field: BarrierField) -> int:
    return Slot.BARRIERS + BARRIER_FIELDS * number + field


def _start(numbers: list[int], copies: bool) -> str:
    """Write ``start_block``: coordinates, empty barriers, every warp at the first block."""
    # What another block left there could be just what a copy, not waited for, would bring. All ones are NaNs.
    soil = "\n  call void @copies.soil(ptr %ctx)" if copies else ""
    clear = "\n".join(
        f"  call void @set_slot(ptr %ctx, i64 {_field(number, field)}, i64 0)"
        for number in numbers
        for field in (BarrierField.EXPECTED, BarrierField.ARRIVED, BarrierField.TRUE)
    )
    return f"""define internal void @start_block(ptr %ctx, i64 %block) noinline {{
entry:
  %grid.x = call i64 @slot(ptr %ctx, i64 {Slot.NCTAID_X.value})
  %grid.y = call i64 @slot(ptr %ctx, i64 {Slot.NCTAID_Y.value})
  %x = urem i64 %block, %grid.x
  %rows = udiv i64 %block, %grid.x
  %y = urem i64 %rows, %grid.y
  %z = udiv i64 %rows, %grid.y
  call void @set_slot(ptr %ctx, i64 {Slot.BLOCK.value}, i64 %block)
  call void @set_slot(ptr %ctx, i64 {Slot.CTAID_X.value}, i64 %x)
  call void @set_slot(ptr %ctx, i64 {Slot.CTAID_Y.value}, i64 %y)
  call void @set_slot(ptr %ctx, i64 {Slot.CTAID_Z.value}, i64 %z)
  %epoch = call i64 @slot(ptr %ctx, i64 {Slot.EPOCH.value})
  %epoch.next = add i64 %epoch, 1
  call void @set_slot(ptr %ctx, i64 {Slot.EPOCH.value}, i64 %epoch.next){soil}
{clear}
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  %last = sub i64 %warps, 1
  %partial = call i64 @slot(ptr %ctx, i64 {Slot.LAST_WARP_MASK.value})
  %partial.small = trunc i64 %partial to i32
  br label %warp.loop
warp.loop:
  %warp = phi i64 [0, %entry], [%warp.next, %warp.loop]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %is.last = icmp eq i64 %warp, %last
  %live = select i1 %is.last, i32 %partial.small, i32 -1
  %alive = bitcast i32 %live to <{LANES} x i1>
  %gone = xor <{LANES} x i1> %alive, splat (i1 true)
  %ones = sext <{LANES} x i1> %gone to <{LANES} x i32>
  %pcs = and <{LANES} x i32> %ones, splat (i32 {EXITED})
  store <{LANES} x i32> %pcs, ptr %state, align 64
  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  store i32 %live, ptr %live.place
  %favoured.place = getelementptr i8, ptr %state, i64 {StateOffset.FAVOURED}
  store i32 -1, ptr %favoured.place
  %forced.place = getelementptr i8, ptr %state, i64 {StateOffset.FORCED}
  store i32 0, ptr %forced.place
  %sync.place = getelementptr i8, ptr %state, i64 {StateOffset.SYNC_EPOCH}
  store i32 0, ptr %sync.place
  %status.place = getelementptr i8, ptr %state, i64 {StateOffset.STATUS}
  store i32 {Status.YIELD.value}, ptr %status.place
  %warp.next = add i64 %warp, 1
  %more = icmp ult i64 %warp.next, %warps
  br i1 %more, label %warp.loop, label %done
done:
  ret void
}}"""


def _warps(copies: bool) -> str:
    """Write ``warps_round``: one turn for each warp that can run; and the generator."""
    drift = "\n  call void @copies.drift(ptr %ctx, i32 %warp.small)" if copies else ""
    return f"""define internal i64 @chance(ptr %ctx) noinline {{
  %a = call i64 @slot(ptr %ctx, i64 {Slot.SEED.value})
  %b = shl i64 %a, 13
  %c = xor i64 %a, %b
  %d = lshr i64 %c, 7
  %e = xor i64 %c, %d
  %f = shl i64 %e, 17
  %g = xor i64 %e, %f
  call void @set_slot(ptr %ctx, i64 {Slot.SEED.value}, i64 %g)
  %h = lshr i64 %g, 24
  ret i64 %h
}}
; Returns 0 when no warp can run before a barrier opens, 1 when some can, 2 when all are gone, 3 after an error.
define internal i32 @warps_round(ptr %ctx) noinline {{
entry:
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  %seed = call i64 @slot(ptr %ctx, i64 {Slot.SEED.value})
  %drawn = icmp ne i64 %seed, 0
  %budget.wide = call i64 @slot(ptr %ctx, i64 {Slot.BUDGET.value})
  %budget.given = trunc i64 %budget.wide to i32
  br i1 %drawn, label %draw.first, label %loop
draw.first:
  %drawn.first = call i64 @chance(ptr %ctx)
  %first.drawn = urem i64 %drawn.first, %warps
  br label %loop
loop:
  %turn = phi i64 [0, %entry], [0, %draw.first], [%turn.next, %next]
  %first = phi i64 [0, %entry], [%first.drawn, %draw.first], [%first, %next]
  %runs = phi i1 [false, %entry], [false, %draw.first], [%runs.next, %next]
  %waits = phi i1 [false, %entry], [false, %draw.first], [%waits.next, %next]
  %shifted = add i64 %turn, %first
  %over = icmp uge i64 %shifted, %warps
  %wrapped = sub i64 %shifted, %warps
  %warp = select i1 %over, i64 %wrapped, i64 %shifted
  %warp.small = trunc i64 %warp to i32
  br i1 %drawn, label %unsettled, label %look
unsettled:{drift}
  br label %look
look:
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %status.place = getelementptr i8, ptr %state, i64 {StateOffset.STATUS}
  %status = load i32, ptr %status.place
  %can = icmp eq i32 %status, {Status.YIELD.value}
  br i1 %can, label %ready, label %next
ready:
  br i1 %drawn, label %draw, label %go
draw:
  %dice = call i64 @chance(ptr %ctx)
  %skip = trunc i64 %dice to i1
  %high = lshr i64 %dice, 1
  %few = and i64 %high, 31
  %few.small = trunc i64 %few to i32
  %budget.few = add i32 %few.small, 1
  br i1 %skip, label %next, label %go
go:
  %budget = phi i32 [%budget.given, %ready], [%budget.few, %draw]
  %new = call i32 @advance(ptr %ctx, ptr %state, i32 %warp.small, i32 %budget)
  store i32 %new, ptr %status.place
  %failed = icmp eq i32 %new, {Status.ERROR.value}
  br i1 %failed, label %error, label %next
next:
  %now = phi i32 [%status, %look], [{Status.YIELD.value}, %draw], [%new, %go]
  %is.running = icmp eq i32 %now, {Status.YIELD.value}
  %runs.next = or i1 %runs, %is.running
  %is.waiting = icmp eq i32 %now, {Status.WAITING.value}
  %waits.next = or i1 %waits, %is.waiting
  %turn.next = add i64 %turn, 1
  %more = icmp ult i64 %turn.next, %warps
  br i1 %more, label %loop, label %done
done:
  %quiet = select i1 %waits.next, i32 0, i32 2
  %result = select i1 %runs.next, i32 1, i32 %quiet
  ret i32 %result
error:
  ret i32 3
}}
define internal i1 @stopped(ptr %ctx) noinline {{
  %number = call i64 @slot(ptr %ctx, i64 {Slot.STOP.value})
  %none = icmp eq i64 %number, 0
  br i1 %none, label %no, label %look
no:
  ret i1 false
look:
  %place = inttoptr i64 %number to ptr
  %value = load atomic i32, ptr %place monotonic, align 4
  %stop = icmp ne i32 %value, 0
  ret i1 %stop
}}"""


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
