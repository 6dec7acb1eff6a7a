"""Loads, stores, atomics and address conversions of the oracle."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.simulator.oracle.integers import signed
from tests.simulator.oracle.reader import Statement, width_of
from tests.simulator.oracle.thread import LOCAL, SHARED, Operand, Step, Thread, Write, operand

__all__ = ["address_space", "atomic", "items", "load", "put", "store"]

_BASES = {"shared": SHARED, "local": LOCAL}


def items(text: str) -> list[str]:
    """Return the operands that braces hold, or the one that there is."""
    return [each.strip() for each in text.strip("{}").split(",")]


def put(name: str, widths: dict[str, int], kind: str) -> Write:
    """Return what writes bits of `kind` into a register: cut, or widened with the sign of a signed type."""
    narrow = width_of(kind)
    width = widths[name]
    mask = (1 << min(narrow, width)) - 1
    full = (1 << width) - 1

    def write(thread: Thread, value: int) -> None:
        value &= mask
        thread.registers[name] = signed(value, narrow) & full if kind[0] == "s" and width > narrow else value

    return write


def _place(text: str, space: str) -> Operand:
    """Return what computes the generic address of ``[base+offset]``."""
    match = re.fullmatch(r"\[([^\]+]+)(?:\+(-?\d+))?\]", text)
    assert match, text
    base, offset = operand(match[1], 64), int(match[2] or 0)
    start = _BASES.get(space, 0)
    return lambda thread: base(thread) + offset + start


def _space(statement: Statement) -> str:
    return next((part for part in statement.parts if part in ("global", "shared", "local", "const", "param")), "")


def load(statement: Statement, widths: dict[str, int]) -> Step:
    """``ld``."""
    kind, space = statement.parts[-1], _space(statement)
    targets = [put(name, widths, kind) for name in items(statement.operands[0])]
    size = width_of(kind) // 8
    if space == "param":
        return _load_parameter(statement.operands[1], targets, size)
    place = _place(statement.operands[1], space)

    def step(thread: Thread) -> None:
        found = thread.memory.at(place(thread), size * len(targets))
        for k, target in enumerate(targets):
            target(thread, int.from_bytes(found[size * k : size * (k + 1)], "little"))

    return step


def _load_parameter(text: str, targets: list[Write], size: int) -> Step:
    name = text.strip("[]")

    def step(thread: Thread) -> None:
        targets[0](thread, int.from_bytes(thread.frames[-1].parameters[name][:size], "little"))

    return step


def store(statement: Statement) -> Step:
    """``st``."""
    kind, space = statement.parts[-1], _space(statement)
    width = width_of(kind)
    sources = [operand(name, width) for name in items(statement.operands[1])]
    if space == "param":
        name = statement.operands[0].strip("[]")

        def pass_on(thread: Thread) -> None:
            thread.frames[-1].parameters[name] = bytearray(sources[0](thread).to_bytes(width // 8, "little"))

        return pass_on
    place = _place(statement.operands[0], space)

    def step(thread: Thread) -> None:
        content = b"".join(source(thread).to_bytes(width // 8, "little") for source in sources)
        thread.memory.at(place(thread), len(content))[:] = content

    return step


def atomic(statement: Statement, widths: dict[str, int]) -> Step:
    """``atom`` and ``red`` of integers."""
    kind, width = statement.parts[-1], width_of(statement.parts[-1])
    operands = list(statement.operands)
    target = put(operands.pop(0), widths, kind) if statement.parts[0] == "atom" else None
    place = _place(operands[0], _space(statement))
    sources = [operand(text, width) for text in operands[1:]]
    name = next(part for part in statement.parts if part in _UPDATES)

    def step(thread: Thread) -> None:
        memory = thread.memory.at(place(thread), width // 8)
        old = int.from_bytes(memory, "little")
        numbers = [old, *(source(thread) for source in sources)]
        if kind[0] == "s":
            numbers = [signed(x, width) for x in numbers]
        memory[:] = (_UPDATES[name](*numbers) & (1 << width) - 1).to_bytes(width // 8, "little")
        if target is not None:
            target(thread, old)

    return step


_UPDATES: dict[str, Callable[..., int]] = {
    "add": lambda old, x: old + x,
    "min": lambda old, x: min(old, x),
    "max": lambda old, x: max(old, x),
    "and": lambda old, x: old & x,
    "or": lambda old, x: old | x,
    "xor": lambda old, x: old ^ x,
    "exch": lambda old, x: x,
    "cas": lambda old, x, y: y if old == x else old,
    "inc": lambda old, x: 0 if old >= x else old + 1,
    "dec": lambda old, x: x if old == 0 or old > x else old - 1,
}


def address_space(statement: Statement, widths: dict[str, int]) -> Step:
    """``cvta``: between the addresses of a space and generic ones."""
    base = next((_BASES[part] for part in statement.parts if part in _BASES), 0)
    base = -base if "to" in statement.parts else base
    source = operand(statement.operands[1], 64)
    target = put(statement.operands[0], widths, "u64")

    def step(thread: Thread) -> None:
        target(thread, source(thread) + base)

    return step
