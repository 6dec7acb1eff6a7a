"""Runs of mutants, each in a process of its own that knows the kernels only in their mutated form.

What takes the time is compiling, so a run ends at the first result that differs, the probe that killed the last mutant
of a file is asked first about the next one, and those that take little before those that take much. Kernels in which
the compiler sees no difference are found in the cache.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cupysoft.errors import CompileError, SimulatorError
from cupysoft.runtime import sources
from tests.mutation.probe import Probe
from tests.mutation.probes import PROBES
from tests.mutation.sites import Site, mutated, sites

__all__ = [
    "LIVING",
    "Expected",
    "Mutant",
    "Verdict",
    "answer_of",
    "attempt",
    "expected",
    "kills",
    "mutants",
    "probe_of",
    "served",
    "use_folder",
    "verdicts",
]

SECONDS = 120
"""What one probe may take at the least; a mutant that takes longer is not counted as killed."""

PATIENCE = 10
"""How many times longer than on the kernels as they are it may take, on a machine that may be busy by now."""


LIVING = ("not reached", "decided nothing", "survived")
"""A mutant's file is in no kernel, its condition never decided otherwise, or it did and nobody noticed."""


@dataclass(frozen=True)
class Mutant:
    """A site of one file of ``kernels/``.

    Attributes
    ----------
    path : str
        Of the file, below ``kernels/``.
    site : Site
    name : str
        What is replaced by what, told without the line's number, which other changes move.
    """

    path: str
    site: Site
    name: str


@dataclass(frozen=True)
class Expected:
    """What a probe gives unmutated, the files under ``kernels/`` of which its kernels are made, and its time."""

    probe: Probe
    results: list[bytes]
    files: frozenset[str]
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: ``"wrong value"``, the class of a report, ``"does not compile"``, or one of `LIVING`."""

    mutant: Mutant
    end: str
    by: str = ""

    @property
    def killed(self) -> bool:
        """Whether a wrong value or a named report gave it away."""
        return kills(self.end)

    @property
    def weight(self) -> int:
        """Of two verdicts, that of more weight tells more."""
        return len(LIVING) + self.killed if self.end not in LIVING else LIVING.index(self.end)


def kills(end: str) -> bool:
    """Whether a mutant that ended so was noticed: by a wrong value or a named report."""
    return end == "wrong value" or (end.endswith("Error") and ":" not in end)


def mutants(paths: Iterable[Path]) -> Iterator[Mutant]:
    """Give the mutants of source files."""
    folder = sources.kernels_folder()
    for path in paths:
        text = path.read_text(encoding="utf-8")
        place = path.relative_to(folder).as_posix()
        seen: Counter[str] = Counter()
        for site in sites(text):
            line = text.splitlines()[site.line - 1].strip()
            name = f"{place}: {line} [{text[site.start : site.end]} -> {site.put or 'nothing'}]"
            seen[name] += 1
            yield Mutant(place, site, name if seen[name] == 1 else f"{name} ({seen[name]})")


def expected(probes: Sequence[Probe] = PROBES, workers: int = 1) -> list[Expected]:
    """Run every probe on the kernels as they are."""

    def of(probe: Probe) -> Expected:
        start = time.monotonic()
        kind, value = answer_of(_server(), partial(_asked, sources.kernels_folder(), probe.name, None), None)
        if kind != "results":
            raise RuntimeError(f"{probe.name}: {kind} on kernels that are not mutated: {value}")
        results, files = value
        return Expected(probe, results, files, time.monotonic() - start)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(of, probes))


def verdicts(found: Iterable[Mutant], known: Sequence[Expected], workers: int = 1) -> Iterator[Verdict]:
    """Judge mutants, in their order."""
    quick = sorted(known, key=lambda each: each.seconds)
    killers: dict[str, str] = {}

    def judged(mutant: Mutant) -> Verdict:
        verdict = _verdict(mutant, sorted(quick, key=lambda each: each.probe.name != killers.get(mutant.path)))
        if verdict.killed:
            killers[mutant.path] = verdict.by
        return verdict

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(judged, found)


def _verdict(mutant: Mutant, known: Sequence[Expected]) -> Verdict:
    end = Verdict(mutant, "not reached")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "kernels"
        shutil.copytree(sources.kernels_folder(), folder)
        path = folder / mutant.path
        path.write_text(mutated(path.read_text(encoding="utf-8"), mutant.site), encoding="utf-8")
        for each in known:
            if mutant.path not in each.files:
                continue
            ask = partial(_asked, folder, each.probe.name, each.results)
            kind, _ = answer_of(_server(), ask, max(SECONDS, PATIENCE * each.seconds))
            if kind != "results":
                return Verdict(mutant, kind, each.probe.name)
            end = Verdict(mutant, "survived")
    return end


def served(serve: Callable[[Connection], None]) -> Iterator[tuple[Any, Any]]:
    """Give the answers that a process of its own sends."""
    child, here = _started(_server(), serve, daemon=False)
    try:
        while True:
            yield here.recv()
    except EOFError:
        return
    finally:
        child.kill()
        child.join()


def answer_of(context: Any, ask: Callable[[Connection], None], seconds: float | None) -> tuple[str, Any]:
    """Give the one answer of a process of its own, or what became of it."""
    child, here = _started(context, ask, daemon=True)
    try:
        answer: tuple[str, Any] = here.recv() if here.poll(seconds) else ("took too long", None)
    except EOFError:
        answer = "crashed", None
    child.kill()
    child.join()
    return answer


def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.mutation.probes"])
    return context


def _started(context: Any, target: Callable[[Connection], None], daemon: bool) -> tuple[Any, Connection]:
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=target, args=(there,), daemon=daemon)
    child.start()
    there.close()
    return child, here


def probe_of(name: str) -> Probe:
    """Give the probe of a name: its call cannot be sent to another process."""
    return next(each for each in PROBES if each.name == name)


def _asked(folder: Path, name: str, wanted: list[bytes] | None, pipe: Connection) -> None:
    files = use_folder(folder)
    kind, value = attempt(probe_of(name), wanted)
    pipe.send((kind, (value, frozenset(files)) if kind == "results" else value))


def use_folder(folder: Path) -> set[str]:
    """Have the kernels of this process come from a folder; give the set in which their files will be."""
    sources.kernels_folder = lambda: folder  # type: ignore[assignment]
    sources.source.cache_clear()
    files: set[str] = set()
    inlined = sources._inlined

    def noted(folder: Path, path: str, seen: set[str]) -> list[str]:
        files.add(path)
        return inlined(folder, path, seen)

    sources._inlined = noted
    return files


def attempt(probe: Probe, wanted: list[bytes] | None, check: bool = True) -> tuple[str, Any]:
    """Run a probe; give its results, or that one is not what is wanted, or what was reported."""
    results: list[bytes] = []
    try:
        for result in probe.run(check):
            if wanted is not None and result != wanted[len(results)]:
                return "wrong value", None
            results.append(result)
    except CompileError as error:
        return "does not compile", str(error)
    except SimulatorError as error:
        return type(error).__name__, str(error)
    except Exception as error:
        return f"failed: {type(error).__name__}", str(error)
    return "results", results
