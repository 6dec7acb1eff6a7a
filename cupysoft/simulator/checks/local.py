"""Checks of local memory, a thread's own: bounds, alignment, and reads of what the thread never wrote.

Beside each byte stands another one that says whether it was written in this block.
"""

from __future__ import annotations

from ..context import ErrorKind, Slot
from .bounds import bounds_failure, offsets_test
from .clock import REFRESH
from .layout import IN_LOCAL, Access, Space
from .passing import EVERY_BYTE, suffix
from .text import FAIL, Routine, intrinsic, load_slot, splat
from .traffic import CTPOP, CTTZ, lanes, plain_traffic

__all__ = ["local_check"]


def _flags(access: Access, size: int, needed: int) -> tuple[str, tuple[Routine, ...]]:
    """Lines that test (``%unset``, lanes with a byte unset) or set the flags of all bytes of the access."""
    width = min(size, 8)
    kind = f"i{8 * width}"
    gather = intrinsic(
        f"llvm.masked.gather.v32{kind}.v32p0", f"<32 x {kind}>", "<32 x ptr>", "<32 x i1>", f"<32 x {kind}>"
    )
    scatter = intrinsic(f"llvm.masked.scatter.v32{kind}.v32p0", "void", f"<32 x {kind}>", "<32 x ptr>", "<32 x i1>")
    lines, unset = [], "0"
    for part in range(size // width):
        lines.append(f"  %flags{part} = getelementptr i8, ptr %flagbase, <32 x i64> %inside\n")
        if part:
            lines[-1] = f"  %flags{part} = getelementptr i8, <32 x ptr> %flags0, i64 {part * width}\n"
        if access.reads:
            wanted = sum(255 << 8 * byte for byte in range(width) if needed >> (part * width + byte) & 1)
            lines.append(
                f"  %set{part} = call <32 x {kind}> @{gather.name}(<32 x ptr> align 1 %flags{part}, <32 x i1> %active,"
                f" <32 x {kind}> splat ({kind} -1))\n"
                f"  %wanted{part} = and <32 x {kind}> %set{part}, splat ({kind} {wanted})\n"
                f"  %open{part} = icmp ne <32 x {kind}> %wanted{part}, splat ({kind} {wanted})\n"
                f"  %openbits{part} = bitcast <32 x i1> %open{part} to i32\n"
                f"  %unset{part} = or i32 {unset}, %openbits{part}\n"
            )
            unset = f"%unset{part}"
        if access.writes:
            lines.append(
                f"  call void @{scatter.name}(<32 x {kind}> splat ({kind} -1), <32 x ptr> align 1 %flags{part},"
                " <32 x i1> %active)\n"
            )
    lines.append(f"  %unset = or i32 {unset}, 0\n")
    return "".join(lines), (gather,) * access.reads + (scatter,) * access.writes


def local_check(access: Access, size: int, needed: int = EVERY_BYTE) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where)``: the lanes that may go on.

    Offsets into each thread's memory become host addresses in place. `needed` bytes must have been written.
    """
    name = f"check_local_{access.name.lower()}_{size}{suffix(needed)}"
    flags, needs = _flags(access, size, needed)
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where) noinline {{
entry:
  %empty = icmp eq i32 %mask, 0
  br i1 %empty, label %none, label %some
none:
  ret i32 0
some:
  %stop = call i1 @check_refresh(ptr %ctx)
  br i1 %stop, label %none, label %go
go:
{load_slot("stride", Slot.LOCAL_STRIDE)}
{load_slot("host", Slot.LOCAL_HOST)}
{load_slot("flagbase", Slot.SHADOW_LOCAL, "ptr")}
{plain_traffic(Space.LOCAL, access, size)}{offsets_test("%stride", size)}  br i1 %fine, label %test, label %outside
outside:
{bounds_failure(size, IN_LOCAL)}test:
  %active = bitcast i32 %mask to <32 x i1>
  %thread32 = shl i32 %warp, 5
  %thread0 = zext i32 %thread32 to i64
{splat("threadv", "%thread0")}
  %self = or <32 x i64> %threadv, {lanes("i64")}
{splat("stridev", "%stride")}
  %begin = mul <32 x i64> %self, %stridev
  %inside = add <32 x i64> %begin, %v
{flags}{splat("hostv", "%host")}
  %place = add <32 x i64> %inside, %hostv
  %final = select <32 x i1> %active, <32 x i64> %place, <32 x i64> %v
  %doubt = and i32 %unset, %mask
  %clear = icmp eq i32 %doubt, 0
  br i1 %clear, label %done, label %unwritten
done:
  store <32 x i64> %final, ptr %addresses, align 8
  ret i32 %mask
unwritten:
  %lane = call i32 @llvm.cttz.i32(i32 %doubt, i1 true)
  %at = getelementptr i64, ptr %addresses, i32 %lane
  %address = load i64, ptr %at
  %its32 = add i32 %thread32, %lane
  %its = zext i32 %its32 to i64
  call void @check_fail(ptr %ctx, i64 {ErrorKind.UNINITIALISED.value}, i32 %where, i64 %its, i64 %address,
    i64 {size}, i64 -1, i64 {IN_LOCAL})
  %left = xor i32 %doubt, %mask
  ret i32 %left
}}
"""
    return Routine(name, text, (CTTZ, CTPOP, FAIL, REFRESH, *needs))
