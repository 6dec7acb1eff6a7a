"""Which header files a user's code pulls in from the user's own folders: their content is part of a compilation's key.

Headers of CUDA itself are not looked at; their version stands for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

__all__ = ["include_folders", "included"]

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.M)
_JOINED = re.compile(r"(?:-I|--include-path=|--include-path\s|-I\s)\s*(.+)")


def include_folders(options: Sequence[str]) -> tuple[str, ...]:
    """Folders that options name for headers, in NVRTC's spellings: ``-Ipath``, ``--include-path=path``, two words."""
    found = []
    words = iter(options)
    for word in words:
        if word in ("-I", "--include-path"):
            found.append(next(words, ""))
        elif match := _JOINED.match(word):
            found.append(match[1])
    return tuple(found)


def included(code: str, folders: Sequence[str]) -> tuple[bytes, ...]:
    """Path and content of every header that `code` pulls in from `folders`, directly or through another header.

    Conditions are not evaluated: a header too many only costs a compilation.
    """
    seen: dict[Path, bytes] = {}
    pending = [(code, Path())]
    while pending:
        text, here = pending.pop()
        for name in _INCLUDE.findall(text):
            for folder in (here, *map(Path, folders)):
                path = folder / name
                if path in seen:
                    break
                if path.is_file():
                    seen[path] = path.read_bytes()
                    pending.append((seen[path].decode(errors="replace"), path.parent))
                    break
    return tuple(part for path in sorted(seen) for part in (str(path).encode(), seen[path]))
