"""Writes straight code: registers, operands, and instructions that are functions of registers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache

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


@cache
def _possible(letter: str, kinds: frozenset[str]) -> dict[str, list[tuple[str, str]]]:
    """The instructions with a result of one kind whose operands are all of some kinds."""
    table = {}
    for opcode, entries in forms()[letter].items():
        found = [(operands, name) for operands, name in entries if kinds.issuperset(operands)]
        if found:
            table[opcode] = found
    return table


@dataclass
class Writer:
    """Text of a function in the making.

    Attributes
    ----------
    lines, late : list of str
        Code, and code that is to stand behind the function's end.
    letters : str
        The kinds of register that there are.
    wild, calm : dict
        Registers that any instruction may write, by kind. Into calm ones goes, most of the time, what comes from calm
        ones, literals and `alike`: so there are values that lanes have in common, until they part.
    extra, alike : dict
        Registers that are only read; `alike` are the same in all threads of a block.
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
    letters: str = ""
    wild: dict[str, list[str]] = field(default_factory=dict)
    calm: dict[str, list[str]] = field(default_factory=dict)
    extra: dict[str, list[str]] = field(default_factory=dict)
    alike: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    forms: dict[str, dict[str, list[tuple[str, str]]]] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)
    _labels: int = 0

    def __post_init__(self) -> None:
        for letter, types in _TYPES.items():
            self.kinds[letter] = self.draws.pick(types)
        self.letters = "".join(letter for letter in LETTERS if letter in "pr" or self.draws.chance(60))
        for letter in self.letters:
            self.wild[letter] = [self.fresh(letter) for _ in range(self.draws.integer(2, 3))]
            self.calm[letter] = [self.fresh(letter) for _ in range(self.draws.integer(1, 2))]
            self.extra[letter], self.alike[letter] = [], []
            self.forms[letter] = _possible(letter, frozenset(self.letters + "IN"))

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

    def simple(self, text: str, calm: bool = False) -> None:
        """Write an instruction that may be guarded."""
        if self.draws.chance(20):
            guard = self.draws.pick(self.calm["p"] if calm and self.draws.chance(80) else self.pool("p"))
            text = f"@{self.draws.pick(['', '!'])}{guard} {text}"
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

    def pool(self, letter: str) -> list[str]:
        """All registers that may be written."""
        return self.wild[letter] + self.calm[letter]

    def choose(self, options: str) -> str:
        """One of several kinds, of those that there are; integers of 32 bits where there are none."""
        return self.draws.pick([letter for letter in options if letter in self.letters] or ["r"])

    def target(self, letter: str, calm: bool = False) -> str:
        """A register to write."""
        return self.draws.pick(self.calm[letter] if calm or self.draws.chance(8) else self.wild[letter])

    def register(self, letter: str, calm: bool = False) -> str:
        """A register to read."""
        common = self.calm[letter] + self.alike[letter]
        return self.draws.pick(common if calm else self.wild[letter] + self.extra[letter] + common)

    def read(self, letter: str, calm: bool = False) -> str:
        """A register or literal to read."""
        if letter == "I":
            return str(self.draws.integer(0, 255))
        if letter == "N":
            return str(self.draws.integer(0, 255)) if self.draws.chance(50) else self.register("r", calm)
        if letter in "hrlfd" and self.draws.chance(25 if calm else 15):
            return self.literal(letter)
        return self.register(letter, calm)

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
        return self.draws.pick([*registers, *self.pool("r")])

    # Statements.

    def statements(self, place: Place, most: int = 5) -> None:
        """Write some statements."""
        for _ in range(self.draws.integer(1, most)):
            if self.left <= 0:
                return
            self.left -= 1
            self.draws.weighted(self.menu)(self, place)

    def compute(self, letter: str = "", calm: bool = False) -> None:
        """Write an instruction that is a function of its operands."""
        letter = letter or self.choose("rrrlhpffdeqb")
        opcodes = self.forms[letter]
        operands, name = self.draws.pick(opcodes[self.draws.pick(list(opcodes))])
        sources = [self.read(each, calm) for each in operands]
        target = self.target(letter, calm)
        if name.startswith("setp") and self.draws.chance(30):
            order, _, kind = name.removeprefix("setp.").partition(".")
            name = f"setp.{order}.{self.draws.pick(('and', 'or', 'xor'))}.{kind}"
            sources.append(self.draws.pick(["", "!"]) + self.register("p", calm))
        if name.startswith("setp") and not name.endswith("f16") and self.draws.chance(20):
            target += "|" + self.draws.pick([each for each in self.pool("p") if each != target])
        self.simple(f"{name} {', '.join([target, *sources])};", calm)

    def condition(self) -> str:
        """A guard, ``@p`` or ``@!p`` without the ``@``, on which lanes may or may not agree."""
        calm = self.draws.chance(25)
        if self.draws.chance(60):
            self.compute("p", calm)
        return self.draws.pick(["", "!"]) + self.draws.pick(self.calm["p"] if calm else self.pool("p"))

    def clean(self, letter: str) -> str:
        """A float32 or float64 that is no NaN, whose bits are therefore known."""
        source = self.register(letter)
        kind, width = (("f32", "t"), ("f64", "a"))[letter == "d"]
        wrong, target = self.fresh("c"), self.fresh(width)
        one = {"f": "0f3FC00000", "d": "0dBFF4000000000000"}[letter]
        held = self.target(letter)
        self.emit(f"setp.nan.{kind} {wrong}, {source}, {source};", f"selp.{kind} {held}, {one}, {source}, {wrong};")
        self.emit(f"mov.b{BITS[letter]} {target}, {held};")
        return target
