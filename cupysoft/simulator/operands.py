"""Reads the operands of an instruction."""

from __future__ import annotations

import re
from collections.abc import Callable, Container

from .literals import integer
from .ptx import (
    Address,
    Immediate,
    Negated,
    Operand,
    Pair,
    Register,
    Sink,
    Special,
    Symbol,
    Vector,
)

__all__ = ["operands", "split"]

_BRACKET = re.compile(r"[\[{(]")
_NUMBER = re.compile(r"[+-]?(\d|\.\d)")
_OFFSET = re.compile(r"(.+?)\s*([+-])\s*(-?\w+)$")


def split(text: str) -> list[str]:
    """Split at the commas that no bracket holds."""
    if not _BRACKET.search(text):
        parts = [part.strip() for part in text.split(",")]
        return parts if any(parts) or parts[1:] else []
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        elif character == "," and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
    last = text[start:].strip()
    return [*parts, last] if last or parts else []


def operands(
    text: str, unique: Callable[[str], str], registers: Container[str], known: dict[str, Operand]
) -> tuple[Operand, ...]:
    """Read what follows the opcode.

    Parameters
    ----------
    text : str
        Operands, separated by commas.
    unique : callable
        Gives the unique name of a name as written.
    registers : container of str
        Unique names of the declared registers.
    known : dict
        Operands that were read where names mean the same, by how they are written; those read here are added.
    """
    found = []
    for part in split(text):
        operand = known.get(part)
        if operand is None:
            operand = known[part] = _operand(part, unique, registers)
        found.append(operand)
    return tuple(found)


def _operand(text: str, unique: Callable[[str], str], registers: Container[str]) -> Operand:
    if text[0] in "{(":
        return _vector(text[1:-1], unique, registers)
    if text[0] == "[":
        inside = text[1:-1].strip()
        # A texture or a tensor, and where in it: whether anybody knows the instruction is for others to say.
        return (_vector if split(inside)[1:] else _address)(inside, unique, registers)
    if "|" in text:
        first, second = text.split("|")
        return Pair(_operand(first.strip(), unique, registers), _operand(second.strip(), unique, registers))
    if text[0] == "!":
        return Negated(Register(unique(text[1:].strip())))
    if text == "_":
        return Sink()
    if text == "WARP_SZ":
        return Immediate("32")
    if _NUMBER.match(text):
        return Immediate(text)
    name = unique(text)
    if name in registers:
        return Register(name)
    if text[0] == "%":
        return Special(text)
    match = _OFFSET.match(text)
    if match:
        return Symbol(unique(match[1]), _signed(match[2], match[3]))
    return Symbol(name)


def _vector(text: str, unique: Callable[[str], str], registers: Container[str]) -> Vector:
    return Vector(tuple(_operand(part, unique, registers) for part in split(text)))


def _address(text: str, unique: Callable[[str], str], registers: Container[str]) -> Address:
    offset = 0
    match = _OFFSET.match(text)
    if match:
        text, offset = match[1], _signed(match[2], match[3])
    base = _operand(text, unique, registers)
    if not isinstance(base, Register | Symbol | Immediate):
        raise ValueError(f"{text!r} is no address")
    return Address(base, offset)


def _signed(sign: str, digits: str) -> int:
    value = integer(digits)
    return -value if sign == "-" else value
