"""What the translators of instructions write with.

A `Value` holds one operand text for each strip of ``W`` lanes; each has the LLVM type
``<W x T>``. Templates are written for one strip, with ``W`` for the number of lanes::

    total = e.map("add <W x i32> {0}, {1}", e.read(a, "s32"), e.read(b, "s32"))
    e.write(d, total, "s32")

Lanes that are not active compute garbage that nobody keeps, but they must not trap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import SimulatorError
from .chance import SOME_LANE
from .context import Slot
from .literals import bits_of, literal, llvm_type
from .opcodes import unknown
from .ptx import SIZES, Immediate, Instruction, Negated, Operand, Register, Sink, Special
from .specials import special
from .strips import Strips, Uniform, Value

if TYPE_CHECKING:
    from .layout import Layout
    from .module_text import ModuleText
    from .seam import Checks

__all__ = ["Emitter", "Value"]


class Emitter(Strips):
    """Writes the code of one kernel's ``step`` function, one instruction at a time.

    Attributes
    ----------
    code : Code
        Where the lines go; `code.scalar` and `code.line` are for work on a whole warp.
    layout : Layout
        Registers' types and places, and the addresses of variables and parameters.
    checks : Checks
        The instrumentation, which is told of every access, meeting and instruction.
    instruction : Instruction
        The one that is being translated; `index` is its number in the kernel.
    W : int
        Lanes of a strip.
    linear : bool
        Whether the lanes of each warp lie along the x axis of the block, all 32 in one row.
    drawn : bool
        Whether chance decides what the manual leaves open: orders of lanes, approximate results.
    followed : frozenset of str
        Registers with a companion that tells where nothing was written to them.
    """

    def __init__(self, module: ModuleText, layout: Layout, checks: Checks) -> None:
        super().__init__(module)
        self.layout = layout
        self.checks = checks
        self.instruction = Instruction("nop")
        self.index = 0
        self.prologue: list[str] = []
        self.branch_targets: dict[str, tuple[str, ...]] = {}
        self.active_name = "%active"
        self.drawn = False
        self.followed: frozenset[str] = frozenset()
        self.linear = False
        self._hoisted: dict[str, str] = {}
        self._guard: Value | None = None
        self.begin_block()

    # Blocks and instructions: called by the translation.

    def begin_block(self) -> None:
        """Forget everything that is known only inside a block."""
        self._views: dict[str, dict[str, Value]] = {}
        self.dirty: set[str] = set()
        self._active: Value | None = None
        self._guarded: Value | None = None
        self._guard = None

    def begin_instruction(self, instruction: Instruction, index: int) -> None:
        """Make `instruction`, with its guard, the current one."""
        self.instruction, self.index = instruction, index
        self._guard = self._guarded = None
        if instruction.predicate is not None:
            guard: Operand = instruction.predicate
            self._guard = self.read(Negated(instruction.predicate) if instruction.negated else guard, "pred")

    # Operands.

    def near(self, name: str, value: Value, offset: int) -> Value | None:
        """Return the address at `offset` from a register of 32 bits, where it is known to cost a scalar."""
        return None

    def read(self, operand: Operand, ptx_type: str) -> Value:
        """Return a register, special register or literal as a value of `ptx_type`.

        A wider register is truncated, a register of another kind is reinterpreted.
        """
        type_ = llvm_type(ptx_type)
        match operand:
            case Register(name):
                return self._view(name, type_)
            case Negated(register):
                return self.map("xor <W x i1> {0}, splat (i1 true)", self._view(register.name, "i1"))
            case Immediate(text):
                return self._splat_literal(type_, literal(text, type_))
            case Special(name):
                own, value = special(self, name)
                return self.cast(value, own, type_)
        raise unknown(self.instruction, f"operand {operand} cannot be read as a value")

    def write(self, operand: Operand, value: Value, ptx_type: str) -> None:
        """Put a value of `ptx_type` into a register.

        A wider register gets the sign of a signed type and zeros for every other one. A
        guarded instruction keeps the old contents where its predicate is false.
        """
        if isinstance(operand, Sink):
            return
        if not isinstance(operand, Register):
            raise unknown(self.instruction, f"{operand} is no destination")
        type_ = llvm_type(ptx_type)
        register = self.layout.registers[operand.name]
        width = 1 if register == "pred" else 8 * SIZES[register]
        if bits_of(type_) < width:
            value = self.cast(value, type_, f"i{bits_of(type_)}")
            widen = "sext" if ptx_type.startswith("s") else "zext"
            value = self.map(f"{widen} <W x i{bits_of(type_)}> {{0}} to <W x i{width}>", value)
            type_ = f"i{width}"
        elif bits_of(type_) > width:
            raise SimulatorError(f"{ptx_type} does not fit register {operand.name} of {self.instruction.text!r}")
        if self._guard is not None:
            value = self.select(self._guard, value, self._view(operand.name, type_), type_)
        self._views[operand.name] = {type_: value}
        self.dirty.add(operand.name)

    def _view(self, name: str, type_: str) -> Value:
        """Return what register `name` holds, as `type_`."""
        views = self._views.setdefault(name, {})
        if type_ not in views:
            if views:
                own, value = next(iter(views.items()))
                views[type_] = self.cast(value, own, type_)
            else:
                register = self.layout.registers[name]
                width = 1 if register == "pred" else 8 * SIZES[register]
                own = type_ if bits_of(type_) == width else f"i{width}"
                views[own] = self.load_register(name, own)
                if own != type_:
                    views[type_] = self.cast(views[own], own, type_)
        return views[type_]

    # Lanes that run.

    def active(self) -> Value:
        """Return the lanes that execute this instruction, a value of ``i1``."""
        if self._active is None:
            self._active = self.mask(self.active_name)
        if self._guard is None:
            return self._active
        if self._guarded is None:
            whole = isinstance(self._active, Uniform) and self._active.scalar == "true"
            self._guarded = self._guard if whole else self.map("and <W x i1> {0}, {1}", self._active, self._guard)
        return self._guarded

    def active_bits(self) -> str:
        """Return the same lanes as a scalar ``i32``, lane 0 in the lowest bit."""
        return self.active_name if self._guard is None else self.bits(self.active())

    def block_mask(self) -> Value:
        """Return the lanes that execute the block, whatever the instruction's guard says."""
        guard, self._guard = self._guard, None
        value = self.active()
        self._guard = guard
        return value

    # The context, and errors.

    def slot(self, slot: Slot, type_: str = "i64", offset: int = 0) -> str:
        """Load a slot of the context."""
        place = self.code.scalar(f"getelementptr i64, ptr %ctx, i64 {int(slot) + offset}")
        return self.code.scalar(f"load {type_}, ptr {place}")

    def hoisted(self, slot: Slot, type_: str = "i64") -> str:
        """Load a slot that stays the same during a call of ``step``, once at its start."""
        name = f"%ctx.{slot.name.lower()}.{type_}"
        if name not in self._hoisted:
            self._hoisted[name] = name
            self.prologue += [
                f"  {name}.place = getelementptr i64, ptr %ctx, i64 {int(slot)}",
                f"  {name} = load {type_}, ptr {name}.place",
            ]
        return name

    def fail_if(self, condition: str) -> None:
        """Leave the warp with ``Status.ERROR`` where the scalar `condition` is true.

        Whoever calls this has filled the error record.
        """
        label = self.code.fresh("ok")
        self.code.effect(f"br i1 {condition}, label %fault, label %{label}")
        self.code.label(label)

    def order_of_lanes(self) -> bool:
        """Tell whether lanes that do the same thing come in an order that chance gives them."""
        if self.drawn:
            self.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
            self.module.declare("declare i32 @llvm.ctpop.i32(i32)")
            self.module.function("some_lane", SOME_LANE)
        return self.drawn

    # Registers in memory, between blocks.

    def register_place(self, name: str, strip: int) -> str:
        """Return a pointer to one strip of a register in the warp's state."""
        register = self.layout.registers[name]
        size = self.W // 8 if register == "pred" else self.W * SIZES[register]
        offset = self.layout.offsets[name] + strip * size
        return self.code.strip(strip, f"getelementptr i8, ptr %state, i64 {offset}")

    def load_register(self, name: str, type_: str) -> Value:
        """Load a register from the warp's state as a type of its own width."""
        parts = []
        for strip in range(self.strips):
            place = self.register_place(name, strip)
            if type_ == "i1":
                packed = self.code.strip(strip, f"load i{self.W}, ptr {place}")
                parts.append(self.code.strip(strip, f"bitcast i{self.W} {packed} to <{self.W} x i1>"))
            else:
                align = min(64, self.W * bits_of(type_) // 8)
                parts.append(self.code.strip(strip, f"load <{self.W} x {type_}>, ptr {place}, align {align}"))
        return tuple(parts)

    def store_registers(self, names: Mapping[str, None] | set[str]) -> None:
        """Store what the block wrote into `names`, in the active lanes."""
        active = self.block_mask()
        for name in sorted(names):
            type_, value = next(iter(self._views[name].items()))
            merged = self.select(active, value, self.load_register(name, type_), type_)
            for strip in range(self.strips):
                place = self.register_place(name, strip)
                if type_ == "i1":
                    packed = self.code.strip(strip, f"bitcast <{self.W} x i1> {merged[strip]} to i{self.W}")
                    self.code.strip_effect(strip, f"store i{self.W} {packed}, ptr {place}")
                else:
                    align = min(64, self.W * bits_of(type_) // 8)
                    text = f"store <{self.W} x {type_}> {merged[strip]}, ptr {place}, align {align}"
                    self.code.strip_effect(strip, text)
