"""Classes of PTX instructions, for counting."""

from __future__ import annotations

from .compiled import Where

__all__ = ["CLASSES", "class_of"]

_BY_OPCODE = {
    **dict.fromkeys(("ld", "ldu"), "load"),
    "st": "store",
    "cp": "copy",
    **dict.fromkeys(("atom", "red"), "atomic"),
    **dict.fromkeys(("bra", "brx", "ret", "exit", "call", "trap", "nanosleep"), "control"),
    **dict.fromkeys(("shfl", "vote", "match", "redux", "activemask", "elect"), "warp"),
    **dict.fromkeys(("membar", "fence"), "fence"),
    **dict.fromkeys(("cvt", "cvta"), "conversion"),
    **dict.fromkeys(("mov", "selp"), "move"),
    **dict.fromkeys(("ex2", "lg2", "sin", "cos", "tanh", "rsqrt"), "special"),
}
_BY_TYPE = {
    "f64": "float64",
    **dict.fromkeys(("f32", "f32x2"), "float32"),
    **dict.fromkeys(("f16", "f16x2", "bf16", "bf16x2"), "float16"),
}

#: Every class, in the order of reports.
CLASSES = (
    "float64", "float32", "float16", "special", "integer", "conversion", "move", "load", "store", "copy", "atomic",
    "warp", "barrier", "fence", "control",
)  # fmt: skip


def class_of(where: Where) -> str:
    """Class of an instruction: what it does, or the type it computes in."""
    if where.opcode in ("bar", "barrier"):
        return "warp" if "warp" in where.modifiers else "barrier"
    if where.opcode in _BY_OPCODE:
        return _BY_OPCODE[where.opcode]
    types = [_BY_TYPE[each] for each in where.modifiers if each in _BY_TYPE]
    return types[-1] if types else "integer"
