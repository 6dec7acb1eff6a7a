"""The functions that kernels have in common: compiled once, and linked to every kernel that calls them.

A kernel's module has a hundred functions beside the kernel itself: checks, counters, the driver's steps. Their texts
are the same in nearly all kernels, so each of them becomes an object file of its own, known by its text and by the
texts of what it calls. What is to be inlined stays where it is called from, and what calls the kernel stays with the
kernel.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Common", "divided"]

_START = re.compile(r"(?m)^(?=define )")
_NAME = re.compile(r"@([\w.$-]+)")
_INTERNAL = "define internal "
#: The functions that are translated from a kernel. The first two are megabytes, which nobody need look through.
_KERNEL = ("step", "fast", "run")


@dataclass(frozen=True)
class Common:
    """A function with the module that defines it; `key` stands for its text and the texts below it.

    `calls` has the functions that it calls and that have modules of their own.
    """

    name: str
    text: str
    key: str
    calls: tuple[Common, ...]


def divided(text: str) -> tuple[str, tuple[Common, ...]]:
    """Return a kernel's module without the functions that it has in common with others, and those."""
    start = _START.search(text)
    if start is None:
        return text, ()
    definitions = {_name(part): part for part in _START.split(text[start.start() :]) if part}
    return _Division(text[: start.start()], definitions).result()


class _Division:
    def __init__(self, head: str, definitions: dict[str, str]) -> None:
        self.head = head
        self.declarations = {_name(line): line for line in head.splitlines() if line.startswith("declare ")}
        self.definitions = definitions
        self.names = {
            name: [each for each in dict.fromkeys(_NAME.findall(part)) if each != name]
            for name, part in definitions.items()
            if name not in _KERNEL
        }
        self.inlined = {name for name in self.names if "alwaysinline" in definitions[name].partition("{\n")[0]}
        self.own = self._own()
        self.made: dict[str, Common] = {}

    def _own(self) -> set[str]:
        """The functions of the kernel: its translation, and all that calls it, directly or not."""
        own = set(_KERNEL)
        while more := {name for name, named in self.names.items() if name not in own and not own.isdisjoint(named)}:
            own |= more
        return own

    def result(self) -> tuple[str, tuple[Common, ...]]:
        taken = [name for name in self.names if name not in self.own | self.inlined]
        kept = [part for name, part in self.definitions.items() if name not in taken]
        head = [self.head, *(_declaration(self.definitions[name]) for name in taken)]
        return "\n".join([*head, *kept]), tuple(map(self._common, taken))

    def _common(self, name: str) -> Common:
        if name not in self.made:
            named = sorted(self._named(name))
            calls = tuple(self._common(each) for each in named if each in self.names and each not in self.inlined)
            lines = [
                *(self.declarations[each] for each in named if each in self.declarations),
                *(_declaration(self.definitions[each.name]) for each in calls),
                *(self.definitions[each] for each in named if each in self.inlined),
                self.definitions[name].replace(_INTERNAL, "define ", 1),
            ]
            text = "\n".join(lines)
            key = hashlib.sha256("\0".join([text, *(each.key for each in calls)]).encode()).hexdigest()
            self.made[name] = Common(name, text, key, calls)
        return self.made[name]

    def _named(self, name: str) -> Iterator[str]:
        """What the module of a function must know: all that it names, and that those name that are inlined."""
        found: set[str] = set()
        open_ = [name]
        while open_:
            for each in self.names[open_.pop()]:
                if each not in found:
                    found.add(each)
                    yield each
                    if each in self.inlined:
                        open_.append(each)


def _name(part: str) -> str:
    found = _NAME.search(part)
    assert found is not None, part[:100]
    return found[1]


def _declaration(definition: str) -> str:
    """The head of a definition, up to the end of its parameters."""
    depth = 0
    for match in re.finditer(r"[()]", definition):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return "declare " + definition[len(_INTERNAL) : match.end()]
    raise ValueError(definition[:100])
