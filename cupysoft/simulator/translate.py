"""A kernel's PTX as LLVM text: the masked version, right for every flow of control.

``step`` advances one warp. Each lane has a program counter, the number of a basic block.
The lanes at the lowest block run it together; where all of them go on to the same block
and nobody waits below it, they go there at once, else they park their counters and the
next group is chosen. A budget of blocks bounds the call, so that warps, and groups of
lanes within a warp, take turns even when some of them spin.
"""

from __future__ import annotations

from dataclasses import dataclass

from .constants import with_known_operands
from .context import Status
from .control import finish
from .driver import run_text
from .emitter import Emitter
from .fast import fast_text
from .flow import Flow, analyse
from .inline import inlined
from .layout import Layout, StateOffset, place
from .meeting import meet
from .module_text import ModuleText
from .opcodes import write
from .pcs import AT_BARRIER, BLOCK_BITS, EXITED, MEETING, PENALTY, WAITING, load_counters, lowest_of, store_counters
from .ptx import Instruction, Module, Variable
from .seam import Checks, Unchecked
from .unwritten import companion, follow

__all__ = ["Translation", "translate"]

#: Lanes of a strip.
WIDTH = 16
#: Instructions of the longest kernel that has a fast version: to compile it takes four times as long as the masked one.
_LONGEST_FAST = 3000


@dataclass(slots=True)
class Translation:
    """The LLVM module of one kernel, and what it assumes; `fast`: it has the version for warps that stay together."""

    text: str
    layout: Layout
    instructions: list[Instruction]
    starts: list[int]
    barriers: bool
    variables: dict[str, Variable]
    fast: bool


def translate(
    module: Module,
    name: str,
    checks: Checks | None = None,
    width: int = WIDTH,
    fast: bool = False,
    linear: bool = False,
    drawn: bool = False,
) -> Translation:
    """Translate kernel `name` of `module`; `fast` adds the version for warps that stay together.

    `linear`: that version is for blocks in which the lanes of every warp lie along the x axis.

    `drawn` is for launches with a seed: chance decides what the manual leaves open, and how far a warp runs before
    another one may move, which can be any access to memory.

    Raises
    ------
    UnknownInstructionError
        If the kernel has an instruction that is not in the table.
    """
    checks = checks or Unchecked()
    kernel = inlined(module, name)
    with_known_operands(kernel)
    fast = fast and len(kernel.instructions) <= _LONGEST_FAST
    flow = analyse(kernel, fine=drawn)
    unset = sorted(flow.blocks[0].live_in) if checks.enabled and flow.blocks else []
    followed = follow(kernel, flow, checks.ragged) if checks.enabled and flow.blocks else frozenset()
    layout = place(kernel, module.variables, flow.crossing)
    text = ModuleText(width, module.architecture)
    e = Emitter(text, layout, checks)
    e.drawn, e.followed = drawn, followed
    e.branch_targets = kernel.branch_targets
    checks.kernel(e, flow.blocks)
    for number in range(len(flow.blocks)):
        _block(e, flow, number)
    quick, entries = fast_text(text, flow, layout, kernel.branch_targets, linear) if fast else ("", [])
    step = _step(e, len(flow.blocks), entries)
    starts = [block.first for block in flow.blocks]
    instructions = [instruction for block in flow.blocks for instruction in block.instructions]
    places = [layout.offsets[companion(name).name] for name in unset if name in followed]
    run, barriers = run_text(text, flow, strict=checks.enabled, fast=fast, unset=places)
    return Translation(text.text(step, quick, run), layout, instructions, starts, barriers, kernel.variables, fast)


def _block(e: Emitter, flow: Flow, number: int) -> None:
    """Write one basic block and the way out of it."""
    block = flow.blocks[number]
    e.begin_block()
    e.active_name = f"%active.{number}"
    e.code.label(f"b{number}")
    e.code.effect(f"{e.active_name} = load i32, ptr %active.slot")
    if block.meeting:
        e.begin_instruction(block.instructions[0], block.first)
        meet(e, number)
    e.checks.block(e, block.first, len(block.instructions))
    for index, instruction in enumerate(block.instructions, block.first):
        e.begin_instruction(instruction, index)
        if e.followed:
            e.checks.registers(e)
        if instruction is block.instructions[-1] and finish(e, flow, number):
            return
        write(e, instruction)
    e.begin_instruction(Instruction("nop"), e.index)
    e.store_registers(e.dirty & block.live_out)
    e.code.effect(f"br label %go{number + 1}")


