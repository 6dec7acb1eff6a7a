"""The batch of a call of attention: leading axes that broadcast, and heads of queries that share keys and values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cupysoft.errors import ShapeError
from cupysoft.ops.arguments import broadcast_shape

__all__ = ["Batch", "batch_of", "check_onto"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Leading axes of the result.

    Attributes
    ----------
    shape : tuple of int
        As the caller sees them; the last is that of the heads.
    group : int
        Heads of q for each head of k and v; 1 where their heads broadcast.
    """

    shape: Shape
    group: int

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def split(self) -> Shape:
        """The shape with an axis of its own for the heads of a group, where there are groups."""
        return self.shape if self.group == 1 else (*self.shape[:-1], self.shape[-1] // self.group, self.group)

    def parted(self, array: Any, own: int, *, of_keys: bool = False) -> Any:
        """View an array, whose last `own` axes are not of the batch, with the heads in groups; nothing is copied."""
        lead, rest = array.shape[: array.ndim - own], array.shape[array.ndim - own :]
        if self.group == 1 or not lead:
            return array
        heads = lead[-1]
        pair = (heads, 1) if of_keys or heads == 1 else (heads // self.group, self.group)
        return array.reshape(*lead[:-1], *pair, *rest)

    def seen(self, xp: Any, array: Any, own: Shape, *, of_keys: bool = False) -> Any:
        """View an array over the split batch, with `own` axes after it."""
        short = len(own) - array.ndim
        if short > 0:
            array = array.reshape((1,) * short + tuple(array.shape))
        return xp.broadcast_to(self.parted(array, len(own), of_keys=of_keys), (*self.split, *own))


def batch_of(function: str, q: Shape, k: Shape, v: Shape) -> Batch:
    """Broadcast the leading axes of the shapes of q, k and v; the third axis from the end is that of the heads.

    Raises
    ------
    ShapeError
        If they do not broadcast, and the heads of k and v do not divide those of q.
    """
    shapes = {"q": q[:-2], "k": k[:-2], "v": v[:-2]}
    heads = {name: shape[-1] if shape else 1 for name, shape in shapes.items()}
    of_keys = {heads["k"], heads["v"]} - {1} or {1}
    if len(of_keys) == 1:
        (shared,) = of_keys
        if 1 < shared < heads["q"] and heads["q"] % shared == 0:
            lead = broadcast_shape(function, {name: shape[:-1] for name, shape in shapes.items()})
            return Batch((*lead, heads["q"]), heads["q"] // shared)
    try:
        return Batch(broadcast_shape(function, shapes), 1)
    except ShapeError:
        came = ", ".join(f"{name} has shape {shape}" for name, shape in (("q", q), ("k", k), ("v", v)))
        raise ShapeError(
            f"{function}: {came}; their leading axes must broadcast: counted from the end, sizes equal or one of them "
            "1; in the third axis from the end, that of the heads, k and v may also have a divisor of q's"
        ) from None


def check_onto(function: str, name: str, shape: Shape, whole: Shape, of: str, way_out: str = "") -> None:
    """Check that an argument broadcasts to a shape, and does not widen it.

    Raises
    ------
    ShapeError
        If it does not.
    """
    fits = len(shape) <= len(whole) and all(n in (1, w) for n, w in zip(shape[::-1], whole[::-1], strict=False))
    if not fits:
        expected = f"expected one that broadcasts to {whole}, {of}"
        raise ShapeError(f"{function}: {name} has shape {shape}; {expected}{way_out}")
