"""How a block keeps a row in shared memory: what of it, and how many warps there are (kernels/softmax/kept.cuh)."""

from __future__ import annotations

from dataclasses import dataclass

from cupysoft.ops.plans_view import VECTOR_BYTES

__all__ = ["LONGEST", "UNASKED", "Kept", "kept"]

LONGEST = 65536
"""Elements of the longest row that one block has (128 a thread: kernels/numerics/float32_totals.cuh)."""
UNASKED = 48 << 10
"""Bytes of shared memory that every launch may have, on any architecture."""

# What kernels declare themselves, at most: what reductions take, and besides the table of powers of two.
_RESERVED = 1 << 10
_RESERVED_WITH_TABLE = 10 << 10
# The system's share of each block.
_OF_SYSTEM = 1 << 10
# Planes of 16 bytes for each vector of elements, by itemsize: x and terms of 4 bytes, or terms of 8 bytes alone.
_PLANES_WITH_TERMS = {2: 3, 4: 2}
_WARPS = 16


@dataclass(frozen=True)
class Kept:
    """A row in shared memory.

    Attributes
    ----------
    terms : bool
        Whether terms wait there too, so that exponentials are computed once.
    warps : int
        Warps of the block.
    shared : int
        Bytes of dynamic shared memory.
    """

    terms: bool
    warps: int
    shared: int


def kept(vectors: int, itemsize: int, shared: int, *, terms: bool, table: bool, access: str) -> Kept | None:
    """Choose how a row of so many vectors is kept, if there is room for it.

    Parameters
    ----------
    vectors : int
        Vectors of 16 bytes that the row has.
    itemsize : int
        Bytes of an element.
    shared : int
        Bytes of shared memory that a block can have.
    terms : bool
        Whether there is a kernel that keeps terms.
    table : bool
        Whether the kernel has a table of powers of two.
    access : str
        How elements come and go.
    """
    reserved = _RESERVED_WITH_TABLE if table else _RESERVED
    # Warps hand over their vectors all 32 at a time.
    plane = -(-vectors // 32) * 32 * VECTOR_BYTES
    for with_terms in (True, False) if terms else (False,):
        bytes_of_row = plane * (_PLANES_WITH_TERMS[itemsize] if with_terms else 1)
        if bytes_of_row + reserved <= shared:
            # A block that has a multiprocessor for itself has twice as many warps, if there are registers for them.
            alone = shared > UNASKED and 2 * (bytes_of_row + reserved + _OF_SYSTEM) > shared + _OF_SYSTEM
            few_registers = itemsize <= 4 and access != "SideBySide"
            return Kept(with_terms, 2 * _WARPS if alone and few_registers else _WARPS, bytes_of_row)
    return None
