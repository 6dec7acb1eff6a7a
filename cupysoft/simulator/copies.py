"""Asynchronous copies: what a warp has asked for and not yet waited for, and when it takes effect.

Each warp has a queue in the workspace, empty between blocks. One ``cp.async`` of a warp is one record: for each of its
lanes the source, the destination, how many bytes are read (the rest becomes zero), and the number of the lane's group.
A copy reads its source and writes shared memory at its wait, the latest moment allowed, so that a missing wait always
shows; with a seed at any moment before that which chance chooses, in any order. When the queue is full its oldest
record takes effect. A thread that exits waits for nothing: its copies take effect then.
"""

from __future__ import annotations

from .context import Slot

__all__ = ["QUEUE_BYTES", "copies_text"]

#: Records of a warp's queue: 128 KiB of shared memory that one warp fills, 16 bytes a thread.
_RECORDS = 256

# Bytes from the start of a queue.
_HEAD = 0  # number of the oldest record, i32
_TAIL = 4  # number of the next record
_GROUPS = 64  # groups that each lane has committed, i32[32]
_FIRST = 192  # the records
# Bytes from the start of a record.
_WAITED_FOR = 0  # lanes that have not waited for their copy, i32
_TO_DO = 4  # lanes whose bytes have not been copied, i32
_SIZE = 8  # bytes that each lane writes, i32
_SOURCE = 64  # host addresses, i64[32]
_TARGET = _SOURCE + 32 * 8  # offsets in shared memory, i32[32]
_GROUP = _TARGET + 32 * 4  # i32[32]
_COUNT = _GROUP + 32 * 4  # bytes that each lane reads, i8[32]
_RECORD = _COUNT + 32

