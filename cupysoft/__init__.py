"""Softmax, log_softmax and logsumexp for CuPy and NumPy."""

from cupysoft._version import __version__

__all__ = ["__version__"]
