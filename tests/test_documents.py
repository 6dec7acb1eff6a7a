"""What the pages show is what happens: their Python runs, in a fresh process, and prints what stands below it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "docs/attention.md", "docs/simulator.md", "docs/testing-your-kernels.md")
BLOCK = re.compile(r"^( *)```python\n(?P<code>.*?)^\1```\n(?:\n\1```\n(?P<output>.*?)^\1```\n)?", re.M | re.S)
LINK = re.compile(r"\]\((?!http)([^)#]+)(?:#([^)]+))?\)")


def program(page: str) -> tuple[str, str]:
    """All Python of a page as one program, as a reader would type it, and what it is said to print."""
    code, output = [], []
    for block in BLOCK.finditer((ROOT / page).read_text()):
        lines = block["code"].splitlines()
        code.append("\n".join(line.removeprefix(block[1]) for line in lines))
        # Marks tell apart what the page shows from what it leaves out.
        code.append("print('-----')")
        output.append(block["output"])
    return "\n".join(code), "-----\n".join("" if text is None else text for text in output)


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_runs_and_prints_what_it_says(page: str) -> None:
    code, expected = program(page)
    assert code
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for said, printed in zip(expected.split("-----\n"), done.stdout.split("-----\n"), strict=False):
        assert said in ("", printed)


def sections(page: Path) -> set[str]:
    """Names by which the sections of a page are linked to."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_links_and_commands_name_what_is_there(page: str) -> None:
    text = (ROOT / page).read_text()
    for target, section in LINK.findall(text):
        path = (ROOT / page).parent / target
        assert path.exists(), f"{page} links to {target}"
        assert not section or section in sections(path), f"{page} links to {target}#{section}"
    for command in re.findall(r"`([^`\n]+)`", text):
        for path in re.findall(r"(?:tests|benchmarks|examples)/[\w./]*", command):
            assert (ROOT / path).exists(), f"{page}: {command}"
        for module in re.findall(r"python -m (benchmarks[\w.]*)", command):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), f"{page}: {command}"
