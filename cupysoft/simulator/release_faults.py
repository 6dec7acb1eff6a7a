"""What the checks ask before a complete block barrier opens, as LLVM text."""

from __future__ import annotations

from .code import LANES
from .context import BarrierField, ErrorKind, Slot
from .layout import StateOffset

__all__ = ["FAULTS", "WHO"]

_COUNTERS = f"<{LANES} x i32>"

#: Lines that go on at ``go`` where nobody misses the barrier and no warp came in parts, else return -1.
FAULTS = f"""  %at.slot = add i64 %record, {BarrierField.INSTRUCTION.value}
  %at = call i64 @slot(ptr %ctx, i64 %at.slot)
  %x = call i64 @slot(ptr %ctx, i64 {Slot.NTID_X.value})
  %y = call i64 @slot(ptr %ctx, i64 {Slot.NTID_Y.value})
  %z = call i64 @slot(ptr %ctx, i64 {Slot.NTID_Z.value})
  %plane = mul i64 %x, %y
  %threads = mul i64 %plane, %z
  %gone = icmp ult i64 %expected, %threads
  %gone.all = and i1 %gone, %all
  br i1 %gone.all, label %missing, label %together
missing:
  %first = call i64 @first_gone(ptr %ctx)
  call void @fail(ptr %ctx, i64 {ErrorKind.MISSING_THREADS.value}, i64 %at, i64 %first)
  ret i64 -1
together:
  br i1 %apart, label %go, label %compact
compact:
  %stray = call i64 @divided_warp(ptr %ctx, i32 %counter)
  %none.stray = icmp slt i64 %stray, 0
  br i1 %none.stray, label %go, label %divided
divided:
  call void @fail(ptr %ctx, i64 {ErrorKind.DIVIDED_WARP.value}, i64 %at, i64 %stray)
  ret i64 -1
"""

#: Functions that find the thread to name.
WHO = f"""; The first thread that has exited.
define internal i64 @first_gone(ptr %ctx) noinline {{
  br label %loop
loop:
  %warp = phi i64 [0, %0], [%warp.next, %loop]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %live.place = getelementptr i8, ptr %state, i64 {StateOffset.LIVE}
  %live = load i32, ptr %live.place
  %warp.next = add i64 %warp, 1
  %whole = icmp eq i32 %live, -1
  br i1 %whole, label %loop, label %done
done:
  %gone = xor i32 %live, -1
  %lane = call i32 @llvm.cttz.i32(i32 %gone, i1 false)
  %lane.wide = zext i32 %lane to i64
  %base = shl i64 %warp, 5
  %thread = add i64 %base, %lane.wide
  ret i64 %thread
}}
; The first thread that waits in another place than the first one of its warp that waits, -1 where there is none.
define internal i64 @divided_warp(ptr %ctx, i32 %counter) noinline {{
  %warps = call i64 @slot(ptr %ctx, i64 {Slot.WARPS.value})
  br label %loop
loop:
  %warp = phi i64 [0, %0], [%warp.next, %next]
  %state = call ptr @state_of(ptr %ctx, i64 %warp)
  %lanes = call i32 @waiting_lanes(ptr %state, i32 %counter)
  %first = call i32 @llvm.cttz.i32(i32 %lanes, i1 false)
  %first.low = and i32 %first, {LANES - 1}
  %first.place = getelementptr i32, ptr %state, i32 %first.low
  %pc = load i32, ptr %first.place
  %pcs = load {_COUNTERS}, ptr %state, align 64
  %one = insertelement {_COUNTERS} poison, i32 %pc, i32 0
  %all = shufflevector {_COUNTERS} %one, {_COUNTERS} poison, {_COUNTERS} zeroinitializer
  %other = icmp ne {_COUNTERS} %pcs, %all
  %others = bitcast <{LANES} x i1> %other to i32
  %strays = and i32 %others, %lanes
  %fine = icmp eq i32 %strays, 0
  br i1 %fine, label %next, label %found
next:
  %warp.next = add i64 %warp, 1
  %more = icmp ult i64 %warp.next, %warps
  br i1 %more, label %loop, label %none
none:
  ret i64 -1
found:
  %lane = call i32 @llvm.cttz.i32(i32 %strays, i1 false)
  %wide = zext i32 %lane to i64
  %base = shl i64 %warp, 5
  %thread = add i64 %base, %wide
  ret i64 %thread
}}"""
