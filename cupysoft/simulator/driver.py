"""``run``: the machine code that takes a range of blocks from their start to their end.

For each block it sets the warps up, gives each a budget in turn until all of them wait or
are gone, releases the barriers that are complete, and begins again. With a seed in the
context, chance decides which warp goes next and how far.
"""

from __future__ import annotations

from .context import BARRIER_FIELDS, BARRIER_IDS, BarrierField, ErrorKind, Slot, Status
from .control import barrier_operands
from .flow import Flow
from .layout import StateOffset
from .literals import integer
from .module_text import ModuleText
from .pcs import EXITED, ID_SHIFT, WAITING
from .ptx import Immediate

__all__ = ["run_text"]


def run_text(module: ModuleText, flow: Flow, strict: bool) -> tuple[str, bool]:
    """Return the functions of the driver, and whether the kernel has block barriers.

    Parameters
    ----------
    strict : bool
        Whether a barrier without a count that an exited thread misses is an error.
    """
    module.declare("declare i32 @llvm.ctpop.i32(i32)")
    module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    numbers = _numbers(flow)
    text = "\n".join([_slots_text(), _release(numbers, strict), _start(numbers), _warps(), _RUN])
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


def _slots_text() -> str:
    return f"""define internal i64 @slot(ptr %ctx, i64 %index) alwaysinline {{
  %place = getelementptr i64, ptr %ctx, i64 %index
  %value = load i64, ptr %place
  ret i64 %value
}}
define internal void @set_slot(ptr %ctx, i64 %index, i64 %value) alwaysinline {{
  %place = getelementptr i64, ptr %ctx, i64 %index
  store i64 %value, ptr %place
  ret void
}}
define internal ptr @state_of(ptr %ctx, i64 %warp) alwaysinline {{
  %first.number = call i64 @slot(ptr %ctx, i64 {Slot.STATES.value})
  %first = inttoptr i64 %first.number to ptr
  %stride = call i64 @slot(ptr %ctx, i64 {Slot.STATE_STRIDE.value})
  %offset = mul i64 %stride, %warp
  %state = getelementptr i8, ptr %first, i64 %offset
  ret ptr %state
}}
define internal i32 @waiting_lanes(ptr %state, i32 %counter) noinline {{
  br label %loop
loop:
  %lane = phi i64 [0, %0], [%lane.next, %loop]
  %mask = phi i32 [0, %0], [%mask.next, %loop]
  %place = getelementptr i32, ptr %state, i64 %lane
  %pc = load i32, ptr %place
  %kind = and i32 %pc, {~((1 << ID_SHIFT) - 1) & 0xFFFFFFFF}
  %here = icmp eq i32 %kind, %counter
  %one = zext i1 %here to i32
  %lane.small = trunc i64 %lane to i32
  %bit = shl i32 %one, %lane.small
  %mask.next = or i32 %mask, %bit
  %lane.next = add i64 %lane, 1
  %end = icmp eq i64 %lane.next, 32
  br i1 %end, label %done, label %loop
done:
  ret i32 %mask.next
}}
define internal void @let_go(ptr %state, i32 %lanes) noinline {{
  br label %loop
loop:
  %lane = phi i64 [0, %0], [%lane.next, %loop]
  %place = getelementptr i32, ptr %state, i64 %lane
  %pc = load i32, ptr %place
  %lane.small = trunc i64 %lane to i32
  %shifted = lshr i32 %lanes, %lane.small
  %chosen = trunc i32 %shifted to i1
  %next = and i32 %pc, {(1 << ID_SHIFT) - 1}
  %new = select i1 %chosen, i32 %next, i32 %pc
  store i32 %new, ptr %place
  %lane.next = add i64 %lane, 1
  %end = icmp eq i64 %lane.next, 32
  br i1 %end, label %done, label %loop
done:
  %status.place = getelementptr i8, ptr %state, i64 {StateOffset.STATUS}
  store i32 {Status.YIELD.value}, ptr %status.place
  ret void
}}
; How many threads wait at a barrier, or, with the counter 0, how many are alive.
define internal i64 @count_threads(ptr %ctx, i32 %counter) noinline {{
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  %of.living = icmp eq i32 %counter, 0
  br label %loop
loop:
  %warp = phi i64 [0, %0], [%warp.next, %next]
  %sum = phi i64 [0, %0], [%sum.next, %next]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  br i1 %of.living, label %living, label %waiting
living:
  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  %live = load i32, ptr %live.place
  br label %next
waiting:
  %wait = call i32 @waiting_lanes(ptr %state, i32 %counter)
  br label %next
next:
  %lanes = phi i32 [%live, %living], [%wait, %waiting]
  %count = call i32 @llvm.ctpop.i32(i32 %lanes)
  %wide = zext i32 %count to i64
  %sum.next = add i64 %sum, %wide
  %warp.next = add i64 %warp, 1
  %more = icmp ult i64 %warp.next, %warps
  br i1 %more, label %loop, label %done
done:
  ret i64 %sum.next
}}
define internal void @fail(ptr %ctx, i64 %kind, i64 %instruction, i64 %thread) noinline {{
  %block = call i64 @slot(ptr %ctx, i64 {Slot.BLOCK.value})
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_KIND.value}, i64 %kind)
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_INSTRUCTION.value}, i64 %instruction)
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_BLOCK.value}, i64 %block)
  call void @set_slot(ptr %ctx, i64 {Slot.ERROR_THREAD.value}, i64 %thread)
  ret void
}}"""


