"""Take away every barrier, fence, wait and predicate of ``kernels/`` in turn, and see who notices.

    python -m tests.mutation [--only PATTERN] [--kind barrier] [--workers 2] [--keep FILE]
                             [--write tests/mutation/RESULT.md]

A mutant is killed by a wrong value or by a report of the simulator's checks. Every one that is not is listed with the
reason that ``reasons.toml`` gives for it; one without a reason makes the exit status 1. All of it takes some hours:
what ``--keep`` names remembers each verdict, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cupysoft.runtime import sources
from tests.mutation.probes import PROBES
from tests.mutation.run import Mutant, Verdict, expected, mutants, verdicts
from tests.mutation.together import judged_together

REASONS = Path(__file__).with_name("reasons.toml")


def main() -> int:
    """Run as the module's docstring says; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression that file names contain")
    parser.add_argument("--kind", action="append", choices=("barrier", "fence", "wait", "predicate"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="file of verdicts, which are not asked for again")
    parser.add_argument("--write", type=Path, help="file for the table of results")
    options = parser.parse_args()
    folder = sources.kernels_folder()
    paths = [path for path in sorted(folder.rglob("*.cu*")) if re.search(options.only, str(path.relative_to(folder)))]
    wanted = [each for each in mutants(paths) if not options.kind or each.site.kind in options.kind]
    kept = _kept(options.keep)
    found = [Verdict(each, *kept[each.name]) for each in wanted if each.name in kept]
    missing = [each for each in wanted if each.name not in kept]
    if missing:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["CUPYSOFT_CACHE_DIR"] = cache
            print(f"{len(missing)} mutants, {len(found)} known", flush=True)
            for verdict in _judged(missing, options.workers):
                found.append(verdict)
                print(f"[{len(found)}/{len(wanted)}] {_line(verdict)}", flush=True)
                _keep(options.keep, verdict)
    found.sort(key=lambda each: (each.mutant.path, each.mutant.site.start))
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    if options.write:
        options.write.write_text(_table(found, reasons, sys.argv[1:]), encoding="utf-8")
    unexplained = [
        each for each in found if each.end in ("survived", "not reached") and each.mutant.name not in reasons
    ]
    for each in unexplained:
        print(f"survived, and no reason is known: {each.mutant.name} (line {each.mutant.site.line})", file=sys.stderr)
    return 1 if unexplained else 0


def _judged(missing: Sequence[Mutant], workers: int) -> Iterator[Verdict]:
    """Judge first what can be judged together, then what is left, one by one."""
    choices = [each for each in missing if each.site.kind == "predicate" and each.site.put]
    seen = set()
    for verdict in judged_together(choices, PROBES, workers) if choices else ():
        seen.add(verdict.mutant.name)
        yield verdict
    left = [each for each in missing if each.name not in seen]
    if left:
        yield from verdicts(left, expected(workers=workers), workers)


def _kept(path: Path | None) -> dict[str, tuple[str, str]]:
    """Read what earlier runs found out, by the mutants' names."""
    if path is None or not path.exists():
        return {}
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {name: (end, by) for name, end, by in lines}


def _keep(path: Path | None, verdict: Verdict) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([verdict.mutant.name, verdict.end, verdict.by]) + "\n")


def _line(verdict: Verdict) -> str:
    by = f" ({verdict.by})" if verdict.by else ""
    return f"{verdict.mutant.site.line} {verdict.mutant.name}: {verdict.end}{by}"


def _table(found: Sequence[Verdict], reasons: dict[str, str], arguments: Sequence[str]) -> str:
    """Give the result as a page: counts by kind, then those that live on."""
    ends: dict[str, Counter[str]] = {}
    for each in found:
        ends.setdefault(each.mutant.site.kind, Counter())[each.end] += 1
    groups = sorted({group for counter in ends.values() for group in counter})
    lines = [
        "# Mutants of the kernels",
        "",
        f"`python -m tests.mutation {' '.join(arguments)}` made this page.",
        "",
    ]
    lines += ["| taken away | " + " | ".join(groups) + " |", "|---" * (len(groups) + 1) + "|"]
    lines += [
        f"| {kind} | " + " | ".join(str(counter[group]) for group in groups) + " |" for kind, counter in ends.items()
    ]
    lines += ["", "| not killed | end | why |", "|---|---|---|"]
    lines += [
        f"| `{each.mutant.name.replace('|', '¦')}` | {each.end} | {reasons.get(each.mutant.name, '')} |"
        for each in found
        if not each.killed and each.end != "does not compile"
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
