"""The operations in plain NumPy: their definition, and the way where there is no GPU and no compiler."""

from cupysoft.host.logsumexp import logsumexp
from cupysoft.host.softmax import log_softmax, softmax

__all__ = ["log_softmax", "logsumexp", "softmax"]
