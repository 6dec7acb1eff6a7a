"""The functions of one form of ``mma``: from registers to registers, for a whole warp."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_

from ..module_text import ModuleText
from ..opcodes.vector import Vector
from .drawn import drawn_sum
from .elements import FORMATS, outside
from .forms import COLUMNS, Form, Unit, unit_of
from .fragments import columns_of_a, columns_of_c, store_d
from .quick import C_LIMIT, LIMIT, quick_sum
from .rows import Rows
from .sums import whole_sum
from .terms import indices_of_b, load_terms, room, store_factors

__all__ = ["product"]

_HEAD = "(ptr noalias %a, ptr noalias %b, ptr noalias %c, ptr noalias %d"
_GIVEN = "(ptr %a, ptr %b, ptr %c, ptr %d"


def product(module: ModuleText, form: Form) -> str:
    """Put ``void (a, b, c, d, i64 values)`` for a form into the module, once, and return its name.

    The pointers are to the registers of A, B, C and D, each with its 32 lanes side by side. `values` other than zero
    seeds results as some matrix unit may give them; with zero they are those of the module's architecture.
    """
    name = f"mma.{form.name}"
    if not module.has(name):
        unit = unit_of(module.architecture)
        if form.kind == "f64":
            text = _function(name, ", i64 %values", *_chain(module, form))
        else:
            module.function(f"{name}.whole", _function(f"{name}.whole", "", *_whole(module, form, unit)))
            module.function(f"{name}.drawn", _function(f"{name}.drawn", ", i64 %values", *_drawn(module, form, unit)))
            text = _function(name, ", i64 %values", *_quick(module, form, unit, name))
        module.function(name, text)
    return f"@{name}"


def _function(name: str, more: str, rooms: list[str], body: str) -> str:
    lines = "\n".join(rooms)
    return f"define internal void @{name}{_HEAD}{more}) noinline {{\nentry:\n{lines}\n{body}\n}}"


def _room(form: Form, real: str) -> list[str]:
    return [*room(form, real), f"  %columns = alloca [{COLUMNS * form.rows} x {_column(form)}], align 64"]


def _column(form: Form) -> str:
    """Return the type of an element of C and D, as bits or as a float64."""
    return "double" if form.total == "f64" else f"i{FORMATS[form.total].bits}"


def _store_c(rows: Rows, form: Form) -> list[Vector]:
    """Put the columns of C into memory and return them."""
    columns = list(columns_of_c(rows, form))
    for n, column in enumerate(columns):
        rows.store(column, "%columns", n * form.rows)
    return columns


def _each_column(rows: Rows, form: Form, body: Callable[[Vector], Vector], carried: str = "") -> None:
    """Write a loop over the columns of C: `body` makes that of D from it. `carried` is a line of its head."""
    code = rows.code
    code.label("loop")
    code.effect("%n = phi i64 [ 0, %start ], [ %n.next, %loop ]")
    if carried:
        code.effect(carried)
    index = code.line(f"mul i64 %n, {form.rows}")
    rows.store(body(rows.load("%columns", _column(form), index)), "%columns", index)
    code.effect("%n.next = add i64 %n, 1")
    code.effect(f"%n.more = icmp ult i64 %n.next, {COLUMNS}")
    code.effect("br i1 %n.more, label %loop, label %done")
    code.label("done")


def _finish(rows: Rows, form: Form) -> None:
    """Take D from memory to its registers and return."""
    store_d(rows, form, [rows.load("%columns", _column(form), n * form.rows) for n in range(COLUMNS)])
    rows.code.effect("ret void")


def _quick(module: ModuleText, form: Form, unit: Unit, name: str) -> tuple[list[str], str]:
    """Write the function that chooses: the sum for moderate numbers where it will do, else the one for all."""
    rows = Rows(module, form.rows)
    code = rows.code
    code.effect("%published = icmp eq i64 %values, 0")
    code.effect("br i1 %published, label %start, label %drawn")
    code.label("start")
    beyond = [outside(each, form.kind, LIMIT) for each in store_factors(rows, form, "float")]
    beyond += [outside(each, form.total, C_LIMIT) for each in _store_c(rows, form)]
    code.effect(f"br i1 {rows.any(reduce(or_, beyond))}, label %whole, label %loop")
    mask = f"<{form.rows} x i1>"
    failures = [rows.vector("i1", "%failed")]

    def column(c: Vector) -> Vector:
        terms, count = load_terms(rows, form, "float"), unit.terms(form)
        for at in range(0, form.depth, count):
            if at and form.total == "f16":
                failures.append(outside(c, form.total, C_LIMIT))  # the part before may have overflowed
            c, failed = quick_sum(form, unit, terms[at : at + count], c)
            failures.extend(failed)
        code.effect(f"%failed.next = or {mask} {reduce(or_, failures).value[0]}, zeroinitializer")
        return c

    _each_column(rows, form, column, f"%failed = phi {mask} [ zeroinitializer, %start ], [ %failed.next, %loop ]")
    code.effect(f"br i1 {rows.any(rows.vector('i1', '%failed.next'))}, label %whole, label %store")
    code.label("store")
    _finish(rows, form)
    code.label("whole")
    code.effect(f"call void @{name}.whole{_GIVEN})")
    code.effect("ret void")
    code.label("drawn")
    code.effect(f"call void @{name}.drawn{_GIVEN}, i64 %values)")
    code.effect("ret void")
    return _room(form, "float"), code.take()


def _whole(module: ModuleText, form: Form, unit: Unit) -> tuple[list[str], str]:
    """Write the function for all numbers."""
    rows = Rows(module, form.rows)

    def column(c: Vector) -> Vector:
        terms, count = load_terms(rows, form, "double"), unit.terms(form)
        for at in range(0, form.depth, count):
            c = whole_sum(form, unit, terms[at : at + count], c)
        return c

    return _plain(rows, form, column)


def _drawn(module: ModuleText, form: Form, unit: Unit) -> tuple[list[str], str]:
    """Write the function that draws what some unit may give."""
    rows = Rows(module, form.rows)
    return _plain(rows, form, lambda c: drawn_sum(rows, form, unit, load_terms(rows, form, "double"), c))


def _plain(rows: Rows, form: Form, column: Callable[[Vector], Vector]) -> tuple[list[str], str]:
    store_factors(rows, form, "double")
    return _looped(rows, form, column)


def _looped(rows: Rows, form: Form, column: Callable[[Vector], Vector]) -> tuple[list[str], str]:
    _store_c(rows, form)
    rows.code.effect("br label %start")
    rows.code.label("start")
    rows.code.effect("br label %loop")
    _each_column(rows, form, column)
    _finish(rows, form)
    return _room(form, "double"), rows.code.take()


def _chain(module: ModuleText, form: Form) -> tuple[list[str], str]:
    """Write the function of float64: one fused multiply-add after the other, in the order of the depth."""
    rows = Rows(module, form.rows)
    for k, a in enumerate(columns_of_a(rows, form)):
        rows.store(a, "%a.values", k * form.rows)

    def column(c: Vector) -> Vector:
        for k, index in enumerate(indices_of_b(rows, form)):
            c = rows.load("%a.values", "double", k * form.rows).fma(rows.repeated("%b", "double", index), c)
        return c

    return _looped(rows, form, column)
