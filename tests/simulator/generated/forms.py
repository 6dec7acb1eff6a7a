"""The instructions of generated programs that are functions of registers, with the kinds of register that they take.

``p`` a predicate, ``h r l`` integers of 16, 32, 64 bits, ``e`` float16, ``b`` bfloat16, ``q`` two float16, ``f``
float32, ``d`` float64; ``I`` a byte that must be a literal, ``N`` an ``r`` whose literal is a byte. All are exact:
none of them is approximate.
"""

from __future__ import annotations

from functools import cache
from itertools import product

__all__ = ["BITS", "FLOATING", "LETTERS", "forms"]

LETTERS = "phrlebqfd"
FLOATING = "ebqfd"
BITS = {"p": 1, "h": 16, "r": 32, "l": 64, "e": 16, "b": 16, "q": 32, "f": 32, "d": 64}
_WIDTHS = {16: "h", 32: "r", 64: "l"}
_KINDS = {"f16": "e", "bf16": "b", "f16x2": "q", "f32": "f", "f64": "d"}
_MODES = ("rn", "rz", "rm", "rp")
_ORDERS = ("eq", "ne", "lt", "le", "gt", "ge")
_FLOAT_ORDERS = (*_ORDERS, "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan")

#: Result, operands, instructions; an instruction of 32 bits alone, or of the widths in the table below.
_FIXED = """
r rr   add.sat.s32 sub.sat.s32 mul24.lo.u32 mul24.lo.s32 mul24.hi.u32 mul24.hi.s32
r rrr  mad.hi.sat.s32 mad24.lo.s32 mad24.hi.u32 mad24.hi.sat.s32 sad.u32 sad.s32
r rrr  prmt.b32 prmt.b32.f4e prmt.b32.b4e prmt.b32.rc8 prmt.b32.ecl prmt.b32.ecr prmt.b32.rc16
r rrr  shf.l.clamp.b32 shf.r.clamp.b32 shf.l.wrap.b32 shf.r.wrap.b32
r rrr  dp4a.u32.u32 dp4a.s32.u32 dp4a.s32.s32 dp2a.lo.s32.s32 dp2a.hi.u32.s32
r rrr  cvt.pack.sat.s8.s32.b32 cvt.pack.sat.u8.s32.b32
r rr   cvt.pack.sat.s16.s32 cvt.pack.sat.u16.s32
r rrrI lop3.b32
p pp   and.pred or.pred xor.pred
p p    not.pred mov.pred
l rr   mul.wide.u32 mul.wide.s32
l rrl  mad.wide.u32 mad.wide.s32
r hh   mul.wide.u16 mul.wide.s16
r hhr  mad.wide.u16 mad.wide.s16
p f    testp.finite.f32 testp.infinite.f32 testp.number.f32 testp.normal.f32 testp.subnormal.f32
p d    testp.finite.f64 testp.notanumber.f64 testp.normal.f64 testp.subnormal.f64
f f    neg.f32 abs.f32 neg.ftz.f32 abs.ftz.f32 cvt.rni.f32.f32 cvt.rzi.f32.f32 cvt.sat.f32.f32 cvt.rpi.ftz.f32.f32
f ff   min.f32 max.f32 min.ftz.f32 max.NaN.f32 min.NaN.f32
d d    neg.f64 abs.f64 cvt.rni.f64.f64 cvt.rmi.f64.f64 cvt.sat.f64.f64
d dd   min.f64 max.f64
e e    neg.f16 abs.f16 cvt.rni.f16.f16 cvt.rzi.f16.f16
e ee   min.f16 max.f16 max.NaN.f16 add.rn.f16 sub.rn.f16 mul.rn.f16 add.rn.sat.f16 mul.rn.ftz.f16
e eee  fma.rn.f16 fma.rn.sat.f16 fma.rn.relu.f16 fma.rn.ftz.f16
q q    neg.f16x2 abs.f16x2
q qq   min.f16x2 max.NaN.f16x2 add.rn.f16x2 sub.rn.f16x2 mul.rn.f16x2 add.rn.sat.f16x2
q qqq  fma.rn.f16x2 fma.rn.relu.f16x2
b b    neg.bf16 abs.bf16
b bb   min.bf16 max.bf16 min.NaN.bf16
b bbb  fma.rn.bf16 fma.rn.relu.bf16
d f    cvt.f64.f32 cvt.ftz.f64.f32
d e    cvt.f64.f16
f e    cvt.f32.f16
f d    cvt.rn.f32.f64 cvt.rz.f32.f64 cvt.rm.f32.f64 cvt.rp.sat.f32.f64 cvt.rn.ftz.f32.f64
e f    cvt.rn.f16.f32 cvt.rz.f16.f32 cvt.rn.relu.f16.f32 cvt.rn.sat.f16.f32
e d    cvt.rn.f16.f64
b f    cvt.rn.bf16.f32 cvt.rz.bf16.f32 cvt.rn.relu.bf16.f32
q ff   cvt.rn.f16x2.f32 cvt.rz.f16x2.f32 cvt.rn.relu.f16x2.f32
f ffp  set.lt.and.f32.f32
"""
_ANY_WIDTH = """
* **   add.u# sub.s# mul.lo.u# mul.hi.u# mul.hi.s# min.u# min.s# max.u# max.s# and.b# or.b# xor.b#
* ***  mad.lo.u# mad.lo.s# mad.hi.u#
* *    not.b# cnot.b# neg.s# abs.s# mov.b#
* *r   shl.b# shr.u# shr.s#
* **p  selp.b# selp.s#
"""
_WIDE = """
* *NN  bfe.u# bfe.s#
* **NN bfi.b#
r *    popc.b# clz.b# bfind.u# bfind.s# bfind.shiftamt.u# bfind.shiftamt.s#
* *    brev.b#
"""


