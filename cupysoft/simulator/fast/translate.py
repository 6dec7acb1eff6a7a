"""``fast``: advances a warp whose 32 lanes are together, from an entry until it waits, ends, or the lanes part.

It returns what ``step`` returns, or `Status.APART` when the masked version has to go on.
"""

from __future__ import annotations

from ..context import ErrorKind, Status
from ..control import arrival, chosen_target
from ..faults import record_error
from ..flow import Flow, is_block_barrier, target_of
from ..layout import Layout, StateOffset
from ..meeting import lacking_lanes, masks_of
from ..module_text import ModuleText
from ..opcodes import write
from ..pcs import EXITED
from ..ptx import Instruction
from ..seam import Unchecked
from ..strips import Uniform
from .edges import Edges
from .emitter import ALL, FastEmitter, Misplanned
from .masked import MaskedBlocks
from .regions import Plan, plan
from .steps import reaches, repeatable

__all__ = ["fast_text"]


def fast_text(
    module: ModuleText, flow: Flow, layout: Layout, tables: dict[str, tuple[str, ...]], linear: bool
) -> tuple[str, list[int]]:
    """Return the text of ``fast`` and the blocks at which it can be entered."""
    apart: set[str] = set()
    while True:
        writer = _Writer(module, flow, layout, tables, plan(flow, layout, linear, apart), linear)
        try:
            return writer.text(), sorted(writer.plan.entries)
        except Misplanned as error:
            apart.add(str(error))


