"""The context: an array of 64-bit slots through which Python and the machine code talk.

Every CPU thread that runs blocks has one context of its own. The front fills the slots
marked (in), the driver those marked (block) for each block, and the machine code writes
those marked (out). Pointers are host addresses.
"""

from __future__ import annotations

from enum import IntEnum, unique

__all__ = ["BARRIER_FIELDS", "BARRIER_IDS", "SLOTS", "BarrierField", "ErrorKind", "Slot", "Status"]


class Slot(IntEnum):
    """Index of each slot."""

    PARAMETERS = 0  # (in) pointer to the packed kernel parameters
    SYMBOLS = 1  # (in) pointer to the generic addresses of the global and constant variables
    SHARED_HOST = 2  # (in) host address of the block's shared memory, 128-byte aligned
    SHARED_BYTES = 3  # (in) static and dynamic bytes together
    DYNAMIC_BYTES = 4  # (in) dynamic shared bytes
    SHARED_WINDOW = 5  # (in) generic address of shared offset 0; unchecked: = SHARED_HOST
    LOCAL_HOST = 6  # (in) host address of the local memory of thread 0 of the block
    LOCAL_STRIDE = 7  # (in) bytes from one thread's local memory to the next one's
    LOCAL_WINDOW = 8  # (in) generic address of local offset 0 of thread 0; unchecked: = LOCAL_HOST
    LOCAL_WINDOW_STRIDE = 9  # (in) unchecked: = LOCAL_STRIDE; 0 where all threads share one window
    CTAID_X = 10  # (block)
    CTAID_Y = 11  # (block)
    CTAID_Z = 12  # (block)
    NCTAID_X = 13  # (in) grid
    NCTAID_Y = 14  # (in)
    NCTAID_Z = 15  # (in)
    NTID_X = 16  # (in) block shape
    NTID_Y = 17  # (in)
    NTID_Z = 18  # (in)
    BLOCK = 19  # (block) linear number of the running block
    WARPS = 20  # (in) warps of a block
    STATES = 21  # (in) pointer to the warp states, 64-byte aligned
    STATE_STRIDE = 22  # (in) bytes from one warp state to the next, CompiledKernel.state_bytes
    LAST_WARP_MASK = 23  # (in) lanes that exist in the last warp
    TIDS = 24  # (in) pointer to int32 [warps][3][32]: tid.x, tid.y, tid.z of each lane
    BUDGET = 25  # (in) dispatched blocks and back edges a warp may take before another one runs
    SEED = 26  # (in, out) state of the schedule's generator; 0 = warps run in order
    LAUNCH_ID = 27  # (in) %gridid
    PRINTF_BUFFER = 28  # (in) pointer to the printf records
    PRINTF_BYTES = 29  # (in) bytes of that buffer
    PRINTF_USED = 30  # (out) bytes written; a record that does not fit is dropped
    ERROR_KIND = 31  # (out) ErrorKind; 0 = none. The first error of a context stays.
    ERROR_INSTRUCTION = 32  # (out) index in CompiledKernel.instructions
    ERROR_BLOCK = 33  # (out) linear block
    ERROR_THREAD = 34  # (out) linear thread of the block
    ERROR_ADDRESS = 35  # (out) address, or mask of the lanes that are missing
    ERROR_SIZE = 36  # (out) bytes of the access
    ERROR_OTHER = 37  # (out) the other thread of a race
    ERROR_DETAIL = 38  # (out) free for the checks
    STOP = 39  # (in, out) pointer to an int32; non-zero stops every thread of the launch
    ALLOCATIONS = 40  # (in) checks: table of the known arrays
    ALLOCATION_COUNT = 41  # (in) checks
    COUNTERS = 42  # (in) checks: pointer to the counters
    SHADOW_SHARED = 43  # (in) checks: shadow cells of shared memory
    SHADOW_LOCAL = 44  # (in) checks: shadow bits of local memory
    EPOCH = 45  # (block, out) checks: number of block barriers passed, counted by the driver
    WALKS = 46  # (in) checks
    CHECK_0 = 47  # (in, out) free for the checks
    CHECK_1 = 48
    CHECK_2 = 49
    CHECK_3 = 50
    CHECK_4 = 51
    CHECK_5 = 52
    CHECK_6 = 53
    CHECK_7 = 54
    NSMID = 55  # (in) %nsmid
    RESUME = 56  # (in) not 0: go on with block BLOCK, whose state is still in the context
    PATIENCE = 57  # (in) rounds of its warps' budgets after which a block is left with YIELD; 0 = none
    COPIES = 58  # (in) pointer to the warps' queues of asynchronous copies
    GRID_WORKSPACE = 59  # (in) generic address of the memory of the grid's barrier; 0 = no cooperative launch
    VALUES = 60  # (in) seed of results that hardware may give in more than one way; 0 = as published
    BARRIERS = 64  # (block) BARRIER_IDS records of BARRIER_FIELDS slots


