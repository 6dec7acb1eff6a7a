"""Operations on NumPy arrays that lie on the host."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from cupysoft import host
from cupysoft.attention_layout import AttentionOptions, Role
from cupysoft.errors import DtypeError, ShapeError
from cupysoft.ops import cpu
from cupysoft.ops.arguments import OVERLAP_WORK
from cupysoft.ops.target import PartArrays, StateArrays

__all__ = ["HostTarget"]


class HostTarget:
    """NumPy arrays, computed by `cupysoft.host`, and large ones by the kernels on the CPU."""

    kind = "a NumPy array"
    xp: Any = np

    def own(self, value: object) -> Any | None:
        """Give an ndarray without what a subclass does with it: np.matrix, for one, is never without two axes."""
        return np.asarray(value) if isinstance(value, np.ndarray) and not _masks(value) else None

    def array(self, function: str, argument: str, value: object) -> Any:
        """Turn a sequence, scalar or array into a plain ndarray."""
        if _masks(value):
            nothing = "-numpy.inf" if argument in ("x", "a") else "0"
            raise DtypeError(
                f"{function}: {argument} is, or holds, a masked array, whose mask would be ignored; expected a plain "
                f"array. Write over what is masked what counts for nothing, as {argument}.filled({nothing}) does"
            )
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ShapeError(
                f"{function}: {argument} cannot be made an array ({error}); "
                "expected numbers in nested sequences of equal length"
            ) from None
        if array.dtype != object or isinstance(value, np.ndarray):
            return array
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        raise DtypeError(
            f"{function}: {argument} is a {type(value).__name__}, of which NumPy makes an array of objects; "
            "expected an array, a number below 2**64, or nested sequences of such numbers"
        )

    def convert(self, array: Any, dtype: np.dtype[Any]) -> Any:
        """Convert without the warning that NumPy gives where a weight becomes infinite in a narrower type."""
        with np.errstate(over="ignore"):
            return array.astype(dtype, copy=False)

    def assign(self, out: Any, value: Any) -> None:
        """Assign in NumPy."""
        out[...] = value

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

    def softmax(self, x: Any, axes: tuple[int, ...], out: Any, *, log: bool, fast: bool = False) -> None:
        """Compute by the kernels on the CPU, which are faster than `fast` is in NumPy, or in NumPy."""
        if cpu.computed("LogSoftmax" if log else "Softmax", x, axes, out):
            return
        if fast:
            (host.fast_log_softmax if log else host.fast_softmax)(x, axes, out)
        else:
            (host.log_softmax if log else host.softmax)(x, axes, out)

    def logsumexp(
        self, a: Any, axes: tuple[int, ...], b: Any | None, out: Any, sign: Any | None, fast: bool = False
    ) -> None:
        """Compute by the kernels on the CPU, or in NumPy."""
        plain = b is None and sign is None and a.dtype.kind != "c"
        if plain and cpu.computed("LogSumExp", a, axes, out):
            return
        if fast and plain:
            host.fast_logsumexp(a, axes, out)
        else:
            host.logsumexp(a, axes, b, out, sign)

    def state_of(self, x: Any, axes: tuple[int, ...]) -> StateArrays:
        """Compute by the kernels on the CPU, or in NumPy."""
        return cpu.state_of(x, axes) or host.state_of(x, axes)

    def merge(self, first: StateArrays, second: StateArrays) -> StateArrays:
        """Compute in NumPy."""
        return host.merge_states(host.SlicedState(*first), host.SlicedState(*second))

    def state_logsumexp(self, state: StateArrays, out: Any, undecided: Any) -> None:
        """Compute in NumPy."""
        host.state_logsumexp(host.SlicedState(*state), out, undecided)

    def state_softmax(self, state: StateArrays, x: Any, axes: tuple[int, ...], out: Any, undecided: Any) -> None:
        """Compute in NumPy."""
        host.state_softmax(host.SlicedState(*state), x, axes, out, undecided)

    def attention(self, arrays: dict[Role, Any], options: AttentionOptions) -> None:
        """Compute in NumPy."""
        host.attention(arrays, options)

    def attention_part(self, o: Any, lse: Any) -> PartArrays:
        """Compute in NumPy."""
        return host.attention_part(o, lse)

    def join_attention(self, first: PartArrays, second: PartArrays) -> PartArrays:
        """Compute in NumPy."""
        return host.join_attention(host.Part(*first), host.Part(*second))

    def merge_attention(self, first: tuple[Any, Any], second: tuple[Any, Any], out: Any, lse: Any) -> None:
        """Compute in NumPy."""
        host.merge_attention(host.attention_part(*first), host.attention_part(*second), out, lse)

    def finish_attention(self, part: PartArrays, out: Any, lse: Any) -> None:
        """Compute in NumPy."""
        host.finish_attention(host.Part(*part), out, lse)


def _masks(value: object) -> bool:
    """Whether `value` is a masked array, or a nested sequence that holds one, whose mask NumPy would drop."""
    if isinstance(value, (list, tuple)):
        return any(map(_masks, value))
    return isinstance(value, np.ma.MaskedArray)
