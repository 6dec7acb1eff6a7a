"""The logarithm of a sum of exponentials, weighted or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cupysoft.host.rounding import store

__all__ = ["logsumexp"]


def logsumexp(
    a: npt.NDArray[Any],
    axes: tuple[int, ...],
    b: npt.NDArray[Any] | None,
    out: npt.NDArray[Any],
    sign_out: npt.NDArray[Any] | None,
) -> None:
    """Write log(abs(sum(b exp(a)))) over `axes` to `out`, and the sum's sign to `sign_out`."""
    complex_ = np.iscomplexobj(a) or np.iscomplexobj(b)
    with np.errstate(all="ignore"):
        wide = a.astype(np.complex128 if complex_ else np.float64)
        weights = np.ones_like(wide) if b is None else np.broadcast_to(b, a.shape).astype(wide.dtype)
        wide[weights == 0] = -np.inf
        largest = wide.real.max(axis=axes, keepdims=True, initial=-np.inf)
        largest[np.isinf(largest)] = 0
        total = (np.where(weights == 0, 0, weights * np.exp(wide - largest))).sum(axis=axes)
        result = np.log(np.abs(total)) + largest.reshape(total.shape)
        if sign_out is not None:
            store(np.sign(total), sign_out)
        elif complex_:
            result = result + 1j * np.angle(total)
        else:
            result = np.where(total < 0, np.nan, result)
        store(result, out)
