"""Reads PTX text into a `Module`.

PTX is a list of statements that end in ``;`` inside braces, besides a few directives that
end with their line. Registers declared in an inner scope hide outer ones of the same name;
they are renamed so that a name is unique in its function.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ..errors import SimulatorError
from .declarations import parameters, variable
from .indirect import number_functions
from .locations import Locations
from .operands import operands
from .ptx import Function, Instruction, Label, Module, Operand, Register, Symbol

__all__ = ["parse"]

_LINE_DIRECTIVES = (".version", ".target", ".address_size", ".file", ".loc")
_HEADER = re.compile(r"(?:\.(?:visible|extern|weak|common)\s+)*\.(entry|func)\b(.*)", re.DOTALL)
_VARIABLE = re.compile(r"(?:\.(?:visible|extern|weak|common)\s+)*\.(?:global|const|shared|local|param)\b")
#: One statement that ends with the line.
_WHOLE = re.compile(r"[^;{}]+;$")
_LABEL = re.compile(r"\s*([\w$%.]+)\s*:(?!:)")
_TARGETS = re.compile(r"([\w$]+)\s*:\s*\.branchtargets\s+(.*)")
_CALLED = re.compile(r"[\w$]+\s*:\s*\.call")
_OPCODE = re.compile(r"[\w.:]+")
_LIMITS = re.compile(r"\.(maxntid|reqntid|minnctapersm|maxnreg)\s+([\d,\s]+)")


def parse(text: str) -> Module:
    """Parse a PTX module.

    Raises
    ------
    SimulatorError
        If the text is not PTX that the parser understands; the message has the line.
    """
    return _Parser().run(text)


@dataclass(slots=True)
class _Scope:
    """Names declared between two braces, with the unique names they stand for."""

    suffix: str
    first: int = 0  # instructions of the function before the brace
    names: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)


class _Parser:
    def __init__(self) -> None:
        self.module = Module()
        self.locations = Locations({})
        self.function: Function | None = None
        self.scopes: list[_Scope] = []
        self.scope_count = 0
        self.known: dict[str, Operand] = {}  # as they are written, where names mean the same
        self.pending = ""
        self.pending_line = 0
        self.nested = 0  # braces open inside the pending statement
        self.section = False

    def run(self, text: str) -> Module:
        self.locations = Locations(dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', text, re.MULTILINE)))
        text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
        for number, line in enumerate(text.rstrip("\0").splitlines(), 1):
            try:
                self._line(line, number)
            except SimulatorError:
                raise
            except (ValueError, IndexError, KeyError) as error:
                raise SimulatorError(f"PTX line {number} cannot be read: {line.strip()!r} ({error})") from error
        number_functions(self.module)
        return self.module

    def _line(self, line: str, number: int) -> None:
        comment = line.find("//")
        if comment >= 0 and line.count('"', 0, comment) % 2 == 0:
            line = line[:comment]
        stripped = line.strip()
        if not self.pending and stripped.partition(" ")[0].partition("\t")[0] in _LINE_DIRECTIVES:
            self._directive(stripped)
        elif self.section or (not self.pending and stripped.startswith(".section")):
            self.section = "}" not in stripped
        elif not self.pending and _WHOLE.match(stripped):
            self._whole(stripped[:-1], number)
        elif stripped:
            self._statements(line, number)

    def _directive(self, text: str) -> None:
        words = text.split()
        if words[0] == ".target":
            self.module.target = words[1].rstrip(",")
        elif words[0] == ".loc":
            self.locations.read(text)

    def _whole(self, statement: str, number: int) -> None:
        """Read a line that is one statement, as most are."""
        self.pending_line = number
        self._statement(" ".join(self._labels(statement).split()))

    def _statements(self, line: str, number: int) -> None:
        """Cut a line at the braces and semicolons that end statements."""
        for piece in re.split(r"([;{}])", line):
            if piece == ";" and not self.nested:
                self._statement(" ".join(self.pending.split()))
                self.pending = ""
            elif piece == "{" and self._opens_scope():
                self._open()
                self.pending = ""
            elif piece == "}" and not self.nested and not self.pending.strip():
                self._close()
            else:
                self.nested += {"{": 1, "}": -1}.get(piece, 0)
                if not self.pending.strip():
                    piece, self.pending_line = self._labels(piece), number
                self.pending += piece
        self.pending = self.pending + " " if self.pending.strip() else ""

    def _labels(self, piece: str) -> str:
        """Take the labels off the start of a statement."""
        while self.function is not None and (match := _LABEL.match(piece)):
            rest = piece[match.end() :]
            if rest.strip().startswith((".branchtargets", ".calltargets", ".callprototype")):
                return piece
            scope = self.scopes[-1]
            scope.labels[match[1]] = match[1] + scope.suffix
            self.function.labels[match[1] + scope.suffix] = len(self.function.instructions)
            piece = rest
        return piece

    def _opens_scope(self) -> bool:
        if self.nested:
            return False
        pending = self.pending.strip()
        return not pending or _HEADER.match(pending) is not None

    def _open(self) -> None:
        self.known.clear()
        header = _HEADER.match(self.pending.strip())
        if header:
            self.function = self._header(header[1], header[2])
            self.locations.begin()
            self.scope_count = 0
            self.scopes = [_Scope("")]
        else:
            self.scope_count += 1
            first = len(self.function.instructions) if self.function else 0
            self.scopes.append(_Scope(f"#{self.scope_count}", first))

    def _close(self) -> None:
        self.known.clear()
        scope = self.scopes.pop()
        if self.scopes and scope.labels and self.function is not None:
            code, tables = self.function.instructions, self.function.branch_targets
            code[scope.first :] = [_aimed(each, scope.labels) for each in code[scope.first :]]
            for name in scope.tables:
                tables[name] = tuple(scope.labels.get(label, label) for label in tables[name])
        if not self.scopes and self.function is not None:
            self.function.instructions = self.locations.named(self.function.instructions)
            self.module.functions[self.function.name] = self.function
            self.function = None

    def _header(self, kind: str, text: str) -> Function:
        """Read ``(results) name (parameters) directives``; each list may be missing."""
        match = re.match(r"\s*(?:\(([^)]*)\))?\s*([\w$]+)\s*(?:\(([^)]*)\))?(.*)", text, re.DOTALL)
        if not match:
            raise ValueError("a function without a name")
        results, name, formal, rest = match.groups()
        limits = {key: tuple(int(each) for each in value.split(",")) for key, value in _LIMITS.findall(rest)}
        return Function(name, kind == "entry", parameters(formal), parameters(results), directives=limits)

    def _statement(self, text: str) -> None:
        if not text:
            return
        if self.function is None:
            self._declaration(text)
        elif text.startswith(".reg"):
            self._registers(text)
        elif _VARIABLE.match(text):
            self._local_variable(text)
        elif targets := _TARGETS.match(text):
            self.known.clear()
            names = tuple(each.strip() for each in targets[2].split(","))
            scope = self.scopes[-1]
            scope.names[targets[1]] = targets[1] + scope.suffix
            scope.tables.append(targets[1] + scope.suffix)
            self.function.branch_targets[targets[1] + scope.suffix] = names
        elif not text.startswith((".pragma", ".alias")) and not _CALLED.match(text):
            self._instruction(text)

    def _declaration(self, text: str) -> None:
        """Read a statement outside functions: a variable, or a prototype that needs no note."""
        if _VARIABLE.match(text):
            declared = variable(text)
            self.module.variables[declared.name] = declared
        elif not _HEADER.match(text) and not text.startswith((".pragma", ".alias")):
            raise ValueError("unknown statement outside a function")

    def _registers(self, text: str) -> None:
        assert self.function is not None
        self.known.clear()
        match = re.match(r"\.reg\s*((?:\.\w+\s*)+)(.*)", text)
        if not match or ".v" in match[1]:
            raise ValueError("unknown form of .reg")
        type_ = match[1].strip().split(".")[-1].strip()
        for each in match[2].split(","):
            name, _, count = each.strip().partition("<")
            names = [f"{name}{number}" for number in range(int(count.rstrip(">")))] if count else [name]
            for one in names:
                unique = one + self.scopes[-1].suffix
                self.scopes[-1].names[one] = unique
                self.function.registers[unique] = type_

    def _local_variable(self, text: str) -> None:
        assert self.function is not None
        self.known.clear()
        declared = variable(text, rename=lambda name: name + self.scopes[-1].suffix)
        self.scopes[-1].names[declared.name.removesuffix(self.scopes[-1].suffix)] = declared.name
        self.function.variables[declared.name] = declared

    def _unique(self, name: str) -> str:
        """Return the unique name of a register or variable that a scope declared, else `name`."""
        for scope in reversed(self.scopes):
            if name in scope.names:
                return scope.names[name]
        return name

    def _instruction(self, text: str) -> None:
        assert self.function is not None
        body, predicate, negated = text, None, False
        if text.startswith("@"):
            guard, body = text[1:].split(None, 1)
            negated = guard.startswith("!")
            predicate = Register(self._unique(guard.lstrip("!")))
        match = _OPCODE.match(body)
        if not match:
            raise ValueError("neither an instruction nor a directive")
        opcode, *modifiers = match[0].split(".")
        parsed = operands(body[match.end() :], self._unique, self.function.registers, self.known)
        here = self.locations.here
        self.function.instructions.append(
            Instruction(opcode, tuple(modifiers), parsed, predicate, negated, self.pending_line, here, text)
        )
        self.locations.note()


def _aimed(instruction: Instruction, labels: dict[str, str]) -> Instruction:
    """Point a branch to a label of its own scope."""
    if instruction.opcode != "bra":
        return instruction
    target = instruction.operands[0]
    assert isinstance(target, Label | Symbol)
    if target.name not in labels:
        return instruction
    return replace(instruction, operands=(Label(labels[target.name]),))
