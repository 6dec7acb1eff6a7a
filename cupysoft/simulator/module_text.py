"""The text of an LLVM module: declarations, helper functions, scratch buffers."""

from __future__ import annotations

__all__ = ["ModuleText"]


class ModuleText:
    """Collects what the functions of a module need beside themselves; `architecture` is that of the PTX."""

    def __init__(self, width: int, architecture: int) -> None:
        self.width = width
        self.architecture = architecture
        self.buffers: dict[str, int] = {}
        self._functions: dict[str, str] = {}
        self._declarations: dict[str, None] = {}

    def declare(self, text: str) -> None:
        """Add a declaration, once."""
        self._declarations[text] = None

    def function(self, name: str, text: str) -> str:
        """Add a helper function, once, and return its name with the sigil."""
        self._functions.setdefault(name, text)
        return f"@{name}"

    def has(self, name: str) -> bool:
        """Tell whether a helper function of this name was added."""
        return name in self._functions

    def buffer(self, name: str, size: int) -> str:
        """Ask for scratch memory in the frame of ``step``; the greatest size asked for wins."""
        self.buffers[name] = max(size, self.buffers.get(name, 0))
        return f"%{name}"

    def text(self, *functions: str) -> str:
        """Return the module with `functions` as its main part."""
        return "\n".join([*self._declarations, *self._functions.values(), *functions, ""])