#: Named barriers of a block, and slots of each one's record.
BARRIER_IDS = 16
BARRIER_FIELDS = 8

#: Slots of a context.
SLOTS = 64 + BARRIER_IDS * BARRIER_FIELDS


class BarrierField(IntEnum):
    """Fields of a barrier's record, from ``BARRIERS + BARRIER_FIELDS * id`` on."""

    EXPECTED = 0  # threads that must come; 0 = every thread still alive
    ARRIVED = 1  # threads that came by bar.arrive and did not wait
    TRUE = 2  # how many brought a true predicate to bar.red in this round
    RESULT_TRUE = 3  # the same of the round that was released last
    RESULT_COUNT = 4  # how many threads took part in that round
    INSTRUCTION = 5  # index of an instruction that waits there, for reports
    APART = 6  # not 0: it is by an instruction that the lanes of a warp need not execute together


class Status(IntEnum):
    """What ``run`` and ``step`` return."""

    DONE = 0  # every thread has exited
    WAITING = 1  # the lanes left wait at a block barrier (step only)
    YIELD = 2  # the budget is used up, of a warp (step) or of the block (run)
    ERROR = 3  # the error record tells
    STOPPED = 4  # another thread of the launch asked to stop
    APART = 5  # the lanes are at different blocks: the masked version has to go on (fast only)
    TOGETHER = 6  # all 32 lanes are at a block where the fast version can go on (step only)


@unique
class ErrorKind(IntEnum):
    """What went wrong, in ``Slot.ERROR_KIND``. The checks use the numbers from 16 on."""

    NONE = 0
    TRAP = 1
    ASSERT = 2
    DEADLOCK = 3  # block barriers that can never be complete
    ENDLESS = 4  # threads spin, and nothing changes any more
    MISSING_LANES = 16  # a shuffle, vote or warp barrier that a named lane does not reach
    MISSING_THREADS = 17  # a block barrier that an exited thread misses
    OUT_OF_BOUNDS = 18
    MISALIGNED = 19
    WRITE_AFTER_WRITE = 20
    READ_AFTER_WRITE = 21
    WRITE_AFTER_READ = 22
    UNINITIALISED = 23
    READ_ONLY = 24
    NOT_A_MEMBER = 25  # a lane runs a warp instruction whose mask does not name it
    EXITED_LANES = 26  # a warp instruction whose mask names lanes that have exited
    COPY_PENDING = 27  # shared memory that an asynchronous copy, not yet waited for, will write
    DIVIDED_WARP = 28  # lanes of one warp wait at one barrier in different places
    PARTIAL_WARP = 29  # an instruction of the whole warp that not all of its 32 lanes execute
    UNWRITTEN_REGISTER = 30  # a register that nothing was written to decides something
    BARRIER_NUMBER = 31  # a block barrier that there is not
    BARRIER_COUNT = 32  # a block barrier for a number of threads that is no number of warps
    IN_STEP = 33  # volatile accesses of one warp that only lanes in step would order
