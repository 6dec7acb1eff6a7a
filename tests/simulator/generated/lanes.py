"""Statements after which lanes of a warp may go different ways."""

from __future__ import annotations

from dataclasses import replace

from tests.simulator.generated.writer import Place, Writer

__all__ = ["MENU", "branch", "loop_around", "opposite"]


def opposite(guard: str) -> str:
    """A guard that holds where the other does not."""
    return guard[1:] if guard[0] == "!" else "!" + guard


def branch(w: Writer, guard: str, then: Place, otherwise: Place) -> None:
    """Write an ``if``, in one of the orders in which compilers lay it out."""
    join, other = w.label(), w.label()
    way = w.draws.integer(0, 3)
    if way == 0:
        w.emit(f"@{opposite(guard)} bra {join};")
        w.statements(then)
    elif way == 1:
        w.emit(f"@{opposite(guard)} bra {other};")
        w.statements(then)
        w.emit(f"bra.uni {join};", f"{other}:")
        w.statements(otherwise)
    elif way == 2:  # the one part stands behind the end of the function
        w.emit(f"@{guard} bra {other};")
        w.statements(otherwise, 2)
        with w.elsewhere():
            w.emit(f"{other}:")
            w.statements(then)
            w.emit(f"bra.uni {join};")
    else:  # both do, and what follows stands between them
        w.emit(f"@{guard} bra {other};")
        far = w.label()
        w.emit(f"bra.uni {far};")
        with w.elsewhere():
            w.emit(f"{far}:")
            w.statements(otherwise, 2)
            w.emit(f"bra.uni {join};")
        with w.elsewhere():
            w.emit(f"{other}:")
            w.statements(then)
            w.emit(f"bra.uni {join};")
    w.emit(f"{join}:")


def divergent_if(w: Writer, place: Place) -> None:
    """An ``if`` that lanes decide for themselves."""
    branch(w, w.condition(), place.alone(), place.alone())


def trips(w: Writer) -> str:
    """A register with a small number, most of the time from lane to lane another one."""
    count = w.fresh("t")
    w.emit(f"and.b32 {count}, {w.register('r', w.draws.chance(25))}, {w.draws.pick((1, 3, 3, 7))};")
    return count


def loop_around(w: Writer, place: Place, count: str, agreed: bool = False) -> None:
    """Write a loop of `count` trips, in one of the orders in which compilers lay it out.

    Where the lanes have agreed on the number, none may leave the loop on its own.
    """
    counter, go = w.fresh("t"), w.fresh("c")
    head, step, out = w.label(), w.label(), w.label()
    breaks = None if agreed else (out, step)
    inner = replace(place, breaks=breaks, loops=place.loops - 1)
    w.extra["r"].append(counter)
    w.emit(f"mov.u32 {counter}, 0;")
    way = w.draws.integer(0, 2)
    if way == 0:  # the test stands at the head
        w.emit(f"{head}:", f"setp.ge.u32 {go}, {counter}, {count};", f"@{go} bra {out};")
        w.statements(inner)
        w.emit(f"{step}:", f"add.u32 {counter}, {counter}, 1;", f"bra.uni {head};")
    elif way == 1:  # it stands at the end, and a first one in front
        w.emit(f"setp.eq.u32 {go}, {count}, 0;", f"@{go} bra {out};", f"{head}:")
        w.statements(inner)
        w.emit(f"{step}:", f"add.u32 {counter}, {counter}, 1;")
        w.emit(f"setp.lt.u32 {go}, {counter}, {count};", f"@{go} bra {head};")
    else:  # the body runs once more than the part behind the test
        w.emit(f"{head}:")
        w.statements(replace(inner, breaks=None), 2)
        w.emit(f"setp.ge.u32 {go}, {counter}, {count};", f"@{go} bra {out};")
        w.statements(inner, 3)
        w.emit(f"{step}:", f"add.u32 {counter}, {counter}, 1;", f"bra {head};")
    w.emit(f"{out}:")
    w.extra["r"].remove(counter)


def loop(w: Writer, place: Place) -> None:
    """A loop whose lanes end it at different times."""
    if place.loops:
        loop_around(w, place.alone(), trips(w))


def leave(w: Writer, place: Place) -> None:
    """``break`` or ``continue``."""
    if place.breaks is not None:
        w.emit(f"@{w.condition()} bra {w.draws.pick(place.breaks)};")


def twice_entered(w: Writer, place: Place) -> None:
    """A loop into whose middle some lanes jump."""
    if not place.loops:
        return
    inner = replace(place.alone(), loops=place.loops - 1, breaks=None)
    count, counter, go = trips(w), w.fresh("t"), w.fresh("c")
    head, middle = w.label(), w.label()
    w.emit(f"mov.u32 {counter}, 0;", f"@{w.condition()} bra {middle};", f"{head}:")
    w.statements(inner, 2)
    w.emit(f"{middle}:")
    w.statements(inner, 2)
    w.emit(f"add.u32 {counter}, {counter}, 1;", f"setp.le.u32 {go}, {counter}, {count};", f"@{go} bra {head};")


def switch(w: Writer, place: Place) -> None:
    """A branch by a table, some cases falling through to the next."""
    count = w.draws.integer(2, 5)
    chosen, table, join = w.fresh("t"), w.label(), w.label()
    cases = [w.label() for _ in range(count)]
    order = [w.draws.pick([*cases, join]) for _ in range(w.draws.integer(2, 6))]
    w.emit(f"{table}: .branchtargets {', '.join(order)};")
    w.emit(f"rem.u32 {chosen}, {w.register('r', w.draws.chance(25))}, {len(order)};", f"brx.idx {chosen}, {table};")
    for case in cases:
        w.emit(f"{case}:")
        w.statements(place.alone(), 2)
        if w.draws.chance(70):
            w.emit(f"bra.uni {join};")
    w.emit(f"{join}:")


def end(w: Writer, place: Place) -> None:
    """Some threads end here."""
    if place.ends:
        w.emit(f"@{w.condition()} {w.draws.pick(('ret', 'exit'))};")


MENU = [(6, divergent_if), (4, loop), (6, leave), (1, twice_entered), (2, switch), (3, end)]
