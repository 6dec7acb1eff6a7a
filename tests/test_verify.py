"""The sweep: it agrees where results are right, and says so where a bit is not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import cupysoft
from cupysoft import cli
from cupysoft.demo import Backend
from cupysoft.testing.trouble import FAMILIES, WEIGHTS
from cupysoft.verify import FUNCTIONS, LENGTHS, STATE, WEIGHTED, Count, _shapes, sweep
from cupysoft.verify_table import table

HOST = Backend("host", None)


def test_the_command_prints_a_table_of_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--elements", "2e3", "--seed", "5", "--backend", "host"]) == 0
    shown = capsys.readouterr()
    assert all(name in shown.out for name in (*FUNCTIONS, *STATE, WEIGHTED, *FAMILIES, *WEIGHTS, "host float64"))
    assert shown.out.rstrip().endswith(" results compared, 0 mismatches")
    steps = shown.err.splitlines()
    assert len(steps) == 4 * (len(FAMILIES) + len(WEIGHTS))
    assert steps[-1].startswith(f"[{len(steps)}/{len(steps)}]")


class OneBitOff(Backend):
    """A backend whose last softmax of float32 has another last bit."""

    def call(self, operation: str, x: Any, **kwargs: Any) -> Any:
        found = super().call(operation, x, **kwargs)
        if operation == "softmax" and x.dtype == np.float32:
            found.view(np.int32).reshape(-1)[-1] ^= 1
        return found


def test_one_bit_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from cupysoft import verify_table

    monkeypatch.setattr(verify_table, "backends", lambda: iter([HOST, OneBitOff("wrong one", None)]))
    words = ["verify", "--elements", "500", "--dtype", "float32", "--dtype", "float16"]
    assert cli.main([*words, "--json"]) == 1
    counts = [Count(**each) for each in json.loads(capsys.readouterr().out)]
    wrong = [count for count in counts if count.mismatches]
    assert {(c.function, c.dtype, c.backend) for c in wrong} == {("softmax", "float32", "wrong one")}
    assert {c.family for c in wrong} == set(FAMILIES)
    assert cli.main(words) == 1
    assert "0 mismatches" not in capsys.readouterr().out.splitlines()[-1]


def test_a_state_with_a_bit_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cupysoft.SoftmaxState.logsumexp

    def wrong(state: cupysoft.SoftmaxState, *, return_undecided: bool) -> Any:
        found, undecided = right(state, return_undecided=True)
        return np.nextafter(found, np.inf, dtype=found.dtype), undecided

    monkeypatch.setattr(cupysoft.SoftmaxState, "logsumexp", wrong)
    counts = sweep(500, 1, [HOST], [np.dtype("f4")])
    assert {count.function for count in counts if count.mismatches} == {STATE[1]}


def test_the_same_seed_draws_the_same_input() -> None:
    class Recorder(Backend):
        def call(self, operation: str, x: Any, **kwargs: Any) -> Any:
            seen.append(x.tobytes())
            return super().call(operation, x, **kwargs)

    runs = []
    for seed in (1, 1, 2):
        seen: list[bytes] = []
        sweep(300, seed, [Recorder("host", None)], [np.dtype("f4")])
        runs.append(seen)
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("elements", [0, 1, 2, 100, 19999, 200000])
def test_shapes_have_the_elements_that_were_asked_for(elements: int) -> None:
    shapes = list(_shapes(elements, np.random.default_rng(0)))
    assert sum(rows * columns for rows, columns in shapes) == elements
    assert {columns for _, columns in shapes} <= set(LENGTHS)


def test_a_table_has_a_row_for_each_family() -> None:
    counts = [Count("softmax", "float32", "host", family, 9, 9, i) for i, family in enumerate(("a", "b"))]
    assert table(counts).splitlines()[-1].split() == ["softmax", "b", "9", "1"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--backend", "abacus"], "backend 'abacus' is not there; expected one of: host"),
        (["--backend", "host", "--dtype", "int8"], "dtype 'int8' is not known; expected one of: float16"),
    ],
)
def test_what_is_not_there_is_named(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", *words]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("elements", ["0", "-3", "inf"])
def test_to_compare_nothing_is_no_verification(elements: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["verify", f"--elements={elements}"])
    assert "at least 1" in capsys.readouterr().err


def test_a_number_of_elements_may_be_written_in_any_way(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["verify", "--elements", "many"])
    assert "'many' is not a number of at least 1, as 1e7 is" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "1.5", "x"])
def test_a_seed_is_a_whole_number_from_0_on(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["verify", f"--seed={seed}", "--elements", "1", "--backend", "host"])
    assert f"argument --seed: '{seed}' is not a whole number of at least 0" in capsys.readouterr().err
