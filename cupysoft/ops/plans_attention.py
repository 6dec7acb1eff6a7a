"""Which kernels compute attention: from the layout of a call and the architecture to a plan.

A plan follows from lengths, dtypes, strides and options. The batch decides only how many blocks are launched, and the
content of arrays decides nothing: so results do not depend on the batch, and nothing is read back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cupysoft.attention_layout import AttentionLayout
from cupysoft.errors import LaunchError
from cupysoft.ops.plans_attention_call import KernelCall, count_of, heads_as_queries, padded, width_of
from cupysoft.ops.plans_weighted import element_type
from cupysoft.runtime.limits import limits_of, number_of
from cupysoft.runtime.plan import Argument, KernelRef, Plan, Scratch, Step

__all__ = ["attention"]

_FMA = "attention/fma.cu"
_HALF = "attention/half.cu"
_WIDE = "attention/wide.cu"
_MERGE = "attention/merge.cu"

# Kernels count queries and keys in 32 bits, and step a tile beyond the last one.
_LONGEST = (1 << 31) - (1 << 10)
# Keys of a tile, threads of a block, and bytes of a row of a slab (KEYS, THREADS and CHUNKS in fma.cu).
_KEYS = 64
_THREADS = 256
_SLAB_BYTES = 256
# The first architecture with the matrix instructions that are used; and those where float64 has fast ones.
_MATRICES_SINCE = 80
_FAST_FLOAT64 = (80, 90, 100)
# Queries that share the keys out over blocks where there are more of these than a part.
_FEW_QUERIES = 64
_MERGE_THREADS = 128
# Bytes of shared memory that the system takes for each block.
_SYSTEM = 1 << 10
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
    batches = count_of(layout)
    if batches == 0:
        return Plan(())
    few = layout.q_len <= _FEW_QUERIES
    layout = heads_as_queries(layout)
    batches = count_of(layout)
    call = KernelCall.of(layout, few)
    step = _by_halves(layout, call, batches, arch) or _by_wide(layout, call, batches, arch)
    return _finished(layout, call, batches, step or _by_fma(layout, call, batches, arch))


def _by_fma(layout: AttentionLayout, call: KernelCall, batches: int, arch: str) -> Step:
    """Plan the kernel that serves every type and architecture."""
    accumulator = layout.lse_dtype.itemsize
    columns = _SLAB_BYTES // accumulator
    head_slabs, value_slabs = -(-layout.head_dim // columns), -(-layout.value_dim // columns)

    def shared(rows: int) -> int:
        return 16 * rows * head_slabs * _SLAB_BYTES + _KEYS * _SLAB_BYTES + 16 * rows * _KEYS * accumulator

    # What a thread keeps of the output must leave registers for mask, bias and the rest.
    most = 2 if accumulator == 8 or (value_slabs > 2 and call.options != _PLAIN) else 4
    # 24 bytes a query are declared in the kernel.
    room = limits_of(arch).shared
    rows = next((n for n in (4, 2, 1) if n <= most and shared(n) + 24 * 16 * n <= room), 1)
    width = width_of(layout, whole=True)
    element = element_type(layout.dtype)
    name = f"attention_fma<{element}, {call.options}, {call.axes}, {rows}, {value_slabs}, {width}>"
    tiles = -(-layout.q_len // (16 * rows))
    grid = (batches * tiles * call.parts, 1, 1)
    return Step(KernelRef(_FMA, name), grid, (_THREADS, 1, 1), shared(rows), call.arguments(layout))


def _by_halves(layout: AttentionLayout, call: KernelCall, batches: int, arch: str) -> Step | None:
    """Plan the matrix instructions of 16-bit types, where they serve."""
    if layout.dtype.itemsize != 2 or number_of(arch) < _MATRICES_SINCE:
        return None
    head, value = padded(layout.head_dim), padded(layout.value_dim)
    # A warp with two bands of 16 queries reads shared memory half as often; it needs the registers for that.
    twice = head <= 128 and value <= 128 and call.options == _PLAIN
    bands = 2 if twice and layout.q_len > _FEW_QUERIES else 1
    # As many keys as leave registers for the rest. Rows of 128 bytes are copied 16 at once, others 32.
    # Whether queries are few has no say in it, so that a query has the same bits among few and among many.
    keys = 64 if value <= (96 if twice else 128) else 32 if not twice or head % 64 else 48
    tile = _Tile(head, value, keys, rows=16 * bands, warps=4, size=2, kept=2 * 4 * 32 * 8 * bands).staged(arch)
    width = width_of(layout, whole=False)
    shape = f"{head}, {value}, {tile.warps}, {bands}, {keys}, {tile.stages}, {width}"
    name = f"attention_half<{element_type(layout.dtype)}, {call.options}, {call.axes}, {shape}>"
    return tile.step(KernelRef(_HALF, name), layout, call, batches)


def _by_wide(layout: AttentionLayout, call: KernelCall, batches: int, arch: str) -> Step | None:
    """Plan the matrix instructions of tf32 and float64, where they serve."""
    size, value = layout.dtype.itemsize, padded(layout.value_dim)
    unit = "Float64" if size == 8 else {"tf32x3": "Tf32<3>", "tf32": "Tf32<1>"}.get(layout.options.precision, "")
    if size < 4 or not unit or number_of(arch) < (_MATRICES_SINCE if size == 4 else 0):
        return None
    # A thread has eight elements of the output for every 16 columns: of float64 no more than 128 columns fit.
    if size == 8 and (value > 128 or number_of(arch) not in _FAST_FLOAT64):
        return None
    keys = 32 if value <= 64 else 16
    head = padded(layout.head_dim)
    tiles = (_Tile(head, value, keys, rows=16, warps=warps, size=size) for warps in (4, 2))
    tile = next((each.staged(arch) for each in tiles if each.blocks(arch)), None)
    if tile is None:
        return None
    shape = f"{head}, {value}, {tile.warps}, {keys}, {tile.stages}, {width_of(layout, whole=False)}"
    name = f"attention_wide<{unit}, {call.options}, {call.axes}, {shape}>"
    return tile.step(KernelRef(_WIDE, name), layout, call, batches)


@dataclass(frozen=True)
class _Tile:
    """Sizes of the tiles of a block that uses matrix instructions.

    Attributes
    ----------
    head, value, keys : int
        head_dim and value_dim, filled up, and keys of a tile.
    rows, warps : int
        Queries of a warp, and warps of a block.
    size : int
        Bytes of an element.
    stages : int
        Tiles of keys and values that have a place: one, or that and the next one, which is on its way all the time.
    kept : int
        Bytes of what threads keep of their rows.
    """

    head: int
    value: int
    keys: int
    rows: int
    warps: int
    size: int
    stages: int = 1
    kept: int = 0

    @property
    def queries(self) -> int:
        """Queries of a block."""
        return self.rows * self.warps

    @property
    def shared(self) -> int:
        """Bytes for queries, keys and values, and afterwards for the output."""
        own, passing = self.queries * self.head, self.stages * self.keys * (self.head + self.value)
        return self.size * max(own + passing, self.queries * self.value)

    @property
    def static(self) -> int:
        """Bytes that the kernel declares itself, or a little more."""
        return self.queries * (24 + self.value // 4) + self.kept + 256

    def blocks(self, arch: str) -> int:
        """Blocks for which a multiprocessor has shared memory, up to two; for more there are no registers."""
        room = limits_of(arch).shared + _SYSTEM
        return min(2, room // (self.shared + self.static + _SYSTEM))

    def staged(self, arch: str) -> _Tile:
        """Take two stages, unless fewer blocks have room then."""
        two = replace(self, stages=2)
        return two if two.blocks(arch) >= max(1, self.blocks(arch)) else self

    def step(self, kernel: KernelRef, layout: AttentionLayout, call: KernelCall, batches: int) -> Step:
        """Launch a kernel with these tiles."""
        grid = (batches * -(-layout.q_len // self.queries) * call.parts, 1, 1)
        return Step(kernel, grid, (32 * self.warps, 1, 1), self.shared, call.arguments(layout))


def _finished(layout: AttentionLayout, call: KernelCall, batches: int, step: Step) -> Plan:
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
