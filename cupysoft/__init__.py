"""Softmax, log_softmax and logsumexp for CuPy and NumPy: exact, deterministic, at the memory limit."""

from cupysoft import errors
from cupysoft._version import __version__
from cupysoft.errors import CupysoftError
from cupysoft.ops.softmax import log_softmax, logsumexp, softmax
from cupysoft.ops.states import SoftmaxState
from cupysoft.ops.warmup import warmup

__all__ = ["CupysoftError", "SoftmaxState", "__version__", "errors", "log_softmax", "logsumexp", "softmax", "warmup"]
