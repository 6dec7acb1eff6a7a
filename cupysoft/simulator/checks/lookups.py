"""The race check of reads wherever they are, as in a table: lanes may meet in cells, and an access may have several."""

from __future__ import annotations

from .cell_lines import GATHER, SCATTER, new_cells, reader, spread_times, undivided, unordered, verdict, writer
from .layout import CELLS_OFFSET, SEVERAL_LANES, Access, ShadowField
from .text import Routine, splat
from .traffic import lanes

__all__ = ["lookup_check"]


def lookup_check(size: int) -> Routine:
    """``i1 (shadow, offsets, mask, warp)``: true when all is well and noted; else nothing was changed.

    First all cells are looked at, then each lane notes itself in them. Lanes that find another note afterwards than
    their own have met other lanes of the warp there, and note that there were several.
    """
    text = f"""define internal i1 @check_lookup_{size}(ptr %shadow, ptr %offsets, i32 %mask, i32 %warp) noinline {{
entry:
{undivided()}  br i1 %undivided.lanes, label %begin, label %no
no:
  ret i1 false
begin:
  %shift.at = getelementptr i64, ptr %shadow, i64 {ShadowField.SHIFT.value}
  %shift = load i32, ptr %shift.at
  %many = lshr i32 {size}, %shift
  %active = bitcast i32 %mask to <32 x i1>
  %v = load <32 x i64>, ptr %offsets, align 8
  %v32 = trunc <32 x i64> %v to <32 x i32>
{splat("shiftv", "%shift", "i32")}  %cell = lshr <32 x i32> %v32, %shiftv
  %first.cell = getelementptr i8, ptr %shadow, i64 {CELLS_OFFSET}
  %places = getelementptr i64, ptr %first.cell, <32 x i32> %cell
{spread_times()}  %code = or <32 x i32> %threadv, {lanes("i32")}
  %several = add i32 %warp, {SEVERAL_LANES}
{splat("severalv", "%several", "i32")}  %several.now = or <32 x i32> %now12v, %severalv
  %several.64 = zext <32 x i32> %several.now to <32 x i64>
  %several.upper = shl <32 x i64> %several.64, splat (i64 32)
  br label %look
look:
  %looked = phi i32 [0, %begin], [%looked.next, %well]
  %looked.at = getelementptr i64, <32 x ptr> %places, i32 %looked
  %seen = call <32 x i64> @{GATHER.name}(<32 x ptr> align 8 %looked.at, <32 x i1> %active,
    <32 x i64> zeroinitializer)
{writer("%seen")}{unordered("w")}{verdict(True)}  %ok.bits = bitcast <32 x i1> %ok to i32
  %not.ok = xor i32 %ok.bits, -1
  %doubt = and i32 %not.ok, %mask
  %clear = icmp eq i32 %doubt, 0
  br i1 %clear, label %well, label %no
well:
  %looked.next = add i32 %looked, 1
  %more.looks = icmp ult i32 %looked.next, %many
  br i1 %more.looks, label %look, label %note
note:
  %noted = phi i32 [0, %well], [%noted.next, %done]
  %noted.at = getelementptr i64, <32 x ptr> %places, i32 %noted
  %cells = call <32 x i64> @{GATHER.name}(<32 x ptr> align 8 %noted.at, <32 x i1> %active,
    <32 x i64> zeroinitializer)
{reader("%cells")}{new_cells(Access.READ)}
  call void @{SCATTER.name}(<32 x i64> %new, <32 x ptr> align 8 %noted.at, <32 x i1> %active)
  %left = call <32 x i64> @{GATHER.name}(<32 x ptr> align 8 %noted.at, <32 x i1> %active, <32 x i64> %new)
  %differs = icmp ne <32 x i64> %left, %new
  %met.here = and <32 x i1> %differs, %active
  %met.bits = bitcast <32 x i1> %met.here to i32
  %nobody = icmp eq i32 %met.bits, 0
  br i1 %nobody, label %done, label %met
met:
  %met.cells = or <32 x i64> %others, %several.upper
  call void @{SCATTER.name}(<32 x i64> %met.cells, <32 x ptr> align 8 %noted.at, <32 x i1> %met.here)
  br label %done
done:
  %noted.next = add i32 %noted, 1
  %more.notes = icmp ult i32 %noted.next, %many
  br i1 %more.notes, label %note, label %end
end:
  ret i1 true
}}
"""
    return Routine(f"check_lookup_{size}", text, (GATHER, SCATTER))
