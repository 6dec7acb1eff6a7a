"""Functions in LLVM IR, with the functions they call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..context import ErrorKind, Slot

__all__ = ["FAIL", "Routine", "intrinsic", "load_slot", "splat"]


@dataclass(frozen=True)
class Routine:
    """One function: its name without the sigil, its text, and what has to be in the module beside it."""

    name: str
    text: str
    needs: tuple[Routine, ...] = ()

    def closure(self) -> Iterator[Routine]:
        """This routine and everything below it, callees first; a routine may come more than once."""
        for routine in self.needs:
            yield from routine.closure()
        yield self


def intrinsic(name: str, result: str, *arguments: str) -> Routine:
    """Declaration of one of LLVM's own functions."""
    return Routine(name, f"declare {result} @{name}({', '.join(arguments)})\n")


def load_slot(name: str, slot: Slot, kind: str = "i64") -> str:
    """Lines that load a slot of the context."""
    return f"  %{name}.at = getelementptr i64, ptr %ctx, i64 {slot.value}\n  %{name} = load {kind}, ptr %{name}.at\n"


def splat(name: str, scalar: str, kind: str = "i64") -> str:
    """Lines that put a scalar into all 32 lanes of ``%name``."""
    return (
        f"  %{name}.one = insertelement <32 x {kind}> poison, {kind} {scalar}, i32 0\n"
        f"  %{name} = shufflevector <32 x {kind}> %{name}.one, <32 x {kind}> poison, <32 x i32> zeroinitializer\n"
    )


def _store_record() -> str:
    fields = {
        Slot.ERROR_KIND: "kind",
        Slot.ERROR_INSTRUCTION: "where64",
        Slot.ERROR_BLOCK: "block",
        Slot.ERROR_THREAD: "thread",
        Slot.ERROR_ADDRESS: "address",
        Slot.ERROR_SIZE: "size",
        Slot.ERROR_OTHER: "other",
        Slot.ERROR_DETAIL: "detail",
    }
    return "".join(
        f"  %at.{name} = getelementptr i64, ptr %ctx, i64 {slot.value}\n  store i64 %{name}, ptr %at.{name}\n"
        for slot, name in fields.items()
    )


#: Fills the error record, unless an earlier error is in it.
FAIL = Routine(
    "check_fail",
    f"""define internal void @check_fail(ptr %ctx, i64 %kind, i32 %where, i64 %thread, i64 %address, i64 %size,
    i64 %other, i64 %detail) noinline cold {{
{load_slot("earlier", Slot.ERROR_KIND)}{load_slot("block", Slot.BLOCK)}
  %free = icmp eq i64 %earlier, {ErrorKind.NONE.value}
  br i1 %free, label %write, label %done
write:
  %where64 = zext i32 %where to i64
{_store_record()}  br label %done
done:
  ret void
}}
""",
)