def _field(number: int, field: BarrierField) -> int:
    return Slot.BARRIERS + BARRIER_FIELDS * number + field


def _release(numbers: list[int], strict: bool) -> str:
    """Write ``release``: let go who waits at a complete barrier, and count those barriers.

    It returns -1 after filling the error record.
    """
    parts = []
    for number in numbers:
        parts.append(f"""  %released.{number} = call i64 @release_one(ptr %ctx, i32 {WAITING | number << ID_SHIFT},
    i64 {Slot.BARRIERS + BARRIER_FIELDS * number})
  %bad.{number} = icmp slt i64 %released.{number}, 0
  br i1 %bad.{number}, label %bad, label %good.{number}
good.{number}:""")
    total = "0"
    for number in numbers:
        parts.append(f"  %total.{number} = add i64 {total}, %released.{number}")
        total = f"%total.{number}"
    body = "\n".join(parts)
    return f"""{_release_one(strict)}
define internal i64 @release(ptr %ctx) noinline {{
{body}
  ret i64 {total}
bad:
  ret i64 -1
}}"""


def _release_one(strict: bool) -> str:
    expected, arrived, true = BarrierField.EXPECTED, BarrierField.ARRIVED, BarrierField.TRUE
    return f"""define internal i64 @release_one(ptr %ctx, i32 %counter, i64 %record) noinline {{
  %waiting = call i64 @count_threads(ptr %ctx, i32 %counter)
  %nobody = icmp eq i64 %waiting, 0
  br i1 %nobody, label %none, label %some
none:
  ret i64 0
some:
  %arrived.slot = add i64 %record, {arrived.value}
  %arrived = call i64 @slot(ptr %ctx, i64 %arrived.slot)
  %came = add i64 %waiting, %arrived
  %expected.slot = add i64 %record, {expected.value}
  %given = call i64 @slot(ptr %ctx, i64 %expected.slot)
  %all = icmp eq i64 %given, 0
  br i1 %all, label %everybody, label %compare
everybody:
  %alive = call i64 @count_threads(ptr %ctx, i32 0)
  br label %compare
compare:
  %expected = phi i64 [%given, %some], [%alive, %everybody]
  %complete = icmp uge i64 %came, %expected
  br i1 %complete, label %test, label %none
test:
  %x = call i64 @slot(ptr %ctx, i64 {Slot.NTID_X.value})
  %y = call i64 @slot(ptr %ctx, i64 {Slot.NTID_Y.value})
  %z = call i64 @slot(ptr %ctx, i64 {Slot.NTID_Z.value})
  %plane = mul i64 %x, %y
  %threads = mul i64 %plane, %z
  %gone = icmp ult i64 %expected, %threads
  %gone.all = and i1 %gone, %all
  %wrong = and i1 %gone.all, {"true" if strict else "false"}
  br i1 %wrong, label %missing, label %go
missing:
  %at.slot = add i64 %record, {BarrierField.INSTRUCTION.value}
  %at = call i64 @slot(ptr %ctx, i64 %at.slot)
  %first = call i64 @first_gone(ptr %ctx)
  call void @fail(ptr %ctx, i64 {ErrorKind.MISSING_THREADS.value}, i64 %at, i64 %first)
  ret i64 -1
go:
  %true.slot = add i64 %record, {true.value}
  %true = call i64 @slot(ptr %ctx, i64 %true.slot)
  call void @set_slot(ptr %ctx, i64 %true.slot, i64 0)
  call void @set_slot(ptr %ctx, i64 %arrived.slot, i64 0)
  %result.slot = add i64 %record, {BarrierField.RESULT_TRUE.value}
  call void @set_slot(ptr %ctx, i64 %result.slot, i64 %true)
  %count.slot = add i64 %record, {BarrierField.RESULT_COUNT.value}
  call void @set_slot(ptr %ctx, i64 %count.slot, i64 %came)
  %epoch = call i64 @slot(ptr %ctx, i64 {Slot.EPOCH.value})
  %epoch.next = add i64 %epoch, 1
  call void @set_slot(ptr %ctx, i64 {Slot.EPOCH.value}, i64 %epoch.next)
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  br label %loop
loop:
  %warp = phi i64 [0, %go], [%warp.next, %next]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %lanes = call i32 @waiting_lanes(ptr %state, i32 %counter)
  %idle = icmp eq i32 %lanes, 0
  br i1 %idle, label %next, label %let
let:
  call void @let_go(ptr %state, i32 %lanes)
  br label %next
next:
  %warp.next = add i64 %warp, 1
  %more = icmp ult i64 %warp.next, %warps
  br i1 %more, label %loop, label %done
done:
  ret i64 1
}}
define internal i64 @first_gone(ptr %ctx) noinline {{
  br label %loop
loop:
  %warp = phi i64 [0, %0], [%warp.next, %loop]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  %live = load i32, ptr %live.place
  %warp.next = add i64 %warp, 1
  %whole = icmp eq i32 %live, -1
  br i1 %whole, label %loop, label %done
done:
  %gone = xor i32 %live, -1
  %lane = call i32 @llvm.cttz.i32(i32 %gone, i1 false)
  %lane.wide = zext i32 %lane to i64
  %base = shl i64 %warp, 5
  %thread = add i64 %base, %lane.wide
  ret i64 %thread
}}"""


