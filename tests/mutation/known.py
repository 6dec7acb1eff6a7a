"""What is known of mutants, kept in a file from run to run, and the page that shows it."""

from __future__ import annotations

import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.mutation.run import LIVING, Mutant, Verdict

__all__ = ["NOT_ASKED", "PROBES_WAY", "Known", "page", "reasons_of"]

PROBES_WAY = "probes"
"""The way to judge that comes before the files of tests."""

NOT_ASKED = "not asked"
"""The verdict on what nobody has judged."""


class Known:
    """The verdicts on mutants by each way to judge them: the probes, and files of tests.

    Parameters
    ----------
    path : Path or None
        File that remembers them, a line for each.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._ends: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
        if path is not None and path.exists():
            for name, way, end, by in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
                self._ends[name][way] = end, by

    def add(self, way: str, verdict: Verdict) -> None:
        """Remember a verdict."""
        self._ends[verdict.mutant.name][way] = verdict.end, verdict.by
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([verdict.mutant.name, way, verdict.end, verdict.by]) + "\n")

    def is_asked(self, mutant: Mutant, way: str) -> bool:
        """Whether nothing is left to be learned by a way to judge."""
        return way in self._ends[mutant.name] or self.verdict(mutant).killed

    def verdict(self, mutant: Mutant) -> Verdict:
        """The verdict that tells most; `NOT_ASKED` if there is none."""
        ends = [Verdict(mutant, *each) for each in self._ends[mutant.name].values()]
        return max(ends, key=lambda each: each.weight, default=Verdict(mutant, NOT_ASKED))


def reasons_of(path: Path) -> dict[str, str]:
    """Read why mutants live on, by their names."""
    groups = tomllib.loads(path.read_text(encoding="utf-8"))["group"]
    return {name: group["why"] for group in groups for name in group["mutants"]}


def page(found: Sequence[Verdict], reasons: Mapping[str, str], made: str, partly: int = 0) -> str:
    """Give the result as a page: counts by kind, then those that live on, by reason; last those without one.

    Parameters
    ----------
    found : sequence of Verdict
    reasons : mapping of str to str
        By names of mutants.
    made : str
        By what, and when.
    partly : int
        How many of those that live on have not been shown to every judge.
    """
    ends: dict[str, Counter[str]] = {}
    for each in found:
        ends.setdefault(each.mutant.site.kind, Counter())[each.end] += 1
    columns = sorted({end for counter in ends.values() for end in counter})
    living = [each for each in found if not each.killed and each.end != "does not compile"]
    lines = [
        "# Mutants of the kernels",
        "",
        f"{made} `reasons.toml` has the reasons.",
        "",
        *([_JUDGED_IN_PARTS.format(partly), ""] if partly else []),
        "| taken away | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    lines += [f"| {kind} | " + " | ".join(str(counts[end]) for end in columns) + " |" for kind, counts in ends.items()]
    known = sum(each.mutant.name in reasons for each in living)
    killed = [each for each in found if each.killed]
    by_tests = sum("::" in each.by for each in killed)
    lines += [
        "",
        f"The probes killed {len(killed) - by_tests}, tests {by_tests} more. "
        f"{len(living)} live on: {known} with a reason, {len(living) - known} without one.",
        "",
        "## Why",
    ]
    by_reason: dict[str, list[Verdict]] = defaultdict(list)
    for each in living:
        by_reason[reasons.get(each.mutant.name, "")].append(each)
    unexplained = by_reason.pop("", [])
    for why, some in by_reason.items():
        lines += ["", f"{why[0].upper()}{why[1:]}.", "", *map(_listed, some)]
    for end, title in _WITHOUT_REASON.items():
        some = [each for each in unexplained if each.end == end or (end == "" and each.end not in _WITHOUT_REASON)]
        if some:
            lines += ["", f"## {title}", "", *map(_listed, some)]
    return "\n".join(lines) + "\n"


_JUDGED_IN_PARTS = (
    "Judged in parts, while kernels and tests grew: a verdict holds for the text of a predicate as it stands, and is\n"
    "not asked for again where other lines of its file change; of the mutants that live on {} have a reason that was\n"
    "found before every file of tests had seen them."
)

_WITHOUT_REASON = {
    "survived": "Without a reason: it decided otherwise somewhere, and nobody noticed",
    "decided nothing": "Without a reason: it decided nothing in any probe or test",
    "not reached": "Without a reason: in no kernel that ran",
    "": "Without a reason: ended otherwise",
}


def _listed(verdict: Verdict) -> str:
    end = "" if verdict.end in LIVING else f" ({verdict.end})"
    return f"- `{verdict.mutant.name}`{end}"
