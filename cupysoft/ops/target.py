"""What an operation needs of the place where it runs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import numpy as np

from cupysoft.attention_layout import AttentionOptions, Role

__all__ = ["PartArrays", "StateArrays", "Target"]

StateArrays: TypeAlias = tuple[Any, Any]
"""Maxima, in float64 and the rows' shape; and sums of exponentials, words of uint64 with one axis more in front."""

PartArrays: TypeAlias = tuple[Any, Any, Any]
"""Largest exponent, sum of weights, and, with one axis more, sum of weighted values: float64 arrays."""


class Target(Protocol):
    """What an operation needs of the place where it runs.

    Attributes
    ----------
    kind : str
        What its arrays are called in messages.
    xp : module
        NumPy or CuPy.
    """

    kind: str
    xp: Any

    def own(self, value: object) -> Any | None:
        """Give `value` as an array of this target without a copy, or None."""

    def array(self, function: str, argument: str, value: object) -> Any:
        """Turn what a user passed into an array of this target."""

    def convert(self, array: Any, dtype: np.dtype[Any]) -> Any:
        """Give an array in a dtype: the array itself if it has it."""

    def assign(self, out: Any, value: Any) -> None:
        """Write a number, or an array of this target and of the same shape, to all of `out`."""

    def scope(self) -> AbstractContextManager[object]:
        """Make the device current on which the arrays lie."""

    def overlap(self, first: Any, second: Any) -> bool:
        """Whether two arrays may share an element."""

    def softmax(self, x: Any, axes: tuple[int, ...], out: Any, *, log: bool, fast: bool = False) -> None:
        """Write softmax, or its logarithm, of `x` over `axes` to `out`; correctly rounded, or fast."""

    def logsumexp(
        self, a: Any, axes: tuple[int, ...], b: Any | None, out: Any, sign: Any | None, fast: bool = False
    ) -> None:
        """Write the logarithm of sum(b exp(a)) over `axes` to `out`, and its sign to `sign`."""

    def state_of(self, x: Any, axes: tuple[int, ...]) -> StateArrays:
        """Give the state of the rows of `x`, which has elements."""

    def merge(self, first: StateArrays, second: StateArrays) -> StateArrays:
        """Give the state of the elements of both."""

    def state_logsumexp(self, state: StateArrays, out: Any, undecided: Any) -> None:
        """Write the logarithm of the state's sum of exponentials to `out`, and whether its rounding is undecided."""

    def state_softmax(self, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any, undecided: Any) -> None:
        """Write exp(x) over the state's sum of exponentials to `out`, and whether its rounding is undecided."""

    def attention(self, arrays: dict[Role, Any], options: AttentionOptions) -> None:
        """Write attention of `arrays`, as `layout_of` takes them, to out, and to lse where that is among them."""

    def attention_part(self, o: Any, lse: Any) -> PartArrays:
        """Give the part that a result of attention stands for."""

    def join_attention(self, first: PartArrays, second: PartArrays) -> PartArrays:
        """Give the part of the keys of both."""

    def merge_attention(self, first: tuple[Any, Any], second: tuple[Any, Any], out: Any, lse: Any) -> None:
        """Write the result over the keys of two results (o, lse) to `out` and `lse`."""

    def finish_attention(self, part: PartArrays, out: Any, lse: Any) -> None:
        """Write the result of a part to `out`, and its logsumexp to `lse`."""
