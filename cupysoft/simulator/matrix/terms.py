"""A and B as the sums need them: values and exponents in memory, and the products made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..opcodes.vector import Vector
from .elements import FORMATS, exponent_of, value_of
from .forms import COLUMNS, Form
from .fragments import columns_of_a
from .rows import Rows

__all__ = ["Term", "indices_of_b", "load_terms", "room", "store_factors", "top_exponent"]


@dataclass(frozen=True, slots=True)
class Term:
    """A product in every row: a column of A, an element of B, and the sum of their exponents.

    The exponent is taken before the product is normalised, as the unit does.
    """

    a: Vector
    b: Vector
    exponent: Vector

    @property
    def product(self) -> Vector:
        """The product, which is exact."""
        return self.a * self.b


def room(form: Form, real: str) -> list[str]:
    """Return the lines that make room for the values, of type `real`, and the exponents of A and B."""
    return [
        f"  %{matrix}.{what} = alloca [{form.depth * count} x {type_}], align 64"
        for matrix, count in (("a", form.rows), ("b", COLUMNS))
        for what, type_ in (("values", real), ("exponents", "i16"))
    ]


def store_factors(rows: Rows, form: Form, real: str) -> list[Vector]:
    """Put values and exponents of A and B into memory; return the bits of all of them."""
    factors = []
    for matrix, index, bits in _vectors(rows, form):
        rows.store(value_of(bits, form.kind, real), f"%{matrix}.values", index)
        rows.store(exponent_of(bits, form.kind), f"%{matrix}.exponents", index)
        factors.append(bits)
    return factors


def _vectors(rows: Rows, form: Form) -> Iterator[tuple[str, int, Vector]]:
    """Yield the columns of A, and B as it is in the registers in pieces as long; each with its place in memory."""
    for k, column in enumerate(columns_of_a(rows, form)):
        yield "a", k * form.rows, column
    for index in range(0, form.depth * COLUMNS, form.rows):
        yield "b", index, rows.load("%b", f"i{FORMATS[form.kind].bits}", index)


def indices_of_b(rows: Rows, form: Form) -> list[str]:
    """Return where the elements of column ``%n`` of B are, as it lies in its registers."""
    start = rows.code.line(f"mul i64 %n, {form.reach}")
    places = (divmod(k, form.reach) for k in range(form.depth))
    return [rows.code.line(f"add i64 {start}, {COLUMNS * form.reach * block + inside}") for block, inside in places]


def load_terms(rows: Rows, form: Form, real: str) -> list[Term]:
    """Return the products of A with column ``%n`` of B, in the order of the depth."""
    terms = []
    for k, index in enumerate(indices_of_b(rows, form)):
        a, b = rows.load("%a.values", real, k * form.rows), rows.repeated("%b.values", real, index)
        exponent = rows.load("%a.exponents", "i16", k * form.rows) + rows.repeated("%b.exponents", "i16", index)
        terms.append(Term(a, b, exponent))
    return terms


def top_exponent(terms: Sequence[Term], c: Vector, floor: int) -> Vector:
    """Return the exponent that the terms are aligned to; `c` is that of the accumulator."""
    top = c.call("smax", floor)
    for term in terms:
        top = top.call("smax", term.exponent)
    return top
