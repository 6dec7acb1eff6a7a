"""Attention over keys and values that come in parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.attention_layout import Precision
from cupysoft.errors import DtypeError, ShapeError
from cupysoft.ops.attention_call import run_attention
from cupysoft.ops.attention_merge import finished
from cupysoft.ops.target import PartArrays
from cupysoft.ops.targets import target_of

__all__ = ["AttentionState"]


@dataclass(frozen=True, eq=False, repr=False)
class AttentionState:
    """Attention of queries over keys and values that come in parts.

    Make one from the queries and the first part with `from_arrays`, take in further parts with `update`, join states
    of the same queries over different keys with `merge`, in any order. A state never changes: each gives a new one.

    Attributes
    ----------
    shape : tuple of int
        Shape of the result: (..., q_len, value_dim).
    dtype : numpy.dtype
        dtype of the result.

    Notes
    -----
    A state holds the queries as they were given, and three arrays in float64: for each query the largest exponent and
    the sum of weights, and the sum of weighted values, of the result's shape. So taking in a part adds an error far
    below that of its own result, and any number of parts gives the answer of one piece within the stated error.

    `scale`, `softcap` and `precision` are those of the first part. Everything else is told for each part by itself:
    lengths, masks, biases, and where its diagonal is.

    The state lies where the arrays lie: in host memory, or on the CUDA device of CuPy arrays.

    References
    ----------
    H. Liu, M. Zaharia, P. Abbeel, "Ring attention with blockwise transformers for near-infinite context", ICLR, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> rng = np.random.default_rng(0)
    >>> q, k, v = rng.normal(size=(3, 8)), rng.normal(size=(1000, 8)), rng.normal(size=(1000, 2))
    >>> state = cupysoft.AttentionState.from_arrays(q, k[:600], v[:600])
    >>> state = state.update(k[600:], v[600:])
    >>> bool(np.allclose(state.output(), cupysoft.attention(q, k, v), rtol=1e-14))
    True
    """

    _part: PartArrays
    _q: Any
    _options: dict[str, Any]
    dtype: np.dtype[Any]

    @classmethod
    def from_arrays(
        cls,
        q: Any,
        k: Any,
        v: Any,
        *,
        scale: float | None = None,
        softcap: float | None = None,
        precision: Precision | None = None,
        **options: Any,
    ) -> AttentionState:
        """Make the state of queries and the first part of their keys and values.

        Parameters
        ----------
        q, k, v, scale, softcap, precision
            As for `attention`. `q` is not copied.
        **options
            The other options of `attention`, but for `return_lse` and `out`: they are about this part.

        Returns
        -------
        AttentionState

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            As for `attention`.
        """
        kept = {"scale": scale, "softcap": softcap, "precision": precision}
        return _state_of(cls, "AttentionState.from_arrays", q, k, v, kept, options)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return tuple(self._part[2].shape)

    def __repr__(self) -> str:
        return f"AttentionState(shape={self.shape}, dtype={self.dtype.name})"

    def update(self, k: Any, v: Any, **options: Any) -> AttentionState:
        """Take in further keys and values.

        Parameters
        ----------
        k, v : array_like
            The part, as for `attention`; the result has the shape of the state.
        **options
            As for `from_arrays`.

        Returns
        -------
        AttentionState
            A new state, of everything so far.

        Raises
        ------
        ShapeError, DtypeError, ArgumentError
            As for `attention`; also if the part does not fit the state.
        """
        return self._joined(
            "update", _state_of(type(self), "AttentionState.update", self._q, k, v, self._options, options)
        )

    def merge(self, other: AttentionState) -> AttentionState:
        """Join with a state of the same queries over other keys.

        Parameters
        ----------
        other : AttentionState
            Same shape, dtype and device.

        Returns
        -------
        AttentionState
            A new state, of the keys of both.

        Raises
        ------
        ShapeError
            If the shapes differ.
        DtypeError
            If `other` is no state, or of another dtype or on another device.
        """
        if not isinstance(other, AttentionState):
            raise DtypeError(
                f"AttentionState.merge: other is a {type(other).__name__}; expected an AttentionState. "
                "update takes keys and values"
            )
        return self._joined("merge", other)

    def output(self) -> Any:
        """Attention over all parts.

        Returns
        -------
        array
            Of shape `shape` and dtype `dtype`; 0 for queries that attend to no key.
        """
        return self._result()[0]

    def logsumexp(self) -> Any:
        """Logarithm of the sum of exponentials of each query's scores, over all parts.

        Returns
        -------
        array
            Of shape (..., q_len), in float64 for float64, else float32; ``-inf`` for queries that attend to no key.
        """
        return self._result()[1]

    def _result(self) -> tuple[Any, Any]:
        target = target_of("AttentionState", {"the state": self._part[2]})
        with target.scope():
            return finished(target, self._part, self.dtype)

    def _joined(self, method: str, other: AttentionState) -> AttentionState:
        function = f"AttentionState.{method}"
        if self.shape != other.shape:
            raise ShapeError(f"{function}: the part has a result of shape {other.shape}; expected {self.shape}")
        if self.dtype != other.dtype:
            raise DtypeError(f"{function}: the part has dtype {other.dtype.name}; expected {self.dtype.name}")
        target = target_of(function, {"the part": other._part[2], "the state": self._part[2]})
        with target.scope():
            part = target.join_attention(self._part, other._part) if math.prod(self.shape) else other._part
        return type(self)(part, self._q, self._options, self.dtype)


def _state_of(
    cls: type[AttentionState], function: str, q: Any, k: Any, v: Any, kept: dict[str, Any], options: dict[str, Any]
) -> AttentionState:
    """Make the state of one part."""
    for name in options:
        if name not in _OF_A_PART:
            raise DtypeError(f"{function}: got an unexpected option {name!r}; expected some of {', '.join(_OF_A_PART)}")
    o, lse = run_attention(function, q, k, v, return_lse=True, **kept, **options)
    target = target_of(function, {"the part": o})
    with target.scope():
        empty = math.prod(o.shape) == 0
        part = (lse, lse, o) if empty else target.attention_part(o, lse)
    return cls(part, q, kept, o.dtype)


_OF_A_PART = ("causal", "window", "mask", "bias", "kv_lengths")
