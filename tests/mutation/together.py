"""Predicates judged together: all mutants in one text, and a number at run time that says which one it is.

Compiling takes a hundred times as long as running, so each probe compiles its kernels once, with every predicate of
every file as it is and as its mutants have it:

    if (row >= rows) return;        if ((mutant(17) ? false : bool(row >= rows))) return;

The number comes as the count of multiprocessors, `%nsmid`, which no kernel asks for. Each mutant runs in a fork of the
process that has compiled. Before that a run of another text notes which mutants would decide anything otherwise: the
probe does not see the others.

    if (noted(bool(row >= rows), -1, 17)) return;
"""

from __future__ import annotations

import math
import multiprocessing
import re
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.runtime import sources
from cupysoft.simulator import launch
from cupysoft.simulator.context import Slot
from cupysoft.simulator.memory import Variables
from cupysoft.simulator.workspace import Workspace
from tests.mutation.probe import Probe
from tests.mutation.run import Mutant, Verdict, answer_of, attempt, probe_of, served, use_folder
from tests.mutation.sites import Site

__all__ = ["judged_together", "text_of_all"]

SECONDS = 10
"""What a run may take at the least; a mutant that takes longer is not counted as killed."""

PATIENCE = 10
"""How many times longer than what is not mutated it may take."""

_FIRST = 2
"""The number of the first mutant: a simulated device has one multiprocessor."""

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
_SEEN = "_seen"
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


def judged_together(found: Sequence[Mutant], probes: Sequence[Probe], workers: int = 1) -> Iterator[Verdict]:
    """Judge mutants that are predicates of the language: first those that are killed, in no order, then the others.

    Mutants that do not compile together with the others are left out, and given no verdict.
    """
    killed: SimpleQueue[Verdict | None] = SimpleQueue()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(workers) as pool:
        judge = _Judge(found, Path(temporary), killed.put)
        running = [pool.submit(judge.run, probe) for probe in probes]
        for each in running:
            each.add_done_callback(lambda _: killed.put(None))
        left = len(running)
        while left:
            verdict = killed.get()
            if verdict is None:
                left -= 1
            else:
                yield verdict
        for each in running:
            each.result()
        yield from judge.living()


