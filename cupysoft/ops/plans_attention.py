"""Which kernels compute attention: from the layout of a call and the architecture to a plan.

A plan follows from lengths, dtypes, strides and options. The batch decides only how many blocks are launched, and the
content of arrays decides nothing: so results do not depend on the batch, and nothing is read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cupysoft.arrays import MAX_AXES
from cupysoft.attention_layout import ROLES, AttentionLayout, Role
from cupysoft.errors import LaunchError
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.limits import limits_of, number_of
from cupysoft.runtime.plan import Argument, KernelRef, Plan, Scratch, Step

__all__ = ["attention"]

_FMA = "attention/fma.cu"
_HALF = "attention/half.cu"
_WIDE = "attention/wide.cu"
_MERGE = "attention/merge.cu"

# Numbers of batch axes that kernels are compiled for. More axes than the last are compiled for as they come.
_AXES = (1, 2, MAX_AXES)
# Further than any key: what stands for no limit at all.
_OPEN = 1 << 40
# Kernels count queries and keys in 32 bits, and step a tile beyond the last one.
_LONGEST = (1 << 31) - (1 << 10)
# The widest access of a thread.
_VECTOR_BYTES = 16
# Keys of a tile, threads of a block, and bytes of a row of a slab (KEYS, THREADS and CHUNKS in fma.cu).
_KEYS = 64
_THREADS = 256
_SLAB_BYTES = 256
# The first architecture with the matrix instructions that are used; and those where float64 has fast ones.
_MATRICES_SINCE = 80
_FAST_FLOAT64 = (80, 90, 100)
# Columns of tiles of queries, keys and values for matrix instructions.
_SIZES = (32, 64, 96, 128, 192, 256)
# Queries that share the keys out over blocks where there are more of these than a part.
_FEW_QUERIES = 64
# Keys of a part: a block reads a few hundred KiB of keys and values, long beside the time to start it.
_PART = 1024
_MERGE_THREADS = 128
# No mask, no bias, nothing done to the scores.
_PLAIN = "Options<FOLDED, false, None>"


def attention(layout: AttentionLayout, arch: str) -> Plan:
    """Plan attention.

    Parameters
    ----------
    layout : AttentionLayout
        The call.
    arch : str
        Architecture of the device, such as ``"sm_90"``.

    Returns
    -------
    Plan
        Roles of `cupysoft.attention_layout.ROLES`, as far as the call has them.
    """
    for name, length in (("q_len", layout.q_len), ("kv_len", layout.kv_len)):
        if length > _LONGEST:
            raise LaunchError(f"attention: {name} is {length}; on a device it must be from 0 to {_LONGEST}")
    batches = _count(layout)
    if batches == 0:
        return Plan(())
    call = _Call.of(layout)
    step = _by_halves(layout, call, batches, arch) or _by_wide(layout, call, batches, arch)
    return _finished(layout, call, batches, step or _by_fma(layout, call, batches, arch))


@dataclass(frozen=True)
class _Call:
    """The structure ``Call`` of kernels/attention/call.cuh, and what template arguments follow from the layout."""

    axes: int
    value: np.void
    parts: int
    options: str
    form: str

    @classmethod
    def of(cls, layout: AttentionLayout) -> _Call:
        options = layout.options
        parts = -(-layout.kv_len // _PART) if layout.q_len <= _FEW_QUERIES else 1
        axes = next((n for n in _AXES if n >= len(layout.batch)), len(layout.batch))
        sizes = [axis.size for axis in reversed(layout.batch)] + [1] * (axes - len(layout.batch))
        steps = [
            step
            for role in ROLES
            for step in [*reversed(layout.batch_strides(role)), *[0] * (axes - len(layout.batch))]
        ]
        whole = [
            layout.q_len, layout.kv_len, layout.head_dim, layout.value_dim,
            _distance(options.left), _distance(options.right),
            int(options.top_left), 1, layout.kv_len if parts == 1 else _PART, parts,
        ]  # fmt: skip
        real = [options.scale, options.softcap or 0.0]
        rest = [*sizes, *steps, *[0] * len(ROLES), *(step for pair in layout.strides for step in pair)]
        packed = b"".join(
            np.array(numbers, dtype).tobytes()
            for numbers, dtype in ((whole, np.int64), (real, np.float64), (rest, np.int64))
        )
        biased = layout.bias_dtype is not None
        form = "CAPPED" if options.softcap is not None else "SCALED" if biased or options.scale <= 0 else "FOLDED"
        masked = "true" if layout.has("mask") else "false"
        return cls(axes, np.void(packed), parts, f"Options<{form}, {masked}, {_bias_type(layout)}>", form)


def _by_fma(layout: AttentionLayout, call: _Call, batches: int, arch: str) -> Step:
    """Plan the kernel that serves every type and architecture."""
    accumulator = layout.lse_dtype.itemsize
    columns = _SLAB_BYTES // accumulator
    head_slabs, value_slabs = -(-layout.head_dim // columns), -(-layout.value_dim // columns)

    def shared(rows: int) -> int:
        return 16 * rows * head_slabs * _SLAB_BYTES + _KEYS * _SLAB_BYTES + 16 * rows * _KEYS * accumulator

    # What a thread keeps of the output must leave registers for mask, bias and the rest.
    most = 2 if accumulator == 8 or (value_slabs > 2 and call.options != _PLAIN) else 4
    rows = next((n for n in (4, 2, 1) if n <= most and shared(n) <= limits_of(arch).shared), 1)
    width = _width(layout, ("q", "k", "v", "out"), whole=True)
    element = element_type(layout.dtype)
    name = f"attention_fma<{element}, {call.options}, {call.axes}, {rows}, {value_slabs}, {width}>"
    tiles = -(-layout.q_len // (16 * rows))
    grid = (batches * tiles * call.parts, 1, 1)
    return Step(KernelRef(_FMA, name), grid, (_THREADS, 1, 1), shared(rows), _arguments(layout, call))


def _by_halves(layout: AttentionLayout, call: _Call, batches: int, arch: str) -> Step | None:
    """Plan the matrix instructions of 16-bit types, where they serve."""
    if layout.dtype.itemsize != 2 or number_of(arch) < _MATRICES_SINCE:
        return None
    head, value = _padded(layout.head_dim), _padded(layout.value_dim)
    # A warp with two bands of 16 queries reads shared memory half as often; it needs the registers for that.
    bands = 2 if head <= 128 and value <= 128 and call.options == _PLAIN else 1
    keys = 64 if value <= (64 if bands == 2 else 128) else 32
    tile = _Tile(head, value, keys, rows=16 * bands, warps=4, size=2)
    width = _width(layout, ("q", "k", "v", "out"), whole=False)
    shape = f"{head}, {value}, {tile.warps}, {bands}, {keys}, {width}"
    name = f"attention_half<{element_type(layout.dtype)}, {call.options}, {call.axes}, {shape}>"
    return tile.step(KernelRef(_HALF, name), layout, call, batches)


def _by_wide(layout: AttentionLayout, call: _Call, batches: int, arch: str) -> Step | None:
    """Plan the matrix instructions of tf32 and float64, where they serve."""
    size, value = layout.dtype.itemsize, _padded(layout.value_dim)
    unit = "Float64" if size == 8 else {"tf32x3": "Tf32<3>", "tf32": "Tf32<1>"}.get(layout.options.precision, "")
    if size < 4 or not unit or number_of(arch) < (_MATRICES_SINCE if size == 4 else 0):
        return None
    # A thread has eight elements of the output for every 16 columns: of float64 no more than 128 columns fit.
    if size == 8 and (value > 128 or number_of(arch) not in _FAST_FLOAT64):
        return None
    keys = 32 if value <= 512 // size else 16
    head = _padded(layout.head_dim)
    tiles = (_Tile(head, value, keys, rows=16, warps=warps, size=size) for warps in (4, 2))
    tile = next((each for each in tiles if each.shared + each.static <= limits_of(arch).shared), None)
    if tile is None:
        return None
    shape = f"{head}, {value}, {tile.warps}, {keys}, {_width(layout, ('q', 'k', 'v', 'out'), whole=False)}"
    name = f"attention_wide<{unit}, {call.options}, {call.axes}, {shape}>"
    return tile.step(KernelRef(_WIDE, name), layout, call, batches)


@dataclass(frozen=True)
class _Tile:
    """Sizes of the tiles of a block that uses matrix instructions: `rows` queries a warp."""

    head: int
    value: int
    keys: int
    rows: int
    warps: int
    size: int

    @property
    def queries(self) -> int:
        """Queries of a block."""
        return self.rows * self.warps

    @property
    def shared(self) -> int:
        """Bytes for queries, keys and values, and afterwards for the output."""
        own, passing = self.queries * self.head, self.keys * (self.head + self.value)
        return self.size * max(own + passing, self.queries * self.value)

    @property
    def static(self) -> int:
        """Bytes that the kernel declares itself, or a little more."""
        return self.queries * (24 + self.value // 4) + 256

    def step(self, kernel: KernelRef, layout: AttentionLayout, call: _Call, batches: int) -> Step:
        """Launch a kernel with these tiles."""
        grid = (batches * -(-layout.q_len // self.queries) * call.parts, 1, 1)
        return Step(kernel, grid, (32 * self.warps, 1, 1), self.shared, _arguments(layout, call))


def _padded(size: int) -> int:
    """The smallest size of a tile that is not below `size`."""
    return next(each for each in _SIZES if each >= size)


def _arguments(layout: AttentionLayout, call: _Call) -> tuple[Argument, ...]:
    null = np.uint64(0)
    given: list[Argument] = [role if layout.has(role) else null for role in ROLES]
    parts: list[Argument] = ["parts_o", "parts_m", "parts_l"] if call.parts > 1 else [null] * 3
    return (*given, *parts, call.value)


def _finished(layout: AttentionLayout, call: _Call, batches: int, step: Step) -> Plan:
    """Merge the parts, where there are such."""
    if call.parts == 1:
        return Plan((step,))
    rows = batches * layout.q_len
    numbers = rows * call.parts
    scratch = (
        Scratch("parts_o", layout.lse_dtype, numbers * layout.value_dim),
        Scratch("parts_m", layout.lse_dtype, numbers),
        Scratch("parts_l", layout.lse_dtype, numbers),
    )
    accumulator = element_type(layout.lse_dtype)
    options = f"Options<{call.form}, false, None>"
    name = f"attention_merge<{element_type(layout.dtype)}, {accumulator}, {options}, {call.axes}>"
    lse: Argument = "lse" if layout.has("lse") else np.uint64(0)
    arguments = ("parts_o", "parts_m", "parts_l", "out", lse, call.value)
    merge = Step(KernelRef(_MERGE, name), (rows, 1, 1), (_MERGE_THREADS, 1, 1), 0, arguments)
    return Plan((step, merge), scratch)


def _distance(side: int | None) -> int:
    """How far keys may be from the diagonal."""
    return _OPEN if side is None else max(-_OPEN, min(side, _OPEN))


def _count(layout: AttentionLayout) -> int:
    return int(np.prod([axis.size for axis in layout.batch], dtype=object)) if layout.batch else 1


def _bias_type(layout: AttentionLayout) -> str:
    """The C++ type of an element of the bias."""
    if layout.bias_dtype is None:
        return "None"
    if layout.bias_dtype.kind not in "iu":
        return element_type(layout.bias_dtype)
    sign = "unsigned " if layout.bias_dtype.kind == "u" else "signed " if layout.bias_dtype.itemsize == 1 else ""
    return sign + {1: "char", 2: "short", 4: "int", 8: "long long"}[layout.bias_dtype.itemsize]


def _width(layout: AttentionLayout, roles: Sequence[Role], *, whole: bool) -> int:
    """How many elements go at once: every row of these arrays starts at a multiple of so many; if `whole`, has one."""
    size = layout.dtype.itemsize
    width = _VECTOR_BYTES // size
    while width > 1 and not all(_fits(layout, role, width, whole) for role in roles):
        width //= 2
    return width


def _fits(layout: AttentionLayout, role: Role, width: int, whole: bool) -> bool:
    row, column = layout.steps(role)
    columns = layout.head_dim if role in ("q", "k") else layout.value_dim
    steps = (row, *layout.batch_strides(role), *((columns,) if whole else ()))
    aligned = layout.alignment(role) % (width * layout.dtype.itemsize) == 0
    return column == 1 and aligned and all(step % width == 0 for step in steps)
