"""Run many PTX instructions on arrays of operands, in one kernel.

A `Form` is one line of inline assembly with its operand letters, as in CUDA: ``h`` 16 bits,
``r`` 32 bits, ``l`` 64 bits, ``f`` float32, ``d`` float64. Thread ``i`` of the kernel runs
every form on the operands number ``i``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft import simulator

__all__ = ["Array", "Form", "floats", "integers", "run", "same_bits", "words"]

Array = npt.NDArray[Any]

_C_TYPES = {"h": "unsigned short", "r": "unsigned int", "l": "unsigned long long", "f": "float", "d": "double"}
_NUMPY = {"h": np.uint16, "r": np.uint32, "l": np.uint64, "f": np.float32, "d": np.float64}


@dataclass(frozen=True)
class Form:
    """``asm`` with ``%0`` the result; `letters` is the result's letter and the operands' ones."""

    asm: str
    letters: str


def run(forms: Sequence[str | Form], operands: Mapping[str, Sequence[Array]], arch: str = "sm_100") -> dict[str, Array]:
    """Run each form on the operands of its letters, in order, and return its results.

    A form given as text is ``"letters instruction"``: ``"fff add.rz.f32"`` writes the operands itself.
    """
    parsed = {form if isinstance(form, str) else form.asm: _form(form) for form in forms}
    counts = {letter: len(columns[0]) for letter, columns in operands.items()}
    count = max(counts.values())
    letters = list(operands)
    out = np.zeros((len(parsed), count), np.uint64)
    code = _source(list(parsed.values()), letters)
    kernel = simulator.RawKernel(code, "forms")
    inputs = [np.stack([np.resize(column, count) for column in operands[letter]]) for letter in letters]
    for letter, columns in zip(letters, inputs, strict=True):
        assert columns.dtype == _NUMPY[letter], f"operands {letter} are of type {columns.dtype}"
    kernel(((count + 127) // 128,), (128,), (np.int32(count), out, *inputs))
    results = {}
    for (name, form), row in zip(parsed.items(), out, strict=True):
        type_ = np.dtype(_NUMPY[form.letters[0]])
        used = min((counts[letter] for letter in form.letters[1:]), default=count)
        results[name] = row[:used].astype(f"u{type_.itemsize}").view(type_)
    return results


def _form(form: str | Form) -> Form:
    if isinstance(form, Form):
        return form
    letters, instruction = form.split(" ", 1)
    if "%" not in instruction:
        instruction += " " + ", ".join(f"%{k}" for k in range(len(letters)))
    return Form(instruction.rstrip(";") + ";" if not instruction.endswith("}") else instruction, letters)


def _source(forms: Sequence[Form], letters: Sequence[str]) -> str:
    parameters = "".join(f", const {_C_TYPES[letter]}* {letter}" for letter in letters)
    lines = [f'extern "C" __global__ void forms(int n, unsigned long long* out{parameters}) {{']
    lines.append("    int i = blockIdx.x * blockDim.x + threadIdx.x;")
    lines.append("    if (i >= n) return;")
    for row, form in enumerate(forms):
        used: dict[str, int] = {}
        inputs = []
        for letter in form.letters[1:]:
            k = used[letter] = used.get(letter, -1) + 1
            inputs.append(f'"{letter}"({letter}[{k} * n + i])')
        result = form.letters[0]
        asm = form.asm.replace('"', '\\"')
        lines.append(f'    {{ {_C_TYPES[result]} x; asm volatile("{asm}" : "={result}"(x) : {", ".join(inputs)});')
        bits = {"f": "__float_as_uint(x)", "d": "__double_as_longlong(x)"}.get(result, "x")
        lines.append(f"      out[{row} * n + i] = {bits}; }}")
    return "\n".join([*lines, "}"])


# Operands.

_SPECIAL = {
    np.float32: [0x0, 0x1, 0x2, 0x7FFFFF, 0x800000, 0x800001, 0x3F800000, 0x3F800001, 0x3F7FFFFF, 0x3F000000,
                 0x3FC00000, 0x40000000, 0x4B000000, 0x4B7FFFFF, 0x4F000000, 0x5F000000, 0x7F000000, 0x7F7FFFFF,
                 0x7F800000, 0x7FC00000],
    np.float64: [0x0, 0x1, 0xFFFFFFFFFFFFF, 0x10000000000000, 0x3FF0000000000000, 0x3FF0000000000001,
                 0x3FEFFFFFFFFFFFFF, 0x3FE0000000000000, 0x4330000000000000, 0x41E0000000000000, 0x43E0000000000000,
                 0x7FE0000000000000, 0x7FEFFFFFFFFFFFFF, 0x7FF0000000000000, 0x7FF8000000000000, 0x36A0000000000000,
                 0x47EFFFFFE0000000, 0x3FF0000010000000],
    np.uint16: [0x0, 0x1, 0x3FF, 0x400, 0x3C00, 0x3C01, 0x3BFF, 0x4000, 0x7BFF, 0x7C00, 0x7E00, 0x3F80, 0x7F80,
                0x7F7F, 0x80, 0x7F, 0x7FC0],
}  # fmt: skip


def floats(type_: Any, arity: int, count: int, seed: int = 0) -> list[Array]:
    """Return operands of a floating type (uint16: bits of a 16-bit one).

    All combinations of special values (for up to two operands), then random bit patterns,
    then numbers so close together that sums cancel and roundings tie.
    """
    rng = np.random.default_rng(seed)
    width = 8 * np.dtype(type_).itemsize
    word = np.dtype(f"u{width // 8}").type
    special = np.array(_SPECIAL[type_], word)
    special = np.concatenate([special, special | word(1 << (width - 1))])
    one = {16: 0x3C00, 32: 0x3F800000, 64: 0x3FF0000000000000}[width]
    step = {16: 9, 32: 20, 64: 49}[width]
    columns = []
    for pairs in _pairs(special, max(arity, 2), rng):
        spread = np.frombuffer(rng.bytes(count * width // 8), word)
        near = word(one) + (rng.integers(-3, 4, count) << step).astype(word) + rng.integers(0, 8, count).astype(word)
        near = near ^ (rng.integers(0, 2, count).astype(word) << word(width - 1))
        columns.append(_quiet(np.concatenate([pairs, spread, near]), width).view(type_))
    return columns[:arity]


def _pairs(special: Array, arity: int, rng: np.random.Generator) -> list[Array]:
    """Return all pairs of the special values, and random ones of them as further operands."""
    grid = [each.ravel() for each in np.meshgrid(special, special, indexing="ij")]
    return grid + [rng.choice(special, grid[0].size) for _ in range(arity - 2)]


def _quiet(bits: Array, width: int) -> Array:
    """Make NaNs quiet, so that NumPy does not warn where it converts them."""
    infinity, quiet = {16: (0x7C00, 0x200), 32: (0x7F800000, 0x400000), 64: (0x7FF << 52, 1 << 51)}[width]
    word = bits.dtype.type
    return np.where((bits & word((1 << (width - 1)) - 1)) > word(infinity), bits | word(quiet), bits)


def integers(width: int, arity: int, count: int, seed: int = 0) -> list[Array]:
    """Return unsigned operands: edges in all pairs, then random numbers of all sizes."""
    rng = np.random.default_rng(seed)
    word = np.dtype(f"u{width // 8}").type
    top = 1 << (width - 1)
    places = [0, 1, 2, 7, 31, 32, 33, 63, 64, width - 1]
    edges = [*places, top - 1, top, top + 1, 2 * top - 2, 2 * top - 1, 0x1234]
    columns = []
    for pairs in _pairs(np.array(edges, word), max(arity, 2), rng):
        spread = np.frombuffer(rng.bytes(count * width // 8), word) >> rng.integers(0, width, count).astype(word)
        columns.append(np.concatenate([pairs, spread]))
    return columns[:arity]


def words(value: Array) -> Array:
    """Return the bits of an array, every NaN as the same one."""
    bits: Array = np.ascontiguousarray(value).view(f"u{value.dtype.itemsize}").copy()
    if value.dtype.kind == "f":
        bits[np.isnan(value)] = np.iinfo(bits.dtype).max
    return bits


def same_bits(name: str, got: Array, want: Array, *operands: Array) -> None:
    """Fail with the first differing element, if any."""
    assert got.dtype == want.dtype, f"{name}: {got.dtype} is not {want.dtype}"
    wrong = np.flatnonzero(words(got) != words(want))
    if wrong.size:
        k = wrong[0]
        given = ", ".join(f"{operand[k]!r} ({words(operand)[k]:#x})" for operand in operands)
        raise AssertionError(
            f"{name}: {wrong.size} of {got.size} differ; number {k} of ({given}) is {got[k]!r} ({words(got)[k]:#x}), "
            f"expected {want[k]!r} ({words(want)[k]:#x})"
        )