def _step(e: Emitter, blocks: int, entries: list[int]) -> str:
    """Wrap the blocks in the function that dispatches them; at `entries` the fast version takes whole warps back."""
    body = e.code.take()
    buffers = [f"  %{name} = alloca [{size} x i8], align 64" for name, size in e.module.buffers.items()]
    slots = ("active", "rest", "target", "other", "taken", "budget")
    parts = [
        "define internal i32 @step(ptr noalias %ctx, ptr noalias align 64 %state, i32 %warp, i32 %budget) noinline {",
        "entry:",
        *(f"  %{name}.slot = alloca i32" for name in slots),
        *buffers,
        *e.prologue,
        "  store i32 %budget, ptr %budget.slot",
        *(f"  %{name}.place = getelementptr i8, ptr %state, i64 {offset}" for name, offset in _HEADER),
        "  br label %dispatch",
        _dispatch(e, blocks, entries),
        _parking(e),
        body,
        *(_edge(number) for number in range(blocks)),
        _end_of_thread(blocks, copies=e.module.has("copies")),
        "}",
    ]
    return "\n".join(parts)


_HEADER = (
    ("live", StateOffset.LIVE),
    ("favoured", StateOffset.FAVOURED),
    ("forced", StateOffset.FORCED),
    ("together", StateOffset.TOGETHER),
    ("refused", StateOffset.REFUSED),
)


def _edge(number: int) -> str:
    """Go on to a block at once where no other lane is below it, nor at it."""
    return f"""go{number}:
  %budget.{number} = load i32, ptr %budget.slot
  %left.{number} = sub i32 %budget.{number}, 1
  store i32 %left.{number}, ptr %budget.slot
  %rest.{number} = load i32, ptr %rest.slot
  %first.{number} = icmp ult i32 {number}, %rest.{number}
  %spare.{number} = icmp sgt i32 %left.{number}, 0
  %straight.{number} = and i1 %first.{number}, %spare.{number}
  store i32 {number}, ptr %target.slot
  br i1 %straight.{number}, label %b{number}, label %park"""


def _end_of_thread(number: int, copies: bool) -> str:
    settle = "\n  call void @copies.wait(ptr %ctx, i32 %warp, i32 %gone, i32 -1)" if copies else ""
    return f"""go{number}:
  br label %b{number}
b{number}:
  %alive = load i32, ptr %live.place
  %gone = load i32, ptr %active.slot{settle}
  %kept = xor i32 %gone, -1
  %alive.left = and i32 %alive, %kept
  store i32 %alive.left, ptr %live.place
  store i32 {EXITED}, ptr %target.slot
  br label %park
fault:
  ret i32 3"""


def _dispatch(e: Emitter, blocks: int, entries: list[int]) -> str:
    """Choose the lanes that run next: the lowest block among the favoured ones."""
    e.begin_block()
    code = e.code
    W = e.W
    e.module.declare(f"declare i32 @llvm.vector.reduce.umin.v{W}i32(<{W} x i32>)")
    counters = load_counters(e)
    favoured = e.mask(code.line("load i32, ptr %favoured.place"))
    zero, penalty = e.constant("i32", 0), e.constant("i32", PENALTY)
    rank = e.map("add <W x i32> {0}, {1}", counters, e.select(favoured, zero, penalty, "i32"))
    lowest = lowest_of(e, rank)
    code.effect(f"%block = and i32 {lowest}, {~PENALTY}")
    running = e.map("icmp eq <W x i32> {0}, {1}", counters, e.splat("i32", "%block"))
    rest = lowest_of(e, e.select(running, e.constant("i32", EXITED), rank, "i32"))
    lanes = e.bits(running)
    code.effect(f"store i32 {lanes}, ptr %active.slot")
    code.effect(f"store i32 {rest}, ptr %rest.slot")
    if entries:
        _give_back(e, lanes, entries)
    cases = " ".join(f"i32 {number}, label %b{number}" for number in range(blocks + 1))
    code.effect(f"switch i32 %block, label %idle [{cases}]")
    _idle(e)
    _yield(e)
    picked = code.take()
    return f"""dispatch:
  %budget.now = load i32, ptr %budget.slot
  %budget.next = sub i32 %budget.now, 1
  store i32 %budget.next, ptr %budget.slot
  %used.up = icmp sle i32 %budget.now, 0
  br i1 %used.up, label %yield, label %pick
pick:
{picked}"""


