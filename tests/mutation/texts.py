"""Source texts in which a number, given at run time, chooses between what stands there and its mutants.

    if (row >= rows) return;        if ((mutant(17) ? false : bool(row >= rows))) return;

The number comes as the count of multiprocessors, `%nsmid`, which no kernel asks for. Another text notes which mutants
would decide anything otherwise:

    if (noted(bool(row >= rows), -1, 17)) return;
"""

from __future__ import annotations

import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cupysoft.runtime import sources
from tests.mutation.run import Mutant
from tests.mutation.sites import Site

__all__ = ["SEEN", "Texts", "text_of_all"]

_FIRST = 2
"""The number of the first mutant: a simulated device has one multiprocessor."""

SEEN = "_seen"
"""How the names of variables end in which is noted what would have been otherwise."""

_CHOOSE = """
__device__ __forceinline__ bool {name}(int number) {{
    int given;
    asm("mov.u32 %0, %%nsmid;" : "=r"(given));
    return given == number;
}}
"""
# Which one, if any, would have had another value here.
_NOTE = """
__device__ unsigned char {name}_seen[{count}];
__device__ __forceinline__ bool {name}(bool value, int if_false, int if_true) {{
    const int number = value ? if_true : if_false;
    asm volatile("{{ .reg .pred p; setp.ge.s32 p, %0, 0; @p st.global.u8 [%1], %2; }}"
                 ::"r"(number), "l"({name}_seen + number), "r"(1));
    return value;
}}
"""
_PLACE = re.compile(r"^(\S+?\.cuh?)\((\d+)\): error", re.M)


def text_of_all(text: str, mutants: Sequence[tuple[int, Site]], name: str, *, noted: bool = False) -> str:
    """Give a source text in which numbers choose between a predicate and its mutants.

    Parameters
    ----------
    text : str
    mutants : sequence of (int, Site)
        What numbers choose.
    name : str
        Of the function that compares numbers.
    noted : bool
        Whether nothing is chosen, and it is noted which mutants would have made a difference.
    """
    spans: dict[tuple[int, int], dict[str, int]] = defaultdict(dict)
    for number, site in mutants:
        spans[site.start, site.end][site.put] = number
    outer_first = sorted(spans, key=lambda span: (span[0], -span[1]))

    def between(start: int, end: int, inside: list[tuple[int, int]]) -> str:
        done, place = "", start
        while inside:
            first, last = span = inside[0]
            nested = [each for each in inside[1:] if each[1] <= last]
            inside = inside[1 + len(nested) :]
            value = f"bool({between(first, last, nested)})"
            if noted:
                numbers = ", ".join(str(spans[span].get(put, -1)) for put in ("true", "false"))
                value = f"{name}({value}, {numbers})"
            else:
                value = "".join(f"{name}({number}) ? {put} : " for put, number in spans[span].items()) + value
            done += f"{text[place:first]}({value})"
            place = last
        return done + text[place:end]

    count = 1 + max(number for number, _ in mutants)
    head = (_NOTE if noted else _CHOOSE).format(name=name, count=count).replace("\n", " ")
    return f"{head} {between(0, len(text), outer_first)}"


class Texts:
    """The kernels with all mutants that compile together, in two folders: one that notes, and one that chooses.

    Parameters
    ----------
    found : sequence of Mutant
        Predicates of the language.
    folder : Path
        Where to write kernels.

    Attributes
    ----------
    mutants : dict of int to Mutant
        By the numbers that choose them.
    left_out : set of int
        Those that do not compile together with the others.
    version : int
        How often mutants have been left out.
    """

    def __init__(self, found: Sequence[Mutant], folder: Path) -> None:
        self.mutants = dict(enumerate(found, _FIRST))
        self.left_out: set[int] = set()
        self.version = 0
        self._lock = threading.Lock()
        self._folder = folder
        self._write()

    def places(self, version: int) -> tuple[Path, Path]:
        """Where the kernels are that note, and those that choose."""
        return self._folder / f"{version} notes", self._folder / f"{version} chooses"

    def leave_out(self, log: str, version: int) -> bool:
        """Do without the mutants of lines that the compiler names; tell whether there are any."""
        places = {(path, int(line)) for path, line in _PLACE.findall(log)}
        with self._lock:
            if version != self.version:
                return True
            gone = {n for n, each in self.mutants.items() if (each.path, each.site.line) in places} - self.left_out
            self.left_out |= gone
            self._write(self.version + 1)
            self.version += 1
        return bool(gone)

    def _write(self, version: int = 0) -> None:
        files: dict[str, list[tuple[int, Site]]] = defaultdict(list)
        for number, mutant in self.mutants.items():
            if number not in self.left_out:
                files[mutant.path].append((number, mutant.site))
        for folder, noted in zip(self.places(version), (True, False), strict=True):
            shutil.copytree(sources.kernels_folder(), folder)
            for path, mutants in files.items():
                text = (folder / path).read_text(encoding="utf-8")
                name = "mutant_" + re.sub(r"\W", "_", path)
                (folder / path).write_text(text_of_all(text, mutants, name, noted=noted), encoding="utf-8")
