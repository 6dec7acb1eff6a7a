"""The emitter of the fast version: registers are LLVM's, and all 32 lanes run unless a region masks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..control import first_lane
from ..emitter import Emitter, Value
from ..literals import bits_of, llvm_type
from ..ptx import Operand, Register
from ..strips import Uniform

if TYPE_CHECKING:
    from ..layout import Layout
    from ..module_text import ModuleText
    from ..seam import Checks

__all__ = ["FastEmitter"]

#: The mask of a warp whose lanes are together.
ALL = "-1"


class FastEmitter(Emitter):
    """Writes ``fast``; `uniform` are the registers that it keeps as scalars.

    Each register is a variable on the stack, or one a strip, which LLVM turns into values.
    """

    def __init__(self, module: ModuleText, layout: Layout, checks: Checks, uniform: set[str]) -> None:
        super().__init__(module, layout, checks)
        self.uniform = uniform
        self.active_name = ALL
        self._numbers: dict[str, int] = {}

    def own_type(self, name: str) -> str:
        """Return the LLVM type of a lane of a register."""
        register = self.layout.registers[name]
        return "i1" if register == "pred" else llvm_type(register)

    def variable(self, name: str, strip: int = 0) -> str:
        """Return the variable of a register, or of a strip of it."""
        number = self._numbers.setdefault(name, len(self._numbers))
        return f"%r{number}" if name in self.uniform else f"%r{number}.{strip}"

    def variables(self) -> Iterator[str]:
        """Write the declarations of the registers that were used."""
        for name in self._numbers:
            type_ = self.own_type(name)
            if name in self.uniform:
                yield f"  {self.variable(name)} = alloca {type_}"
            else:
                for strip in range(self.strips):
                    yield f"  {self.variable(name, strip)} = alloca <{self.W} x {type_}>, align 64"

    def load_register(self, name: str, type_: str) -> Value:
        """Return what a register holds; a type of the same width as its own may be asked for."""
        own = self.own_type(name)
        if name in self.uniform:
            value: Value = self.splat(own, self.code.scalar(f"load {own}, ptr {self.variable(name)}"))
        else:
            value = self.code.each(lambda strip: f"load <{self.W} x {own}>, ptr {self.variable(name, strip)}, align 64")
        return self.cast(value, own, type_)

    def store_registers(self, names: Mapping[str, None] | set[str]) -> None:
        """Put what the block wrote into the registers; under a mask, only the lanes that run."""
        active = self.block_mask()
        for name in sorted(names):
            own = self.own_type(name)
            value = self._view(name, own)
            if isinstance(value, Uniform) and name in self.uniform:
                self.code.effect(f"store {own} {value.scalar}, ptr {self.variable(name)}")
                continue
            if self.active_name != ALL:
                value = self.select(active, value, self.load_register(name, own), own)
            for strip in range(self.strips):
                text = f"store <{self.W} x {own}> {value[strip]}, ptr {self.variable(name, strip)}, align 64"
                self.code.strip_effect(strip, text)

    def write(self, operand: Operand, value: Value, ptx_type: str) -> None:
        """Put a value into a register; what all lanes share may have been computed lane by lane."""
        super().write(operand, value, ptx_type)
        if not isinstance(operand, Register) or operand.name not in self.uniform:
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
            value = self._view(name, own)
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
            if name not in self.uniform:
                for strip in range(self.strips):
                    text = f"store <{self.W} x {own}> {value[strip]}, ptr {self.variable(name, strip)}, align 64"
                    self.code.strip_effect(strip, text)
                continue
            bits = f"i{bits_of(own)}"
            lanes = self.cast(value, own, bits)
            first = self.code.line(f"extractelement <{self.W} x {bits}> {lanes[0]}, i32 0")
            other = self.bits(self.map(f"icmp ne <W x {bits}> {{0}}, {{1}}", lanes, tuple(self.splat(bits, first))))
            unlike = self.code.line(f"icmp ne i32 {other}, 0")
            differs = self.code.line(f"or i1 {differs}, {unlike}")
            scalar = first if bits == own else self.code.line(f"bitcast {bits} {first} to {own}")
            self.code.effect(f"store {own} {scalar}, ptr {self.variable(name)}")
        return differs

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Write code that the rest of the block does not run: what it loads is forgotten again."""
        views, active = {name: dict(each) for name, each in self._views.items()}, self._active
        try:
            yield
        finally:
            self._views, self._active = views, active
            self.code.flush()
