"""Statements without branches that take several instructions, or more than one result."""

from __future__ import annotations

from tests.simulator.generated.writer import Place, Writer

__all__ = ["MENU"]


def compute(w: Writer, place: Place) -> None:
    """Some instructions that are functions of their operands."""
    calm = w.draws.chance(35)
    for _ in range(w.draws.integer(1, 3)):
        w.compute(calm=calm)


def divide(w: Writer, place: Place) -> None:
    """A quotient or remainder, by anything but zero."""
    letter = w.choose("rrlh")
    width = {"h": 16, "r": 32, "l": 64}[letter]
    divisor, kind = w.target(letter), w.draws.pick("us")
    w.emit(f"or.b{width} {divisor}, {w.register(letter)}, 1;")
    w.simple(f"{w.draws.pick(('div', 'rem'))}.{kind}{width} {w.target(letter)}, {w.read(letter)}, {divisor};")


def carry(w: Writer, place: Place) -> None:
    """A sum, difference or product of twice the width, by its halves."""
    letter = w.choose("rl")
    kind = f"{w.draws.pick('us')}{32 if letter == 'r' else 64}"
    way = w.draws.pick(("add", "sub", "mad"))
    first, middle, last = {
        "add": ("add.cc", "addc.cc", "addc"),
        "sub": ("sub.cc", "subc.cc", "subc"),
        "mad": ("mad.lo.cc", "madc.hi.cc", "addc"),
    }[way]
    for name in (first, middle)[: w.draws.integer(1, 2)]:
        count = 3 if name.startswith("mad") else 2
        sources = ", ".join(w.read(letter) for _ in range(count))
        w.emit(f"{name}.{kind} {w.target(letter)}, {sources};")
        if w.draws.chance(20):
            w.compute(w.choose("fd"))  # leaves the carry alone
    w.emit(f"{last}.{kind} {w.target(letter)}, {w.read(letter)}, {w.read(letter)};")


def bits(w: Writer, place: Place) -> None:
    """The bits of a float as an integer, or an integer's as a float."""
    pairs = [each for each in (("f", "r", 32), ("d", "l", 64)) if each[0] in w.letters and each[1] in w.letters]
    if not pairs:
        return
    letter, integer, width = w.draws.pick(pairs)
    way = w.draws.integer(0, 2)
    if way == 0:
        w.simple(f"mov.b{width} {w.target(letter)}, {w.register(integer)};")
    elif way == 1:
        w.simple(f"mov.b{width} {w.target(integer)}, {w.clean(letter)};")
    else:
        kind = f"{letter.replace('d', 'f')}{width}"
        w.simple(f"copysign.{kind} {w.target(letter)}, {w.clean(letter)}, {w.read(letter)};")


def parts(w: Writer, place: Place) -> None:
    """A register cut into equal parts, or put together from them."""
    ways = (("l", "r", 64), ("r", "h", 32), ("l", "h", 64), ("q", "e", 32))
    possible = [each for each in ways if each[0] in w.letters and each[1] in w.letters]
    if not possible:
        return
    whole, part, width = w.draws.pick(possible)
    count = width // {"r": 32, "h": 16, "e": 16}[part]
    if w.draws.chance(50):
        pool = w.pool(part)
        if len(pool) < count:
            return
        start = w.draws.integer(0, len(pool) - 1)
        pieces = [pool[(start + k) % len(pool)] for k in range(count)]
        w.simple(f"mov.b{width} {{{', '.join(pieces)}}}, {w.register(whole)};")
    else:
        pieces = [w.register(part) for _ in range(count)]
        w.simple(f"mov.b{width} {w.target(whole)}, {{{', '.join(pieces)}}};")


def scope(w: Writer, place: Place) -> None:
    """Braces in which a name means another register."""
    letter = w.choose("rfld")
    kind = {"r": "b32", "f": "f32", "l": "b64", "d": "f64"}[letter]
    hidden, *others = w.draws.pick([w.pool(letter), w.pool(letter)[::-1]])
    w.emit("{", f".reg .{kind} {hidden};", f"mov.{kind} {hidden}, {w.draws.pick(others)};")
    for _ in range(w.draws.integer(1, 3)):
        w.compute(letter)
    w.emit(f"mov.{kind} {w.draws.pick(others)}, {hidden};", "}")


def special(w: Writer, place: Place) -> None:
    """A register of the machine's."""
    masks = tuple(f"%lanemask_{order}" for order in ("eq", "lt", "le", "gt", "ge"))
    names = ("%tid.x", "%tid.y", "%tid.z", "%ctaid.x", "%nctaid.x", "%ntid.x", "%ntid.y", "%laneid", *masks)
    w.simple(f"mov.u32 {w.target('r')}, {w.draws.pick(names)};")


def pause(w: Writer, place: Place) -> None:
    """What may delay a thread, and changes nothing."""
    w.simple(w.draws.pick(("membar.cta;", "membar.gl;", "fence.acq_rel.gpu;", "nanosleep.u32 20;")))


MENU = [(14, compute), (3, divide), (3, carry), (3, bits), (3, parts), (2, scope), (2, special), (1, pause)]
