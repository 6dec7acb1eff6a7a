"""Predicates judged together: all mutants in one text, and a number at run time that says which one it is.

Compiling takes a hundred times as long as running, so each probe compiles its kernels once, with every predicate of
every file as it is and as its mutants have it (`texts`). Each mutant runs in a fork of the process that has compiled.
Before that a run of another text notes which mutants would decide anything otherwise: the probe does not see
the others.
"""

from __future__ import annotations

import math
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cupysoft.simulator import launch
from cupysoft.simulator.context import Slot
from cupysoft.simulator.memory import Variables
from cupysoft.simulator.workspace import Workspace
from tests.mutation.probe import Probe
from tests.mutation.run import LIVING, Mutant, Verdict, answer_of, attempt, probe_of, served, use_folder
from tests.mutation.texts import SEEN, Texts

__all__ = ["PATIENCE", "SECONDS", "choose", "first_answer", "judged_together", "noted_numbers", "told_by_threads"]

SECONDS = 10
"""What a run may take at the least; a mutant that takes longer is not counted as killed."""

PATIENCE = 10
"""How many times longer than what is not mutated it may take."""

_Told = TypeVar("_Told")


def judged_together(found: Sequence[Mutant], probes: Sequence[Probe], workers: int = 1) -> Iterator[Verdict]:
    """Judge mutants that are predicates of the language: first those that are killed, in no order, then the others.

    Mutants that do not compile together with the others are left out, and given no verdict.
    """
    with tempfile.TemporaryDirectory() as temporary:
        judge = _Judge(Texts(found, Path(temporary)))
        yield from told_by_threads([partial(judge.run, probe) for probe in probes], workers)
        yield from judge.living()


def told_by_threads(calls: Sequence[Callable[[Callable[[_Told], None]], None]], workers: int) -> Iterator[_Told]:
    """Give what calls tell to what they are called with, as soon as they do; some of them run at a time."""
    told: SimpleQueue[tuple[_Told] | None] = SimpleQueue()

    def tell(value: _Told) -> None:
        told.put((value,))

    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(call, tell) for call in calls]
        for each in running:
            each.add_done_callback(lambda _: told.put(None))
        left = len(running)
        while left:
            value = told.get()
            if value is None:
                left -= 1
            else:
                yield value[0]
        for each in running:
            each.result()


def first_answer(texts: Texts, version: int, name: str, answers: Iterator[tuple[Any, Any]]) -> Any:
    """Give the first answer of a process; None where some mutants are left out, and all is to be done anew."""
    end, value = next(answers, ("died", ""))
    if end == "results":
        return value
    if end == "does not compile" and texts.leave_out(value, version):
        return None
    raise RuntimeError(f"{name}: {end} with all mutants and none chosen: {value}")


class _Judge:
    """What is known of mutants."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._ends: dict[int, Verdict] = {}
        self._lock = threading.Lock()

    def run(self, probe: Probe, tell: Callable[[Verdict], None]) -> None:
        """Run a probe for each mutant that it sees and that still lives."""
        texts = self._texts
        while True:
            version = texts.version
            notes, chooses = texts.places(version)
            noted = first_answer(texts, version, probe.name, served(partial(_note, notes, probe.name)))
            if noted is None:
                continue
            seen, files, results = noted
            for number in {number for number, each in texts.mutants.items() if each.path in files} - seen:
                self._end(probe, number, "decided nothing", tell)
            wanted = [number for number in sorted(seen) if not self._is_done(number)]
            if wanted:
                ends = served(partial(_serve, chooses, probe.name, results, wanted))
                if first_answer(texts, version, probe.name, ends) is None:
                    continue
                for number, end in ends:
                    self._end(probe, number, end, tell)
            return

    def living(self) -> Iterator[Verdict]:
        """Give the verdicts on those that nothing has killed."""
        for number, mutant in self._texts.mutants.items():
            if not self._is_done(number):
                yield self._ends.get(number, Verdict(mutant, "not reached"))

    def _end(self, probe: Probe, number: int, end: str, tell: Callable[[Verdict], None]) -> None:
        verdict = Verdict(self._texts.mutants[number], end, probe.name if end not in LIVING else "")
        with self._lock:
            if number in self._texts.left_out or self._ends.get(number, verdict).weight > verdict.weight:
                return
            self._ends[number] = verdict
        if verdict.killed:
            tell(verdict)

    def _is_done(self, number: int) -> bool:
        return number in self._texts.left_out or (number in self._ends and self._ends[number].killed)


def _note(folder: Path, name: str, pipe: Connection) -> None:
    """Tell which mutants would have made a difference anywhere in the course of a probe, its files, and its results."""
    numbers = noted_numbers()
    files = use_folder(folder)
    kind, value = attempt(probe_of(name), None, check=False)
    pipe.send((kind, (numbers(), frozenset(files), value) if kind == "results" else value))


def noted_numbers() -> Callable[[], set[int]]:
    """Have this process know what its kernels note; give what tells the mutants noted since it was last asked."""
    kept: list[dict[str, npt.NDArray[np.uint8]]] = []
    begin = Variables.__init__

    def noted(variables: Variables) -> None:
        begin(variables)
        kept.append(variables._storage)

    def numbers() -> set[int]:
        arrays = [data for storage in kept for variable, data in storage.items() if variable.endswith(SEEN)]
        found = {int(number) for data in arrays for number in np.flatnonzero(data)}
        for data in arrays:
            data.fill(0)
        return found

    Variables.__init__ = noted  # type: ignore[method-assign, assignment]
    launch._PATIENCE = math.inf
    return numbers


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
    choose(number)
    kind, _ = attempt(probe, wanted)
    pipe.send((kind, None))


def choose(number: int) -> None:
    """Have the kernels of this process be those of a mutant from now on."""
    begin = Workspace.begin

    def numbered(workspace: Workspace, *args: Any) -> None:
        workspace[Slot.NSMID] = number
        begin(workspace, *args)

    Workspace.begin = numbered  # type: ignore[method-assign, assignment]
