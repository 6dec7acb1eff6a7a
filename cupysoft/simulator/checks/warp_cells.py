"""The race check of a whole warp at once, for accesses as wide as a cell: what `shadow` says, 32 cells side by side."""

from __future__ import annotations

from .cell_lines import GATHER, SCATTER, new_cells, reader, spread_times, undivided, unordered, verdict, writer
from .layout import CELLS_OFFSET, SEVERAL_LANES, Access, ShadowField
from .text import Routine, intrinsic, splat
from .traffic import lanes

__all__ = ["cells_of", "warp_check"]

_LOWEST = intrinsic("llvm.vector.reduce.umin.v32i32", "i32", "<32 x i32>")
_HIGHEST = intrinsic("llvm.vector.reduce.umax.v32i32", "i32", "<32 x i32>")
_ROTATE = intrinsic("llvm.fshr.i32", "i32", "i32", "i32", "i32")


def warp_check(access: Access, size: int) -> Routine:
    """``i1 (shadow, offsets, mask, warp)``: true when all is well and noted; else nothing was changed.

    It is for plain reads and writes, and copies, of one cell a lane. A set of 32 bits tells which lanes meet in a cell,
    where the cells lie within 32 of each other (then those 32 are looked at, in order) or all in different residues
    modulo 32 (then each lane looks at its own). Writes must not meet.
    """
    name = f"check_warp_{access.name.lower()}_{size}"
    read = access is Access.READ
    text = f"""define internal i1 @{name}(ptr %shadow, ptr %offsets, i32 %mask, i32 %warp) noinline {{
entry:
  %index = alloca [32 x i32], align 64
  %lane.of = alloca [64 x i8], align 64
{cells_of(size)}{_meetings()}  br i1 {"true" if read else "%alone"}, label %span, label %no
span:
  %lows = select <32 x i1> %active, <32 x i32> %cell, <32 x i32> splat (i32 -1)
  %highs = select <32 x i1> %active, <32 x i32> %cell, <32 x i32> zeroinitializer
  %lowest = call i32 @{_LOWEST.name}(<32 x i32> %lows)
  %highest = call i32 @{_HIGHEST.name}(<32 x i32> %highs)
  %distance = sub i32 %highest, %lowest
  %close = icmp ult i32 %distance, 32
  br i1 %close, label %window, label %far
{_window()}far:
  br i1 %alone, label %apart, label %no
apart:
  %places = getelementptr i64, ptr %begin, <32 x i32> %cell
  %gathered = call <32 x i64> @{GATHER.name}(<32 x ptr> align 8 %places, <32 x i1> %active,
    <32 x i64> zeroinitializer)
  br label %time
time:
  %cells = phi <32 x i64> [%inrow, %row], [%inrow, %mixed], [%gathered, %apart]
  %lanes = phi <32 x i32> [{lanes("i32")}, %row], [%sorted, %mixed], [{lanes("i32")}, %apart]
  %wanted = phi i32 [%wanted.row, %row], [%wanted.row, %mixed], [%mask, %apart]
  %met = phi i32 [%met.row, %row], [%met.row, %mixed], [0, %apart]
{_stamps(read)}{unordered("w")}{verdict(read)}
  %okbits = bitcast <32 x i1> %ok to i32
  %doubt0 = xor i32 %okbits, -1
  %doubt = and i32 %doubt0, %wanted
  %clear = icmp eq i32 %doubt, 0
  br i1 %clear, label %commit, label %no
commit:
{new_cells(access)}  br i1 %close, label %store, label %scatter
store:
  %chosen = bitcast i32 %wanted to <32 x i1>
  %all = select <32 x i1> %chosen, <32 x i64> %new, <32 x i64> %cells
  %back = getelementptr i64, ptr %begin, i32 %lowest
  store <32 x i64> %all, ptr %back, align 8
  ret i1 true
scatter:
  %targets = getelementptr i64, ptr %begin, <32 x i32> %cell
  call void @{SCATTER.name}(<32 x i64> %new, <32 x ptr> align 8 %targets, <32 x i1> %active)
  ret i1 true
}}
"""
    return Routine(name, text, (GATHER, SCATTER, _LOWEST, _HIGHEST, _ROTATE))


