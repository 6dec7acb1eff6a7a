"""The special registers: where a thread is, and the clocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import UnknownInstructionError
from .code import LANES
from .context import Slot

if TYPE_CHECKING:
    from .emitter import Emitter, Value

__all__ = ["special"]

_SLOTS = {
    "%ctaid.x": Slot.CTAID_X,
    "%ctaid.y": Slot.CTAID_Y,
    "%ctaid.z": Slot.CTAID_Z,
    "%nctaid.x": Slot.NCTAID_X,
    "%nctaid.y": Slot.NCTAID_Y,
    "%nctaid.z": Slot.NCTAID_Z,
    "%ntid.x": Slot.NTID_X,
    "%ntid.y": Slot.NTID_Y,
    "%ntid.z": Slot.NTID_Z,
    "%nwarpid": Slot.WARPS,
    "%total_smem_size": Slot.SHARED_BYTES,
    "%dynamic_smem_size": Slot.DYNAMIC_BYTES,
    "%nsmid": Slot.NSMID,
}
_LANE_CONSTANTS: dict[str, Callable[[int], int]] = {
    "%laneid": lambda lane: lane,
    "%lanemask_eq": lambda lane: 1 << lane,
    "%lanemask_lt": lambda lane: (1 << lane) - 1,
    "%lanemask_le": lambda lane: (2 << lane) - 1,
    "%lanemask_gt": lambda lane: -(2 << lane),
    "%lanemask_ge": lambda lane: -(1 << lane),
}
#: Registers that say the launch has no clusters: each block is one of its own.
_FIXED = {
    "%smid": 0,
    "%clusterid.x": 0,
    "%clusterid.y": 0,
    "%clusterid.z": 0,
    "%nclusterid.x": 1,
    "%nclusterid.y": 1,
    "%nclusterid.z": 1,
    "%cluster_ctaid.x": 0,
    "%cluster_ctaid.y": 0,
    "%cluster_ctaid.z": 0,
    "%cluster_nctaid.x": 1,
    "%cluster_nctaid.y": 1,
    "%cluster_nctaid.z": 1,
    "%cluster_ctarank": 0,
    "%cluster_nctarank": 1,
    "%reserved_smem_offset_begin": 0,
    "%reserved_smem_offset_end": 0,
}


def special(e: Emitter, name: str) -> tuple[str, Value]:
    """Return the LLVM type of a lane and the value of the special register `name`."""
    if name in _SLOTS:
        load = e.slot if name.startswith("%ctaid") else e.hoisted
        return "i32", e.splat("i32", load(_SLOTS[name], "i32"))
    if name in ("%tid.x", "%tid.y", "%tid.z"):
        return "i32", _thread(e, "xyz".index(name[-1]))
    if name == "%laneid" and e.linear:
        return "i32", e.affine("i32", "0", 1)
    if name in _LANE_CONSTANTS:
        return "i32", e.lanes("i32", [_LANE_CONSTANTS[name](lane) for lane in range(LANES)])
    if name == "%warpid":
        return "i32", e.splat("i32", "%warp")
    if name in _FIXED:
        return "i32", e.constant("i32", _FIXED[name])
    if name in ("%envreg1", "%envreg2"):
        # Where the driver puts the address of the grid's barrier: the upper and the lower half.
        address = e.slot(Slot.GRID_WORKSPACE)
        half = e.code.scalar(f"lshr i64 {address}, 32") if name == "%envreg1" else address
        return "i32", e.splat("i32", e.code.scalar(f"trunc i64 {half} to i32"))
    if name == "%gridid":
        return "i64", e.splat("i64", e.slot(Slot.LAUNCH_ID))
    if name in ("%clock", "%clock64", "%clock_hi", "%globaltimer", "%globaltimer_lo", "%globaltimer_hi"):
        return _clock(e, name)
    raise UnknownInstructionError(
        f"the simulator does not know the special register {name} (PTX line {e.instruction.line}: {e.instruction.text})"
    )


def _thread(e: Emitter, axis: int) -> Value:
    """Load thread indices from the table that the front made for this block shape."""
    table = e.hoisted(Slot.TIDS, "ptr")
    if e.linear:
        first = e.code.scalar("mul i32 %warp, 96")
        first = e.code.scalar(f"add i32 {first}, {32 * axis}")
        place = e.code.scalar(f"getelementptr i32, ptr {table}, i32 {first}")
        number = e.code.scalar(f"load i32, ptr {place}, align 4")
        return e.splat("i32", number) if axis else e.affine("i32", number, 1)
    parts = []
    for strip in range(e.strips):
        first = e.code.strip(strip, "mul i32 %warp, 96")
        first = e.code.strip(strip, f"add i32 {first}, {32 * axis + e.W * strip}")
        place = e.code.strip(strip, f"getelementptr i32, ptr {table}, i32 {first}")
        parts.append(e.code.strip(strip, f"load <{e.W} x i32>, ptr {place}, align 4"))
    return tuple(parts)


def _clock(e: Emitter, name: str) -> tuple[str, Value]:
    """Read the processor's counter; it also stands for the nanoseconds of the global timer."""
    e.module.declare("declare i64 @llvm.readcyclecounter()")
    ticks = e.code.line("call i64 @llvm.readcyclecounter()")
    if name in ("%clock64", "%globaltimer"):
        return "i64", e.splat("i64", ticks)
    if name.endswith("_hi"):
        ticks = e.code.line(f"lshr i64 {ticks}, 32")
    return "i32", e.splat("i32", e.code.line(f"trunc i64 {ticks} to i32"))
