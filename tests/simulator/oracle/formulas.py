"""Instructions that are functions of their operands: their types, and what they compute from bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from tests.simulator.oracle import floats, integers
from tests.simulator.oracle.reader import Statement, width_of
from tests.simulator.oracle.thread import Thread

__all__ = ["JOINED", "Formula", "formula_of", "kinds_of", "relation_of"]

_KINDS = (
    *(f"{letter}{width}" for letter in "bsu" for width in (8, 16, 32, 64)),
    *("f16", "bf16", "f32", "f64", "f16x2", "pred"),
)
#: What is computed from the thread and the bits of the operands.
Formula: TypeAlias = Callable[[Thread, list[int]], int]


def kinds_of(statement: Statement) -> list[str]:
    return [part for part in statement.parts if part in _KINDS]


def relation_of(statement: Statement, kind: str) -> Callable[[int, int], bool]:
    """Return the comparison of a ``set`` or ``setp`` of bits."""
    name = next(part for part in statement.parts[1:] if part[:2] in _ORDERS or part in _MORE)
    if kind in floats.FLOATS:
        flush = "ftz" in statement.parts
        return lambda a, b: floats.compare(name, floats.number_of(a, kind, flush), floats.number_of(b, kind, flush))
    width = width_of(kind)
    read = (lambda x: integers.signed(x, width)) if kind[0] == "s" else (lambda x: x)
    return lambda a, b: integers.compare(name, read(a), read(b))


_ORDERS = ("eq", "ne", "lt", "le", "gt", "ge")
_MORE = ("lo", "ls", "hi", "hs", "num", "nan")
JOINED: dict[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def formula_of(statement: Statement) -> tuple[list[str], Formula]:
    """Return the types of the result and of the operands, and the function."""
    parts, kinds = statement.parts, kinds_of(statement)
    opcode, kind = parts[0], kinds[-1]
    same = [kind] * 6
    match opcode:
        case "mov":
            return same, lambda thread, x: x[0]
        case "selp":
            return [kind, kind, kind, "pred"], lambda thread, x: x[0] if x[2] else x[1]
        case "slct":
            first = kinds[0]
            return [
                first,
                first,
                first,
                kind,
            ], lambda thread, x: x[0] if _positive(x[2], kind, "ftz" in parts) else x[1]
        case "set":
            return _set(statement, kinds)
        case "testp":
            return ["pred", kind], lambda thread, x: int(_tested(parts[1], x[0], kind))
        case "cvt" if parts[1] != "pack":
            return _conversion(statement, kinds)
    if parts[0] in ("addc", "subc", "madc") or "cc" in parts:
        return same, _carried(statement, kind)
    if kind == "pred":
        return same, lambda thread, x: JOINED[opcode](x[0], x[1]) if opcode in JOINED else 1 - x[0]
    if kind in floats.FLOATS:
        return same, lambda thread, x: floats.compute(parts, kind, x)
    if kind == "f16x2":
        return same, lambda thread, x: _both(lambda half: floats.compute(parts, "f16", half), x)
    return _integer_types(opcode, parts, kind), lambda thread, x: integers.compute(parts, kind, width_of(kind), x)


def _integer_types(opcode: str, parts: tuple[str, ...], kind: str) -> list[str]:
    if opcode in ("shl", "shr"):
        return [kind, kind, "u32"]
    if opcode in ("bfe", "bfi"):
        return [kind, *[kind] * (opcode == "bfi"), kind, "u32", "u32"]
    if opcode in ("popc", "clz", "bfind"):
        return ["u32", kind]
    if opcode == "cvt":  # cvt.pack
        return ["b32", "s32", "s32", "b32"]
    if "wide" in parts:
        wide = f"{kind[0]}{2 * width_of(kind)}"
        return [wide, kind, kind, wide]
    return [kind] * 6


def _both(formula: Callable[[list[int]], int], x: list[int]) -> int:
    """Apply a formula to the lower and the upper halves."""
    return formula([each & 0xFFFF for each in x]) | formula([each >> 16 for each in x]) << 16


def _positive(x: int, kind: str, flush: bool) -> bool:
    return floats.number_of(x, kind, flush) >= 0 if kind in floats.FLOATS else integers.signed(x, width_of(kind)) >= 0


def _set(statement: Statement, kinds: list[str]) -> tuple[list[str], Formula]:
    target, source = kinds
    relation = relation_of(statement, source)
    true = {"f32": 0x3F800000, "f16": 0x3C00, "bf16": 0x3F80}.get(target, -1)
    join = next((JOINED[part] for part in statement.parts if part in JOINED), lambda a, b: a)
    return [target, source, source, "pred"], lambda thread, x: true * join(relation(x[0], x[1]), x[-1])


def _tested(name: str, bits: int, kind: str) -> bool:
    x = floats.number_of(bits, kind)
    tiny = 2.0 ** (-126 if kind == "f32" else -1022)
    return {
        "finite": math.isfinite(x),
        "infinite": math.isinf(x),
        "number": not math.isnan(x),
        "notanumber": math.isnan(x),
        "normal": math.isfinite(x) and (x == 0 or abs(x) >= tiny),
        "subnormal": 0 < abs(x) < tiny,
    }[name]


def _conversion(statement: Statement, kinds: list[str]) -> tuple[list[str], Formula]:
    target, source = kinds
    parts = statement.parts
    if target == "f16x2":  # the first operand goes to the upper half
        high_low = ["b32", "f32", "f32"]
        return (
            high_low,
            lambda thread, x: (
                floats.convert(parts, "f16", "f32", x[0]) << 16 | floats.convert(parts, "f16", "f32", x[1])
            ),
        )
    return [target, source], lambda thread, x: floats.convert(parts, target, source, x[0])


def _carried(statement: Statement, kind: str) -> Formula:
    """Sums that read or leave the carry; that of a difference says that nothing was borrowed."""
    parts, width = statement.parts, width_of(kind)
    takes, leaves = parts[0].endswith("c"), "cc" in parts
    mask = (1 << width) - 1

    def formula(thread: Thread, x: list[int]) -> int:
        name = parts[0].rstrip("c")
        if name == "mad":
            a, b = (integers.signed(each, width) for each in x[:2]) if kind[0] == "s" else x[:2]
            x = [(a * b >> (width if "hi" in parts else 0)) & mask, x[2]]
        carry = thread.carry if takes else int(name == "sub")
        total = x[0] + (x[1] ^ mask if name == "sub" else x[1]) + carry
        if leaves:
            thread.carry = total >> width
        return total

    return formula
