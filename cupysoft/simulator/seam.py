"""The seam between the translation and its instrumentation.

The translation tells a `Checks` object of each kernel, block, instruction, memory access
and meeting, and uses the host addresses that it gives back. `Unchecked` does no more than
turn addresses into host addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from .context import Slot

if TYPE_CHECKING:
    from .emitter import Emitter, Value
    from .flow import Block

__all__ = ["Access", "Checks", "Unchecked"]


@dataclass(frozen=True, slots=True)
class Access:
    """One memory access of a warp, before it happens.

    Parameters
    ----------
    addresses : Value
        ``<W x i64>``: generic addresses; in the spaces ``shared`` and ``local`` offsets
        from the start of the block's shared, or the thread's local, memory.
    active : Value
        The lanes that take part.
    size : int
        Bytes that each lane touches; its address must be a multiple of it.
    space : str
        ``global``, ``const``, ``param``, ``shared``, ``local`` or ``generic``.
    kind : str
        ``load``, ``store``, ``atomic`` or ``copy``: a store by an asynchronous copy, which may come later.
    """

    addresses: Value
    active: Value
    size: int
    space: Literal["global", "const", "param", "shared", "local", "generic"]
    kind: Literal["load", "store", "atomic", "copy"]


class Checks(Protocol):
    """What instrumentation hears. Each method may write code through the emitter.

    An error is reported by filling the error record of the context and
    `Emitter.fail_if`.
    """

    enabled: bool
    ragged: bool  # whether the last warp of a block may have fewer than 32 lanes

    def kernel(self, e: Emitter, blocks: Sequence[Block]) -> None:
        """Begin a kernel of these blocks; `e.prologue` takes lines for the start of ``step``."""

    def block(self, e: Emitter, first: int, count: int) -> None:
        """Begin a basic block of `count` instructions, the first of them number `first`."""

    def access(self, e: Emitter, access: Access) -> Value:
        """Check an access and return host addresses, ``<W x i64>``; garbage in idle lanes."""

    def observed(self, e: Emitter, access: Access) -> None:
        """Hear that a load or an atomic access has been made; `access` has been checked, and nothing since."""

    def fence(self, e: Emitter) -> None:
        """Hear of a fence."""

    def copy(self, e: Emitter, source: Value, target: Value, counts: Value, size: int) -> tuple[Value, Value]:
        """Check asynchronous copies of the active lanes and return the host addresses of sources and targets.

        `size` bytes are written; `counts` of them, ``<W x i32>``, are read, the others become zero.
        """

    def copied(self, e: Emitter) -> None:
        """Put ``check_copied``, which hears of copies that were waited for, into the module if there is one."""

    def registers(self, e: Emitter) -> None:
        """Hear of an instruction before it is translated, in a kernel with registers to be followed."""

    def missing(self, e: Emitter, missing: str) -> None:
        """Hear, at a warp instruction, of the lanes (scalar ``i32`` mask) that never came.

        Runs only where `missing` is not zero and nobody else in the warp can go on.
        """

    def warp_sync(self, e: Emitter) -> None:
        """Hear that ``bar.warp.sync`` or a like instruction orders the active lanes, before it overwrites its mask."""

    def whole_warp(self, e: Emitter) -> None:
        """Hear that the active lanes are at an instruction that needs all 32; it orders nothing."""

    def barrier(self, e: Emitter) -> None:
        """Hear that the active lanes arrive at a block barrier."""


class Unchecked:
    """No instrumentation: every address is taken as it is."""

    enabled = False
    ragged = True

    def kernel(self, e: Emitter, blocks: Sequence[Block]) -> None:
        """Do nothing."""

    def block(self, e: Emitter, first: int, count: int) -> None:
        """Do nothing."""

    def access(self, e: Emitter, access: Access) -> Value:
        """Return host addresses without a test."""
        if access.space == "shared":
            base = e.splat("i64", e.hoisted(Slot.SHARED_HOST))
            return e.map("add <W x i64> {0}, {1}", access.addresses, base)
        if access.space == "local":
            return e.map("add <W x i64> {0}, {1}", access.addresses, thread_base(e, Slot.LOCAL_HOST, Slot.LOCAL_STRIDE))
        return access.addresses

    def observed(self, e: Emitter, access: Access) -> None:
        """Do nothing."""

    def fence(self, e: Emitter) -> None:
        """Do nothing."""

    def copy(self, e: Emitter, source: Value, target: Value, counts: Value, size: int) -> tuple[Value, Value]:
        """Return host addresses without a test."""
        return source, self.access(e, Access(target, e.active(), size, "shared", "copy"))

    def copied(self, e: Emitter) -> None:
        """Do nothing."""

    def registers(self, e: Emitter) -> None:
        """Do nothing."""

    def missing(self, e: Emitter, missing: str) -> None:
        """Let those go on that are there."""

    def warp_sync(self, e: Emitter) -> None:
        """Do nothing."""

    def whole_warp(self, e: Emitter) -> None:
        """Let those go on that are there."""

    def barrier(self, e: Emitter) -> None:
        """Do nothing."""


def thread_base(e: Emitter, start: Slot, stride: Slot) -> Value:
    """Return ``start + stride * thread`` of each lane: where a thread's local memory begins."""
    step = e.hoisted(stride)
    warp = e.code.scalar("zext i32 %warp to i64")
    first = e.code.scalar(f"mul i64 {warp}, 32")
    first = e.code.scalar(f"mul i64 {first}, {step}")
    first = e.code.scalar(f"add i64 {first}, {e.hoisted(start)}")
    lanes = e.map("mul <W x i64> {0}, {1}", e.lanes("i64", list(range(32))), e.splat("i64", step))
    return e.map("add <W x i64> {0}, {1}", lanes, e.splat("i64", first))
