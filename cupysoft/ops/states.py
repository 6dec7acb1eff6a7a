"""The softmax of input that arrives in parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from cupysoft.arrays import accepted_dtype, common_dtype, normalize_axes
from cupysoft.errors import DtypeError, ShapeError
from cupysoft.ops.target import StateArrays, Target
from cupysoft.ops.targets import target_of

__all__ = ["SoftmaxState"]


@dataclass(frozen=True, eq=False, repr=False)
class SoftmaxState:
    """Running maximum and sum of exponentials of rows that arrive in parts.

    Make one from the first part with `from_array`, fold further parts in with `update`, join states of different parts
    with `merge`, in any order. A state never changes: each of these gives a new one.

    Attributes
    ----------
    shape : tuple of int
        Shape of the rows: that of the parts without the reduced axes.
    dtype : numpy.dtype
        dtype of results: that of the parts, promoted where they differ.
    axis : tuple of int
        The axes that are reduced, of parts with `ndim` axes.
    ndim : int
        Number of axes of a part.

    Notes
    -----
    A state is three float64 arrays: the maximum ``m``, and ``l``, the sum of ``exp(x - m)``, in two words. So merging
    rounds far below the last bit of a 16- or 32-bit result, and the parts give the answer of one piece. One thing is
    lost with the data: a logsumexp near zero cannot be computed again in wider arithmetic, so it is good to about
    1e-16 times its largest element, not to 1 ulp.

    The state lies where its parts lie: in host memory, or on the CUDA device of CuPy arrays. `update` reads each
    element once and writes no probabilities.

    References
    ----------
    M. Milakov, N. Gimelshein, "Online normalizer calculation for softmax", arXiv:1805.02867, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft
    >>> x = np.array([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 9.0, 0.0]])
    >>> state = cupysoft.SoftmaxState.from_array(x[:, :2], axis=1)
    >>> state = state.update(x[:, 2:])
    >>> state.logsumexp().round(4)
    array([4.4402, 9.0004])
    >>> state.softmax(x[:, 2:]).round(3)
    array([[0.237, 0.644],
           [1.   , 0.   ]])
    """

    _arrays: StateArrays
    axis: tuple[int, ...]
    ndim: int
    dtype: np.dtype[Any]

    @classmethod
    def from_array(cls, x: Any, axis: SupportsIndex | tuple[SupportsIndex, ...] | None = None) -> SoftmaxState:
        """Make the state of one part.

        Parameters
        ----------
        x : array_like
            The part, of any shape and strides; dtypes as for `softmax`. It may be empty along `axis`.
        axis : int or tuple of ints, optional
            Axes to reduce; None, the default, means all.

        Returns
        -------
        SoftmaxState

        Raises
        ------
        AxisError, DtypeError
            As for `softmax`.
        """
        function = "SoftmaxState.from_array"
        target, array = _part(function, {"x": x})
        axes = normalize_axes(function, axis, array.ndim)
        return cls(_state_of(target, array, axes), axes, array.ndim, array.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the rows."""
        return tuple(self._arrays[0].shape)

    def __repr__(self) -> str:
        return f"SoftmaxState(shape={self.shape}, axis={self.axis}, dtype={self.dtype.name})"

    def update(self, x: Any) -> SoftmaxState:
        """Fold in a further part.

        Parameters
        ----------
        x : array_like
            The part: as many axes as the first, the same sizes along the axes that are kept.

        Returns
        -------
        SoftmaxState
            A new state, of everything so far.

        Raises
        ------
        ShapeError
            If `x` does not fit the rows of the state.
        DtypeError
            As for `softmax`; also if state and `x` are on different devices.
        """
        function = "SoftmaxState.update"
        target, array = _part(function, {"x": x, "the state": self._arrays[0]})
        self._check_rows(function, array)
        added = _state_of(target, array, self.axis)
        return self._with(target, added, common_dtype(self.dtype, array.dtype))

    def merge(self, other: SoftmaxState) -> SoftmaxState:
        """Join with the state of other parts of the same rows.

        Parameters
        ----------
        other : SoftmaxState
            Same shape of the rows, same device.

        Returns
        -------
        SoftmaxState
            A new state, of the parts of both; the order does not matter.

        Raises
        ------
        ShapeError
            If the rows differ in shape, or the reduced axes differ.
        DtypeError
            If `other` is no state, or on another device.
        """
        function = "SoftmaxState.merge"
        if not isinstance(other, SoftmaxState):
            raise DtypeError(
                f"{function}: other is a {type(other).__name__}; expected a SoftmaxState. update takes arrays"
            )
        if (self.shape, self.axis, self.ndim) != (other.shape, other.axis, other.ndim):
            raise ShapeError(
                f"{function}: other has rows of shape {other.shape}, axis {other.axis} of {other.ndim}; "
                f"expected {self.shape}, axis {self.axis} of {self.ndim}"
            )
        target = target_of(function, {"other": other._arrays[0], "the state": self._arrays[0]})
        return self._with(target, other._arrays, common_dtype(self.dtype, other.dtype))

    def logsumexp(self) -> Any:
        """Logarithm of the sum of exponentials of all parts.

        Returns
        -------
        array or scalar
            Of shape `shape` and dtype `dtype`; where the shape is ``()``, a NumPy scalar or a 0-d CuPy array.
            ``-inf`` where nothing was folded in.
        """
        target = target_of("SoftmaxState.logsumexp", {"the state": self._arrays[0]})
        with target.scope():
            out = target.xp.empty(self.shape, self.dtype)
            if out.size:
                target.state_logsumexp(self._arrays, out)
        return out if self.shape else out[()]

    def softmax(self, x: Any) -> Any:
        """Softmax of a part, over all the parts that were folded in.

        Parameters
        ----------
        x : array_like
            A part of the rows, as for `update`.

        Returns
        -------
        array
            ``exp(x - logsumexp)``, of the shape and dtype of `x` (float64 for integers and bool). NaN for an element
            that is larger than all that were folded in: it is of none of the parts.

        Raises
        ------
        ShapeError, DtypeError
            As for `update`.
        """
        function = "SoftmaxState.softmax"
        target, array = _part(function, {"x": x, "the state": self._arrays[0]})
        self._check_rows(function, array)
        with target.scope():
            out = target.xp.empty_like(array)
            if out.size:
                target.state_softmax(self._arrays, array, self.axis, out)
        return out

    def _with(self, target: Target, added: StateArrays, dtype: np.dtype[Any]) -> SoftmaxState:
        with target.scope():
            arrays = target.merge(self._arrays, added) if math.prod(self.shape) else added
        return SoftmaxState(arrays, self.axis, self.ndim, dtype)

    def _check_rows(self, function: str, x: Any) -> None:
        kept = tuple(n for i, n in enumerate(x.shape) if i not in self.axis)
        if x.ndim != self.ndim or kept != self.shape:
            sizes = iter(self.shape)
            expected = ", ".join("any" if i in self.axis else str(next(sizes)) for i in range(self.ndim))
            raise ShapeError(f"{function}: x has shape {tuple(x.shape)}; expected ({expected}), as the first part had")


def _part(function: str, operands: dict[str, Any]) -> tuple[Target, Any]:
    """Choose the target, and give ``operands["x"]`` as an array of it in the type it is computed in."""
    target = target_of(function, operands)
    array = target.array(function, "x", operands["x"])
    dtype = accepted_dtype(function, "x", array.dtype, complex_too=False)
    with target.scope():
        array = target.convert(array, dtype)
    return target, array if array.ndim else array.reshape(1)


def _state_of(target: Target, x: Any, axes: tuple[int, ...]) -> StateArrays:
    """Give the state of `x`; that of nothing is (-inf, 0)."""
    with target.scope():
        if x.size:
            return target.state_of(x, axes)
        kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
        m = target.xp.empty(kept)
        target.assign(m, -np.inf)
        return m, target.xp.zeros(kept), target.xp.zeros(kept)
