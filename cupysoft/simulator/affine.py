"""Values that rise by the same step from lane to lane: indices and addresses, mostly.

They are known by their first lane and the step, so what is computed from them costs a scalar instruction, and an access
to memory at such an address is one wide access without a look at the lanes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .code import LANES
from .literals import bits_of

if TYPE_CHECKING:
    from .strips import Strips, Value

__all__ = ["LARGEST_STEP", "Affine", "affine_result"]

#: Larger steps from lane to lane are left to the lanes.
LARGEST_STEP = 1 << 20


class Affine(tuple[str, ...]):
    """A value that is ``base + step * lane``, modulo its type: its strips, lane 0 as a scalar, and the step."""

    base: str
    step: int

    def __new__(cls, strips: Value, base: str, step: int) -> Affine:
        value = super().__new__(cls, strips)
        value.base, value.step = base, step
        return value


_BINARY = re.compile(r"(add|sub|mul|shl) <W x (i(?:32|64))> \{0\}, \{1\}$")
_CAST = re.compile(r"(sext|zext|trunc) <W x (i(?:32|64))> \{0\} to <W x (i(?:32|64))>$")
_NUMBER = re.compile(r"-?\d+$")


def affine_result(e: Strips, template: str, values: tuple[Value, ...]) -> Value | None:
    """Write an instruction on values of which one is affine, if its result is affine or alike in all lanes."""
    if match := _BINARY.match(template):
        found = _binary(e, match[1], match[2], *values)
    elif match := _CAST.match(template):
        (value,) = values
        assert isinstance(value, Affine)
        if match[1] != "trunc" and not e.assured(_no_wrap(e, value, match[2], match[1] == "sext")):
            return None
        found = e.code.scalar(f"{match[1]} {match[2]} {value.base} to {match[3]}"), value.step, match[3]
    else:
        return None
    if found is None:
        return None
    base, step, type_ = found
    if abs(step) > LARGEST_STEP:
        return None
    return e.affine(type_, base, step) if step else e.splat(type_, base)


def _binary(e: Strips, name: str, type_: str, a: Value, b: Value) -> tuple[str, int, str] | None:
    first, second = _parts(a), _parts(b)
    if first is None or second is None:
        return None
    (x, p), (y, q) = first, second
    if name in ("add", "sub"):
        step = p + q if name == "add" else p - q
    elif p == 0 and name == "mul" and _NUMBER.match(x):
        step = int(x) * q
    elif q == 0 and _NUMBER.match(y):
        step = p * int(y) if name == "mul" else p << int(y)
    else:
        return None
    half = 1 << (bits_of(type_) - 1)
    return e.code.scalar(f"{name} {type_} {x}, {y}"), (step + half) % (2 * half) - half, type_


def _parts(value: Value) -> tuple[str, int] | None:
    """Return lane 0 and the step of a value that has one."""
    if isinstance(value, Affine):
        return value.base, value.step
    scalar = getattr(value, "scalar", None)
    return None if scalar is None else (scalar, 0)


def _no_wrap(e: Strips, value: Affine, type_: str, signed: bool) -> str:
    """Return an ``i1``: whether no lane is beyond the end of the type, seen from lane 0."""
    bits = bits_of(type_)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    way = (LANES - 1) * value.step
    limit, condition = (high - way, "le") if way > 0 else (low - way, "ge")
    return e.code.scalar(f"icmp {'s' if signed else 'u'}{condition} {type_} {value.base}, {limit}")
