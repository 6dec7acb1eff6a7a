"""Softmax, log_softmax, logsumexp and attention for CuPy and NumPy: accurate, deterministic, at the memory limit."""

import importlib
import typing

from cupysoft import errors
from cupysoft._version import __version__
from cupysoft.errors import CupysoftError
from cupysoft.ops.attention import attention
from cupysoft.ops.attention_merge import merge_attention
from cupysoft.ops.attention_states import AttentionState
from cupysoft.ops.softmax import log_softmax, logsumexp, softmax
from cupysoft.ops.states import SoftmaxState
from cupysoft.ops.warmup import warmup
from cupysoft.ops.warmup_attention import warmup_attention

__all__ = [
    "AttentionState",
    "CupysoftError",
    "SoftmaxState",
    "__version__",
    "attention",
    "errors",
    "log_softmax",
    "logsumexp",
    "merge_attention",
    "softmax",
    "warmup",
    "warmup_attention",
]

if typing.TYPE_CHECKING:
    from cupysoft import simulator as simulator
else:

    def __getattr__(name: str) -> object:
        """Import what few programs need when it is first asked for."""
        if name in ("simulator", "testing"):
            return importlib.import_module(f"cupysoft.{name}")
        raise AttributeError(f"module 'cupysoft' has no attribute {name!r}")
