"""Bounds and alignment of offsets into memory on the chip, shared and local."""

from __future__ import annotations

from ..context import ErrorKind
from .text import splat

__all__ = ["bounds_failure", "offsets_test"]


def offsets_test(limit: str, size: int) -> str:
    """Lines that load the offsets as ``%v``, and set ``%missing``, the lanes that are outside of the `limit` bytes or
    misaligned, and ``%fine``: there are none.
    """
    return f"""  %v = load <32 x i64>, ptr %addresses, align 8
  %last = sub i64 {limit}, {size}
  %enough = icmp sge i64 %last, 0
{splat("lastv", "%last")}
  %within = icmp ule <32 x i64> %v, %lastv
  %low = and <32 x i64> %v, splat (i64 {size - 1})
  %aligned = icmp eq <32 x i64> %low, zeroinitializer
  %good = and <32 x i1> %within, %aligned
  %bits = bitcast <32 x i1> %good to i32
  %usable = select i1 %enough, i32 %bits, i32 0
  %unusable = xor i32 %usable, -1
  %missing = and i32 %unusable, %mask
  %fine = icmp eq i32 %missing, 0
"""


def bounds_failure(size: int, memory: int) -> str:
    """Lines for lanes ``%missing`` whose ``%offset.vector`` leaves memory or is misaligned; they end the function."""
    return f"""  %bad.lane = call i32 @llvm.cttz.i32(i32 %missing, i1 true)
  %bad.at = getelementptr i64, ptr %addresses, i32 %bad.lane
  %bad.address = load i64, ptr %bad.at
  %bad.low = and i64 %bad.address, {size - 1}
  %bad.odd = icmp ne i64 %bad.low, 0
  %bad.kind = select i1 %bad.odd, i64 {ErrorKind.MISALIGNED.value}, i64 {ErrorKind.OUT_OF_BOUNDS.value}
  %bad.first = shl i32 %warp, 5
  %bad.thread32 = add i32 %bad.first, %bad.lane
  %bad.thread = zext i32 %bad.thread32 to i64
  call void @check_fail(ptr %ctx, i64 %bad.kind, i32 %where, i64 %bad.thread, i64 %bad.address, i64 {size},
    i64 -1, i64 {memory})
  %remaining = xor i32 %missing, %mask
  ret i32 %remaining
"""