class _Writer:
    """Writes the function: the ways in, the blocks that all lanes run, the masked ones."""

    def __init__(
        self,
        module: ModuleText,
        flow: Flow,
        layout: Layout,
        tables: dict[str, tuple[str, ...]],
        made: Plan,
        linear: bool,
    ) -> None:
        self.flow = flow
        self.plan = made
        self.e = FastEmitter(module, layout, Unchecked(), self.plan, linear)
        self.e.branch_targets = tables
        self.edges = Edges(self.e, flow, self.plan)
        self.masked = MaskedBlocks(self.e, flow, self.plan, self.edges)

    def text(self) -> str:
        """Write the function."""
        e, code = self.e, self.e.code
        for entry in sorted(self.plan.entries):
            self._entry(entry)
        for number in range(len(self.flow.blocks)):
            region = self.plan.regions.get(number)
            if region is None or region.doubled:
                self._block(number)
            if region is not None:
                self.masked.block(number)
        for number in range(len(self.flow.blocks)):
            self._restart(number)
        for region in {id(each): each for each in self.plan.regions.values()}.values():
            self.masked.out(region)
        code.label(f"b{len(self.flow.blocks)}")
        if e.module.has("copies"):
            code.effect(f"call void @copies.wait(ptr %ctx, i32 %warp, i32 {ALL}, i32 -1)")
        code.effect("store i32 0, ptr %live.place")
        self.edges.counters(e.constant("i32", EXITED))
        code.effect(f"ret i32 {Status.DONE.value}")
        body = code.take()
        cases = " ".join(f"i32 {entry}, label %enter{entry}" for entry in sorted(self.plan.entries))
        masks = sorted(self.plan.regions)
        parts = [
            "define internal i32 @fast(ptr noalias %ctx, ptr noalias align 64 %state, i32 %warp, i32 %budget)",
            "    noinline {",
            "entry:",
            "  %budget.slot = alloca i32",
            *(f"  %lanes{number}.slot = alloca i32" for number in masks),
            *(f"  %{name} = alloca [{size} x i8], align 64" for name, size in e.module.buffers.items()),
            *e.variables(),
            *e.prologue,
            "  store i32 %budget, ptr %budget.slot",
            *(f"  store i32 0, ptr %lanes{number}.slot" for number in masks),
            f"  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}",
            f"  %refused.place = getelementptr i8, ptr %state, i64 {StateOffset.REFUSED}",
            "  %where = load i32, ptr %state",
            f"  switch i32 %where, label %apart [{cases}]",
            body,
            "apart:",
            f"  ret i32 {Status.APART.value}",
            "fault:",
            f"  ret i32 {Status.ERROR.value}",
            "}",
        ]
        return "\n".join(parts)

    def _entry(self, number: int) -> None:
        """Take the registers from the warp's state, unless the lanes differ where they must not."""
        e, code = self.e, self.e.code
        e.begin_block()
        code.label(f"enter{number}")
        differs = e.take(self.flow.blocks[number].live_in)
        refused = code.line(f"select i1 {differs}, i32 {number}, i32 -1")
        code.effect(f"store i32 {refused}, ptr %refused.place")
        code.effect(f"br i1 {differs}, label %apart, label %b{number}")

    # Blocks that all lanes run.

    def _block(self, number: int) -> None:
        e, block = self.e, self.flow.blocks[number]
        e.begin_block()
        e.active_name, e.region = ALL, None
        e.restart = f"restart{number}"
        e.reach = reaches(block)
        e.code.label(f"b{number}")
        if block.meeting:
            self._meet(number)
        for index, instruction in enumerate(block.instructions, block.first):
            e.begin_instruction(instruction, index)
            if instruction is block.instructions[-1] and self._finish(number, instruction):
                return
            write(e, instruction)
            if not repeatable(instruction):
                e.restart = ""
        e.begin_instruction(Instruction("nop"), e.index)
        self.edges.store(number)
        self.edges.go(number, number + 1)

    def _restart(self, number: int) -> None:
        """Leave a block to the masked version, from its start."""
        e = self.e
        if f"restart{number}" not in e.restarts:
            return
        e.begin_block()
        e.active_name, e.region, e.restart = ALL, None, ""
        e.code.label(f"restart{number}")
        self.edges.give_up(number)

    def _meet(self, number: int) -> None:
        """Leave the block to the masked version if some lanes have a mask whose others brought another one."""
        e, code = self.e, self.e.code
        e.begin_instruction(self.flow.blocks[number].instructions[0], self.flow.blocks[number].first)
        masks = masks_of(e)
        if isinstance(masks, Uniform):
            return
        whole = code.line(f"icmp eq i32 {lacking_lanes(e, masks, ALL)}, 0")
        here = self.edges.label("meeting")
        code.effect(f"br i1 {whole}, label %{here}.on, label %{here}.apart")
        code.label(f"{here}.apart")
        self.edges.give_up(number)
        code.label(f"{here}.on")

    def _finish(self, number: int, last: Instruction) -> bool:
        """Translate the last instruction if it ends the block, and tell whether it did."""
        e, code, out = self.e, self.e.code, self.flow.blocks[number].live_out
        opcode = last.opcode
        if opcode in ("bra", "exit", "ret"):
            self._branch(number, target_of(last, self.flow.labels) if opcode == "bra" else len(self.flow.blocks))
        elif opcode == "brx":
            self.edges.leave(out, chosen_target(e, self.flow), Status.APART)
        elif opcode == "trap":
            record_error(e, ErrorKind.TRAP, ALL)
            code.effect("br label %fault")
        elif opcode == "nanosleep":
            self.edges.leave(out, e.constant("i32", number + 1), Status.YIELD)
        elif is_block_barrier(last):
            self.edges.leave(out, e.splat("i32", arrival(e, number)), Status.WAITING)
        else:
            return False
        return True

    def _branch(self, number: int, target: int) -> None:
        """Go to `target` where the guard holds, to the next block where it does not."""
        e, code = self.e, self.e.code
        if e.instruction.predicate is None or target == number + 1:
            self.edges.store(number)
            self.edges.go(number, target)
            return
        guard = e.active()
        scalar = guard.scalar if isinstance(guard, Uniform) else ""
        taken = "" if scalar else e.bits(guard)
        self.edges.store(number)
        edge = self.edges.label("edge")
        if scalar:
            code.effect(f"br i1 {scalar}, label %{edge}.taken, label %{edge}.not")
        else:
            none = code.line(f"icmp eq i32 {taken}, 0")
            code.effect(f"br i1 {none}, label %{edge}.not, label %{edge}.some")
            code.label(f"{edge}.some")
            every = code.line(f"icmp eq i32 {taken}, -1")
            code.effect(f"br i1 {every}, label %{edge}.taken, label %{edge}.both")
            code.label(f"{edge}.both")
            self._part(number, target, taken)
        code.label(f"{edge}.taken")
        self.edges.go(number, target)
        code.label(f"{edge}.not")
        self.edges.go(number, number + 1)

    def _part(self, number: int, target: int, taken: str) -> None:
        """Send the lanes in two directions."""
        e, code = self.e, self.e.code
        region = self.plan.regions.get(target) or self.plan.regions.get(number + 1)
        ways = {target, number + 1}
        if region is not None and ways <= {*region.blocks, region.join}:
            if region.doubled:
                with e.aside():
                    e.widen(region.kept)
            self.edges.send(region, target, taken)
            self.edges.send(region, number + 1, code.line(f"xor i32 {taken}, -1"))
            self.edges.wait_for(min(ways - {region.join}))
            return
        with e.aside():
            where = e.select(e.mask(taken), e.constant("i32", target), e.constant("i32", number + 1), "i32")
            self.edges.leave(self.flow.blocks[number].live_out, where, Status.APART)
