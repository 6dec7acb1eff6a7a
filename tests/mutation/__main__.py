"""Take away every barrier, fence, wait and predicate of ``kernels/`` in turn, and see who notices.

    python -m tests.mutation [--only PATTERN] [--kind barrier] [--by PATTERN] [--workers 2] [--keep FILE]
                             [--write tests/mutation/RESULT.md]

A mutant is killed by a wrong value or by a report of the simulator's checks. The probes are asked first, then, about
the predicates that these leave alive, the tests. Every mutant that is not killed is listed with the reason that
``reasons.toml`` gives for it; one without a reason makes the exit status 1. All of it takes some hours: what ``--keep``
names remembers each verdict, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cupysoft.runtime import sources
from tests.mutation.by_tests import FILES, judged_by_tests
from tests.mutation.known import NOT_ASKED, PROBES_WAY, Known, page, reasons_of
from tests.mutation.probes import PROBES
from tests.mutation.run import Mutant, Verdict, expected, mutants, verdicts
from tests.mutation.together import judged_together

REASONS = Path(__file__).with_name("reasons.toml")


def main() -> int:
    """Run as the module's docstring says; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression that file names contain")
    parser.add_argument("--kind", action="append", choices=("barrier", "fence", "wait", "predicate"))
    parser.add_argument("--by", default="", metavar="PATTERN", help="which judge: 'probes', or names of files of tests")
    parser.add_argument("--unexplained", action="store_true", help="ask nothing about mutants that have a reason")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="file of verdicts, which are not asked for again")
    parser.add_argument("--write", type=Path, help="file for the table of results")
    options = parser.parse_args()
    folder = sources.kernels_folder()
    paths = [path for path in sorted(folder.rglob("*.cu*")) if re.search(options.only, str(path.relative_to(folder)))]
    wanted = [each for each in mutants(paths) if not options.kind or each.site.kind in options.kind]
    known, reasons = Known(options.keep), reasons_of(REASONS)
    unknown = [each for each in wanted if not (options.unexplained and each.name in reasons)]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["CUPYSOFT_CACHE_DIR"] = cache
        for way, verdict in _judged(unknown, known, options.by, options.workers):
            known.add(way, verdict)
            print(f"{way}: {_line(verdict)}", flush=True)
    found = sorted(map(known.verdict, wanted), key=lambda each: (each.mutant.path, each.mutant.site.start))
    if options.write:
        asked = "".join(f" --kind {kind}" for kind in options.kind or ()) + f" --only {options.only}" * bool(
            options.only
        )
        made = f"`python -m tests.mutation{asked}`, {datetime.date.today():%-d %B %Y}."
        options.write.write_text(page(found, reasons, made, _partly_asked(found, known)), encoding="utf-8")
    needless = {each.mutant.name for each in found if each.killed} & reasons.keys()
    for name in needless:
        print(f"killed, and has a reason why it should live: {name}", file=sys.stderr)
    for name in reasons.keys() - {each.mutant.name for each in found} if not (options.only or options.kind) else ():
        print(f"gone, and still has a reason: {name}", file=sys.stderr)
    unexplained = [each for each in _living(found) if each.mutant.name not in reasons or each.end == NOT_ASKED]
    for each in unexplained:
        why = "" if each.end == NOT_ASKED else ", and no reason is known"
        print(f"{each.end}{why}: {each.mutant.name} (line {each.mutant.site.line})", file=sys.stderr)
    return 1 if unexplained else 0


def _judged(wanted: Sequence[Mutant], known: Known, by: str, workers: int) -> Iterator[tuple[str, Verdict]]:
    """Judge by the probes, then by the tests."""
    if re.search(by, PROBES_WAY):
        missing = [each for each in wanted if not known.is_asked(each, PROBES_WAY)]
        print(f"{len(missing)} mutants for the probes", flush=True)
        for verdict in _by_probes(missing, workers):
            yield PROBES_WAY, verdict
    files: dict[str, list[Mutant]] = {}
    for file in FILES:
        missing = [each for each in wanted if _is_choice(each) and not known.is_asked(each, file)]
        if re.search(by, file) and missing:
            files[file] = missing
    asked = [each for each in wanted if any(each in some for some in files.values())]
    print(f"{len(asked)} mutants for {len(files)} files of tests", flush=True)
    yield from judged_by_tests(asked, files, workers) if asked else ()


def _partly_asked(found: Sequence[Verdict], known: Known) -> int:
    """Count the living mutants that some judge has not been asked about."""
    return sum(
        not all(known.is_asked(each.mutant, way) for way in (PROBES_WAY, *(FILES if _is_choice(each.mutant) else ())))
        for each in _living(found)
    )


def _living(found: Sequence[Verdict]) -> list[Verdict]:
    return [each for each in found if not each.killed and each.end != "does not compile"]


def _by_probes(missing: Sequence[Mutant], workers: int) -> Iterator[Verdict]:
    """Judge first what can be judged together, then what is left, one by one."""
    choices = list(filter(_is_choice, missing))
    seen = set()
    for verdict in judged_together(choices, PROBES, workers) if choices else ():
        seen.add(verdict.mutant.name)
        yield verdict
    left = [each for each in missing if each.name not in seen]
    if left:
        yield from verdicts(left, expected(workers=workers), workers)


def _is_choice(mutant: Mutant) -> bool:
    """Whether a number can choose the mutant at run time."""
    return mutant.site.kind == "predicate" and mutant.site.put != ""


def _line(verdict: Verdict) -> str:
    by = f" ({verdict.by})" if verdict.by else ""
    return f"{verdict.mutant.site.line} {verdict.mutant.name}: {verdict.end}{by}"


if __name__ == "__main__":
    sys.exit(main())
