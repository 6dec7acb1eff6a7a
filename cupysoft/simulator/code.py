"""The text of one LLVM function, written in strips.

A warp's 32 lanes are held as strips of ``W`` lanes. Instructions that treat each lane
alone are collected strip by strip and put out one whole strip after the other: that halves
the values alive at a time, which matters more to the machine code than anything else.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["LANES", "Code"]

#: Lanes of a warp.
LANES = 32


class Code:
    """Lines of a function, in three kinds of run.

    Scalar lines that need no strip come first, then the lines of each strip, until
    something that needs all of them (`line`, `label`) ends the run.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.strips = LANES // width
        self._lines: list[str] = []
        self._scalars: list[str] = []
        self._runs: list[list[str]] = [[] for _ in range(self.strips)]
        self._count = 0

    def fresh(self, stem: str = "v") -> str:
        """Return a name that was not used before, without its sigil."""
        self._count += 1
        return f"{stem}{self._count}"

    def scalar(self, text: str) -> str:
        """Name the result of a line that depends on no strip of the current run."""
        name = f"%{self.fresh()}"
        self._scalars.append(f"  {name} = {text}")
        return name

    def strip(self, index: int, text: str) -> str:
        """Name the result of a line of one strip."""
        name = f"%{self.fresh()}"
        self._runs[index].append(f"  {name} = {text}")
        return name

    def strip_effect(self, index: int, text: str) -> None:
        """Add a line without a result to one strip."""
        self._runs[index].append(f"  {text}")

    def each(self, text: Callable[[int], str]) -> tuple[str, ...]:
        """Name the results of one line a strip."""
        return tuple(self.strip(index, text(index)) for index in range(self.strips))

    def flush(self) -> None:
        """End the current run."""
        for run in (self._scalars, *self._runs):
            self._lines.extend(run)
            run.clear()

    def effect(self, text: str) -> None:
        """Add a line that needs everything before it and has no result."""
        self.flush()
        self._lines.append(f"  {text}")

    def line(self, text: str) -> str:
        """Name the result of a line that needs everything before it."""
        name = f"%{self.fresh()}"
        self.effect(f"{name} = {text}")
        return name

    def label(self, name: str) -> None:
        """Begin a block of LLVM."""
        self.flush()
        self._lines.append(f"{name}:")

    def take(self) -> str:
        """Return everything written so far, and begin anew."""
        self.flush()
        text = "\n".join(self._lines)
        self._lines.clear()
        return text