def cells_of(size: int) -> str:
    """Lines that set the lanes' cells, ``%cell``.

    They leave the function where cells have another size, or where only some warps of the block, or lanes of the
    warp, have met.
    """
    return f"""  %shift.at = getelementptr i64, ptr %shadow, i64 {ShadowField.SHIFT.value}
  %shift = load i32, ptr %shift.at
  %bytes = shl i32 1, %shift
  %fits = icmp eq i32 %bytes, {size}
{undivided()}  %one = and i1 %fits, %undivided.lanes
  br i1 %one, label %place, label %no
no:
  ret i1 false
place:
  %active = bitcast i32 %mask to <32 x i1>
  %v = load <32 x i64>, ptr %offsets, align 8
  %v32 = trunc <32 x i64> %v to <32 x i32>
  %cell = lshr <32 x i32> %v32, splat (i32 {size.bit_length() - 1})
  %begin = getelementptr i8, ptr %shadow, i64 {CELLS_OFFSET}
"""


def _meetings() -> str:
    """Lines that find the residues that lanes want, ``%once``, and those that two want, ``%twice``."""
    lines = [
        """  %residue = and <32 x i32> %cell, splat (i32 31)
  %bit = shl <32 x i32> splat (i32 1), %residue
  %once.32 = select <32 x i1> %active, <32 x i32> %bit, <32 x i32> zeroinitializer
  %twice.32 = xor <32 x i32> %bit, %bit
"""
    ]
    width = 32
    while width > 1:
        half = width // 2
        low = ", ".join(f"i32 {lane}" for lane in range(half))
        high = ", ".join(f"i32 {lane}" for lane in range(half, width))
        whole, part = f"<{width} x i32>", f"<{half} x i32>"
        for what in ("once", "twice"):
            for side, picks in (("l", low), ("h", high)):
                lines.append(
                    f"  %{what}.{half}{side} = shufflevector {whole} %{what}.{width}, {whole} poison,"
                    f" <{half} x i32> <{picks}>\n"
                )
        lines.append(
            f"  %once.{half} = or {part} %once.{half}l, %once.{half}h\n"
            f"  %both.{half} = and {part} %once.{half}l, %once.{half}h\n"
            f"  %either.{half} = or {part} %twice.{half}l, %twice.{half}h\n"
            f"  %twice.{half} = or {part} %both.{half}, %either.{half}\n"
        )
        width = half
    lines.append(
        "  %once = extractelement <1 x i32> %once.1, i32 0\n"
        "  %twice = extractelement <1 x i32> %twice.1, i32 0\n"
        "  %alone = icmp eq i32 %twice, 0\n"
    )
    return "".join(lines)


def _window() -> str:
    """Lines that load the 32 cells from the lowest on, and the lane that wants each: ``%inrow``, ``%sorted``."""
    moves = "".join(
        f"  %i{lane}.at = getelementptr i32, ptr %index, i64 {lane}\n"
        f"  %i{lane} = load i32, ptr %i{lane}.at\n"
        f"  %l{lane}.at = getelementptr i8, ptr %lane.of, i32 %i{lane}\n"
        f"  store i8 {lane}, ptr %l{lane}.at\n"
        for lane in range(32)
    )
    return f"""window:
  %low5 = and i32 %lowest, 31
  %wanted.row = call i32 @{_ROTATE.name}(i32 %once, i32 %once, i32 %low5)
  %met.row = call i32 @{_ROTATE.name}(i32 %twice, i32 %twice, i32 %low5)
  %from = getelementptr i64, ptr %begin, i32 %lowest
  %inrow = load <32 x i64>, ptr %from, align 8
{splat("lowestv", "%lowest", "i32")}  %offset = sub <32 x i32> %cell, %lowestv
  %straight = icmp eq <32 x i32> %offset, {lanes("i32")}
  %straight.bits = bitcast <32 x i1> %straight to i32
  %inline = and i32 %straight.bits, %mask
  %simple = icmp eq i32 %inline, %mask
  br i1 %simple, label %row, label %mixed
row:
  br label %time
mixed:
  %nowhere = select <32 x i1> %active, <32 x i32> %offset, <32 x i32> splat (i32 32)
  store <32 x i32> %nowhere, ptr %index, align 64
{moves}  %bytes.of = load <32 x i8>, ptr %lane.of, align 64
  %sorted = zext <32 x i8> %bytes.of to <32 x i32>
  br label %time
"""


def _stamps(read: bool) -> str:
    """Lines for the lanes' codes, the times, and the stamps in the cells, ``%w`` and ``%r``."""
    code = "  %code = and <32 x i32> %self, %self\n"
    if read:
        code = f"""  %shared = bitcast i32 %met to <32 x i1>
  %several = add i32 %warp, {SEVERAL_LANES}
{splat("severalv", "%several", "i32")}  %code = select <32 x i1> %shared, <32 x i32> %severalv, <32 x i32> %self
"""
    return f"""{spread_times()}  %self = or <32 x i32> %threadv, %lanes
{code}{writer("%cells")}{reader("%cells")}"""
