"""Writes straight code: registers, operands, and instructions that are functions of registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.simulator.generated.draws import Draws
from tests.simulator.generated.forms import BITS, LETTERS, forms

__all__ = ["Place", "Statement", "Writer"]

#: Types that registers of each kind may be declared with; the first suits every kind of instruction.
_TYPES = {
    "p": ("pred",),
    "h": ("b16", "u16", "s16"),
    "r": ("b32", "u32", "s32"),
    "l": ("b64", "u64", "s64"),
    "e": ("b16", "f16"),
    "b": ("b16",),
    "q": ("b32", "f16x2"),
    "f": ("f32",),
    "d": ("f64",),
    "c": ("pred",),  # predicates, numbers, addresses of the writer's own: nothing else writes them
    "t": ("b32",),
    "a": ("b64",),
}
_INTEGERS = (0, 1, -1, 2, 7, 31, 32, 33, 255, 0x7FFF, -0x8000, 0x7FFFFFFF, -0x80000000, 0x12345678, -5, 64, 3, 1 << 40)
_FLOATS = {
    "f": ("3F800000", "00000000", "80000000", "BFC00000", "40490FDB", "7F7FFFFF", "00000001", "00800000", "7F800000")
    + ("FF800000", "7FC00000", "4B800001", "3F7FFFFF", "33800000", "C7000000"),
    "d": ("3FF0000000000000", "0000000000000000", "8000000000000000", "BFF8000000000000", "400921FB54442D18")
    + ("7FEFFFFFFFFFFFFF", "0000000000000001", "0010000000000000", "7FF0000000000000", "FFF0000000000000")
    + ("7FF8000000000000", "4340000000000001", "36A0000000000000", "47EFFFFFE0000000", "C1E0000000100000"),
}


@dataclass(frozen=True)
class Place:
    """Who runs a statement, and what it may do.

    Attributes
    ----------
    block : bool
        Every thread of the block is here, or none is.
    mask : str
        A register or literal with the lanes of the warp that are here, the same in each of them; ``""``: unknown.
    breaks : tuple
        Labels behind and at the end of the body of the loop that a lane may leave here.
    ends : bool
        Threads may end here.
    loops : int
        How many loops there may still be one inside the other.
    """

    block: bool = False
    mask: str = ""
    breaks: tuple[str, str] | None = None
    ends: bool = False
    loops: int = 2

    def alone(self) -> Place:
        """The same place for lanes that do not know who else is there."""
        return replace(self, block=False, mask="")


#: Writes itself; it gets the writer, of a kernel where it needs memory or other threads, and the place.
Statement = Callable[..., None]


@dataclass
class Writer:
    """Text of a function in the making.

    Attributes
    ----------
    lines, late : list of str
        Code, and code that is to stand behind the function's end.
    pools, extra : dict
        Registers that any instruction may write, and those that it may only read, by kind.
    menu : list
        Statements with their weights; a statement that the place does not allow writes nothing.
    left : int
        Statements that may still be written.
    """

    draws: Draws
    menu: list[tuple[int, Statement]] = field(default_factory=list)
    left: int = 40
    lines: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    pools: dict[str, list[str]] = field(default_factory=dict)
    extra: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)
    _labels: int = 0

    def __post_init__(self) -> None:
        for letter, types in _TYPES.items():
            self.kinds[letter] = self.draws.pick(types)
        for letter in LETTERS:
            self.pools[letter] = [self.fresh(letter) for _ in range(self.draws.integer(2, 4))]
            self.extra[letter] = []

    def declarations(self) -> list[str]:
        """The registers, to be written in front of the code."""
        return [f".reg .{self.kinds[letter]} %{letter}<{count}>;" for letter, count in self._count.items()]

    def fresh(self, letter: str) -> str:
        """A register that nothing has used."""
        number = self._count.setdefault(letter, 0)
        self._count[letter] += 1
        return f"%{letter}{number}"

    def label(self) -> str:
        """A label that nothing has used."""
        self._labels += 1
        return f"$L{self._labels}"

    def emit(self, *lines: str) -> None:
        """Write lines."""
        self.lines += lines

    def simple(self, text: str) -> None:
        """Write an instruction that may be guarded."""
        if self.draws.chance(20):
            text = f"@{self.draws.pick(['', '!'])}{self.draws.pick(self.pools['p'])} {text}"
        self.lines.append(text)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Write behind the function's end."""
        kept, self.lines = self.lines, []
        try:
            yield
        finally:
            self.late += self.lines
            self.lines = kept

    # Operands.

    def target(self, letter: str) -> str:
        """A register to write."""
        return self.draws.pick(self.pools[letter])

    def register(self, letter: str) -> str:
        """A register to read."""
        return self.draws.pick(self.pools[letter] + self.extra[letter])

    def read(self, letter: str) -> str:
        """A register or literal to read."""
        if letter == "I":
            return str(self.draws.integer(0, 255))
        if letter == "N":
            return str(self.draws.integer(0, 255)) if self.draws.chance(50) else self.register("r")
        if letter in "hrlfd" and self.draws.chance(15):
            return self.literal(letter)
        return self.register(letter)

    def literal(self, letter: str) -> str:
        """A literal of a kind."""
        if letter in _FLOATS:
            return f"0{letter}{self.draws.pick(_FLOATS[letter])}"
        number = self.draws.pick(_INTEGERS)
        width = BITS[letter]
        number &= (1 << width) - 1
        return str(number - (1 << width) if number >> (width - 1) else number)

    def number(self, *registers: str) -> str:
        """A register that was drawn, of 32 bits, or one of `registers`."""
        return self.draws.pick([*registers, *self.pools["r"]])

    # Statements.

    def statements(self, place: Place, most: int = 5) -> None:
        """Write some statements."""
        for _ in range(self.draws.integer(1, most)):
            if self.left <= 0:
                return
            self.left -= 1
            self.draws.weighted(self.menu)(self, place)

    def compute(self, letter: str = "") -> None:
        """Write an instruction that is a function of its operands."""
        letter = letter or self.draws.pick("rrrlhpffdeqb")
        opcodes = forms()[letter]
        operands, name = self.draws.pick(opcodes[self.draws.pick(list(opcodes))])
        sources = [self.read(each) for each in operands]
        target = self.target(letter)
        if name.startswith("setp") and self.draws.chance(30):
            order, _, kind = name.removeprefix("setp.").partition(".")
            name = f"setp.{order}.{self.draws.pick(('and', 'or', 'xor'))}.{kind}"
            sources.append(self.draws.pick(["", "!"]) + self.register("p"))
        if name.startswith("setp") and not name.endswith("f16") and self.draws.chance(20):
            target += "|" + self.draws.pick([each for each in self.pools["p"] if each != target])
        self.simple(f"{name} {', '.join([target, *sources])};")

    def condition(self) -> str:
        """A guard that differs from lane to lane, as far as it is known: ``@p`` or ``@!p`` without the ``@``."""
        if self.draws.chance(60):
            self.compute("p")
        return self.draws.pick(["", "!"]) + self.draws.pick(self.pools["p"])

    def clean(self, letter: str) -> str:
        """A float32 or float64 that is no NaN, whose bits are therefore known."""
        source = self.register(letter)
        kind, width = (("f32", "t"), ("f64", "a"))[letter == "d"]
        wrong, target = self.fresh("c"), self.fresh(width)
        one = {"f": "0f3FC00000", "d": "0dBFF4000000000000"}[letter]
        held = self.draws.pick(self.pools[letter])
        self.emit(f"setp.nan.{kind} {wrong}, {source}, {source};", f"selp.{kind} {held}, {one}, {source}, {wrong};")
        self.emit(f"mov.b{BITS[letter]} {target}, {held};")
        return target
