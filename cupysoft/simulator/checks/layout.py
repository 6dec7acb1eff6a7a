"""Where the checks keep what they know: one table for the machine code that writes it and the Python that reads it."""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "ALLOCATION_FIELDS",
    "BLOCK_MASK",
    "CELLS_OFFSET",
    "COUNTERS",
    "FIRST_ALLOCATION",
    "IN_GLOBAL",
    "IN_LOCAL",
    "IN_SHARED",
    "LOCAL_WINDOW",
    "MARKS",
    "MARK_SHIFT",
    "MOST_BLOCKS",
    "MOST_TIME",
    "OTHER_BLOCKS",
    "OTHER_LANES",
    "OTHER_WARPS",
    "PENDING_TIME",
    "SEVERAL_LANES",
    "SEVERAL_WARPS",
    "SHARED_WINDOW",
    "STAMP_BLOCK",
    "STAMP_TIME",
    "STEP_FIELDS",
    "THREAD_MASK",
    "TIME_LIMIT",
    "TOUCHED",
    "WARP_MASK",
    "WAS_ATOMIC",
    "WINDOW_SHIFT",
    "Access",
    "AllocationField",
    "Common",
    "Counter",
    "ShadowField",
    "Space",
    "window",
]

#: An address of the checked build holds the number of its window above these bits.
WINDOW_SHIFT = 40
#: Windows 0 to 2 are null, shared and local memory. Arrays and variables begin above the addresses of 48 bits that the
#: operating system gives memory: those are good too, where a kernel finds them in memory, and must mean no window.
FIRST_ALLOCATION = 256
#: An array begins in the middle of its window, so that an index below zero is still known to be meant for it.
_MIDDLE = 1 << (WINDOW_SHIFT - 1)


def window(number: int, low: int) -> int:
    """Virtual address of an allocation, with the low bits that tell how it is aligned."""
    return (number << WINDOW_SHIFT) + _MIDDLE + (low & 255)


SHARED_WINDOW = window(1, 0)
LOCAL_WINDOW = window(2, 0)


#: ``Slot.ERROR_DETAIL`` for an address that is an offset into on-chip memory; else it is a number of the table.
IN_SHARED = -1
IN_LOCAL = -2
#: For a host address of global memory; ``Slot.ERROR_OTHER`` is then a stamp of `stamps`.
IN_GLOBAL = -3


class Space(IntEnum):
    """Kinds of memory that are counted apart."""

    GLOBAL = 0
    SHARED = 1
    LOCAL = 2


class Access(IntEnum):
    """What an instruction does to memory.

    ``SYNC_READ`` and ``SYNC_WRITE`` are volatile, relaxed, acquire and release accesses: like atomics they do not race
    among themselves. ``COPY`` is a write by an asynchronous copy: nothing is ordered with it until it is waited for.
    ``BLOCK_ATOMIC`` is an access to global memory that is atomic for the threads of its block alone.
    """

    READ = 0
    WRITE = 1
    ATOMIC = 2
    SYNC_READ = 3
    SYNC_WRITE = 4
    COPY = 5
    BLOCK_ATOMIC = 6

    @property
    def reads(self) -> bool:
        """Whether the old value matters."""
        return self in (Access.READ, Access.ATOMIC, Access.SYNC_READ, Access.BLOCK_ATOMIC)

    @property
    def writes(self) -> bool:
        """Whether the value changes."""
        return self in (Access.WRITE, Access.ATOMIC, Access.SYNC_WRITE, Access.COPY, Access.BLOCK_ATOMIC)

    @property
    def counted_as(self) -> Access:
        """The kind under which traffic is counted."""
        plain = {Access.SYNC_READ: Access.READ, Access.SYNC_WRITE: Access.WRITE, Access.COPY: Access.WRITE}
        return plain.get(self, self.on_chip)

    @property
    def on_chip(self) -> Access:
        """The same to memory that only the block has."""
        return Access.ATOMIC if self is Access.BLOCK_ATOMIC else self


class Counter(IntEnum):
    """The four numbers kept for each space and kind of access."""

    REQUESTS = 0  # instructions executed by a warp
    BYTES = 1  # asked for by its threads
    UNITS = 2  # 32-byte sectors (global), passes through the banks (shared)
    IDEAL = 3  # the fewest units that could have served it


#: Slots of the counters that come before those of the basic blocks.
COUNTERS = len(Space) * 3 * len(Counter)


