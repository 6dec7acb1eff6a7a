"""Where a call runs, and how that place makes arrays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeAlias

import numpy as np

from cupysoft import host
from cupysoft.arrays import library_of
from cupysoft.errors import DtypeError, ShapeError
from cupysoft.ops.arguments import OVERLAP_WORK

__all__ = ["StateArrays", "Target", "target_of"]

StateArrays: TypeAlias = tuple[Any, Any, Any]
"""Maximum, and sum of exponentials in two words: float64 arrays of the rows' shape."""


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

    def scope(self) -> AbstractContextManager[object]:
        """Make the device current on which the arrays lie."""

    def overlap(self, first: Any, second: Any) -> bool:
        """Whether two arrays may share an element."""

    def softmax(self, x: Any, axes: tuple[int, ...], out: Any, *, log: bool) -> None:
        """Write softmax, or its logarithm, of `x` over `axes` to `out`."""

    def logsumexp(self, a: Any, axes: tuple[int, ...], b: Any | None, out: Any, sign: Any | None) -> None:
        """Write the logarithm of sum(b exp(a)) over `axes` to `out`, and its sign to `sign`."""

    def state_of(self, x: Any, axes: tuple[int, ...]) -> StateArrays:
        """Give the state of the rows of `x`, which has elements."""

    def merge(self, first: StateArrays, second: StateArrays) -> StateArrays:
        """Give the state of the elements of both."""

    def state_logsumexp(self, state: StateArrays, out: Any) -> None:
        """Write the logarithm of the state's sum of exponentials to `out`."""

    def state_softmax(self, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any) -> None:
        """Write exp(x) over the state's sum of exponentials to `out`."""


class HostTarget:
    """NumPy arrays, computed by `cupysoft.host`."""

    kind = "a NumPy array"
    xp: Any = np

    def own(self, value: object) -> Any | None:
        """Give an ndarray as it is."""
        return value if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray) else None

    def array(self, function: str, argument: str, value: object) -> Any:
        """Turn a sequence, scalar or array into a plain ndarray."""
        if isinstance(value, np.ma.MaskedArray):
            raise DtypeError(
                f"{function}: {argument} is a masked array, whose mask would be ignored; expected a plain array. "
                f"Write -inf over what is masked, as {argument}.filled(-numpy.inf) does"
            )
        try:
            return np.asarray(value)
        except ValueError as error:
            raise ShapeError(
                f"{function}: {argument} cannot be made an array ({error}); "
                "expected numbers in nested sequences of equal length"
            ) from None

    def scope(self) -> AbstractContextManager[object]:
        """Nothing to make current."""
        return nullcontext()

    def overlap(self, first: Any, second: Any) -> bool:
        """Decide exactly where that is cheap, and say yes where it is not."""
        if not np.may_share_memory(first, second):
            return False
        try:
            return np.shares_memory(first, second, max_work=OVERLAP_WORK)  # type: ignore[arg-type]
        except np.exceptions.TooHardError:
            return True

    def softmax(self, x: Any, axes: tuple[int, ...], out: Any, *, log: bool) -> None:
        """Compute in NumPy."""
        (host.log_softmax if log else host.softmax)(x, axes, out)

    def logsumexp(self, a: Any, axes: tuple[int, ...], b: Any | None, out: Any, sign: Any | None) -> None:
        """Compute in NumPy."""
        host.logsumexp(a, axes, b, out, sign)

    def state_of(self, x: Any, axes: tuple[int, ...]) -> StateArrays:
        """Compute in NumPy."""
        return host.state_of(x, axes)

    def merge(self, first: StateArrays, second: StateArrays) -> StateArrays:
        """Compute in NumPy."""
        return host.merge_states(host.State(*first), host.State(*second))

    def state_logsumexp(self, state: StateArrays, out: Any) -> None:
        """Compute in NumPy."""
        host.state_logsumexp(host.State(*state), out)

    def state_softmax(self, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any) -> None:
        """Compute in NumPy."""
        host.state_softmax(host.State(*state), x, axes, out)


def target_of(function: str, operands: Mapping[str, object]) -> Target:
    """Choose where a call runs, from where its operands lie.

    Raises
    ------
    DtypeError
        If an operand is not in host memory.
    """
    for name, value in operands.items():
        if library_of(value) != "numpy":
            raise DtypeError(f"{function}: {name} is a {type(value).__name__} on a CUDA device; expected a NumPy array")
    return HostTarget()