def _start(numbers: list[int]) -> str:
    """Write ``start_block``: coordinates, empty barriers, every warp at the first block."""
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
  call void @set_slot(ptr %ctx, i64 {Slot.EPOCH.value}, i64 %epoch.next)
{clear}
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  %last = sub i64 %warps, 1
  %partial = call i64 @slot(ptr %ctx, i64 {Slot.LAST_WARP_MASK.value})
  %partial.small = trunc i64 %partial to i32
  br label %warp.loop
warp.loop:
  %warp = phi i64 [0, %entry], [%warp.next, %warp.done]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %is.last = icmp eq i64 %warp, %last
  %live = select i1 %is.last, i32 %partial.small, i32 -1
  br label %lane.loop
lane.loop:
  %lane = phi i64 [0, %warp.loop], [%lane.next, %lane.loop]
  %lane.small = trunc i64 %lane to i32
  %bit = lshr i32 %live, %lane.small
  %alive = trunc i32 %bit to i1
  %pc = select i1 %alive, i32 0, i32 {EXITED}
  %pc.place = getelementptr i32, ptr %state, i64 %lane
  store i32 %pc, ptr %pc.place
  %lane.next = add i64 %lane, 1
  %lanes.end = icmp eq i64 %lane.next, 32
  br i1 %lanes.end, label %warp.done, label %lane.loop
warp.done:
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


def _warps() -> str:
    """Write ``warps_round``: one turn for each warp that can run; and the generator."""
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
  %warp.small = trunc i64 %warp to i32
  %new = call i32 @step(ptr %ctx, ptr %state, i32 %warp.small, i32 %budget)
  store i32 %new, ptr %status.place
  %failed = icmp eq i32 %new, {Status.ERROR.value}
  br i1 %failed, label %error, label %next
next:
  %now = phi i32 [%status, %loop], [{Status.YIELD.value}, %draw], [%new, %go]
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
