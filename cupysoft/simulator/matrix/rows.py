"""Code for a column of a matrix: a vector with one lane for each row."""

from __future__ import annotations

from collections.abc import Sequence

from ..code import LANES, Code
from ..literals import bits_of
from ..module_text import ModuleText
from ..opcodes.vector import Vector
from ..strips import Strips

__all__ = ["Rows", "shuffle"]


class Rows(Strips):
    """Writes operations on columns of `count` rows, in one strip."""

    def __init__(self, module: ModuleText, count: int) -> None:
        super().__init__(module)
        self.code = Code(LANES)
        self.W, self.strips = count, 1

    def vector(self, type_: str, name: str) -> Vector:
        """Return the column that is called `name`."""
        return Vector(self, type_, (name,))

    def place(self, pointer: str, type_: str, index: int | str) -> str:
        """Return a pointer to an element of an array."""
        return self.code.line(f"getelementptr {type_}, ptr {pointer}, i64 {index}")

    def load(self, pointer: str, type_: str, index: int | str, count: int = 0) -> Vector:
        """Load a column, or `count` elements, from an array of `type_` that begins at `pointer`."""
        place, size = self.place(pointer, type_, index), bits_of(type_) // 8
        return self.vector(type_, self.code.line(f"load <{count or self.W} x {type_}>, ptr {place}, align {size}"))

    def store(self, column: Vector, pointer: str, index: int | str, count: int = 0) -> None:
        """Store a column, or `count` elements, into an array that begins at `pointer`."""
        place, size = self.place(pointer, column.type, index), bits_of(column.type) // 8
        vector = f"<{count or self.W} x {column.type}>"
        self.code.effect(f"store {vector} {column.value[0]}, ptr {place}, align {size}")

    def repeated(self, pointer: str, type_: str, index: str) -> Vector:
        """Load one element and repeat it in every row."""
        one = self.code.line(f"load {type_}, ptr {self.place(pointer, type_, index)}")
        return Vector(self, type_, tuple(self.splat(type_, one)))

    def any(self, mask: Vector) -> str:
        """Return whether a column of ``i1`` is true anywhere."""
        bits = self.code.line(f"bitcast <{self.W} x i1> {mask.value[0]} to i{self.W}")
        return self.code.line(f"icmp ne i{self.W} {bits}, 0")


def shuffle(rows: Rows, first: Vector, second: Vector | None, width: int, picks: Sequence[int]) -> Vector:
    """Return the elements `picks` of two vectors of `width` elements, one after the other."""
    vector = f"<{width} x {first.type}>"
    other = second.value[0] if second is not None else "poison"
    order = ", ".join(f"i32 {pick}" for pick in picks)
    text = f"shufflevector {vector} {first.value[0]}, {vector} {other}, <{len(picks)} x i32> <{order}>"
    return rows.vector(first.type, rows.code.line(text))
