"""Predicates judged by the tests, for those that the probes have left alive.

All tests of a file run in one process on the text that notes (`texts`), which tells the mutants that each of them sees.
Then those that see a living one run again on the text that chooses, and for each mutant in a fork, the cheapest first,
until one fails: by an assertion about values, or by a report of the simulator's checks. Whatever else goes wrong kills
no mutant: that a plan differs, a counter, or the exception that a test asks for.

Left out are the files whose tests are about something else than the kernels' results: the simulator, plans, what is
compiled and when, spills, issue slots, traffic, errors, other libraries' devices, examples and pages.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from cupysoft.errors import CompileError
from cupysoft.testing import quick_reference, reference
from tests.mutation.run import Mutant, Verdict, answer_of, kills, served, use_folder
from tests.mutation.session import Session, be_slow, in_session, remember
from tests.mutation.texts import Texts
from tests.mutation.together import PATIENCE, SECONDS, choose, first_answer, noted_numbers, told_by_threads

__all__ = ["FILES", "judged_by_tests"]

FILES = tuple(
    f"tests/{name}.py"
    for name in (
        "kernels/test_float32", "kernels/test_float32_rounding", "kernels/test_by_table", "kernels/test_by_integers",
        "kernels/test_parts_of_numerics", "kernels/test_kernel_numerics", "kernels/test_weighted_numerics",
        "kernels/test_slices", "kernels/test_rows32", "kernels/test_weighted_tiers", "ops/test_exactness",
        "ops/test_weights", "ops/test_cpu", "ops/test_precision", "ops/test_logsumexp", "ops/test_state_results",
        "ops/test_states", "kernels/test_attention", "ops/test_attention", "ops/test_attention_states",
        "kernels/test_attention_drawn", "kernels/test_tiers", "kernels/test_weighted", "kernels/test_agreement",
        "ops/test_long_rows", "ops/test_out", "ops/test_properties", "simulator/test_elementwise",
        "simulator/test_reduction", "simulator/test_from_cupy",
    )
)  # fmt: skip

BUDGET = 5
"""Seconds of a file's tests that a mutant is shown, as they take unmutated."""


def judged_by_tests(
    found: Sequence[Mutant], files: Mapping[str, Sequence[Mutant]], workers: int = 1
) -> Iterator[tuple[str, Verdict]]:
    """Judge mutants that are predicates of the language by the tests of files.

    Parameters
    ----------
    found : sequence of Mutant
        All that are judged.
    files : mapping of str to sequence of Mutant
        Of them those to be judged by a file.
    workers : int
        How many files are at work at a time.

    Yields
    ------
    (str, Verdict)
        A file and the verdict of its tests.
    """
    with tempfile.TemporaryDirectory() as temporary:
        texts = Texts(found, Path(temporary))
        killed: set[int] = set()
        calls = [partial(_judged, texts, killed, file, list(map(found.index, some))) for file, some in files.items()]
        yield from told_by_threads(calls, workers)


def _judged(
    texts: Texts, killed: set[int], file: str, places: Sequence[int], tell: Callable[[tuple[str, Verdict]], None]
) -> None:
    """Tell the verdicts of one file, but for mutants that another has killed meanwhile."""
    first = min(texts.mutants)
    asked = {first + place for place in places}
    while True:
        version = texts.version
        notes, chooses = texts.places(version)
        noted = first_answer(texts, version, file, served(partial(_note, notes, file)))
        if noted is None:
            continue
        asked -= killed | texts.left_out
        wanted = {name: asked & noted[name] for name in noted if asked & noted[name]}
        shown = set().union(*wanted.values())
        for number in asked - shown:
            tell((file, Verdict(texts.mutants[number], "decided nothing")))
        asked = shown
        for number, end in served(partial(_serve, chooses, file, wanted)) if wanted else ():
            if number is None and texts.leave_out(end, version):
                break
            verdict = Verdict(texts.mutants[number], *end)
            asked.discard(number)
            if verdict.killed:
                killed.add(number)
            tell((file, verdict))
        else:
            return


def _note(folder: Path, file: str, pipe: Connection) -> None:
    """Tell of each test which mutants would have made a difference in it."""
    numbers = noted_numbers()
    use_folder(folder)
    be_slow(check=False)
    found: list[tuple[float, str, set[int]]] = []

    def run(session: Session) -> tuple[str, Any]:
        for item in session.items:
            start = time.monotonic()
            session.run(item)
            if isinstance(session.error, CompileError):
                return "does not compile", str(session.error)
            found.append((time.monotonic() - start, item.nodeid, numbers()))
        return "results", {name: some for _, name, some in sorted(found, key=lambda each: each[0])}

    pipe.send(in_session(file, run))


def _serve(folder: Path, file: str, wanted: Mapping[str, set[int]], pipe: Connection) -> None:
    """Compile the kernels of each test by running it, then run it in a fork for each living mutant that it sees."""
    use_folder(folder)
    be_slow()
    for module in (reference, quick_reference):
        remember(module)
    fork = multiprocessing.get_context("fork")
    left = dict.fromkeys(set().union(*wanted.values()), float(BUDGET))
    ends = dict.fromkeys(left, ("survived", ""))

    def run(session: Session) -> tuple[str, Any]:
        items = {item.nodeid: item for item in session.items}
        for name, numbers in wanted.items():
            living = [number for number in sorted(numbers) if left[number] > 0]
            if not living:
                continue
            end = session.run(items[name])
            if isinstance(session.error, CompileError):
                return "does not compile", str(session.error)
            start = time.monotonic()
            if end != "survived" or session.run(items[name]) != "survived":
                continue  # it asks for what is not there in this way to run it
            seconds = time.monotonic() - start
            for number in living:
                ask = partial(_chosen, session, items[name], number)
                end, _ = answer_of(fork, ask, max(SECONDS, PATIENCE * seconds))
                left[number] -= seconds
                if end != "survived":
                    ends[number] = end, name
                if end == "took too long":
                    left[number] = 0
                if kills(end):
                    left[number] = 0
                    pipe.send((number, ends.pop(number)))
        return "done", None

    end, value = in_session(file, run)
    if end == "done":
        for living in ends.items():
            pipe.send(living)
    elif end == "does not compile":
        pipe.send((None, value))


def _chosen(session: Session, item: pytest.Item, number: int, pipe: Connection) -> None:
    choose(number)
    pipe.send((session.run(item), None))