class _Judge:
    """What is known of mutants, and the kernels with all of them.

    Parameters
    ----------
    found : sequence of Mutant
    folder : Path
        Where to write kernels.
    tell : callable
        Called with the verdict on each mutant that is killed.
    """

    def __init__(self, found: Sequence[Mutant], folder: Path, tell: Callable[[Verdict], None]) -> None:
        self._mutants = dict(enumerate(found, _FIRST))
        self._left_out: set[int] = set()
        self._ends: dict[int, Verdict] = {}
        self._lock = threading.Lock()
        self._folder = folder
        self._tell = tell
        self._version = 0
        self._write()

    def run(self, probe: Probe) -> None:
        """Run a probe for each mutant that it sees and that still lives."""
        while True:
            version = self._version
            notes, chooses = self._places(version)
            noted = self._first(probe, version, served(partial(_note, notes, probe.name)))
            if noted is None:
                continue
            seen, files, results = noted
            with self._lock:
                reached = {number for number, each in self._mutants.items() if each.path in files}
            for number in reached - seen:
                self._end(probe, number, "survived")
            wanted = [number for number in sorted(seen) if not self._is_done(number)]
            if wanted:
                ends = served(partial(_serve, chooses, probe.name, results, wanted))
                if self._first(probe, version, ends) is None:
                    continue
                for number, end in ends:
                    self._end(probe, number, end)
            return

    def living(self) -> Iterator[Verdict]:
        """Give the verdicts on those that nothing has killed."""
        for number, mutant in self._mutants.items():
            if not self._is_done(number):
                yield self._ends.get(number, Verdict(mutant, "not reached"))

    def _end(self, probe: Probe, number: int, end: str) -> None:
        verdict = Verdict(self._mutants[number], end, "" if end == "survived" else probe.name)
        with self._lock:
            if self._is_done(number) or (end == "survived" and number in self._ends):
                return
            self._ends[number] = verdict
        if verdict.killed:
            self._tell(verdict)

    def _is_done(self, number: int) -> bool:
        return number in self._left_out or (number in self._ends and self._ends[number].killed)

    def _first(self, probe: Probe, version: int, answers: Iterator[tuple[Any, Any]]) -> Any:
        """Give the first answer about a probe; None where some mutants are left out, and all is to be done anew."""
        end, value = next(answers)
        if end == "results":
            return value
        if end == "does not compile" and self._leave_out(value, version):
            return None
        raise RuntimeError(f"{probe.name}: {end} with all mutants and none chosen: {value}")

    def _leave_out(self, log: str, version: int) -> bool:
        """Do without the mutants of lines that the compiler names; tell whether there are any."""
        places = {(path, int(line)) for path, line in _PLACE.findall(log)}
        with self._lock:
            if version != self._version:
                return True
            gone = {n for n, each in self._mutants.items() if (each.path, each.site.line) in places} - self._left_out
            self._left_out |= gone
            self._version += 1
            self._write()
        return bool(gone)

    def _places(self, version: int) -> tuple[Path, Path]:
        """Where the kernels are that note, and those that choose."""
        return self._folder / f"{version} notes", self._folder / f"{version} chooses"

    def _write(self) -> None:
        files: dict[str, list[tuple[int, Site]]] = defaultdict(list)
        for number, mutant in self._mutants.items():
            if number not in self._left_out:
                files[mutant.path].append((number, mutant.site))
        for folder, noted in zip(self._places(self._version), (True, False), strict=True):
            shutil.copytree(sources.kernels_folder(), folder)
            for path, mutants in files.items():
                text = (folder / path).read_text(encoding="utf-8")
                name = "mutant_" + re.sub(r"\W", "_", path)
                (folder / path).write_text(text_of_all(text, mutants, name, noted=noted), encoding="utf-8")


def _note(folder: Path, name: str, pipe: Connection) -> None:
    """Tell which mutants would have made a difference anywhere in the course of a probe, its files, and its results."""
    kept: list[dict[str, npt.NDArray[np.uint8]]] = []
    begin = Variables.__init__

    def noted(variables: Variables) -> None:
        begin(variables)
        kept.append(variables._storage)

    Variables.__init__ = noted  # type: ignore[method-assign, assignment]
    files = use_folder(folder)
    launch._PATIENCE = math.inf
    kind, value = attempt(probe_of(name), None, check=False)
    if kind == "results":
        arrays = [data for storage in kept for variable, data in storage.items() if variable.endswith(_SEEN)]
        value = {int(number) for data in arrays for number in np.flatnonzero(data)}, frozenset(files), value
    pipe.send((kind, value))


def _serve(folder: Path, name: str, wanted: list[bytes], numbers: Sequence[int], pipe: Connection) -> None:
    """Compile a probe's kernels by running it, then run it again in a fork for each mutant."""
    use_folder(folder)
    launch._PATIENCE = math.inf
    probe = probe_of(name)
    kind, value = attempt(probe, wanted)
    pipe.send((kind, True if kind == "results" else value))
    if kind != "results":
        return
    start = time.monotonic()
    attempt(probe, wanted)
    seconds = max(SECONDS, PATIENCE * (time.monotonic() - start))
    for number in numbers:
        kind, _ = answer_of(multiprocessing.get_context("fork"), partial(_chosen, probe, wanted, number), seconds)
        pipe.send((number, "survived" if kind == "results" else kind))


def _chosen(probe: Probe, wanted: list[bytes], number: int, pipe: Connection) -> None:
    begin = Workspace.begin

    def numbered(workspace: Workspace, *args: Any) -> None:
        workspace[Slot.NSMID] = number
        begin(workspace, *args)

    Workspace.begin = numbered  # type: ignore[method-assign, assignment]
    kind, _ = attempt(probe, wanted)
    pipe.send((kind, None))
