"""Statements that lanes of a warp execute together."""

from __future__ import annotations

from dataclasses import replace

from tests.simulator.generated.lanes import branch, loop_around, trips
from tests.simulator.generated.memory import KernelWriter
from tests.simulator.generated.writer import Place, Writer

__all__ = ["MENU", "ballot"]


def ballot(w: Writer, guard: str, mask: str) -> str:
    """A register with the lanes of `mask` whose guard holds."""
    result = w.fresh("t")
    w.emit(f"vote.sync.ballot.b32 {result}, {guard}, {mask};")
    return result


def vote(w: KernelWriter, place: Place) -> None:
    """A vote, a match or a reduction of the lanes that are here."""
    if not place.mask:
        return
    way = w.draws.pick(("ballot", "vote", "redux", "any", "all", "all|p"))
    match way:
        case "ballot":
            guard = w.draws.pick(["", "!"]) + w.register("p")
            w.emit(f"vote.sync.ballot.b32 {w.target('r')}, {guard}, {place.mask};")
        case "vote":
            mode = w.draws.pick(("all", "any", "uni"))
            guard = w.draws.pick(["", "!"]) + w.register("p")
            w.emit(f"vote.sync.{mode}.pred {w.target('p')}, {guard}, {place.mask};")
        case "redux":
            name = w.draws.pick(("add.u32", "add.s32", "min.u32", "max.s32", "max.u32", "and.b32", "or.b32", "xor.b32"))
            w.emit(f"redux.sync.{name} {w.target('r')}, {w.register('r')}, {place.mask};")
        case _:
            letter = w.choose("rrl")
            kind = {"r": "b32", "l": "b64"}[letter]
            target = w.target("r") + (f"|{w.target('p')}" if way == "all|p" else "")
            w.emit(f"match.{way[:3]}.sync.{kind} {target}, {w.register(letter)}, {place.mask};")


def shuffle(w: KernelWriter, place: Place) -> None:
    """A shuffle; what comes from a lane that is not here is undefined, and replaced."""
    if not place.mask:
        return
    mode = w.draws.pick(("bfly", "down", "up", "idx"))
    step = str(w.draws.integer(0, 31)) if w.draws.chance(60) else w.number("%lane")
    segment = w.draws.pick((0, 0, 0, 16, 24, 28, 30))
    bound = (segment << 8) | (0 if mode == "up" else w.draws.pick((31, 31, 31, 27, 7)))
    clamp = str(bound) if w.draws.chance(70) else w.number()
    letter = w.choose("rrf")
    source, result = w.register(letter), w.fresh("t")
    if letter == "f":
        w.emit(f"mov.b32 {result}, {source};")
        source = result
    inside = w.fresh("c")
    shown = f"{result}|{inside}" if "0x" not in place.mask or w.draws.chance(40) else result
    w.emit(f"shfl.sync.{mode}.b32 {shown}, {source}, {step}, {clamp}, {place.mask};")
    if place.mask == "0xffffffff":
        w.emit(f"mov.b32 {w.target(letter)}, {result};")
        if "|" in shown:
            w.emit(f"mov.pred {w.target('p')}, {inside};")
        return
    known = _comes_from(w, mode, step, clamp, place.mask)
    w.emit(f"not.pred {inside}, {inside};", f"or.pred {known}, {known}, {inside};")
    kind = {"r": "b32", "f": "f32"}[letter]
    if letter == "f":
        other = w.register("f")
        number = w.target("f")
        w.emit(f"@{known} mov.b32 {number}, {result};", f"@!{known} mov.f32 {number}, {other};")
    else:
        w.emit(f"selp.{kind} {w.target('r')}, {result}, {w.read('r')}, {known};")


def _comes_from(w: Writer, mode: str, step: str, clamp: str, mask: str) -> str:
    """A predicate: the lane that a shuffle reads, if it is inside, is one of the mask."""
    lane, known = w.fresh("t"), w.fresh("c")
    w.emit(f"and.b32 {lane}, {step}, 31;")
    if mode == "idx":
        segment = w.fresh("t")
        w.emit(f"shr.u32 {segment}, {clamp}, 8;", f"and.b32 {segment}, {segment}, 31;")
        w.emit(f"lop3.b32 {lane}, {segment}, %lane, {lane}, 0xCA;")  # the lane's own number where the segment has ones
    else:
        w.emit(f"{ {'bfly': 'xor.b32', 'down': 'add.u32', 'up': 'sub.u32'}[mode] } {lane}, %lane, {lane};")
    w.emit(f"shr.u32 {lane}, {mask}, {lane};", f"and.b32 {lane}, {lane}, 1;", f"setp.eq.u32 {known}, {lane}, 1;")
    return known