def _give_back(e: Emitter, lanes: str, entries: list[int]) -> None:
    """Return where all 32 lanes are at an entry of the fast version that it has not refused just now."""
    code = e.code
    code.effect(f"%whole = icmp eq i32 {lanes}, -1")
    code.effect("br i1 %whole, label %whole.warp, label %some.lanes")
    code.label("whole.warp")
    cases = " ".join(f"i32 {entry}, label %at.entry" for entry in entries)
    code.effect(f"switch i32 %block, label %some.lanes [{cases}]")
    code.label("at.entry")
    code.effect("%refused = load i32, ptr %refused.place")
    code.effect("%refused.here = icmp eq i32 %refused, %block")
    code.effect("%refused.always = icmp eq i32 %refused, -2")
    code.effect("%refused.now = or i1 %refused.here, %refused.always")
    code.effect("br i1 %refused.now, label %some.lanes, label %give.back")
    code.label("give.back")
    code.effect(f"ret i32 {Status.TOGETHER.value}")
    code.label("some.lanes")


def _idle(e: Emitter) -> None:
    """Nobody can run: let those who wait for lanes of the warp go on, or tell the driver.

    All the lanes that wait at warp barriers go on together, wherever these stand.
    """
    code = e.code
    code.label("idle")
    code.effect(f"%at.meeting = icmp ult i32 %block, {WAITING}")
    code.effect("br i1 %at.meeting, label %force, label %quiet")
    code.label("force")
    counters = load_counters(e)
    same = e.map("icmp eq <W x i32> {0}, {1}", counters, e.splat("i32", "%block"))
    kind = e.map("lshr <W x i32> {0}, {1}", counters, e.constant("i32", AT_BARRIER.bit_length() - 1))
    barrier = (MEETING | AT_BARRIER) >> (AT_BARRIER.bit_length() - 1)
    barriers = e.bits(e.map("icmp eq <W x i32> {0}, {1}", kind, e.constant("i32", barrier)))
    alike = e.bits(same)
    code.effect(f"%at.barrier = icmp ne i32 {code.line(f'and i32 %block, {AT_BARRIER}')}, 0")
    code.effect(f"%let.go = select i1 %at.barrier, i32 {barriers}, i32 {alike}")
    plain = e.map("and <W x i32> {0}, {1}", counters, e.constant("i32", BLOCK_BITS))
    store_counters(e, e.select(e.mask("%let.go"), plain, counters, "i32"))
    code.effect("store i32 %let.go, ptr %forced.place")
    code.effect(f"store i32 {barriers}, ptr %together.place")
    code.effect("br label %dispatch")
    code.label("quiet")
    code.effect("%some.wait = icmp ult i32 %block, " + str(EXITED & ~PENALTY))
    code.effect("%quiet.status = zext i1 %some.wait to i32")
    code.effect("ret i32 %quiet.status")


def _yield(e: Emitter) -> None:
    """Favour the next group of lanes, the one at the next higher block."""
    code = e.code
    code.label("yield")
    counters = load_counters(e)
    last = e.splat("i32", code.line("load i32, ptr %target.slot"))
    higher = e.map("icmp ugt <W x i32> {0}, {1}", counters, last)
    chosen = lowest_of(e, e.select(higher, counters, e.constant("i32", EXITED), "i32"))
    group = e.map("icmp eq <W x i32> {0}, {1}", counters, e.splat("i32", chosen))
    bits = e.bits(group)
    code.effect(f"%someone = icmp ult i32 {chosen}, {MEETING}")
    code.effect(f"%favour = select i1 %someone, i32 {bits}, i32 -1")
    code.effect("store i32 %favour, ptr %favoured.place")
    code.effect("ret i32 2")


def _parking(e: Emitter) -> str:
    """Write the two ways to leave a block with its lanes' counters stored."""
    e.begin_block()
    code = e.code
    code.label("park")
    active = e.mask(code.line("load i32, ptr %active.slot"))
    target = e.splat("i32", code.line("load i32, ptr %target.slot"))
    store_counters(e, e.select(active, target, load_counters(e), "i32"))
    code.effect("br label %dispatch")
    code.label("split")
    active = e.mask(code.line("load i32, ptr %active.slot"))
    taken = e.mask(code.line("load i32, ptr %taken.slot"))
    target = e.splat("i32", code.line("load i32, ptr %target.slot"))
    other = e.splat("i32", code.line("load i32, ptr %other.slot"))
    where = e.select(taken, target, other, "i32")
    store_counters(e, e.select(active, where, load_counters(e), "i32"))
    code.effect("br label %dispatch")
    return code.take()
