"""The blocks of ``fast`` in which lanes are apart: they run under a mask, up to the point where all meet again."""

from __future__ import annotations

from ..context import Status
from ..flow import Flow, target_of
from ..opcodes import write
from ..ptx import Instruction
from ..strips import Value
from .edges import Edges
from .emitter import ALL, FastEmitter
from .regions import Plan, Region

__all__ = ["MaskedBlocks"]


class MaskedBlocks:
    """Writes the blocks of regions."""

    def __init__(self, e: FastEmitter, flow: Flow, plan: Plan, edges: Edges) -> None:
        self.e = e
        self.flow = flow
        self.plan = plan
        self.edges = edges

    def block(self, number: int) -> None:
        """Run a block with the lanes that wait for it, or go on to the next one of its region."""
        e, code, block = self.e, self.e.code, self.flow.blocks[number]
        region = self.plan.regions[number]
        e.begin_block()
        e.region, e.restart = region, ""
        code.label(f"lanes{number}")
        e.active_name = f"%active{number}"
        code.effect(f"{e.active_name} = load i32, ptr %lanes{number}.slot")
        code.effect(f"store i32 0, ptr %lanes{number}.slot")
        nobody = code.line(f"icmp eq i32 {e.active_name}, 0")
        code.effect(f"br i1 {nobody}, label %next{number}, label %masked{number}")
        code.label(f"masked{number}")
        target = number + 1
        taken = e.active_name
        for index, instruction in enumerate(block.instructions, block.first):
            e.begin_instruction(instruction, index)
            if instruction.opcode == "bra":
                target = target_of(instruction, self.flow.labels)
                taken = e.active_bits()
                break
            write(e, instruction)
        guarded = e.instruction.predicate is not None and taken != e.active_name
        e.begin_instruction(Instruction("nop"), e.index)
        self.edges.store(number)
        self.edges.send(region, target, taken)
        if guarded:
            others = code.line(f"and i32 {e.active_name}, {code.line(f'xor i32 {taken}, -1')}")
            self.edges.send(region, number + 1, others)
        if target <= number and target != region.join:
            self._back(number, target, taken, region)
        code.effect(f"br label %next{number}")
        code.label(f"next{number}")
        e.begin_block()  # nothing that the block computed is known where nobody ran it
        after = [each for each in region.blocks if each > number]
        if after:
            self.edges.wait_for(after[0])
        else:
            e.active_name = ALL
            self._rejoin(region)
            self.edges.go(number, region.join)

    def _rejoin(self, region: Region) -> None:
        """Make scalars again of what the masked blocks wrote; where a lane differs, the masked version goes on."""
        e, code = self.e, self.e.code
        differs = e.narrow(self.flow.blocks[region.join].live_in) if region.doubled else "false"
        if differs != "false":
            here = self.edges.label("rejoin")
            code.effect(f"br i1 {differs}, label %{here}.apart, label %{here}.on")
            code.label(f"{here}.apart")
            self.edges.give_up(region.join)
            code.label(f"{here}.on")
        e.begin_block()
        e.region = None

    def _back(self, number: int, target: int, taken: str, region: Region) -> None:
        """Go back to an earlier block of the region if lanes wait there, as long as the budget lasts."""
        code = self.e.code
        here = self.edges.label("back")
        some = code.line(f"icmp ne i32 {taken}, 0")
        code.effect(f"br i1 {some}, label %{here}, label %next{number}")
        code.label(here)
        self.edges.spend(here)
        code.label(f"{here}.out")
        code.effect(f"br label %out{min(region.blocks)}")
        code.label(f"{here}.on")
        self.edges.wait_for(target)

    def out(self, region: Region) -> None:
        """Leave a region whose budget is used up: each lane goes on at the block it waits for."""
        e, code = self.e, self.e.code
        e.begin_block()
        e.region = region
        code.label(f"out{region.blocks[0]}")
        where: Value = e.constant("i32", region.join)
        for number in region.blocks:
            waiting = e.mask(code.line(f"load i32, ptr %lanes{number}.slot"))
            where = e.select(waiting, e.constant("i32", number), where, "i32")
        live = frozenset().union(*(self.flow.blocks[each].live_in for each in (*region.blocks, region.join)))
        self.edges.leave(live, where, Status.YIELD)
