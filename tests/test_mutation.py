"""The finder of mutants, and the judge of them: `python -m tests.mutation` runs all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cupysoft.runtime import sources
from tests.mutation.by_tests import judged_by_tests
from tests.mutation.known import NOT_ASKED, Known, page
from tests.mutation.probes import PROBES
from tests.mutation.run import Verdict, expected, mutants, verdicts
from tests.mutation.session import Session, in_session
from tests.mutation.sites import mutated, sites
from tests.mutation.texts import text_of_all
from tests.mutation.together import judged_together

SOURCE = """
template <int N>
__device__ void wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N));
}
__global__ void kernel(const float* x, long long n) {
    constexpr int WIDTH = N > 1 ? 2 : 1;  // if (never)
    if (threadIdx.x >= n) return;
    const bool last = threadIdx.x + 1 == n;
    if constexpr (N > 2) wait<1>();
    auto pack = load_pack(x, f(last, true) && n > 3);
    __syncthreads(); __threadfence();
    asm volatile("{ @p st.global.u32 [%0], %1; }" ::"l"(x));
    store_pack(pack, x, true);
    const float value = last ||
                        n < 9 ? x[0] : 0.0f;
}
"""


def test_every_barrier_fence_wait_and_predicate_is_found() -> None:
    found = [(each.kind, each.line, SOURCE[each.start : each.end], each.put) for each in sites(SOURCE)]
    assert found == [
        ("wait", 4, 'asm volatile("cp.async.wait_group %0;" ::"n"(N))', "((void)0)"),
        ("predicate", 8, "threadIdx.x >= n", "false"),
        ("predicate", 9, "threadIdx.x + 1 == n", "true"),
        ("wait", 10, "wait<1>()", "((void)0)"),
        ("predicate", 11, "f(last, true)", "true"),
        ("predicate", 11, "n > 3", "true"),
        ("barrier", 12, "__syncthreads()", "((void)0)"),
        ("fence", 12, "__threadfence()", "((void)0)"),
        ("predicate", 13, "@p ", ""),
        ("predicate", 15, "last", "false"),
        ("predicate", 16, "n < 9", "false"),
    ]


def test_a_mutant_keeps_its_lines() -> None:
    for site in sites(SOURCE):
        assert mutated(SOURCE, site).count("\n") == SOURCE.count("\n")


def test_a_guard_that_is_taken_away_is_noticed() -> None:
    known = expected([probe for probe in PROBES if probe.name == "ladder"])
    first, *_ = found = list(mutants([sources.kernels_folder() / "ladder" / "ladder.cu"]))
    assert first.name == "ladder/ladder.cu: if (row >= rows) return; [row >= rows -> false]"
    assert found[1].name == f"{first.name} (2)"
    (verdict,) = verdicts([first], known)
    assert verdict.killed
    assert verdict.end == "MemcheckError"


def test_mutants_are_told_apart_by_a_number() -> None:
    text = "if (a && (b ? c : d)) f();\nif (e) return;\n"
    found = text_of_all(text, list(enumerate(sites(text))), "m")
    assert found.count("\n") == 2
    assert found.endswith(
        "if ((m(0) ? true : bool(a)) && (m(1) ? true : bool(((m(2) ? false : m(3) ? true : bool(b)) ? c : d)))) f();\n"
        "if ((m(4) ? false : bool(e))) return;\n"
    )
    noted = text_of_all(text, list(enumerate(sites(text))), "m", noted=True)
    assert noted.endswith(
        "if ((m(bool(a), 0, -1)) && (m(bool(((m(bool(b), 3, 2)) ? c : d)), 1, -1))) f();\n"
        "if ((m(bool(e), -1, 4))) return;\n"
    )


def test_mutants_that_are_judged_together_end_as_they_do_alone() -> None:
    probes = [probe for probe in PROBES if probe.name == "ladder"]
    found = list(mutants([sources.kernels_folder() / "ladder" / "ladder.cu"]))
    together = {verdict.mutant.name: verdict.end for verdict in judged_together(found, probes)}
    assert together.keys() == {each.name for each in found}
    assert together[found[0].name] == "MemcheckError"


@pytest.mark.parametrize("text", ["if (a) return;", "if (a) { continue; }", "if (a) break;"])
def test_a_way_out_is_closed_and_not_opened(text: str) -> None:
    (site,) = sites(text)
    assert site.put == "false"


OF_LADDER = """
import numpy as np
from cupysoft import simulator
from cupysoft.demo import ladder_softmax
from cupysoft.ops.ladder import RUNGS

def test_of_something_else():
    assert True

def test_of_three_walks():
    with simulator.Device() as device:
        assert (ladder_softmax(RUNGS[1], np.ones((3, 4), "f4"), device) == 0.25).all()
"""


def test_tests_judge_what_they_see(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(OF_LADDER)
    naive, three, *_ = mutants([sources.kernels_folder() / "ladder" / "ladder.cu"])
    found = {each.mutant: each for _, each in judged_by_tests([naive, three], {str(tmp_path): [naive, three]})}
    assert found[naive].end == "decided nothing"
    assert (found[three].end, found[three].by.split("::")[-1]) == ("MemcheckError", "test_of_three_walks")


FAILURES = """
from cupysoft.errors import CompileError, RacecheckError

def test_value(): assert 1 == 2
def test_counter():
    walks = 2
    assert walks == 1
def test_report(): raise RacecheckError("kernel: race")
def test_other(): raise CompileError("kernel: no")
def test_nothing(): pass
"""


def test_only_values_and_reports_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYPOTHESIS_PROFILE", "dev")  # what the session sets goes with the test

    def run(session: Session) -> tuple[str, Any]:
        return "results", {item.name: session.run(item) for item in session.items}

    (tmp_path / "test_it.py").write_text(FAILURES)
    assert in_session(str(tmp_path), run)[1] == {
        "test_value": "wrong value",
        "test_counter": "failed: AssertionError",
        "test_report": "RacecheckError",
        "test_other": "failed: CompileError",
        "test_nothing": "survived",
    }


def test_the_verdict_that_tells_most_is_kept(tmp_path: Path) -> None:
    first, second, *_ = mutants([sources.kernels_folder() / "ladder" / "ladder.cu"])
    known = Known(tmp_path / "verdicts")
    for way, end in (("probes", "decided nothing"), ("a", "failed: ValueError"), ("b", "survived")):
        known.add(way, Verdict(first, end))
    known.add("a", Verdict(second, "wrong value", "a::test"))
    known = Known(tmp_path / "verdicts")
    assert known.verdict(first).end == "failed: ValueError"
    assert known.is_asked(first, "b")
    assert not known.is_asked(first, "c")
    assert known.is_asked(second, "c")
    text = page([known.verdict(first), known.verdict(second)], {}, "today.")
    assert "The probes killed 0, tests 1 more. 1 live on: 0 with a reason, 1 without one." in text
    assert text.count(first.name) == 1
    assert "of the mutants that live on 1 have" in page([known.verdict(first)], {}, "today.", partly=1)
    assert "live on" not in text.partition("The probes")[0]
    *_, third = mutants([sources.kernels_folder() / "ladder" / "ladder.cu"])
    assert known.verdict(third).end == NOT_ASKED
    assert "why it lives" in page([known.verdict(first)], {first.name: "why it lives"}, "today.").lower()
