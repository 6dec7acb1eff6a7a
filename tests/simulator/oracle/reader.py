"""Reads PTX text, one statement a line, for the oracle: nothing but what generated programs are written in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["Function", "Statement", "Text", "Variable", "read", "width_of"]

_WIDTHS = {"pred": 1, "b8": 8, "u8": 8, "s8": 8, "bf16": 16, "f16x2": 32}
_DECLARED = re.compile(r"(?:\.extern )?\.(shared|local|global|const|param) (?:\.align \d+ )?\.(\w+) ([\w$]+)(.*)")
_FUNCTION = re.compile(r"(?:\.visible )?\.(entry|func) (?:\((.*?)\) )?(\w+)\((.*)\)")


def width_of(kind: str) -> int:
    """Bits of a PTX type."""
    return _WIDTHS.get(kind) or int(kind[1:])


@dataclass(frozen=True)
class Statement:
    """An instruction: ``@!p add.s32 a, b, c`` has the guard ``(p, False)`` and the parts ``add``, ``s32``."""

    parts: tuple[str, ...]
    operands: tuple[str, ...]
    guard: tuple[str, bool] | None
    text: str


@dataclass(frozen=True)
class Variable:
    """Memory with a name; its size is 0 where the launch gives it."""

    space: str
    size: int
    content: bytes


@dataclass
class Function:
    """A kernel or function: parameters and results with their widths, code, labels, tables of labels, variables."""

    parameters: dict[str, int]
    results: dict[str, int]
    code: list[Statement] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    registers: dict[str, int] = field(default_factory=dict)


@dataclass
class Text:
    """A module."""

    functions: dict[str, Function] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)


def read(ptx: str) -> Text:
    """Read a module; a line that is not understood raises ValueError."""
    module = Text()
    function: Function | None = None
    scopes: list[dict[str, str]] = []
    count = 0
    for line in (each.split("//")[0].strip() for each in ptx.splitlines()):
        if not line or line.startswith((".version", ".target", ".address_size")):
            continue
        if line == "{":
            count += 1
            scopes.append({})
        elif line == "}":
            scopes.pop()
            function = function if scopes else None
        elif match := _FUNCTION.fullmatch(line):
            function = Function(_formal(match[4]), _formal(match[2] or ""))
            module.functions[match[3]] = function
        elif function is None:
            name, variable = _variable(line)
            module.variables[name] = variable
        else:
            _inside(function, line, scopes, count)
    return module


def _formal(text: str) -> dict[str, int]:
    found = re.findall(r"\.param \.(\w+) ([\w$]+)", text)
    return {name: width_of(kind) // 8 for kind, name in found}


def _inside(function: Function, line: str, scopes: list[dict[str, str]], count: int) -> None:
    if line.endswith(":"):
        function.labels[line[:-1]] = len(function.code)
    elif ": .branchtargets " in line:
        name, _, labels = line.rstrip(";").partition(": .branchtargets ")
        function.tables[name] = [each.strip() for each in labels.split(",")]
    elif line.startswith(".reg "):
        _registers(function, line, scopes[-1], count)
    elif line.startswith("."):
        name, variable = _variable(line)
        function.variables[name] = variable
    else:
        function.code.append(_statement(line, scopes))


def _registers(function: Function, line: str, scope: dict[str, str], count: int) -> None:
    kind, names = line.rstrip(";").removeprefix(".reg .").split(" ", 1)
    for each in names.split(","):
        stem, _, number = each.strip().rstrip(">").partition("<")
        for name in [f"{stem}{k}" for k in range(int(number))] if number else [stem]:
            scope[name] = f"{name}/{count}"
            function.registers[scope[name]] = width_of(kind)


def _variable(line: str) -> tuple[str, Variable]:
    match = _DECLARED.fullmatch(line.rstrip(";"))
    if not match:
        raise ValueError(f"the oracle cannot read {line!r}")
    space, kind, name, rest = match.groups()
    extent, _, values = rest.partition("=")
    number = re.fullmatch(r"\[(\d*)\]", extent.strip())
    size = width_of(kind) // 8 * (int(number[1] or 0) if number else 1)
    items = [int(each, 0) for each in values.strip(" {}").split(",")] if values else []
    content = b"".join(each.to_bytes(width_of(kind) // 8, "little") for each in items)
    return name, Variable(space, size, content + bytes(size - len(content)))


def _statement(line: str, scopes: list[dict[str, str]]) -> Statement:
    text = re.sub(r"%?[A-Za-z_$][\w$]*", lambda match: _resolved(match[0], scopes), line)
    match = re.fullmatch(r"(?:@(!?)([%\w/]+) )?([\w.:]+)\s*(.*);", text)
    if not match:
        raise ValueError(f"the oracle cannot read {line!r}")
    guard = (match[2], not match[1]) if match[2] else None
    return Statement(tuple(match[3].split(".")), tuple(_split(match[4])), guard, line)


def _resolved(name: str, scopes: list[dict[str, str]]) -> str:
    """Return the register that a name means here; every other name stays."""
    return next((scope[name] for scope in reversed(scopes) if name in scope), name)


def _split(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"{": 1, "[": 1, "(": 1, "}": -1, "]": -1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [each.strip() for each in parts if each.strip()]
