"""What the source of a kernel calls its parameters, for messages: PTX has forgotten it."""

from __future__ import annotations

import re

__all__ = ["formal_names"]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
#: A name behind its type.
_NAME = re.compile(r"[\w>*&][\s*&]\s*([A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*)*$|[*&>]([A-Za-z_]\w*)\s*$")
#: What ends a type where there is no name.
_TYPES = frozenset(("int", "char", "short", "long", "unsigned", "signed", "float", "double", "const", "__restrict__"))


def formal_names(code: str | None, name: str) -> tuple[str, ...]:
    """The names of a kernel's parameters; nothing where its source does not show them.

    Parameters
    ----------
    code : str or None
        CUDA C++.
    name : str
        The kernel: a name, or an expression such as ``space::f<float, 3>``.
    """
    if code is None:
        return ()
    text = _COMMENT.sub(" ", code)
    plain = re.split(r"[<(]", name)[0].split("::")[-1].strip()
    for match in re.finditer(rf"\b{re.escape(plain)}\s*\(", text):
        before = re.split(r"[;{}]", text[: match.start()])[-1]
        given = _inside(text, match.end())
        if "__global__" in before and given is not None:
            found = [_name(part.partition("=")[0].strip()) for part in _parts(given)]
            if all(found):
                return tuple(found)
    return ()


def _name(parameter: str) -> str:
    """The name of a parameter, nothing where it has none."""
    match = _NAME.search(parameter)
    name = (match[1] or match[2]) if match else ""
    return "" if name in _TYPES else name


def _inside(text: str, start: int) -> str | None:
    """The text up to the parenthesis that closes."""
    depth = 1
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if not depth:
            return text[start:place]
    return None


def _parts(text: str) -> list[str]:
    """Cut at the commas that are in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, "[": 1, "<": 1, "{": 1, ")": -1, "]": -1, ">": -1, "}": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts if text.strip() else []