class AllocationField(IntEnum):
    """Fields of an entry of the allocation table."""

    VIRTUAL = 0
    SIZE = 1
    DELTA = 2  # host address minus virtual address
    WRITABLE = 3
    WRITTEN = 4  # address of a flag for each byte that tells whether it was written; 0 where all counts as written
    CELLS = 5  # added to 8 times the number of a granule: the stamp of its last write; 0 where nothing is remembered
    READS = 6  # bytes from that stamp to the one of the last read, and from there to the one of the last atomic access


ALLOCATION_FIELDS = len(AllocationField)


class ShadowField(IntEnum):
    """Fields at the head of the shadow of shared memory, which also is the clock of its block.

    Time is a counter that moves at the begin of a block, at every barrier and fence. What happened before ``START`` is
    ordered before everything now; what warp ``u`` did before ``KNOWN[w][u]`` is ordered before what warp ``w`` does
    now, also lane to lane where both are one warp. ``START`` is after ``FIRST``: a stamp of time ``FIRST`` tells of a
    cell that has been written, in order with everything.
    """

    NOW = 0
    FIRST = 1  # when the block began: an older write belongs to another block
    START = 2  # when the last barrier of the whole block was passed
    CELLS = 3
    SHIFT = 4  # a cell covers 1 << SHIFT bytes
    ATOMICS = 5  # bytes from the head to the stamps of atomic accesses, one of 32 bits for each cell
    BASE = 6  # stamps of shared memory hold the time since then
    WARPS = 8  # time of each warp's last warp barrier: the diagonal of KNOWN
    GRID_WARPS = 40  # warps of a block: length of a row at ACQUIRED
    LISTENER = 41  # function that hears of fences, releases and acquires, where the kernel has them
    UNSETTLED = 42  # not 0: the listener has to hear of the next barrier
    COMMON = 43  # pointer to what all blocks of the launch share, see `Common`
    PARTED = 48  # time when each warp last learnt of some other warps only, by a barrier for a part of the block
    ACQUIRED = 80  # pointer, for each warp, to rows of the times before which it knows of other blocks; 0 = none
    POLLED = 112  # where each warp looked last for something released
    POLLED_COUNT = 144  # and how much had been released then
    KNOWN = 176  # 32 rows of 32
    ARRIVED = KNOWN + 32 * 32  # the same for what has come to each of the 16 named barriers
    SPLIT = ARRIVED + 16 * 32  # time of each warp's last meeting of some of its lanes
    LANES = SPLIT + 32  # for each warp 32 rows of 32: before which time a lane knows of the others, by such meetings
    STEPS = LANES + 32 * 32 * 32  # for each warp its last volatile store: lanes, time of the meeting before, addresses


#: Words that a warp has at `ShadowField.STEPS`.
STEP_FIELDS = 2 + 32
#: Bytes before the first cell. A cell holds two stamps of 32 bits: last plain write, last plain read.
CELLS_OFFSET = (ShadowField.STEPS + 32 * STEP_FIELDS) * 8


class Common(IntEnum):
    """Bytes from the start of what all blocks of a launch share."""

    COUNT = 0  # releases so far
    BLIND = 8  # not 0: too many to be remembered; everything another block did counts as ordered
    MARKS = 64  # a byte for each place where something may have been released, by a hash of its address


#: Bytes that mark released places, and the logarithm of the bytes that one of them stands for.
MARKS = 1 << 16
MARK_SHIFT = 4


#: A stamp of global memory, 64 bits, is time << 42 | flags | block << 10 | thread; time begins with 1 in each block.
#: The last plain write, the last plain read and the last atomic access have one each. The flags of the latter two say
#: who else was there and is forgotten, in no order with the one named; WAS_ATOMIC, in the stamp of the write, says that
#: the granule has been accessed atomically since.
STAMP_TIME = 42
STAMP_BLOCK = 10
MOST_TIME = (1 << 22) - 1
MOST_BLOCKS = 1 << 28
WAS_ATOMIC = 1 << 41
OTHER_BLOCKS = 1 << 40
OTHER_WARPS = 1 << 39
OTHER_LANES = 1 << 38
BLOCK_MASK = (MOST_BLOCKS - 1) << STAMP_BLOCK
THREAD_MASK = 1023
WARP_MASK = 992

#: A stamp of shared memory is time << 12 | flag << 11 | code. The flag, in the stamp of a write, says that the cell has
#: been accessed atomically since: those accesses have a stamp of their own, at `ShadowField.ATOMICS`.
TOUCHED = 2048
#: A code is a thread below 1024 or one of these.
SEVERAL_LANES = 1024  # plus the number of the warp
SEVERAL_WARPS = 1056
#: Times are renumbered before they reach this.
TIME_LIMIT = (1 << 20) - 2
#: The time of a write by an asynchronous copy that nobody has waited for: later than everything.
PENDING_TIME = (1 << 20) - 1
