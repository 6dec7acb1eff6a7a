"""What a PTX module is made of: operands, instructions, variables, functions.

The parser makes these values, everything after it only reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "SIZES",
    "Address",
    "Function",
    "Immediate",
    "Instruction",
    "Label",
    "Lines",
    "Module",
    "Negated",
    "Operand",
    "Pair",
    "Parameter",
    "Register",
    "Relocation",
    "Sink",
    "Special",
    "Symbol",
    "Variable",
    "Vector",
    "type_of",
]

#: Bytes of every PTX type.
SIZES = {
    "pred": 1,
    **dict.fromkeys(("b8", "u8", "s8", "e4m3", "e5m2"), 1),
    **dict.fromkeys(("b16", "u16", "s16", "f16", "bf16", "e4m3x2", "e5m2x2", "u8x2"), 2),
    **dict.fromkeys(("b32", "u32", "s32", "f32", "f16x2", "bf16x2", "u16x2", "s16x2", "tf32"), 4),
    **dict.fromkeys(("b64", "u64", "s64", "f64", "f32x2"), 8),
    "b128": 16,
}


@dataclass(frozen=True, slots=True)
class Register:
    """A declared register; its name is unique in its function."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """A read-only register of the machine, such as ``%tid.x``."""

    name: str


@dataclass(frozen=True, slots=True)
class Immediate:
    """A literal, as written: ``-5``, ``0x1F``, ``0f3F800000``, ``0d...``, ``1.5``."""

    text: str


@dataclass(frozen=True, slots=True)
class Symbol:
    """The address of a variable, a parameter or a function, plus an offset."""

    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Label:
    """A place in the code of the function."""

    name: str


@dataclass(frozen=True, slots=True)
class Address:
    """A memory operand ``[base + offset]``."""

    base: Register | Symbol | Immediate
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """Operands in braces, or the argument lists of a call."""

    items: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """A destination of two parts, ``p|q``."""

    first: Operand
    second: Operand


@dataclass(frozen=True, slots=True)
class Negated:
    """A predicate operand read negated, ``!p``."""

    register: Register


@dataclass(frozen=True, slots=True)
class Sink:
    """The destination ``_`` that nobody reads."""


#: A file and a line of source, or those lines of it that may be meant.
Lines: TypeAlias = tuple[str, tuple[int, ...]]
Operand: TypeAlias = Register | Special | Immediate | Symbol | Label | Address | Vector | Pair | Negated | Sink


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction with what an error report needs to name it.

    Parameters
    ----------
    opcode : str
        The part before the first dot.
    modifiers : tuple of str
        The parts after it, in order; most often the last one is the type.
    operands : tuple of Operand
        As written, the destination first.
    predicate : Register or None
        The guard ``@p``; `negated` says whether it was ``@!p``.
    line : int
        Line in the PTX text.
    location : (str, int) or None
        CUDA source file and line.
    callers : tuple of Lines
        Where the function of that line was called and copied to, the innermost call first.
    text : str
        The instruction as written, on one line.
    """

    opcode: str
    modifiers: tuple[str, ...] = ()
    operands: tuple[Operand, ...] = ()
    predicate: Register | None = None
    negated: bool = False
    line: int = 0
    location: tuple[str, int] | None = None
    text: str = ""
    callers: tuple[Lines, ...] = ()

    def called_from(self, callers: tuple[Lines, ...]) -> Instruction:
        """Return the same with its callers: `dataclasses.replace` takes four times as long, for each instruction."""
        return Instruction(
            self.opcode,
            self.modifiers,
            self.operands,
            self.predicate,
            self.negated,
            self.line,
            self.location,
            self.text,
            callers,
        )

    def has(self, *modifiers: str) -> bool:
        """Tell whether any of `modifiers` is there."""
        for modifier in modifiers:  # noqa: SIM110 - asked so often that a generator would be felt
            if modifier in self.modifiers:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Relocation:
    """Bytes of an initialiser that hold the address of another variable."""

    offset: int
    size: int
    symbol: str
    addend: int = 0
    generic: bool = True


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable in memory. `size` 0 marks dynamic shared memory."""

    name: str
    space: str
    size: int
    align: int
    initial: bytes = b""
    relocations: tuple[Relocation, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: of a kernel in parameter memory, of a function by name."""

    name: str
    type: str
    offset: int
    size: int
    align: int
    pointer: bool = False


@dataclass(slots=True)
class Function:
    """A kernel or a device function; `labels` maps a name to an instruction's index."""

    name: str
    entry: bool
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Parameter, ...] = ()
    registers: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    branch_targets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    directives: dict[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Module:
    """A parsed PTX text; `taken` are the functions whose addresses are used."""

    target: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()

    @property
    def architecture(self) -> int:
        """The number of the target: 90 of ``sm_90a``; 0 where there is none."""
        return int("".join(filter(str.isdigit, self.target)) or 0)

    @property
    def kernels(self) -> dict[str, Function]:
        """The functions that can be launched."""
        return {name: each for name, each in self.functions.items() if each.entry}


def type_of(instruction: Instruction) -> str:
    """Return the last modifier that is a type, ``""`` where there is none."""
    for modifier in reversed(instruction.modifiers):
        if modifier in SIZES:
            return modifier
    return ""
