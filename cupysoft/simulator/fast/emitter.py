"""The emitter of the fast version: registers are LLVM's, and all 32 lanes run unless a region masks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..affine import Affine
from ..code import LANES
from ..control import first_lane
from ..emitter import Emitter, Value
from ..literals import bits_of, llvm_type
from ..ptx import Operand, Register
from ..strips import Uniform
from .regions import Plan, Region

if TYPE_CHECKING:
    from ..layout import Layout
    from ..module_text import ModuleText
    from ..seam import Checks

__all__ = ["FastEmitter", "Misplanned"]

#: The mask of a warp whose lanes are together.
ALL = "-1"


class Misplanned(Exception):
    """A register that was to rise from lane to lane, but was written otherwise."""


class FastEmitter(Emitter):
    """Writes ``fast``; the plan says which registers it keeps as scalars.

    Each register is a variable on the stack, or one a strip, which LLVM turns into values. What a doubled region
    writes has both kinds of variable, if it is a scalar where all lanes run: the strips are for the blocks under masks.

    Attributes
    ----------
    plan : Plan
    region : Region or None
        The one under whose masks the current block runs.
    restart : str
        Label of the way back to the start of the current block, for the masked version to go on there; empty where
        the block has done what must not be done again, or runs under masks.
    restarts : set of str
        Those that code goes to.
    reach : dict
        The least and the greatest offset at which the current block addresses memory from a register of 32 bits.
    """

    def __init__(self, module: ModuleText, layout: Layout, checks: Checks, plan: Plan, linear: bool) -> None:
        super().__init__(module, layout, checks)
        self.plan = plan
        self.linear = linear
        self.active_name = ALL
        self.region: Region | None = None
        self.restart = ""
        self.restarts: set[str] = set()
        self.reach: dict[str, tuple[int, int]] = {}
        self._reached: dict[str, str] = {}
        self._numbers: dict[str, int] = {}

    def is_scalar(self, name: str) -> bool:
        """Tell whether a register is one scalar here."""
        if self.region is not None and name in self.region.kept:
            return False
        return name in self.plan.uniform or name in self.plan.steps

    def assured(self, condition: str) -> bool:
        """Begin the block anew under masks where a condition does not hold, if that can be done."""
        if not self.restart or self._guard is not None:
            return False
        if condition != "true":
            label = self.code.fresh("assured")
            self.restarts.add(self.restart)
            self.code.effect(f"br i1 {condition}, label %{label}, label %{self.restart}")
            self.code.label(label)
        return True

    def begin_block(self) -> None:
        """Forget everything that is known only inside a block."""
        super().begin_block()
        self._reached = {}

    def near(self, name: str, value: Value, offset: int) -> Value | None:
        """Return the address at `offset` from a register of 32 bits that rises from lane to lane.

        That no lane wraps around is looked at once in a block, before it does anything, for all of its offsets.
        """
        low, high = self.reach.get(name, (0, 0))
        if not isinstance(value, Affine) or not low <= offset <= high:
            return None
        start = self._reached.get(value.base)
        if start is None:
            start = self.code.scalar(f"add i32 {value.base}, {low}")
            way = (LANES - 1) * value.step
            least, span = max(0, -way), high - low + abs(way)
            above = self.code.scalar(f"sub i32 {start}, {least}")
            if not self.assured(self.code.scalar(f"icmp ule i32 {above}, {(1 << 32) - 1 - span}")):
                return None
            start = self._reached[value.base] = self.code.scalar(f"zext i32 {start} to i64")
        return self.affine("i64", self.code.scalar(f"add i64 {start}, {offset - low}"), value.step)

    def own_type(self, name: str) -> str:
        """Return the LLVM type of a lane of a register."""
        register = self.layout.registers[name]
        return "i1" if register == "pred" else llvm_type(register)

    def variable(self, name: str, strip: int | None = None) -> str:
        """Return the variable of a register that is a scalar, or of a strip of one."""
        number = self._numbers.setdefault(name, len(self._numbers))
        return f"%r{number}" if strip is None else f"%r{number}.{strip}"

    def variables(self) -> Iterator[str]:
        """Write the declarations of the registers that were used."""
        for name in self._numbers:
            type_ = self.own_type(name)
            yield f"  {self.variable(name)} = alloca {type_}"
            for strip in range(self.strips):
                yield f"  {self.variable(name, strip)} = alloca <{self.W} x {type_}>, align 64"

    def load_register(self, name: str, type_: str) -> Value:
        """Return what a register holds; a type of the same width as its own may be asked for."""
        own = self.own_type(name)
        if self.is_scalar(name):
            scalar = self.code.scalar(f"load {own}, ptr {self.variable(name)}")
            step = self.plan.steps.get(name)
            value: Value = self.splat(own, scalar) if step is None else self.affine(own, scalar, step)
        else:
            value = self.code.each(lambda strip: f"load <{self.W} x {own}>, ptr {self.variable(name, strip)}, align 64")
        return self.cast(value, own, type_)

    def store_registers(self, names: Mapping[str, None] | set[str]) -> None:
        """Put what the block wrote into the registers; under a mask, only the lanes that run."""
        active = self.block_mask()
        for name in sorted(names):
            own = self.own_type(name)
            value = self._view(name, own)
            if self.is_scalar(name):
                self.code.effect(f"store {own} {self._first(name, value)}, ptr {self.variable(name)}")
                continue
            if self.active_name != ALL:
                value = self.select(active, value, self.load_register(name, own), own)
            self._store_strips(name, own, value)

    def _store_strips(self, name: str, own: str, value: Value) -> None:
        for strip in range(self.strips):
            text = f"store <{self.W} x {own}> {value[strip]}, ptr {self.variable(name, strip)}, align 64"
            self.code.strip_effect(strip, text)

    def _first(self, name: str, value: Value) -> str:
        """Return what lane 0 has of a register that the plan calls a scalar."""
        step = self.plan.steps.get(name)
        if step is None and isinstance(value, Uniform):
            return value.scalar
        if step is not None and isinstance(value, Affine) and value.step == step:
            return value.base
        raise Misplanned(name)

    def write(self, operand: Operand, value: Value, ptx_type: str) -> None:
        """Put a value into a register; what all lanes share may have been computed lane by lane."""
        super().write(operand, value, ptx_type)
        alike = self.plan.uniform if self.active_name == ALL else self.plan.alike
        if not isinstance(operand, Register) or operand.name not in alike:
            return
        ((type_, value),) = self._views[operand.name].items()
        if not isinstance(value, Uniform):
            guard, self._guard = self._guard, None
            scalar = first_lane(self, value, type_)
            self._guard = guard
            self._views[operand.name] = {type_: self.splat(type_, scalar)}

    def keep(self, names: frozenset[str]) -> None:
        """Store registers of all lanes in the warp's state."""
        for name in sorted(names):
            own = self.own_type(name)
            value = self._spread(name, own)
            for strip in range(self.strips):
                place = self.register_place(name, strip)
                if own == "i1":
                    packed = self.code.strip(strip, f"bitcast <{self.W} x i1> {value[strip]} to i{self.W}")
                    self.code.strip_effect(strip, f"store i{self.W} {packed}, ptr {place}")
                else:
                    align = min(64, self.W * bits_of(own) // 8)
                    self.code.strip_effect(
                        strip, f"store <{self.W} x {own}> {value[strip]}, ptr {place}, align {align}"
                    )

    def take(self, names: frozenset[str]) -> str:
        """Load registers from the warp's state; return an ``i1``: whether a scalar one differs between lanes."""
        differs = "false"
        for name in sorted(names):
            own = self.own_type(name)
            value = super().load_register(name, own)
            if self.is_scalar(name):
                unlike = self._narrow(name, own, value)
                differs = self.code.line(f"or i1 {differs}, {unlike}")
            else:
                self._store_strips(name, own, value)
        return differs

    def widen(self, names: frozenset[str]) -> None:
        """Give scalars that a region writes their strips, before lanes come under its masks."""
        for name in sorted(names):
            if self.is_scalar(name):
                own = self.own_type(name)
                self._store_strips(name, own, self._spread(name, own))

    def _spread(self, name: str, own: str) -> Value:
        """Return the lanes of a register, those of a scalar made here, so that code which goes on does without."""
        value = self._view(name, own)
        if isinstance(value, Affine):
            return self.affine(own, value.base, value.step)
        return self.splat(own, value.scalar) if isinstance(value, Uniform) else value

    def narrow(self, names: frozenset[str]) -> str:
        """Make scalars of what a region wrote, behind it; return an ``i1``: whether one of them is none."""
        differs = "false"
        assert self.region is not None
        for name in sorted(names & self.region.kept):
            if name in self.plan.uniform or name in self.plan.steps:
                own = self.own_type(name)
                unlike = self._narrow(name, own, self.load_register(name, own))
                differs = self.code.line(f"or i1 {differs}, {unlike}")
        return differs

    def _narrow(self, name: str, own: str, value: Value) -> str:
        """Put lane 0 into the scalar of a register; return an ``i1``: whether other lanes do not follow from it."""
        bits = f"i{bits_of(own)}"
        lanes = self.cast(value, own, bits)
        first = self.code.line(f"extractelement <{self.W} x {bits}> {lanes[0]}, i32 0")
        step = self.plan.steps.get(name)
        planned = self.splat(bits, first) if step is None else self.affine(bits, first, step)
        other = self.bits(self.map(f"icmp ne <W x {bits}> {{0}}, {{1}}", lanes, tuple(planned)))
        scalar = first if bits == own else self.code.line(f"bitcast {bits} {first} to {own}")
        self.code.effect(f"store {own} {scalar}, ptr {self.variable(name)}")
        return self.code.line(f"icmp ne i32 {other}, 0")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Write code that the rest of the block does not run: what it loads is forgotten again."""
        views, active = {name: dict(each) for name, each in self._views.items()}, self._active
        try:
            yield
        finally:
            self._views, self._active = views, active
            self.code.flush()
