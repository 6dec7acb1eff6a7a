"""Statements about memory that threads share: a block's, and cells that all threads update."""

from __future__ import annotations

from tests.simulator.generated.memory import TYPES, KernelWriter, address, bytes_of, element, sources, targets, vector
from tests.simulator.generated.writer import Place

__all__ = ["ATOMIC_ROWS", "CELLS", "MENU"]

#: Operations on cells that all threads update: each row of cells has one.
ATOMIC_ROWS = ("add.u32", "min.u32", "max.s32", "and.b32", "or.b32", "xor.b32", "min.s32", "max.u32")
#: Cells of a row.
CELLS = 8


def shared(w: KernelWriter, place: Place) -> None:
    """Write what is this thread's in shared memory; or, after a barrier, read what any thread has."""
    letter = w.choose("rrhlf")
    kind = w.draws.pick(TYPES[letter]) if letter != "f" else "f32"
    count = vector(w, letter, bytes_of(kind))
    size = bytes_of(kind) * count
    name, total = ("all_f", 8) if letter == "f" else ("all_i", 16)
    if size > total:
        return
    many = f".v{count}" if count > 1 else ""
    part = w.fresh("t")
    writes = not w.readable and w.draws.chance(70)
    if w.readable:
        w.emit(f"rem.u32 {part}, {w.number('%linear', '%linear')}, {w.threads};")
    else:
        w.emit(f"mov.b32 {part}, %slot;")
    offset = w.draws.integer(0, total // size - 1) * size
    if w.draws.chance(30):
        start, where = w.fresh("a"), ""
        w.emit(f"mov.u64 {start}, {name};", f"cvta.shared.u64 {start}, {start};")
        where, space = address(w, part, total, start), ""
    else:
        where, space = w.fresh("t"), ".shared"
        w.emit(f"mov.u32 {where}, {name};", f"mad.lo.u32 {where}, {part}, {total}, {where};")
    if writes:
        w.simple(f"st{space}{many}.{kind} [{where}+{offset}], {sources(w, letter, count)};")
    else:
        w.simple(f"ld{space}{many}.{kind} {targets(w, letter, count)}, [{where}+{offset}];")


def update(w: KernelWriter, place: Place) -> None:
    """Update a cell that every thread may update, in an order that does not matter."""
    row = w.draws.integer(0, len(ATOMIC_ROWS) - 1)
    name = ATOMIC_ROWS[row]
    cell = element(w, CELLS)
    w.emit(f"add.u32 {cell}, {cell}, {row * CELLS};")
    if w.draws.chance(50):
        where, space = address(w, cell, 4, "%cells"), "global"
    else:
        where, space = w.fresh("t"), "shared"
        w.emit(f"mov.u32 {where}, counts;", f"mad.lo.u32 {where}, {cell}, 4, {where};")
    if w.draws.chance(30):
        w.simple(f"atom.{space}.{name} {w.fresh('t')}, [{where}], {w.read('r')};")
    else:
        w.simple(f"red.{space}.{name} [{where}], {w.read('r')};")


MENU = [(6, shared), (3, update)]
