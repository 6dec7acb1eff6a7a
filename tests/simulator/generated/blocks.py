"""Statements that the threads of a block execute together."""

from __future__ import annotations

from dataclasses import replace

from tests.simulator.generated.lanes import opposite
from tests.simulator.generated.memory import KernelWriter
from tests.simulator.generated.writer import Place

__all__ = ["MENU"]


def barrier(w: KernelWriter, place: Place) -> None:
    """A barrier of the block; what may be done with shared memory changes there."""
    if not place.block:
        return
    way = w.draws.pick(("bar.sync 0;", "bar.sync 0;", "barrier.sync 0;", "bar.sync 5;", "count", "popc", "and", "or"))
    if way == "count":
        w.emit(f"bar.sync 1, {w.threads};" if w.warps_full else "bar.sync 1;")
    elif way == "popc":
        w.emit(f"bar.red.popc.u32 {w.target('r')}, 0, {w.draws.pick(['', '!'])}{w.register('p')};")
    elif way in ("and", "or"):
        w.emit(f"{w.draws.pick(('bar', 'barrier'))}.red.{way}.pred {w.target('p')}, 2, {w.register('p')};")
    else:
        w.emit(way)
    w.readable = not w.readable


def same_for_all(w: KernelWriter) -> str:
    """A predicate that is the same in all threads of a block."""
    result = w.fresh("c")
    number = w.fresh("t")
    w.emit(f"and.b32 {number}, {w.draws.pick(w.alike['r'])}, {w.draws.pick((1, 3, 6))};")
    w.emit(f"setp.{w.draws.pick(('eq', 'ne', 'gt'))}.u32 {result}, {number}, {w.draws.integer(0, 2)};")
    return result


def _back(w: KernelWriter, readable: bool) -> None:
    """Bring shared memory back into the state that it had before an inner part."""
    if w.readable != readable:
        w.emit("bar.sync 0;")
        w.readable = readable


def block_if(w: KernelWriter, place: Place) -> None:
    """An ``if`` that all threads decide alike."""
    if not place.block:
        return
    readable, guard = w.readable, same_for_all(w)
    join = w.label()
    if w.draws.chance(50):
        w.emit(f"@{opposite(guard)} bra.uni {join};")
        w.statements(place, 4)
        _back(w, readable)
    else:
        other = w.label()
        w.emit(f"@{guard} bra {other};")
        w.statements(place, 3)
        _back(w, readable)
        with w.elsewhere():
            w.emit(f"{other}:")
            w.statements(place, 3)
            _back(w, readable)
            w.emit(f"bra.uni {join};")
    w.emit(f"{join}:")


def block_loop(w: KernelWriter, place: Place) -> None:
    """A loop with as many trips for all threads."""
    if not place.block or not place.loops:
        return
    readable, count = w.readable, w.fresh("t")
    counter, go, head = w.fresh("t"), w.fresh("c"), w.label()
    w.emit(f"and.b32 {count}, {w.draws.pick(w.alike['r'])}, 3;", f"mov.u32 {counter}, 0;", f"{head}:")
    w.extra["r"].append(counter)
    w.statements(replace(place, loops=place.loops - 1), 4)
    w.extra["r"].remove(counter)
    _back(w, readable)
    w.emit(f"add.u32 {counter}, {counter}, 1;", f"setp.le.u32 {go}, {counter}, {count};", f"@{go} bra {head};")


def block_end(w: KernelWriter, place: Place) -> None:
    """A block may end as a whole."""
    if place.block and w.draws.chance(20):
        w.emit(f"@{same_for_all(w)} {w.draws.pick(('ret', 'exit'))};")


def warps_apart(w: KernelWriter, place: Place) -> None:
    """Warps that go different ways, and meet there at barriers of their own."""
    if not place.block or not w.warps_full or w.threads < 64:
        return
    first, guard, other, join = w.draws.integer(1, w.threads // 32 - 1) * 32, w.fresh("c"), w.label(), w.label()
    inner = replace(place, block=False)
    w.emit(f"setp.lt.u32 {guard}, %linear, {first};", f"@!{guard} bra {other};")
    w.statements(inner, 2)
    w.emit(f"bar.sync 3, {first};")
    w.statements(inner, 2)
    w.emit(f"bra.uni {join};", f"{other}:")
    w.statements(inner, 2)
    w.emit(f"bar.sync 4, {w.threads - first};", f"{join}:")


MENU = [(8, barrier), (3, block_if), (3, block_loop), (1, warps_apart), (1, block_end)]
