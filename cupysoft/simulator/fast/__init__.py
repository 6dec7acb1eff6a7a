"""The fast version of a kernel: for warps whose 32 lanes stay together.

Registers are values of LLVM, kept in the CPU's registers from one basic block to the next; those that
all lanes share are scalars. A branch on which the lanes agree is a branch of the CPU. Where they
disagree, the code up to their next meeting runs under masks (a *region*), or, where that is not
possible, the warp's state goes to the masked version, which gives it back at an *entry*.
"""

from __future__ import annotations

from .translate import fast_text

__all__ = ["fast_text"]
