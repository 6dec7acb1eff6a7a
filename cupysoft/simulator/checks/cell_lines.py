"""Lines of functions that look at the cells of 32 lanes side by side: what `shadow` says of one."""

from __future__ import annotations

from .clock import times
from .layout import PENDING_TIME, SEVERAL_LANES, SEVERAL_WARPS, TOUCHED, Access, ShadowField
from .text import intrinsic, splat
from .tiles import parted_warp

__all__ = [
    "GATHER",
    "SCATTER",
    "new_cells",
    "reader",
    "relation",
    "spread_times",
    "undivided",
    "unordered",
    "verdict",
    "writer",
]

GATHER = intrinsic("llvm.masked.gather.v32i64.v32p0", "<32 x i64>", "<32 x ptr>", "<32 x i1>", "<32 x i64>")
SCATTER = intrinsic("llvm.masked.scatter.v32i64.v32p0", "void", "<32 x i64>", "<32 x ptr>", "<32 x i1>")


def undivided() -> str:
    """Lines that set ``%undivided.lanes``: all warps of the block have met last, and all lanes of the warp."""
    return f"""  %parted.field = add i32 %warp, {ShadowField.PARTED.value}
  %parted.at = getelementptr i64, ptr %shadow, i32 %parted.field
  %parted = load i64, ptr %parted.at
  %whole.at = getelementptr i64, ptr %shadow, i64 {ShadowField.START.value}
  %whole = load i64, ptr %whole.at
  %undivided = icmp slt i64 %parted, %whole
{parted_warp()}  %together = xor i1 %tiled, true
  %undivided.lanes = and i1 %undivided, %together
"""


def spread_times() -> str:
    """Lines that set in all lanes what stamps are held against, ``%now12v`` and the like, and the warp."""
    scalars = ("now12", "first", "start", "synced", "thread", "warp")
    spread = "".join(splat(f"{scalar}v", f"%{scalar}", "i32") for scalar in scalars)
    return f"{times()}  %thread = shl i32 %warp, 5\n{spread}"


def writer(cells: str) -> str:
    """Lines for the stamps of the writers in cells, ``%w``; ``%w.bare``: nobody has touched the cell but they."""
    return f"""  %w = trunc <32 x i64> {cells} to <32 x i32>
  %w.flag = and <32 x i32> %w, splat (i32 {TOUCHED})
  %w.bare = icmp eq <32 x i32> %w.flag, zeroinitializer
"""


def reader(cells: str) -> str:
    """Lines for the stamps of the readers in cells, ``%r``."""
    return f"""  %upper = lshr <32 x i64> {cells}, splat (i64 32)
  %r = trunc <32 x i64> %upper to <32 x i32>
"""


def relation(stamp: str) -> str:
    """Lines for how a stamp stands to its lane's access."""
    return f"""  %{stamp}.time = lshr <32 x i32> %{stamp}, splat (i32 12)
  %{stamp}.who = and <32 x i32> %{stamp}, splat (i32 2047)
  %{stamp}.early = icmp ult <32 x i32> %{stamp}.time, %startv
  %{stamp}.equal = icmp eq <32 x i32> %{stamp}.who, %code
  %{stamp}.thread = icmp ult <32 x i32> %{stamp}.who, splat (i32 {SEVERAL_LANES})
  %{stamp}.w1 = lshr <32 x i32> %{stamp}.who, splat (i32 5)
  %{stamp}.w2 = sub <32 x i32> %{stamp}.who, splat (i32 {SEVERAL_LANES})
  %{stamp}.warp = select <32 x i1> %{stamp}.thread, <32 x i32> %{stamp}.w1, <32 x i32> %{stamp}.w2
  %{stamp}.mine = icmp eq <32 x i32> %{stamp}.warp, %warpv
  %{stamp}.ordered = icmp ult <32 x i32> %{stamp}.time, %syncedv
"""


def unordered(stamp: str) -> str:
    """Lines that set ``%<stamp>.fine``: the access it tells of is ordered before, or the thread's own."""
    return f"""{relation(stamp)}  %{stamp}.now = icmp ne <32 x i32> %{stamp}.time, splat (i32 {PENDING_TIME})
  %{stamp}.self = and <32 x i1> %{stamp}.equal, %{stamp}.thread
  %{stamp}.own = and <32 x i1> %{stamp}.self, %{stamp}.now
  %{stamp}.inwarp = and <32 x i1> %{stamp}.mine, %{stamp}.ordered
  %{stamp}.calm = or <32 x i1> %{stamp}.own, %{stamp}.inwarp
  %{stamp}.fine = or <32 x i1> %{stamp}.early, %{stamp}.calm
"""


def verdict(read: bool) -> str:
    """Lines that set ``%ok``."""
    if read:
        return """  %known = icmp uge <32 x i32> %w.time, %firstv
  %ok0 = and <32 x i1> %known, %w.fine
  %ok = and <32 x i1> %ok0, %w.bare
"""
    return f"{unordered('r')}  %ok0 = and <32 x i1> %w.fine, %r.fine\n  %ok = and <32 x i1> %ok0, %w.bare\n"


def new_cells(access: Access) -> str:
    """Lines that make the cells ``%new``: a write replaces the last one, a read joins the others."""
    if access.writes:
        time = "%now12v" if access is Access.WRITE else f"splat (i32 {(PENDING_TIME << 12) - (1 << 32)})"
        return f"""  %stamp = or <32 x i32> %code, {time}
  %stamp64 = zext <32 x i32> %stamp to <32 x i64>
  %others = and <32 x i64> %cells, splat (i64 -4294967296)
  %new = or <32 x i64> %others, %stamp64
"""
    return f"""{relation("r")}  %among = select <32 x i1> %r.ordered, <32 x i32> %code, <32 x i32> %severalv
  %joined = select <32 x i1> %r.mine, <32 x i32> %among, <32 x i32> splat (i32 {SEVERAL_WARPS})
  %free = or <32 x i1> %r.early, %r.equal
  %kept = select <32 x i1> %free, <32 x i32> %code, <32 x i32> %joined
  %stamp = or <32 x i32> %now12v, %kept
  %stamp64 = zext <32 x i32> %stamp to <32 x i64>
  %higher = shl <32 x i64> %stamp64, splat (i64 32)
  %others = and <32 x i64> %cells, splat (i64 4294967295)
  %new = or <32 x i64> %others, %higher
"""
