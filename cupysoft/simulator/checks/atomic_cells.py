"""The race check of a whole warp at once, for atomic accesses as wide as a cell: what `shadow` says, lane beside lane.

Any number of lanes may want one cell. To learn of that, each lane leaves its number where the stamp of the cell's
atomic accesses will stand: who finds another lane's number there has met it, and tells that lane by a mark.
"""

from __future__ import annotations

from .cell_lines import GATHER, reader, relation, spread_times, unordered, writer
from .layout import SEVERAL_LANES, SEVERAL_WARPS, TOUCHED, Access, ShadowField
from .text import Routine, intrinsic, splat
from .traffic import lanes
from .warp_cells import cells_of

__all__ = ["atomic_check"]

_VECTOR = "<32 x i32>"
_GATHER = intrinsic("llvm.masked.gather.v32i32.v32p0", _VECTOR, "<32 x ptr>", "<32 x i1>", _VECTOR)
_SCATTER = intrinsic("llvm.masked.scatter.v32i32.v32p0", "void", _VECTOR, "<32 x ptr>", "<32 x i1>")
_MARK = -1


def atomic_check(access: Access, size: int) -> Routine:
    """``i1 (shadow, offsets, mask, warp)``: true when all is well and noted; else nothing was changed.

    It is for accesses of one cell a lane that count as atomic and write.
    """
    name = f"check_atomic_{access.name.lower()}_{size}"
    known = "icmp uge <32 x i32> %w.time, %firstv" if access.reads else "icmp uge <32 x i32> %w.time, zeroinitializer"
    text = f"""define internal i1 @{name}(ptr %shadow, ptr %offsets, i32 %mask, i32 %warp) noinline {{
entry:
{cells_of(size)}  %places = getelementptr i64, ptr %begin, <32 x i32> %cell
  %cells = call <32 x i64> @{GATHER.name}(<32 x ptr> align 8 %places, <32 x i1> %active, <32 x i64> zeroinitializer)
{spread_times()}  %code = or <32 x i32> %threadv, {lanes("i32")}
{writer("%cells")}{reader("%cells")}{unordered("w")}{unordered("r")}  %known = {known}
  %calm = and <32 x i1> %w.fine, %r.fine
  %ok = and <32 x i1> %calm, %known
  %okbits = bitcast <32 x i1> %ok to i32
  %doubt0 = xor i32 %okbits, -1
  %doubt = and i32 %doubt0, %mask
  %clear = icmp eq i32 %doubt, 0
  br i1 %clear, label %commit, label %no
commit:
  %far.at = getelementptr i64, ptr %shadow, i64 {ShadowField.ATOMICS.value}
  %far = load i64, ptr %far.at
  %stamps = getelementptr i8, ptr %shadow, i64 %far
  %homes = getelementptr i32, ptr %stamps, <32 x i32> %cell
  %touched = icmp ne <32 x i32> %w.flag, zeroinitializer
  %known.before = and <32 x i1> %touched, %active
  %a = call <32 x i32> @{_GATHER.name}(<32 x ptr> align 4 %homes, <32 x i1> %known.before,
    <32 x i32> zeroinitializer)
{_meet()}{relation("a")}{splat("severalv", "%several", "i32")}
  %self = select <32 x i1> %met, <32 x i32> %severalv, <32 x i32> %code
  %a.same = icmp eq <32 x i32> %a.who, %self
  %a.free = or <32 x i1> %a.early, %a.same
  %among = select <32 x i1> %a.ordered, <32 x i32> %self, <32 x i32> %severalv
  %joined = select <32 x i1> %a.mine, <32 x i32> %among, <32 x i32> splat (i32 {SEVERAL_WARPS})
  %kept = select <32 x i1> %a.free, <32 x i32> %self, <32 x i32> %joined
  %stamp = or <32 x i32> %now12v, %kept
  call void @{_SCATTER.name}(<32 x i32> %stamp, <32 x ptr> align 4 %homes, <32 x i1> %active)
  %first12 = shl <32 x i32> %firstv, splat (i32 12)
  %there = icmp uge <32 x i32> %w.time, %firstv
  %before = select <32 x i1> %there, <32 x i32> %w, <32 x i32> %first12
  %flagged = or <32 x i32> %before, splat (i32 {TOUCHED})
  call void @{_SCATTER.name}(<32 x i32> %flagged, <32 x ptr> align 8 %places, <32 x i1> %active)
  ret i1 true
}}
"""
    return Routine(name, text, (GATHER, _GATHER, _SCATTER))


def _meet() -> str:
    """Lines that set ``%met``: another active lane wants the same cell. What stood in the stamps is lost."""
    return f"""  %several = add i32 %warp, {SEVERAL_LANES}
  call void @{_SCATTER.name}(<32 x i32> {lanes("i32")}, <32 x ptr> align 4 %homes, <32 x i1> %active)
  %found = call <32 x i32> @{_GATHER.name}(<32 x ptr> align 4 %homes, <32 x i1> %active,
    <32 x i32> {lanes("i32")})
  %foreign = icmp ne <32 x i32> %found, {lanes("i32")}
  call void @{_SCATTER.name}(<32 x i32> splat (i32 {_MARK}), <32 x ptr> align 4 %homes, <32 x i1> %foreign)
  %again = call <32 x i32> @{_GATHER.name}(<32 x ptr> align 4 %homes, <32 x i1> %active,
    <32 x i32> {lanes("i32")})
  %met = icmp ne <32 x i32> %again, {lanes("i32")}
"""
