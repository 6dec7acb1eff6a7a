"""The operations in plain NumPy: their definition, and the way where there is no GPU and no compiler."""

from cupysoft.host.attention import attention
from cupysoft.host.attention_parts import Part, attention_part, finish_attention, join_attention, merge_attention
from cupysoft.host.fast import fast_log_softmax, fast_logsumexp, fast_softmax
from cupysoft.host.logsumexp import logsumexp
from cupysoft.host.parts import merge_states, state_logsumexp, state_of, state_softmax
from cupysoft.host.sliced import SlicedState
from cupysoft.host.softmax import log_softmax, softmax

__all__ = [
    "Part",
    "SlicedState",
    "attention",
    "attention_part",
    "fast_log_softmax",
    "fast_logsumexp",
    "fast_softmax",
    "finish_attention",
    "join_attention",
    "log_softmax",
    "logsumexp",
    "merge_attention",
    "merge_states",
    "softmax",
    "state_logsumexp",
    "state_of",
    "state_softmax",
]
