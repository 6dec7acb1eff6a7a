"""Every example runs as it stands, and says what it should."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SAYS = {
    "check_a_kernel.py": ("right with the barrier: True", "without it:", "reverse"),
    "find_a_race.py": (
        "a block for each row: right",
        "with checks: RacecheckError: shares: Race reported between Write access of size 4 bytes and Read access",
        "    rows=2,\n    columns=2,\n    blocks=1,\n    threads=32,\n    seed=0,\n)",
        "without: AssertionError",
        "right for any launch",
    ),
    "kernel_regression.py": ("      1.0   0.448", "the same: True"),
    "streaming_logits.py": ("same bits as one piece: True",),
}


def test_every_example_is_known() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    text = capsys.readouterr().out
    assert all(words in text for words in SAYS[name]), text


def test_the_page_on_testing_shows_the_kernel_of_its_example() -> None:
    page = (EXAMPLES.parent / "docs" / "testing-your-kernels.md").read_text()
    shown = page.split("```cuda\n")[1].split("```")[0]
    assert shown in (EXAMPLES / "find_a_race.py").read_text()
