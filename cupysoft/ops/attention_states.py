"""Attention over keys and values that come in parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cupysoft.arrays import accepted_dtype
from cupysoft.attention_layout import Precision
from cupysoft.errors import DtypeError, ShapeError
from cupysoft.ops.attention_call import lse_dtype_of, run_attention
from cupysoft.ops.target import PartArrays, Target
from cupysoft.ops.targets import target_of

__all__ = ["AttentionState", "merge_attention"]


def merge_attention(o1: Any, lse1: Any, o2: Any, lse2: Any) -> tuple[Any, Any]:
    """Join the attention of the same queries over different keys to that over all of them.

    Parameters
    ----------
    o1, o2 : array, shape (..., q_len, value_dim)
        Results of `attention`, of one dtype.
    lse1, lse2 : array, shape (..., q_len)
        The logsumexp of each, as ``return_lse=True`` gives it: float64 for float64, else float32.

    Returns
    -------
    o : array, shape (..., q_len, value_dim)
        The result over the keys of both, in the dtype of `o1`.
    lse : array, shape (..., q_len)
        Its logsumexp, in the dtype of `lse1`.

    Raises
    ------
    ShapeError
        If the shapes do not go together.
    DtypeError
        If the dtypes are not those of results of one dtype, or the arrays lie on different devices.

    See Also
    --------
    AttentionState : for more than two parts; it rounds to the dtype only at the end.

    Notes
    -----
    Computed in float64 and rounded once. A part without keys (lse is ``-inf``) leaves the other as it is, to the bit.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> q, k, v = np.ones((1, 2)), np.array([[1.0, 0.0], [0.0, 3.0]]), np.array([[1.0], [5.0]])
    >>> first = cupysoft.attention(q, k[:1], v[:1], return_lse=True)
    >>> second = cupysoft.attention(q, k[1:], v[1:], return_lse=True)
    >>> o, lse = cupysoft.merge_attention(*first, *second)
    >>> o.round(4), cupysoft.attention(q, k, v).round(4)
    (array([[4.2177]]), array([[4.2177]]))
    """
    function = "merge_attention"
    given = {"o1": o1, "lse1": lse1, "o2": o2, "lse2": lse2}
    target = target_of(function, given)
    arrays = {name: target.array(function, name, value) for name, value in given.items()}
    dtype = _check_results(function, arrays)
    with target.scope():
        o, lse = (tuple(target.convert(arrays[n], of) for n in names) for names, of in _pairs(dtype))
        if math.prod(o[0].shape) == 0:
            return target.xp.empty(o[0].shape, dtype), target.xp.empty(lse[0].shape, lse_dtype_of(dtype))
        parts = [target.attention_part(*pair) for pair in zip(o, lse, strict=True)]
        return _finished(target, target.join_attention(*parts), dtype)


def _pairs(dtype: np.dtype[Any]) -> tuple[tuple[tuple[str, str], np.dtype[Any]], ...]:
    return (("o1", "o2"), dtype), (("lse1", "lse2"), lse_dtype_of(dtype))


def _check_results(function: str, arrays: dict[str, Any]) -> np.dtype[Any]:
    """Check dtypes and shapes of two results; give the dtype in which they are computed."""
    dtype = accepted_dtype(function, "o1", arrays["o1"].dtype, complex_too=False)
    first = tuple(arrays["o1"].shape)
    if len(first) < 2:
        raise ShapeError(f"{function}: o1 has shape {first}; expected at least two axes, (..., q_len, value_dim)")
    for names, expected in _pairs(dtype):
        shape = first if names[0] == "o1" else first[:-1]
        for name in names:
            array = arrays[name]
            if array.dtype.newbyteorder("=") != expected:
                beside = f"beside o1 of dtype {dtype.name}"
                raise DtypeError(f"{function}: {name} has dtype {array.dtype.name}; expected {expected.name} {beside}")
            if tuple(array.shape) != shape:
                beside = f"beside o1 of shape {first}"
                raise ShapeError(f"{function}: {name} has shape {tuple(array.shape)}; expected {shape} {beside}")
    return dtype


def _finished(target: Target, part: PartArrays, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Round a part to its result."""
    m, _, o = part
    out, lse = target.xp.empty(o.shape, dtype), target.xp.empty(m.shape, lse_dtype_of(dtype))
    if math.prod(o.shape):
        target.finish_attention(part, out, lse)
    return out, lse


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
            return _finished(target, self._part, self.dtype)

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
