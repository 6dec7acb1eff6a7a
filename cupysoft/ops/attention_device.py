"""Attention on a device, simulated or CuPy's: the layout of the call, the plan for it, and its launch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from cupysoft.attention_layout import AttentionOptions, Role
from cupysoft.ops import plans_attention
from cupysoft.ops.attention_views import layout_of
from cupysoft.ops.device import is_readable, readable
from cupysoft.runtime.launch import run
from cupysoft.runtime.plan import Plan

__all__ = ["attention", "plan"]

_RESULTS: tuple[Role, ...] = ("out", "lse")

# A plan is a value that follows from its arguments: the same call need not be planned twice.
_plan = functools.lru_cache(1024)(plans_attention.attention)


def plan(arrays: Mapping[Role, Any], options: AttentionOptions, arch: str) -> Plan:
    """Plan a call; only the places of the elements are looked at."""
    return _plan(layout_of(arrays, options), arch)


def attention(device: Any, arrays: Mapping[Role, Any], options: AttentionOptions) -> None:
    """Write attention of `arrays`, as `layout_of` takes them, to out, and to lse where that is among them."""
    seen = {role: array if role in _RESULTS else readable(array) for role, array in arrays.items()}
    for role in _RESULTS:
        if role in seen and not is_readable(seen[role]):
            seen[role] = seen[role].copy()
    run(plan(seen, options, device.arch), {str(role): array for role, array in seen.items()}, device)
    for role in _RESULTS:
        if role in seen and seen[role] is not arrays[role]:
            arrays[role][...] = seen[role]
