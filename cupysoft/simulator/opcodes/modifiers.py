"""The modifiers of instructions that mean something to the simulator, or may be passed over: hints above all.

What is not here may change what an instruction does, so it is refused by name. Whether a modifier goes with its
instruction is for the assembler to say.
"""

from __future__ import annotations

import re
from functools import cache

from ..ptx import Instruction

__all__ = ["strange_modifier"]

_GROUPS = (
    # rounding and ranges
    "rn rz rm rp rni rzi rmi rpi rna rs ftz sat satfinite relu approx full noftz NaN nan abs xorsign",
    # halves of products, carries, modes of bits and fields
    "hi lo wide cc clamp wrap shiftamt idx f4e b4e rc8 ecl ecr rc16 l r mode",
    # comparisons and votes
    "eq ne lt le gt ge ls hs equ neu ltu leu gtu geu num number notanumber infinite finite normal subnormal",
    "all any uni ballot up down bfly match",
    # operations of atomics, reductions, lookups and video instructions
    "and or xor not add min max inc dec cas exch popc arrive h0 h1 b0 b1 b2 b3 shr7 shr15 po pack",
    # spaces, order and scope of memory, and what is moved at once
    "global shared local const param generic unified to nc v2 v4 v8",
    "volatile relaxed acquire release acq_rel sc weak mmio alias async proxy gl cta gpu sys cluster",
    # where caches keep what was accessed
    "ca cg cs lu cv wb wt L1 L2 cache_hint fractional range evict_normal evict_last evict_first no_allocate",
    # barriers, copies and groups
    "sync aligned red warp barrier wait_group wait_all commit_group noinc launch_dependents wait",
    # tiles of matrices
    "row col x1 x2 x4 trans",
    # calls, jumps and events
    "tail entry mask",
    # what the translator adds itself
    "result copies oob mbarrier_init check_part_opened",
)
_NAMES = frozenset(word for group in _GROUPS for word in group.split())
_SHAPES = re.compile(
    r"[busf]\d+(x\d+)?|pred|bf16(x2)?|tf32|u?e\d+m\d+(x\d+)?"  # types
    r"|m\d+n\d+(k\d+)?"  # matrices
    r"|(shared|param|L1|L2|level|scaled|sem|mbarrier|acquire|release|relaxed)::[\w:]+"
)


@cache
def _known(modifier: str) -> bool:
    return modifier in _NAMES or _SHAPES.fullmatch(modifier) is not None


def strange_modifier(instruction: Instruction) -> str | None:
    """Give the first modifier of an instruction that is not known, if there is one."""
    return next((each for each in instruction.modifiers if not _known(each)), None)
