"""Reads of shared memory that nobody wrote, which wait for their verdict until the next barrier."""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .layout import IN_SHARED
from .text import Routine, load_slot

__all__ = ["PEND", "PENDING", "expire"]

#: Where a read of unwritten shared memory waits for its verdict, and the fields of the error record that it becomes.
PENDING = {
    Slot.CHECK_2: Slot.ERROR_KIND,
    Slot.CHECK_3: Slot.ERROR_INSTRUCTION,
    Slot.CHECK_4: Slot.ERROR_THREAD,
    Slot.CHECK_5: Slot.ERROR_ADDRESS,
    Slot.CHECK_6: Slot.ERROR_BLOCK,
    Slot.CHECK_7: Slot.ERROR_SIZE,
}

#: ``void (ctx, where, thread, address, size)``: note a read of shared memory that nobody wrote in this block.
#: It is an error only when the next barrier comes: a write before that makes it a race, which says more.
PEND = Routine(
    "check_pend",
    f"""define internal void @check_pend(ptr %ctx, i32 %where, i64 %thread, i64 %address, i64 %size) noinline cold {{
{load_slot("kind", Slot.CHECK_2)}{load_slot("block", Slot.BLOCK)}
  %free = icmp eq i64 %kind, 0
  br i1 %free, label %write, label %done
write:
  %where64 = zext i32 %where to i64
  store i64 {ErrorKind.UNINITIALISED.value}, ptr %kind.at
  %at3 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_3.value}
  store i64 %where64, ptr %at3
  %at4 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_4.value}
  store i64 %thread, ptr %at4
  %at5 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_5.value}
  store i64 %address, ptr %at5
  %at6 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_6.value}
  store i64 %block, ptr %at6
  %at7 = getelementptr i64, ptr %ctx, i64 {Slot.CHECK_7.value}
  store i64 %size, ptr %at7
  br label %done
done:
  ret void
}}
""",
)


def expire() -> str:
    """Lines that make the pending read the error."""
    lines = []
    for source, target in PENDING.items():
        lines.append(load_slot(source.name.lower(), source))
        lines.append(f"  %to{target.value} = getelementptr i64, ptr %ctx, i64 {target.value}\n")
        lines.append(f"  store i64 %{source.name.lower()}, ptr %to{target.value}\n")
    lines.append(f"  %detail = getelementptr i64, ptr %ctx, i64 {Slot.ERROR_DETAIL.value}\n")
    lines.append(f"  store i64 {IN_SHARED}, ptr %detail\n")
    return "".join(lines)
