"""How control goes from block to block in ``fast``, and out of it."""

from __future__ import annotations

from ..context import Status
from ..flow import Flow
from ..pcs import store_counters
from ..strips import Value
from .emitter import FastEmitter
from .regions import Plan, Region

__all__ = ["Edges"]


class Edges:
    """Writes the ways out of blocks.

    Block `n` begins at the label ``bn`` for all lanes, and at ``lanesn`` for those that wait for it, which stand in
    ``%lanesn.slot``.
    """

    def __init__(self, e: FastEmitter, flow: Flow, plan: Plan) -> None:
        self.e = e
        self.flow = flow
        self.plan = plan
        self._number = 0

    def go(self, number: int, target: int) -> None:
        """Let all lanes go from one block to another that is not under the same mask."""
        code = self.e.code
        if target <= number:
            here = self.label("back")
            self.spend(here)
            code.label(f"{here}.out")
            with self.e.aside():
                where = self.e.constant("i32", target)
                self.leave(self.flow.blocks[target].live_in, where, Status.YIELD)
            code.label(f"{here}.on")
        region = self.plan.regions.get(target)
        if region is not None and not region.doubled:
            code.effect(f"store i32 -1, ptr %lanes{target}.slot")
            self.wait_for(target)
        else:
            code.effect(f"br label %b{target}")

    def spend(self, here: str) -> None:
        """Take one from the budget; go on at ``.out`` when nothing is left, else at ``.on``."""
        code = self.e.code
        left = code.line(f"sub i32 {code.line('load i32, ptr %budget.slot')}, 1")
        code.effect(f"store i32 {left}, ptr %budget.slot")
        spent = code.line(f"icmp sle i32 {left}, 0")
        code.effect(f"br i1 {spent}, label %{here}.out, label %{here}.on")

    def label(self, stem: str) -> str:
        """Give a label that no other edge has."""
        self._number += 1
        return f"{stem}.{self._number}"

    def wait_for(self, number: int) -> None:
        """Go to a block with the lanes that wait for it."""
        self.e.code.effect(f"br label %lanes{number}")

    def send(self, region: Region, target: int, lanes: str) -> None:
        """Let lanes wait for a block of their region."""
        if target == region.join:
            return
        code = self.e.code
        waiting = code.line(f"load i32, ptr %lanes{target}.slot")
        code.effect(f"store i32 {code.line(f'or i32 {waiting}, {lanes}')}, ptr %lanes{target}.slot")

    def store(self, number: int) -> None:
        """Store the registers that a block has written and that are needed after it."""
        self.e.store_registers(self.e.dirty & self.flow.blocks[number].live_out)

    def leave(self, names: frozenset[str], counters: Value, status: Status) -> None:
        """Store what the warp needs to go on, and return."""
        self.e.keep(names)
        self.counters(counters)
        self.e.code.effect(f"ret i32 {status.value}")

    def counters(self, counters: Value) -> None:
        """Store where each lane goes on."""
        store_counters(self.e, counters)
        self.e.code.flush()

    def give_up(self, number: int) -> None:
        """Let the masked version go on at the start of a block, and not hand back the warp there."""
        self.e.code.effect(f"store i32 {number}, ptr %refused.place")
        with self.e.aside():
            self.leave(self.flow.blocks[number].live_in, self.e.constant("i32", number), Status.APART)
