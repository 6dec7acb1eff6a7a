"""Runs a form of ``mma`` on many matrices: a warp takes one product, and its lanes take what the PTX manual says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cupysoft import simulator
from tests.simulator.harness import Array

__all__ = ["FORMS", "HALF", "NARROW", "Shape", "multiply", "source"]

_WORDS = {"f16": np.uint16, "bf16": np.uint16, "tf32": np.uint32, "f32": np.uint32, "f64": np.uint64}
_C = {2: "unsigned short", 4: "unsigned int", 8: "unsigned long long"}


@dataclass(frozen=True)
class Shape:
    """Rows and columns of A, and the types of A and B, and of C and D."""

    rows: int
    depth: int
    kind: str
    total: str

    def __str__(self) -> str:
        return f"m{self.rows}n8k{self.depth}-{self.total}-{self.kind}"

    @property
    def word(self) -> type:
        """The NumPy type that holds an element of A or B."""
        return _WORDS[self.kind]

    @property
    def total_word(self) -> type:
        """The NumPy type that holds an element of C or D."""
        return _WORDS[self.total]


FORMS = [
    *(Shape(16, depth, "f16", total) for depth in (8, 16) for total in ("f32", "f16")),
    *(Shape(16, depth, "bf16", "f32") for depth in (8, 16)),
    *(Shape(16, depth, "tf32", "f32") for depth in (4, 8)),
    Shape(8, 4, "f64", "f64"),
    *(Shape(16, depth, "f64", "f64") for depth in (4, 8, 16)),
]
#: Those whose sums are not IEEE's.
NARROW = [shape for shape in FORMS if shape.kind != "f64"]
HALF = Shape(16, 16, "f16", "f32")


def _fragments(shape: Shape) -> tuple[str, str, str]:
    """Row and column of element i of the fragments of A, B and C, in lane 4 g + t."""
    c = "g + 8 * (i >> 1), 2 * t + (i & 1)"
    if shape.kind in ("f16", "bf16"):
        return "g + 8 * (i >> 1 & 1), 2 * t + (i & 1) + 8 * (i >> 2)", "2 * t + (i & 1) + 8 * (i >> 1), g", c
    if shape.rows == 8:
        return "g, t", "t, g", c
    return "g + 8 * (i & 1), t + 4 * (i >> 1)", "t + 4 * i, g", c


def source(shape: Shape) -> str:
    """Return a kernel ``f(a, b, c, d)`` of arrays (warps, rows, columns)."""
    size, total_size = np.dtype(shape.word).itemsize, np.dtype(shape.total_word).itemsize
    elements = [shape.rows * shape.depth // 32, shape.depth * 8 // 32, shape.rows * 8 // 32]
    widths = [shape.depth, 8, 8]
    heights = [shape.rows, shape.depth, shape.rows]
    sizes = [size, size, total_size]
    registers = [n * s // max(4, s) for n, s in zip(elements, sizes, strict=True)]
    letters = ["d" if size == 8 else "r", "d" if size == 8 else "r", {2: "r", 4: "f", 8: "d"}[total_size]]
    c_types = {"r": "unsigned int", "f": "float", "d": "double"}
    text = ['extern "C" __global__ void f(']
    text.append(f"const {_C[size]}* a, const {_C[size]}* b, const {_C[total_size]}* c, {_C[total_size]}* d) {{")
    text.append("int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;")
    text.append("long long warp = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32;")
    for name, count, place, width, height, bytes_, letter, total in zip(
        "abc", elements, _fragments(shape), widths, heights, sizes, letters, registers, strict=True
    ):
        text.append(f"union {{ {_C[bytes_]} e[{count}]; {c_types[letter]} r[{total}]; }} u{name};")
        text.append(f"for (int i = 0; i < {count}; i++) {{ int at[2] = {{{place}}};")
        text.append(f"  u{name}.e[i] = {name}[(warp * {height} + at[0]) * {width} + at[1]]; }}")
    kind = {"f16": "f16", "bf16": "bf16", "tf32": "tf32", "f64": "f64"}[shape.kind]
    numbers, place = [], registers[2]
    for count in registers:
        numbers.append(", ".join(f"%{place + i}" for i in range(count)))
        place += count
    result = ", ".join(f"%{i}" for i in range(registers[2]))
    name = f"mma.sync.aligned.m{shape.rows}n8k{shape.depth}.row.col.{shape.total}.{kind}.{kind}.{shape.total}"
    outputs = ", ".join(f'"={letters[2]}"(x[{i}])' for i in range(registers[2]))
    inputs = ", ".join(
        f'"{letter}"(u{name_}.r[{i}])'
        for name_, count, letter in zip("abc", registers, letters, strict=True)
        for i in range(count)
    )
    text.append(f"{c_types[letters[2]]} x[{registers[2]}];")
    text.append(f'asm volatile("{name} {{{result}}}, {{{numbers[0]}}}, {{{numbers[1]}}}, {{{numbers[2]}}};"')
    text.append(f": {outputs} : {inputs});")
    text.append(f"for (int i = 0; i < {registers[2]}; i++) uc.r[i] = x[i];")
    text.append(f"for (int i = 0; i < {elements[2]}; i++) {{ int at[2] = {{{_fragments(shape)[2]}}};")
    text.append(f"  d[(warp * {shape.rows} + at[0]) * 8 + at[1]] = uc.e[i]; }} }}")
    return "\n".join(text)


def multiply(device: simulator.Device, shape: Shape, a: Array, b: Array, c: Array) -> Array:
    """Return D, all matrices in the bits of their elements: (count, rows, columns)."""
    assert a.dtype == b.dtype == shape.word
    assert c.dtype == shape.total_word
    d: Array = np.zeros((len(a), shape.rows, 8), shape.total_word)
    with device:
        simulator.RawKernel(source(shape), "f")((len(a),), (32,), (a, b, c, d))
    return d
