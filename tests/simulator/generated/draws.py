"""Where the choices of a generated program come from: Hypothesis, which can shrink them, or a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["Draws", "seeded"]

T = TypeVar("T")


class Draws:
    """Choices; `integer` draws from the first to the last number, and the first one is the simplest."""

    def __init__(self, integer: Callable[[int, int], int]) -> None:
        self.integer = integer

    def pick(self, items: Sequence[T]) -> T:
        """One of several; the first is the simplest."""
        return items[self.integer(0, len(items) - 1)]

    def chance(self, percent: int) -> bool:
        """True so often; False is the simpler answer."""
        return self.integer(0, 99) >= 100 - percent

    def weighted(self, items: Sequence[tuple[int, T]]) -> T:
        """One of several, each as often as its weight says."""
        left = self.integer(0, sum(weight for weight, _ in items) - 1)
        for weight, item in items:
            left -= weight
            if left < 0:
                return item
        raise AssertionError("weights are positive")


def seeded(seed: int) -> Draws:
    """Choices of a pseudo-random generator."""
    return Draws(random.Random(seed).randint)
