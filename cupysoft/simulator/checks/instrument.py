"""The instrumentation that the translation of a checked kernel calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..context import ErrorKind, Slot
from ..control import barrier_operands, barrier_record
from ..lanes import store_buffer
from ..literals import integer, llvm_type
from ..meeting import masks_of
from ..ptx import Immediate, Vector, type_of
from ..seam import Access as Request
from .arrays import array_check
from .barriers import check_operands
from .clock import WARP_SYNC
from .copies import COPIED, partial_check
from .generic import generic_check
from .granules import granule_shift
from .layout import COUNTERS, Access
from .local import local_check
from .lockstep import Lockstep
from .meant import EXTENT, Meant
from .optimistic import Guesses
from .ordering import SYNCHRONISING, acquire, add, fenced, orders, publish
from .parts import ARRIVE, OPENED
from .passing import Passing
from .registers import follow_registers
from .shared import shared_check
from .text import FAIL
from .tiles import TILE_SYNC
from .warps import MEMBERS

if TYPE_CHECKING:
    from ..emitter import Emitter, Value
    from ..flow import Block

__all__ = ["Checked"]

_ATOMIC = (Access.ATOMIC, Access.BLOCK_ATOMIC)
#: Dynamic shared memory ends where all shared memory does, which is looked at anyway.
_UNBOUNDED = 1 << 32


class Checked:
    """Memory, race, initialisation and synchronisation checks, and the counters: a `..seam.Checks`.

    `ragged`: for blocks whose last warp has fewer than 32 lanes, too.
    """

    enabled = True

    def __init__(self, ragged: bool = True) -> None:
        self.ragged = ragged
        self._shift = 0
        self._ordering = False
        self._guesses = Guesses(())
        self._meant = Meant((), ())
        self._passing = Passing(())
        self._lockstep = Lockstep(())

    def kernel(self, e: Emitter, blocks: Sequence[Block]) -> None:
        """Look how narrow accesses to global memory get, and whether the kernel has fences."""
        instructions = [instruction for block in blocks for instruction in block.instructions]
        self._shift = granule_shift(instructions)
        self._ordering = any(map(orders, instructions))
        self._guesses = Guesses(instructions)
        self._meant = Meant(instructions, e.layout.shared)
        self._passing = Passing(instructions)
        self._lockstep = Lockstep(blocks)

    def block(self, e: Emitter, first: int, count: int) -> None:
        """Count how often the block runs and with how many lanes; its instructions are known."""
        e.module.declare("declare i32 @llvm.ctpop.i32(i32)")
        code = e.code
        lanes = code.line(f"zext i32 {code.line(f'call i32 @llvm.ctpop.i32(i32 {e.active_name})')} to i64")
        counters = e.hoisted(Slot.COUNTERS, "ptr")
        for offset, amount in ((0, "1"), (1, lanes), (2, None)):
            place = code.line(f"getelementptr i64, ptr {counters}, i64 {COUNTERS + 3 * first + offset}")
            if amount is None:
                code.effect(f"store i64 {count}, ptr {place}")
                continue
            old = code.line(f"load i64, ptr {place}")
            new = code.line(f"add i64 {old}, {amount}")
            code.effect(f"store i64 {new}, ptr {place}")

    def access(self, e: Emitter, access: Request) -> Value:
        """Check an access and return host addresses."""
        if access.space == "param":
            return access.addresses
        kind = self._kind(e, access)
        place = e.buffer("check.addresses", 32 * 8)
        mask = e.bits(access.active)
        _store_words(e, place, 0, access.addresses)
        given = f"ptr %ctx, ptr {place}, i32 {mask}, i32 %warp, i32 {e.index}"
        needed = self._passing.bytes_of(e.instruction)
        if access.space == "local":
            routine = local_check(kind, access.size, needed)
        else:
            if access.space == "shared":
                self._within_variable(e, access.size, given)
                routine = shared_check(kind, access.size, needed)
            else:
                check = array_check if access.space in ("global", "const") else generic_check
                routine = check(kind, access.size, self._shift, needed)
            values, components = _stored_values(e, kind)
            given += f", ptr {values}, i64 {components}"
        add(e, routine)
        passed = e.code.line(f"call i32 @{routine.name}({given})")
        e.fail_if(e.code.line(f"icmp ne i32 {passed}, {mask}"))
        self._lockstep.check(e, place, mask, access.size)
        if self._ordering and kind in (*_ATOMIC, Access.SYNC_WRITE) and access.space not in ("const", "local"):
            publish(e, access, place, mask)
        return _load_words(e, place)

    def _within_variable(self, e: Emitter, size: int, given: str) -> None:
        """Hold an access to shared memory against the one variable that it is meant for."""
        name = self._meant.of(e.instruction)
        if name is None:
            return
        offset, most = e.layout.shared[name], e.layout.shared_sizes[name] or _UNBOUNDED
        add(e, EXTENT)
        e.fail_if(e.code.line(f"call i1 @{EXTENT.name}({given}, i64 {offset}, i64 {max(most - size, 0)}, i64 {size})"))

    def _kind(self, e: Emitter, access: Request) -> Access:
        """What an access means for the checks."""
        if access.kind == "copy":
            return Access.COPY
        if access.kind == "atomic":
            narrow = e.instruction.has("cta", "cluster") and access.space in ("global", "generic")
            return Access.BLOCK_ATOMIC if narrow else Access.ATOMIC
        synchronising = e.instruction.has(*SYNCHRONISING)
        if access.kind == "load":
            return Access.SYNC_READ if synchronising or e.instruction in self._guesses else Access.READ
        return Access.SYNC_WRITE if synchronising else Access.WRITE

    def observed(self, e: Emitter, access: Request) -> None:
        """Tell the listener where something may have been found that was released."""
        finds = self._kind(e, access) in (*_ATOMIC, Access.SYNC_READ)
        if finds and self._ordering and access.space in ("global", "shared", "generic"):
            acquire(e, access, e.buffer("check.addresses", 32 * 8), e.bits(access.active))

    def fence(self, e: Emitter) -> None:
        """Tell the listener."""
        fenced(e)

    def copy(self, e: Emitter, source: Value, target: Value, counts: Value, size: int) -> tuple[Value, Value]:
        """Check asynchronous copies as they are issued: now they may read, and from now on they may write."""
        e.code.flush()
        values = e.buffer("check.values", 8 * 32 * 8)
        for component, value in ((0, source), (1, e.cast(counts, "i32", "i64"))):
            _store_words(e, values, 32 * component, value)
        targets = self.access(e, Request(target, e.active(), size, "shared", "copy"))
        return self._copied_from(e, source, counts, size), targets

    def _copied_from(self, e: Emitter, source: Value, counts: Value, size: int) -> Value:
        """Check the sources; lanes that read less than they write are looked at one by one."""
        all_bytes = e.constant("i32", size)
        if counts == all_bytes:
            return self.access(e, Request(source, e.active(), size, "global", "load"))
        whole = e.map("icmp eq <W x i32> {0}, {1}", counts, all_bytes)
        active = e.map("and <W x i1> {0}, {1}", e.active(), whole)
        source = self.access(e, Request(source, active, size, "global", "load"))
        place, given = e.buffer("check.addresses", 32 * 8), store_buffer(e, "copy.counts", counts, "i32")
        _store_words(e, place, 0, source)
        routine = partial_check(size, self._shift)
        add(e, routine)
        mask = e.active_bits()
        wrong = e.code.line(
            f"call i1 @{routine.name}(ptr %ctx, ptr {place}, ptr {given}, i32 {mask}, i32 %warp, i32 {e.index})"
        )
        e.fail_if(wrong)
        return _load_words(e, place)

    def copied(self, e: Emitter) -> None:
        """Let the race check hear of the copies that were waited for."""
        add(e, COPIED)

    def registers(self, e: Emitter) -> None:
        """Follow registers that nothing was written to."""
        follow_registers(e)

    def missing(self, e: Emitter, missing: str) -> None:
        """A lane that the mask names does not come, and nobody else can move."""
        _miss(e, ErrorKind.MISSING_LANES, missing)

    def warp_sync(self, e: Emitter) -> None:
        """Hold the member mask against the lanes, and order what they did before."""
        add(e, MEMBERS)
        operand = e.instruction.operands[-1]
        if isinstance(operand, Immediate):
            members = str(integer(operand.text) & 0xFFFFFFFF)
            strangers = e.code.line(f"and i32 {e.active_bits()}, {~integer(operand.text) & 0xFFFFFFFF}")
        else:
            members, strangers = _named(e, e.read(operand, "b32"))
        lenient = "true" if e.instruction.opcode in ("bar", "barrier") else "false"
        live = e.code.line("load i32, ptr %live.place")
        wrong = e.code.line(
            f"call i1 @check_members(ptr %ctx, i32 %warp, i32 {e.active_bits()}, i32 {strangers}, i32 {members},"
            f" i32 {live}, i32 {e.index}, i1 {lenient})"
        )
        e.fail_if(wrong)
        if isinstance(operand, Immediate) and members == str(0xFFFFFFFF):
            add(e, WARP_SYNC)
            e.fail_if(e.code.line("call i1 @check_warp_sync(ptr %ctx, i32 %warp)"))
            return
        add(e, TILE_SYNC)
        masks = store_buffer(e, "members", masks_of(e), "i32")
        given = f"ptr %ctx, i32 %warp, ptr {masks}, i32 {e.active_bits()}, i32 {live}"
        e.fail_if(e.code.line(f"call i1 @{TILE_SYNC.name}({given})"))

    def whole_warp(self, e: Emitter) -> None:
        """Lanes that have exited, or that a small block never had, are missing too."""
        code = e.code
        fine, partial = code.fresh("whole"), code.fresh("partial")
        absent = code.line(f"xor i32 {e.active_bits()}, -1")
        code.effect(f"br i1 {code.line(f'icmp eq i32 {absent}, 0')}, label %{fine}, label %{partial}")
        code.label(partial)
        _miss(e, ErrorKind.PARTIAL_WARP, absent)
        code.effect(f"br label %{fine}")
        code.label(fine)

    def barrier(self, e: Emitter) -> None:
        """Note what comes to a barrier that may be for a part of the block.

        Of the others the driver counts how many were passed, and the next access to memory looks there.
        """
        number, count, _ = barrier_operands(e.instruction)
        check_operands(e, number, count)
        if count is not None:
            add(e, ARRIVE)
            add(e, OPENED)
            name, _ = barrier_record(e, number)
            e.code.effect(f"call void @{ARRIVE.name}(ptr %ctx, i32 %warp, i32 {name})")


def _miss(e: Emitter, kind: ErrorKind, missing: str) -> None:
    """Report lanes, a scalar mask, that do not take part, with the first lane that does; and end the warp."""
    e.module.declare("declare i32 @llvm.cttz.i32(i32, i1)")
    add(e, FAIL)
    code = e.code
    lane = code.line(f"call i32 @llvm.cttz.i32(i32 {e.active_name}, i1 true)")
    thread = code.line(f"add i32 {code.line('shl i32 %warp, 5')}, {lane}")
    wide = code.line(f"zext i32 {thread} to i64")
    mask = code.line(f"zext i32 {missing} to i64")
    code.effect(
        f"call void @check_fail(ptr %ctx, i64 {kind.value}, i32 {e.index}, i64 {wide},"
        f" i64 {mask}, i64 0, i64 -1, i64 0)"
    )
    e.fail_if("true")


def _named(e: Emitter, masks: Value) -> tuple[str, str]:
    """Return which lanes the masks of the active lanes name, and which active lanes their own mask does not name."""
    own = e.lanes("i32", [(1 << lane) - (lane == 31) * (1 << 32) for lane in range(32)])
    outside = e.map("icmp eq <W x i32> {0}, {1}", e.map("and <W x i32> {0}, {1}", masks, own), e.constant("i32", 0))
    strangers = e.code.line(f"and i32 {e.bits(outside)}, {e.active_bits()}")
    given = e.select(e.active(), masks, e.constant("i32", 0), "i32")
    e.code.flush()
    members = "0"
    e.module.declare(f"declare i32 @llvm.vector.reduce.or.v{e.W}i32(<{e.W} x i32>)")
    for strip in given:
        part = e.code.line(f"call i32 @llvm.vector.reduce.or.v{e.W}i32(<{e.W} x i32> {strip})")
        members = e.code.line(f"or i32 {members}, {part}")
    return members, strangers


def _stored_values(e: Emitter, kind: Access) -> tuple[str, int]:
    """Put what the lanes store into memory, 32 words of 64 bits for each component."""
    instruction = e.instruction
    if kind is Access.COPY:
        return "%check.values", 2  # where from and how much of it, which `copy` has put there
    if kind is not Access.WRITE or instruction.opcode != "st":
        return "null", 0
    given = instruction.operands[1]
    items = given.items if isinstance(given, Vector) else (given,)
    type_ = type_of(instruction)
    # Eight components are the widest vector there is; one size keeps one buffer.
    place = e.buffer("check.values", 8 * 32 * 8)
    for number, item in enumerate(items):
        value = e.cast(e.read(item, type_), llvm_type(type_), "i64")
        _store_words(e, place, 32 * number, value)
    return place, len(items)


def _store_words(e: Emitter, place: str, first: int, value: Value) -> None:
    """Put the 64-bit words of 32 lanes into memory, from word `first` on."""
    for strip in range(e.strips):
        row = e.code.line(f"getelementptr i64, ptr {place}, i64 {first + strip * e.W}")
        e.code.effect(f"store <{e.W} x i64> {value[strip]}, ptr {row}, align 8")


def _load_words(e: Emitter, place: str) -> Value:
    """Load the 64-bit words of 32 lanes from memory."""
    rows = [e.code.line(f"getelementptr i64, ptr {place}, i64 {strip * e.W}") for strip in range(e.strips)]
    return tuple(e.code.line(f"load <{e.W} x i64>, ptr {row}, align 8") for row in rows)