def _rows(text: str) -> list[tuple[str, str, str]]:
    """Return result, operands and instruction of each entry."""
    found = []
    for line in filter(None, text.splitlines()):
        result, operands, *names = line.split()
        found += [(result, operands, name) for name in names]
    return found


def _holds(target: str, source: str) -> bool:
    """Tell whether an integer type holds every number of another; where it does, saturation is refused."""
    spare = int(target[1:]) - int(source[1:])
    return spare >= 0 if target[0] == source[0] else target[0] == "s" and spare > 0


def _conversions() -> list[tuple[str, str, str]]:
    integers = {f"{sign}{width}": _WIDTHS[max(width, 16)] for sign in "us" for width in (8, 16, 32, 64)}
    found = []
    for target, source in product(integers, integers):
        places = {integers[target], "r"} if target[1:] in ("8", "16") else {integers[target]}
        reads = {integers[source], "r"} if source[1:] in ("8", "16") else {integers[source]}
        for result, operand in product(sorted(places), sorted(reads)):
            found.append((result, operand, f"cvt.{target}.{source}"))
            if not _holds(target, source):
                found.append((result, operand, f"cvt.sat.{target}.{source}"))
    for kind, letter in (("f16", "e"), ("f32", "f"), ("f64", "d")):
        for name, place in integers.items():
            found += [(place, letter, f"cvt.{mode}.{name}.{kind}") for mode in ("rni", "rzi", "rmi", "rpi")]
            found += [(letter, place, f"cvt.{mode}.{kind}.{name}") for mode in _MODES]
    found += [("r", "f", f"cvt.rzi.ftz.{kind}.f32") for kind in ("s32", "u32")]
    return found


def _arithmetic() -> list[tuple[str, str, str]]:
    found = []
    for kind, mode in product(("f32", "f64"), _MODES):
        letter = _KINDS[kind]
        ends = (f"{mode}.{kind}", f"{mode}.{kind}", f"{mode}.ftz.{kind}") if kind == "f32" else (f"{mode}.{kind}",)
        for end in ends:
            found += [(letter, 2 * letter, f"{name}.{end}") for name in ("add", "sub", "mul", "div")]
            found += [(letter, letter, f"{name}.{end}") for name in ("sqrt", "rcp")]
            found.append((letter, 3 * letter, f"fma.{end}"))
    for name in ("add.rn", "mul.rz", "sub.rm.ftz"):
        found.append(("f", "ff", f"{name}.sat.f32"))
    found.append(("f", "fff", "fma.rn.sat.f32"))
    return found


def _choices() -> list[tuple[str, str, str]]:
    """Comparisons into registers, and choices."""
    found = [("f", "ffp", "selp.f32"), ("d", "ddp", "selp.f64"), ("f", "fff", "slct.f32.f32")]
    found += [("r", "rrr", "slct.u32.s32"), ("l", "llf", "slct.u64.f32"), ("d", "ddr", "slct.f64.s32")]
    found += [("e", "eep", "selp.b16"), ("b", "bbp", "selp.b16"), ("q", "qqp", "selp.b32")]
    found += [("f", "f", "mov.f32"), ("d", "d", "mov.f64"), ("e", "e", "mov.b16"), ("q", "q", "mov.b32")]
    found += [("b", "b", "mov.b16")]
    for kind, letter in (("u32", "r"), ("s32", "r"), ("s64", "l"), ("f32", "f"), ("f64", "d")):
        orders = _FLOAT_ORDERS if kind[0] == "f" else _ORDERS
        found += [("r", 2 * letter, f"set.{order}.u32.{kind}") for order in orders[::2]]
        found += [("f", 2 * letter, f"set.{order}.f32.{kind}") for order in orders[1::3]]
    found += [("e", "ee", "set.gtu.f16.f16"), ("r", "ee", "set.lt.u32.f16")]
    return found


def _comparisons() -> list[tuple[str, str, str]]:
    found = []
    for width, letter in _WIDTHS.items():
        for order in _ORDERS:
            found += [("p", 2 * letter, f"setp.{order}.{sign}{width}") for sign in "us"]
        found += [("p", 2 * letter, f"setp.{order}.u{width}") for order in ("lo", "ls", "hi", "hs")]
    for kind in ("f16", "f32", "f64"):
        found += [("p", 2 * _KINDS[kind], f"setp.{order}.{kind}") for order in _FLOAT_ORDERS]
    return [*found, ("p", "ff", "setp.lt.ftz.f32"), ("p", "ff", "setp.gt.ftz.f32")]


@cache
def forms() -> dict[str, dict[str, list[tuple[str, str]]]]:
    """Operands and names of the instructions, by the kind of their result and by opcode."""
    rows = _rows(_FIXED) + _conversions() + _arithmetic() + _choices() + _comparisons()
    for width, letter in _WIDTHS.items():
        for result, operands, name in _rows(_ANY_WIDTH + _WIDE * (width > 16)):
            rows.append((result.replace("*", letter), operands.replace("*", letter), name.replace("#", str(width))))
    table: dict[str, dict[str, list[tuple[str, str]]]] = {letter: {} for letter in LETTERS}
    for result, operands, name in rows:
        table[result].setdefault(name.partition(".")[0], []).append((operands, name))
    return table
