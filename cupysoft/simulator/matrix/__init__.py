"""The matrix unit of a warp: what ``mma`` multiplies, where the lanes hold it, and how it rounds the sums."""

from __future__ import annotations

from .forms import Form, form_of
from .product import product

__all__ = ["Form", "form_of", "product"]
