"""Classes of PTX instructions, for counting."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .ptx import Lines

__all__ = ["CLASSES", "Where", "class_of", "matrix_operations"]

_BY_OPCODE = {
    **dict.fromkeys(("ld", "ldu"), "load"),
    "st": "store",
    "cp": "copy",
    **dict.fromkeys(("atom", "red"), "atomic"),
    **dict.fromkeys(("bra", "brx", "ret", "exit", "call", "trap", "nanosleep"), "control"),
    **dict.fromkeys(("shfl", "vote", "match", "redux", "activemask", "elect"), "warp"),
    **dict.fromkeys(("membar", "fence"), "fence"),
    **dict.fromkeys(("mma", "wmma"), "matrix"),
    "ldmatrix": "load",
    "stmatrix": "store",
    "movmatrix": "warp",
    **dict.fromkeys(("cvt", "cvta"), "conversion"),
    **dict.fromkeys(("mov", "selp"), "move"),
    **dict.fromkeys(("ex2", "lg2", "sin", "cos", "tanh", "rsqrt"), "special"),
}
_BY_TYPE = {
    "f64": "float64",
    **dict.fromkeys(("f32", "f32x2"), "float32"),
    **dict.fromkeys(("f16", "f16x2", "bf16", "bf16x2"), "float16"),
}

_FACTORS = ("f16", "bf16", "tf32", "f32", "f64")

#: Every class, in the order of reports.
CLASSES = (
    "float64", "float32", "float16", "matrix", "special", "integer", "conversion", "move", "load", "store", "copy",
    "atomic", "warp", "barrier", "fence", "control",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Where:
    """One PTX instruction, for reports: its text, PTX line, CUDA file and line, and the calls that led there."""

    opcode: str
    modifiers: tuple[str, ...]
    text: str
    line: int
    location: tuple[str, int] | None
    callers: tuple[Lines, ...] = ()


def class_of(where: Where) -> str:
    """Class of an instruction: what it does, or the type it computes in."""
    if where.opcode in ("bar", "barrier"):
        return "warp" if "warp" in where.modifiers else "barrier"
    if where.opcode in _BY_OPCODE:
        return _BY_OPCODE[where.opcode]
    types = [_BY_TYPE[each] for each in where.modifiers if each in _BY_TYPE]
    return types[-1] if types else "integer"


def matrix_operations(where: Where) -> tuple[str, int]:
    """The type of the factors of a matrix instruction, and its multiplications and additions."""
    shape = next(filter(None, (re.fullmatch(r"m(\d+)n(\d+)k(\d+)", each) for each in where.modifiers)), None)
    types = [each for each in where.modifiers if each in _FACTORS]
    # The types are those of the sum, the two factors and the addend; nothing else is written where all are f16.
    factors = types[1] if len(types) == 4 else "f16"
    return factors, 2 * int(shape[1]) * int(shape[2]) * int(shape[3]) if shape else 0
