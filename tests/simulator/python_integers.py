"""Integer forms beside functions of Python's integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.simulator.harness import Array, Form, integers, run, same_bits

__all__ = ["WIDTH", "check", "clamp", "signed", "truncated"]

WIDTH = {"h": 16, "r": 32, "l": 64}
OPERANDS = {letter: integers(width, 4, 300, seed=width) for letter, width in WIDTH.items()}


def signed(x: int, width: int) -> int:
    """Read the low bits as a two's complement number."""
    x &= (1 << width) - 1
    return x - (1 << width) if x >> (width - 1) else x


def check(cases: dict[str, Callable[..., int]], forms: dict[str, Form] | None = None) -> None:
    """Run every form of `cases` and compare with its function of Python integers."""
    forms = forms or {}
    results = run([forms.get(name, name) for name in cases], OPERANDS)
    for name, reference in cases.items():
        form = forms.get(name)
        letters = form.letters if form else name.split(" ")[0]
        operands = _operands(letters)
        width = WIDTH[letters[0]]
        want = [reference(*map(int, row)) & ((1 << width) - 1) for row in zip(*operands, strict=True)]
        same_bits(name, results[form.asm if form else name], np.array(want, f"u{width // 8}"), *operands)


def _operands(letters: str) -> list[Array]:
    used = dict.fromkeys(letters, 0)
    operands = []
    for letter in letters[1:]:
        operands.append(OPERANDS[letter][used[letter]])
        used[letter] += 1
    return operands


def clamp(x: int, low: int, high: int) -> int:
    return max(low, min(high, x))


def truncated(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