def meet(w: KernelWriter, place: Place) -> None:
    """A warp barrier; or two, and what lanes leave for each other in shared memory between them."""
    if not place.mask:
        return
    w.emit(f"bar.warp.sync {place.mask};")
    if w.draws.chance(70):
        other, here, bit = w.fresh("t"), w.fresh("t"), w.fresh("t")
        own = w.fresh("c")
        w.emit(f"mov.u32 {here}, warps;", f"mad.lo.u32 {other}, %linear, 4, {here};")
        w.emit(f"st.shared.b32 [{other}], {w.register('r')};", f"bar.warp.sync {place.mask};")
        w.emit(f"xor.b32 {other}, %lane, {w.draws.integer(0, 31)};", f"shr.u32 {bit}, {place.mask}, {other};")
        w.emit(f"and.b32 {bit}, {bit}, 1;", f"setp.eq.u32 {own}, {bit}, 1;")
        w.emit(f"selp.b32 {other}, {other}, %lane, {own};", f"sub.u32 {bit}, %linear, %lane;")
        w.emit(f"add.u32 {other}, {other}, {bit};", f"mad.lo.u32 {other}, {other}, 4, {here};")
        w.emit(f"ld.shared.b32 {w.target('r')}, [{other}];", f"bar.warp.sync {place.mask};")


def masked_if(w: KernelWriter, place: Place) -> None:
    """An ``if`` both of whose sides know which lanes are there."""
    if not place.mask:
        return
    guard, here, there = w.fresh("c"), place.mask, w.fresh("t")
    condition = w.condition()
    w.emit(f"{'not' if condition[0] == '!' else 'mov'}.pred {guard}, {condition.lstrip('!')};")
    mask = ballot(w, guard, here)
    w.emit(f"xor.b32 {there}, {mask}, {here};")
    inner = replace(place, block=False)
    branch(w, guard, replace(inner, mask=mask), replace(inner, mask=there))


def agreed_if(w: KernelWriter, place: Place) -> None:
    """An ``if`` that the lanes that are here decide together."""
    if place.mask:
        guard = w.fresh("c")
        mode = w.draws.pick(("all", "any"))
        w.emit(f"vote.sync.{mode}.pred {guard}, {w.register('p')}, {place.mask};")
        inner = replace(place, block=False)
        branch(w, guard, inner, inner)


def masked_loop(w: KernelWriter, place: Place) -> None:
    """A loop whose lanes end it at different times, and that keeps track of who is left."""
    if not place.mask or not place.loops:
        return
    count = trips(w)
    if w.draws.chance(40):
        w.emit(f"redux.sync.max.u32 {count}, {count}, {place.mask};")
        loop_around(w, replace(place, block=False), count, agreed=True)
        return
    counter, go, mask, left = w.fresh("t"), w.fresh("c"), w.fresh("t"), w.fresh("t")
    head, out = w.label(), w.label()
    w.emit(f"mov.u32 {counter}, 0;", f"mov.b32 {mask}, {place.mask};")
    w.emit(f"{head}:", f"setp.lt.u32 {go}, {counter}, {count};")
    w.emit(f"vote.sync.ballot.b32 {left}, {go}, {mask};", f"@!{go} bra {out};", f"mov.b32 {mask}, {left};")
    w.statements(replace(place, block=False, mask=mask, breaks=None, loops=place.loops - 1), 3)
    w.emit(f"add.u32 {counter}, {counter}, 1;", f"bra.uni {head};", f"{out}:")


def tiles(w: KernelWriter, place: Place) -> None:
    """Parts of the warp that go on together, each with a mask of its own."""
    if not place.mask:
        return
    size = w.draws.pick((16, 8, 4, 1))
    first, mask = w.fresh("t"), w.fresh("t")
    w.emit(f"and.b32 {first}, %lane, {32 - size};", f"mov.u32 {mask}, {(1 << size) - 1};")
    w.emit(f"shl.b32 {mask}, {mask}, {first};", f"and.b32 {mask}, {mask}, {place.mask};")
    w.statements(replace(place, block=False, mask=mask), 4)


MENU = [(6, vote), (9, shuffle), (4, meet), (5, masked_if), (3, agreed_if), (4, masked_loop), (3, tiles)]
