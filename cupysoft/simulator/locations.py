"""Where instructions come from: the line of source that ``.loc`` names, and the calls that were inlined there."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TypeAlias

from .ptx import Instruction, Lines

__all__ = ["Locations"]

#: File, line and column, as ``.loc`` writes them.
_Place: TypeAlias = "tuple[str, str, str]"

_LOC = re.compile(r"\.loc\s+(\d+)\s+(\d+)\s+(\d+)(?:.*\binlined_at\s+(\d+)\s+(\d+)\s+(\d+))?")
#: Calls in calls that are followed.
_DEEPEST = 32


class Locations:
    """What the ``.loc`` directives of one function say; `files` are the names that ``.file`` gives to numbers.

    A directive names the call that a line was inlined at, and a directive of its own says where that one was inlined.
    The compiler writes that one once. Where two calls lie at one place, as in a function that was inlined twice, it
    cannot be told which of them is meant: then the lines of the kernel follow that may have led there.
    """

    def __init__(self, files: dict[str, str]) -> None:
        self._files = files
        self.begin()

    def begin(self) -> None:
        """Begin a function."""
        self._call: _Place | None = None
        self.here: tuple[str, int] | None = None
        self._calls: dict[_Place, set[_Place | None]] = defaultdict(set)
        self._called: list[_Place | None] = []

    def read(self, directive: str) -> None:
        """Take a ``.loc``; line 0 is none."""
        match = _LOC.match(directive)
        if match is None:
            raise ValueError("unknown form of .loc")
        file, line, column, *caller = match.groups()
        self._call = (caller[0], caller[1], caller[2]) if caller[0] is not None else None
        self._calls[file, line, column].add(self._call)
        self.here = self._line((file, line, column))

    def note(self) -> None:
        """Take note of an instruction, the next one of the function."""
        self._called.append(self._call)

    def named(self, instructions: list[Instruction]) -> list[Instruction]:
        """Return the instructions of the function with their callers."""
        calls = set(self._called) - {None}
        if not calls:
            return instructions
        known = {call: self._chain(call) for call in calls}
        return [
            each.called_from(known[call]) if call is not None else each
            for each, call in zip(instructions, self._called, strict=True)
        ]

    def _chain(self, call: _Place | None) -> tuple[Lines, ...]:
        """The lines of a call and of those around it, as far as they are known."""
        found: list[Lines] = []
        while call is not None and len(found) < _DEEPEST and (line := self._line(call)) is not None:
            found.append((line[0], (line[1],)))
            around = self._calls.get(call, {None})
            if len(around) > 1:
                found += self._outermost(around)
                break
            (call,) = around
        return tuple(found)

    def _outermost(self, calls: set[_Place | None]) -> list[Lines]:
        """The lines that may have led to one of `calls` and were inlined nowhere, file by file."""
        seen: set[_Place | None] = {None}
        while new := calls - seen:
            seen |= new
            calls = {around for call in new if call is not None for around in self._calls.get(call, {None})}
        lines: dict[str, set[int]] = defaultdict(set)
        for call in seen - {None}:
            if call is not None and None in self._calls.get(call, {None}) and (line := self._line(call)) is not None:
                lines[line[0]].add(line[1])
        return [(file, tuple(sorted(numbers))) for file, numbers in lines.items()]

    def _line(self, place: _Place) -> tuple[str, int] | None:
        file = self._files.get(place[0])
        return (file, int(place[1])) if file and place[1] != "0" else None
