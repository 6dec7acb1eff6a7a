"""Puts a kernel together: what all threads do first, the statements, and what is kept of the registers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tests.simulator.generated import blocks, lanes, memory, sharing, straight, warps
from tests.simulator.generated.draws import Draws
from tests.simulator.generated.functions import caller, device_function
from tests.simulator.generated.memory import INPUTS, LOCAL_BYTES, OUTPUTS, KernelWriter
from tests.simulator.generated.sharing import ATOMIC_ROWS, CELLS
from tests.simulator.generated.writer import Place

__all__ = ["NAME", "Extent", "Kernel", "draw_kernel"]

Extent = tuple[int, int, int]
NAME = "generated"
_BLOCKS: tuple[Extent, ...] = (
    *((32, 1, 1), (64, 1, 1), (33, 1, 1), (8, 4, 2), (96, 1, 1), (20, 1, 1), (7, 5, 1), (16, 2, 3), (5, 3, 5)),
    *((1, 1, 1), (128, 1, 1), (1, 64, 1), (32, 2, 1), (32, 1, 1), (64, 1, 1), (4, 8, 1)),
)
_TABLES = {"global": "tables", "const": "table"}
_GRIDS: tuple[Extent, ...] = ((1, 1, 1), (2, 1, 1), (3, 1, 1), (1, 2, 1), (2, 1, 2))


@dataclass(frozen=True)
class Kernel:
    """A generated kernel.

    Attributes
    ----------
    text : str
        PTX of a module with the one kernel `NAME`.
    grid, block : tuple of three ints
        The launch.
    outputs : dict
        Bytes of each array that it writes.
    dynamic : int
        Bytes of dynamic shared memory.
    seed : int
        For the contents of the arrays.
    """

    text: str
    grid: Extent
    block: Extent
    outputs: dict[str, int]
    dynamic: int
    seed: int


def draw_kernel(draws: Draws, size: int = 40) -> Kernel:
    """Draw a kernel of about `size` statements."""
    grid, block = draws.pick(_GRIDS), draws.pick(_BLOCKS)
    functions = [device_function(draws, f"function{k}") for k in range(draws.integer(0, 2))]
    w = KernelWriter(draws, left=size, threads=math.prod(block), blocks=math.prod(grid))
    w.menu = [*straight.MENU, *lanes.MENU, *memory.MENU, *sharing.MENU, *warps.MENU, *blocks.MENU]
    w.menu += [(2, caller(function)) for function in functions]
    dynamic = 16 * w.threads if draws.chance(30) else 0
    _begin(w)
    mask = "0xffffffff" if w.warps_full and draws.chance(60) else "%everyone"
    together = Place(block=True, mask=mask)
    while w.left > size // 3:
        w.statements(together)
    _counts(w)
    _end(w, together)
    body = ["{", *w.declarations(), *_own_registers(), *_memory(w, dynamic), *w.lines, *w.late, "}"]
    outputs = {array: max(16, used) for array, used in w.used.items()}
    text = "\n".join([_head(dynamic), *(function.text for function in functions), _signature(), *body, ""])
    return Kernel(text, grid, block, outputs, dynamic, draws.integer(0, 1 << 20))


def _head(dynamic: int) -> str:
    lines = [".version 7.8", ".target sm_80", ".address_size 64"]
    content = ", ".join(str(k * 89 % 256) for k in range(256))
    lines += [f".{space} .align 16 .b8 {name}[256] = {{{content}}};" for space, name in _TABLES.items()]
    return "\n".join(lines + [".extern .shared .align 16 .b8 all_i[];"] * bool(dynamic))


def _signature() -> str:
    pointers = [*(f"in_{array}" for array in INPUTS), *(f"out_{array}" for array in OUTPUTS), "cells"]
    numbers = [".param .u32 n0", ".param .u32 n1", ".param .f32 x", ".param .f64 y"]
    return f".visible .entry {NAME}({', '.join([*(f'.param .u64 p_{name}' for name in pointers), *numbers])})"


def _own_registers() -> list[str]:
    pointers = [*(f"%in_{array}" for array in INPUTS), *(f"%out_{array}" for array in OUTPUTS)]
    return [
        f".reg .b64 {', '.join([*pointers, '%cells', '%table', '%tables'])};",
        ".reg .b32 %own, %linear, %slot, %lane, %everyone, %tx, %n0, %n1, %n2;",
        ".reg .f32 %x;",
        ".reg .f64 %y;",
    ]


def _memory(w: KernelWriter, dynamic: int) -> list[str]:
    lines = [f".shared .align 16 .b8 all_i[{16 * w.threads}];"] * (not dynamic)
    lines += [f".shared .align 16 .b8 all_f[{8 * w.threads}];", f".shared .align 4 .b32 warps[{w.threads}];"]
    lines.append(f".shared .align 4 .b32 counts[{CELLS * len(ATOMIC_ROWS)}];")
    sizes = zip("if", LOCAL_BYTES, strict=True)
    return lines + [f".local .align 16 .b8 mine_{name}[{size}];" for name, size in sizes]


def _begin(w: KernelWriter) -> None:
    """Load the parameters, find out who the thread is, and fill registers and memory."""
    for name in [*(f"in_{array}" for array in INPUTS), *(f"out_{array}" for array in OUTPUTS), "cells"]:
        w.emit(f"ld.param.u64 %{name}, [p_{name}];", f"cvta.to.global.u64 %{name}, %{name};")
    w.emit("ld.param.u32 %n0, [n0];", "ld.param.u32 %n1, [n1];", "ld.param.f32 %x, [x];", "ld.param.f64 %y, [y];")
    w.emit("mov.u64 %table, table;", "mov.u64 %tables, tables;")
    a, b = w.fresh("t"), w.fresh("t")
    for name, index, count in (("%linear", "tid", "ntid"), ("%n2", "ctaid", "nctaid")):
        w.emit(f"mov.u32 {a}, %{index}.z;", f"mov.u32 {b}, %{count}.y;", f"mov.u32 %tx, %{index}.y;")
        w.emit(f"mad.lo.u32 {a}, {a}, {b}, %tx;", f"mov.u32 {b}, %{count}.x;", f"mov.u32 %tx, %{index}.x;")
        w.emit(f"mad.lo.u32 {name}, {a}, {b}, %tx;")
    w.emit(f"mad.lo.u32 %own, %n2, {w.threads}, %linear;", "mov.u32 %lane, %laneid;", "mov.u32 %tx, %tid.x;")
    w.emit(f"sub.u32 %slot, {w.threads - 1}, %linear;" if w.draws.chance(50) else "mov.u32 %slot, %linear;")
    # As many ones as the warp has threads: a shift by 32 or more leaves nothing, and nothing minus 1 is all.
    w.emit(f"sub.u32 {a}, %lane, %linear;", f"add.u32 {a}, {a}, {w.threads};")
    w.emit("mov.u32 %everyone, 1;", f"shl.b32 %everyone, %everyone, {a};", "sub.u32 %everyone, %everyone, 1;")
    w.extra["r"], w.alike["r"] = ["%tx", "%lane", "%own", "%linear"], ["%n0", "%n1", "%n2"]
    w.alike["f"], w.alike["d"] = ["%x"], ["%y"]
    _fill_registers(w)
    _fill_memory(w, a)


def _fill_registers(w: KernelWriter) -> None:
    arrays = {"h": ("i", "u16"), "r": ("i", "u32"), "l": ("i", "u64"), "f": ("f", "f32"), "d": ("d", "f64")}
    arrays |= {"e": ("e", "b16"), "b": ("b", "b16"), "q": ("e", "b32")}
    for letter, (array, kind) in arrays.items():
        if letter not in w.letters:
            continue
        size = int(kind[1:]) // 8
        at = w.fresh("a")
        w.emit("and.b32 %tx, %own, 63;", f"mad.wide.u32 {at}, %tx, {size}, %in_{array};")
        for number, register in enumerate(w.wild[letter]):
            w.emit(f"ld.global.{kind} {register}, [{at}+{8 * number}];")
        for number, register in enumerate(w.calm[letter]):
            if letter in "rlfd" and w.draws.chance(60):
                w.emit(f"mov.{kind} {register}, {w.draws.pick([w.literal(letter), *w.alike[letter]])};")
            else:
                w.emit(f"ld.global.{kind} {register}, [%in_{array}+{8 * number + 64}];")
    w.emit("mov.u32 %tx, %tid.x;")
    for register in w.pool("p"):
        a, b = (w.register("r", register in w.calm["p"]) for _ in range(2))
        w.emit(f"setp.gt.s32 {register}, {a}, {b};")


def _fill_memory(w: KernelWriter, a: str) -> None:
    """Write all of local and shared memory, each thread its part."""
    r, f = w.pool("r"), [w.literal("f"), w.literal("f")]
    for start in range(0, LOCAL_BYTES[0], 16):
        w.emit(f"st.local.v4.b32 [mine_i+{start}], {{{r[0]}, {r[1]}, {r[-1]}, {a}}};")
    for start in range(0, LOCAL_BYTES[1], 8):
        w.emit(f"st.local.v2.f32 [mine_f+{start}], {{{f[0]}, {f[1]}}};")
    b, go, head, out = w.fresh("t"), w.fresh("c"), w.label(), w.label()
    w.emit(f"mov.u32 {a}, all_i;", f"mad.lo.u32 {a}, %slot, 16, {a};")
    w.emit(f"st.shared.v4.b32 [{a}], {{{r[0]}, {r[1]}, {r[-1]}, %own}};")
    w.emit(f"mov.u32 {a}, all_f;", f"mad.lo.u32 {a}, %slot, 8, {a};", f"st.shared.v2.f32 [{a}], {{{f[0]}, {f[1]}}};")
    total = CELLS * len(ATOMIC_ROWS)
    w.emit(f"mov.u32 {b}, %linear;", f"{head}:", f"setp.ge.u32 {go}, {b}, {total};", f"@{go} bra {out};")
    w.emit(f"mov.u32 {a}, counts;", f"mad.lo.u32 {a}, {b}, 4, {a};", f"st.shared.u32 [{a}], {b};")
    w.emit(f"add.u32 {b}, {b}, {w.threads};", f"bra {head};", f"{out}:", "bar.sync 0;")


def _counts(w: KernelWriter) -> None:
    """Keep what is in the cells of shared memory that all threads updated."""
    if w.draws.chance(20):
        return
    cell, where = w.fresh("t"), w.fresh("t")
    w.emit("bar.sync 0;", f"and.b32 {cell}, %own, {CELLS * len(ATOMIC_ROWS) - 1};", f"mov.u32 {where}, counts;")
    w.emit(f"mad.lo.u32 {where}, {cell}, 4, {where};", f"ld.shared.u32 {w.target('r')}, [{where}];", "bar.sync 0;")


def _end(w: KernelWriter, place: Place) -> None:
    """Let threads end, first groups that the others know of, then any; keep the registers of those who are left."""
    for _ in range(w.draws.integer(0, 2)):
        going, left = w.fresh("c"), w.fresh("t")
        condition = w.condition()
        w.emit(f"{'not' if condition[0] == '!' else 'mov'}.pred {going}, {condition.lstrip('!')};")
        mask = warps.ballot(w, going, place.mask)
        w.emit(f"xor.b32 {left}, {mask}, {place.mask};", f"@{going} {w.draws.pick(('exit', 'ret'))};")
        place = replace(place, block=False, mask=left)
        w.statements(place)
    w.left = max(w.left, 4)
    w.statements(Place(ends=True))
    for letter in w.letters:
        for register in w.pool(letter):
            memory.store_result(w, letter, register)
    w.emit("ret;")