QUEUE_BYTES = -(-(_FIRST + _RECORDS * _RECORD) // 64) * 64
"""Bytes of one warp's queue."""


def _field(name: str, base: str, offset: int, kind: str = "") -> str:
    """Lines that name a place, and load it when `kind` is given."""
    lines = f"  %{name}.at = getelementptr i8, ptr %{base}, i64 {offset}\n"
    return lines + (f"  %{name} = load {kind}, ptr %{name}.at, align 4\n" if kind else "")


def copies_text(marked: bool) -> str:
    """Return the functions that keep the queues.

    Parameters
    ----------
    marked : bool
        Whether the race check hears of each copy that was waited for; ``check_copied`` is in the module then.
    """
    return "\n".join([_RECORD_OF, _MOVE, _SETTLE.format(mark=_MARK if marked else ""), _WAIT, _ISSUE, _DRIFT, _START])


_QUEUE = "  %queue = call ptr @copies.queue(ptr %ctx, i32 %warp)\n"

_RECORD_OF = f"""define internal ptr @copies.record(ptr %queue, i32 %number) alwaysinline {{
  %index = and i32 %number, {_RECORDS - 1}
  %wide = zext i32 %index to i64
  %offset = mul i64 %wide, {_RECORD}
  %place = add i64 %offset, {_FIRST}
  %record = getelementptr i8, ptr %queue, i64 %place
  ret ptr %record
}}"""

# Copy the bytes of some lanes of a record, if that has not been done yet.
_MOVE = f"""define internal void @copies.move(ptr %ctx, ptr %record, i32 %lanes) noinline {{
entry:
{_field("todo", "record", _TO_DO, "i32")}  %now = and i32 %todo, %lanes
  %rest = xor i32 %todo, %now
  store i32 %rest, ptr %todo.at
{_field("size", "record", _SIZE, "i32")}  %size.wide = zext i32 %size to i64
  %host.at = getelementptr i64, ptr %ctx, i64 {Slot.SHARED_HOST.value}
  %host = load ptr, ptr %host.at
  br label %loop
loop:
  %left = phi i32 [%now, %entry], [%next, %again]
  %over = icmp eq i32 %left, 0
  br i1 %over, label %done, label %copy
copy:
  %lane = call i32 @llvm.cttz.i32(i32 %left, i1 true)
  %lower = sub i32 %left, 1
  %next = and i32 %left, %lower
{_field("sources", "record", _SOURCE)}{_field("targets", "record", _TARGET)}{_field("counts", "record", _COUNT)}
  %source.at = getelementptr ptr, ptr %sources.at, i32 %lane
  %source = load ptr, ptr %source.at
  %target.at = getelementptr i32, ptr %targets.at, i32 %lane
  %offset = load i32, ptr %target.at
  %target = getelementptr i8, ptr %host, i32 %offset
  %count.at = getelementptr i8, ptr %counts.at, i32 %lane
  %count.small = load i8, ptr %count.at
  %count = zext i8 %count.small to i32
  %whole = icmp eq i32 %count, %size
  br i1 %whole, label %full, label %part
full:
  switch i32 %size, label %sixteen [i32 4, label %four i32 8, label %eight]
four:
  %four.bytes = load i32, ptr %source, align 1
  store i32 %four.bytes, ptr %target, align 1
  br label %again
eight:
  %eight.bytes = load i64, ptr %source, align 1
  store i64 %eight.bytes, ptr %target, align 1
  br label %again
sixteen:
  %sixteen.bytes = load <2 x i64>, ptr %source, align 1
  store <2 x i64> %sixteen.bytes, ptr %target, align 1
  br label %again
part:
  %count.wide = zext i32 %count to i64
  call void @llvm.memset.p0.i64(ptr %target, i8 0, i64 %size.wide, i1 false)
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %count.wide, i1 false)
  br label %again
again:
  br label %loop
done:
  ret void
}}"""

# Some lanes have waited for their copies of a record: copy what is still to do.
_SETTLE = (
    f"""define internal void @copies.settle(ptr %ctx, i32 %warp, ptr %record, i32 %lanes) noinline {{{{
entry:
{_field("waited", "record", _WAITED_FOR, "i32")}  %now = and i32 %waited, %lanes
  %rest = xor i32 %waited, %now
  store i32 %rest, ptr %waited.at
  call void @copies.move(ptr %ctx, ptr %record, i32 %now)
"""
    "{mark}"
    """  ret void
}}"""
)

_MARK = f"""{_field("size", "record", _SIZE, "i32")}{_field("targets", "record", _TARGET)}
  call void @check_copied(ptr %ctx, i32 %warp, ptr %targets.at, i32 %now, i32 %size)
"""

# The lanes wait until at most so many of their groups are pending; with -1 groups also what is not in a group yet.
_WAIT = f"""define internal void @copies.wait(ptr %ctx, i32 %warp, i32 %lanes, i32 %groups) noinline {{
entry:
{_QUEUE}{_field("head", "queue", _HEAD, "i32")}{_field("tail", "queue", _TAIL, "i32")}
{_field("committed", "queue", _GROUPS, "<32 x i32>")}  %active = bitcast i32 %lanes to <32 x i1>
  %groups.one = insertelement <32 x i32> poison, i32 %groups, i32 0
  %groups.all = shufflevector <32 x i32> %groups.one, <32 x i32> poison, <32 x i32> zeroinitializer
  %bound = sub <32 x i32> %committed, %groups.all
  br label %loop
loop:
  %number = phi i32 [%head, %entry], [%number.next, %kept]
  %first = phi i32 [%head, %entry], [%first.next, %kept]
  %more = icmp ne i32 %number, %tail
  br i1 %more, label %look, label %done
look:
  %record = call ptr @copies.record(ptr %queue, i32 %number)
{_field("group", "record", _GROUP, "<32 x i32>")}  %ahead = sub <32 x i32> %group, %bound
  %early = icmp slt <32 x i32> %ahead, zeroinitializer
  %due = and <32 x i1> %early, %active
  %due.bits = bitcast <32 x i1> %due to i32
{_field("waited", "record", _WAITED_FOR, "i32")}  %now = and i32 %waited, %due.bits
  %some = icmp ne i32 %now, 0
  br i1 %some, label %settle, label %kept
settle:
  call void @copies.settle(ptr %ctx, i32 %warp, ptr %record, i32 %now)
  br label %kept
kept:
  %waited.left = load i32, ptr %waited.at
  %number.next = add i32 %number, 1
  %empty = icmp eq i32 %waited.left, 0
  %oldest = icmp eq i32 %number, %first
  %gone = and i1 %empty, %oldest
  %first.next = select i1 %gone, i32 %number.next, i32 %first
  br label %loop
done:
  store i32 %first, ptr %head.at
  ret void
}}"""

_ISSUE = f"""define internal void @copies.issue(ptr %ctx, i32 %warp, i32 %lanes, i32 %size, ptr %sources, ptr %targets,
    ptr %counts) noinline {{
entry:
{_QUEUE}  %none = icmp eq i32 %lanes, 0
  br i1 %none, label %done, label %some
some:
{_field("head", "queue", _HEAD, "i32")}{_field("tail", "queue", _TAIL, "i32")}  %length = sub i32 %tail, %head
  %full = icmp uge i32 %length, {_RECORDS}
  br i1 %full, label %oldest, label %append
oldest:
  %old = call ptr @copies.record(ptr %queue, i32 %head)
  call void @copies.settle(ptr %ctx, i32 %warp, ptr %old, i32 -1)
  %head.next = add i32 %head, 1
  store i32 %head.next, ptr %head.at
  br label %append
append:
  %record = call ptr @copies.record(ptr %queue, i32 %tail)
  %tail.next = add i32 %tail, 1
  store i32 %tail.next, ptr %tail.at
{_field("waited", "record", _WAITED_FOR)}  store i32 %lanes, ptr %waited.at
{_field("todo", "record", _TO_DO)}  store i32 %lanes, ptr %todo.at
{_field("size.of", "record", _SIZE)}  store i32 %size, ptr %size.of.at
{_field("source", "record", _SOURCE)}  %s = load <32 x i64>, ptr %sources, align 8
  store <32 x i64> %s, ptr %source.at, align 8
  %host.at = getelementptr i64, ptr %ctx, i64 {Slot.SHARED_HOST.value}
  %host = load i64, ptr %host.at
  %host.one = insertelement <32 x i64> poison, i64 %host, i32 0
  %host.all = shufflevector <32 x i64> %host.one, <32 x i64> poison, <32 x i32> zeroinitializer
  %t = load <32 x i64>, ptr %targets, align 8
  %offset = sub <32 x i64> %t, %host.all
  %offset.small = trunc <32 x i64> %offset to <32 x i32>
{_field("target", "record", _TARGET)}  store <32 x i32> %offset.small, ptr %target.at, align 4
  %c = load <32 x i32>, ptr %counts, align 4
  %c.small = trunc <32 x i32> %c to <32 x i8>
{_field("count", "record", _COUNT)}  store <32 x i8> %c.small, ptr %count.at, align 1
{_field("groups", "queue", _GROUPS, "<32 x i32>")}{_field("group", "record", _GROUP)}
  store <32 x i32> %groups, ptr %group.at, align 4
  %seed.at = getelementptr i64, ptr %ctx, i64 {Slot.SEED.value}
  %seed = load i64, ptr %seed.at
  %drawn = icmp ne i64 %seed, 0
  br i1 %drawn, label %drift, label %done
drift:
  call void @copies.drift(ptr %ctx, i32 %warp)
  br label %done
done:
  ret void
}}
define internal void @copies.commit(ptr %ctx, i32 %warp, i32 %lanes) noinline {{
{_QUEUE}{_field("groups", "queue", _GROUPS, "<32 x i32>")}  %active = bitcast i32 %lanes to <32 x i1>
  %one = zext <32 x i1> %active to <32 x i32>
  %more = add <32 x i32> %groups, %one
  store <32 x i32> %more, ptr %groups.at, align 4
  ret void
}}"""

# Chance lets copies take effect: of one record in four some lanes', or all.
_DRIFT = f"""define internal void @copies.drift(ptr %ctx, i32 %warp) noinline {{
entry:
{_QUEUE}{_field("head", "queue", _HEAD, "i32")}{_field("tail", "queue", _TAIL, "i32")}  br label %loop
loop:
  %number = phi i32 [%head, %entry], [%number.next, %again]
  %more = icmp ne i32 %number, %tail
  br i1 %more, label %look, label %done
look:
  %record = call ptr @copies.record(ptr %queue, i32 %number)
  %dice = call i64 @chance(ptr %ctx)
  %high = lshr i64 %dice, 3
  %some = trunc i64 %high to i32
  %whole.bit = and i64 %dice, 4
  %whole = icmp ne i64 %whole.bit, 0
  %lanes = select i1 %whole, i32 -1, i32 %some
  %quarter = and i64 %dice, 3
  %now = icmp eq i64 %quarter, 0
  br i1 %now, label %move, label %again
move:
  call void @copies.move(ptr %ctx, ptr %record, i32 %lanes)
  br label %again
again:
  %number.next = add i32 %number, 1
  br label %loop
done:
  ret void
}}"""

_START = f"""define internal void @copies.soil(ptr %ctx) noinline {{
  %host.at = getelementptr i64, ptr %ctx, i64 {Slot.SHARED_HOST.value}
  %host = load ptr, ptr %host.at
  %bytes.at = getelementptr i64, ptr %ctx, i64 {Slot.SHARED_BYTES.value}
  %bytes = load i64, ptr %bytes.at
  call void @llvm.memset.p0.i64(ptr %host, i8 -1, i64 %bytes, i1 false)
  ret void
}}
define internal ptr @copies.queue(ptr %ctx, i32 %warp) alwaysinline {{
  %first.at = getelementptr i64, ptr %ctx, i64 {Slot.COPIES.value}
  %first = load ptr, ptr %first.at
  %wide = zext i32 %warp to i64
  %offset = mul i64 %wide, {QUEUE_BYTES}
  %queue = getelementptr i8, ptr %first, i64 %offset
  ret ptr %queue
}}"""
