"""Checks of generic addresses: the window of each lane says which memory it means."""

from __future__ import annotations

from .arrays import array_check
from .layout import LOCAL_WINDOW, SHARED_WINDOW, WINDOW_SHIFT, Access
from .local import local_check
from .passing import EVERY_BYTE, suffix
from .shared import shared_check
from .text import Routine

__all__ = ["generic_check"]


def generic_check(access: Access, size: int, shift: int, needed: int = EVERY_BYTE) -> Routine:
    """``i32 (ctx, addresses, mask, warp, where, values, components)``: the lanes that may go on.

    `needed` bytes must have been written.
    """
    name = f"check_generic_{access.name.lower()}_{size}{suffix(needed)}"
    here = access.on_chip
    array = array_check(access, size, shift, needed)
    shared, local = shared_check(here, size, needed), local_check(here, size, needed)
    head = "ptr %ctx, ptr %addresses"
    text = f"""define internal i32 @{name}(ptr %ctx, ptr %addresses, i32 %mask, i32 %warp, i32 %where, ptr %values,
    i64 %components) noinline {{
entry:
  %v = load <32 x i64>, ptr %addresses, align 8
  %window = lshr <32 x i64> %v, splat (i64 {WINDOW_SHIFT})
  %in.shared = icmp eq <32 x i64> %window, splat (i64 {SHARED_WINDOW >> WINDOW_SHIFT})
  %shared.bits = bitcast <32 x i1> %in.shared to i32
  %shared = and i32 %shared.bits, %mask
  %in.local = icmp eq <32 x i64> %window, splat (i64 {LOCAL_WINDOW >> WINDOW_SHIFT})
  %local.bits = bitcast <32 x i1> %in.local to i32
  %local = and i32 %local.bits, %mask
  %on.chip = or i32 %shared, %local
  %array = xor i32 %on.chip, %mask
  %plain = icmp eq i32 %on.chip, 0
  br i1 %plain, label %arrays, label %mixed
arrays:
  %simple = call i32 @{array.name}({head}, i32 %mask, i32 %warp, i32 %where, ptr %values, i64 %components)
  ret i32 %simple
mixed:
  %shared.off = sub <32 x i64> %v, splat (i64 {SHARED_WINDOW})
  %local.off = sub <32 x i64> %v, splat (i64 {LOCAL_WINDOW})
  %v1 = select <32 x i1> %in.shared, <32 x i64> %shared.off, <32 x i64> %v
  %v2 = select <32 x i1> %in.local, <32 x i64> %local.off, <32 x i64> %v1
  store <32 x i64> %v2, ptr %addresses, align 8
  %a = call i32 @{array.name}({head}, i32 %array, i32 %warp, i32 %where, ptr %values, i64 %components)
  %b = call i32 @{shared.name}({head}, i32 %shared, i32 %warp, i32 %where, ptr %values, i64 %components)
  %c = call i32 @{local.name}({head}, i32 %local, i32 %warp, i32 %where)
  %ab = or i32 %a, %b
  %abc = or i32 %ab, %c
  ret i32 %abc
}}
"""
    return Routine(name, text, (array, shared, local))
