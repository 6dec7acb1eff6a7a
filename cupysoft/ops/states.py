"""The softmax of input that arrives in parts."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from cupysoft.arrays import accepted_dtype, common_dtype, normalize_axes
from cupysoft.errors import DtypeError, ShapeError, UndecidedWarning
from cupysoft.host.sliced import MOST, WORDS
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
    Each exponential is cut into digits of 30 bits, whose places are the same for all numbers. A state holds for each
    row the largest element, how many finite ones there are, and seven sums of digits, from the place of the largest
    exponential down: 72 bytes. Digits are added as whole numbers, with no carry from place to place, and what lies
    below the seven is left off place by place. So a state has the same bits for any parts, any order of `update` and
    `merge`, any strides, on the host and on a device. It keeps 180 bits of the sum, of which n elements may make the
    last log2(n) wrong. A row may have 2^34 elements.

    A result is correctly rounded if all that the sum may truly be leads to it. Where it does not, the result is
    *undecided*: it is the one for the sum as the digits have it. `return_undecided` tells which results are so, without
    waiting for a device; without it, those in host memory bring an `UndecidedWarning`. In float64 a share of n elements
    is undecided with a probability of n 2^-127, and a logsumexp r with n 2^-127 / abs(r), more than 2^-60 only near
    zero. An example is a largest element of exactly 0 with all others below -90, whose exponentials the digits of 1
    nearly leave off. In narrower types next to nothing is undecided.

    To fold in an element takes a device some 1400 integer instructions, far more than to read it. NumPy arrays take
    75 ns an element from 16,384 elements on, where the kernels run on the CPU, and 700 to 900 ns else (`python -m
    benchmarks.states`, one thread of an x86-64 machine, November 2026).

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
    _columns: int

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
        ShapeError
            If rows have more than 2^34 elements.
        """
        function = "SoftmaxState.from_array"
        target, array = _part(function, {"x": x})
        axes = normalize_axes(function, axis, array.ndim)
        columns = _checked(function, math.prod(array.shape[i] for i in axes))
        return cls(_state_of(target, array, axes), axes, array.ndim, array.dtype, columns)

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
            If `x` does not fit the rows of the state, or rows would have more than 2^34 elements.
        DtypeError
            As for `softmax`; also if state and `x` are on different devices.
        """
        function = "SoftmaxState.update"
        target, array = _part(function, {"x": x, "the state": self._arrays[0]})
        self._check_rows(function, array)
        columns = _checked(function, self._columns + math.prod(array.shape[i] for i in self.axis))
        added = _state_of(target, array, self.axis)
        return self._with(target, added, common_dtype(self.dtype, array.dtype), columns)

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
            If the rows differ in shape, the reduced axes differ, or rows would have more than 2^34 elements.
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
        columns = _checked(function, self._columns + other._columns)
        return self._with(target, other._arrays, common_dtype(self.dtype, other.dtype), columns)

    def logsumexp(self, *, return_undecided: bool = False) -> Any:
        """Logarithm of the sum of exponentials of all parts.

        Parameters
        ----------
        return_undecided : bool, default False
            Whether to return as well which results may be the neighbour of the correctly rounded one.

        Returns
        -------
        array or scalar
            Of shape `shape` and dtype `dtype`; where the shape is ``()``, a NumPy scalar or a 0-d CuPy array.
            ``-inf`` where nothing was folded in.
        array or scalar of bool
            With `return_undecided`: of the same shape.

        Warns
        -----
        UndecidedWarning
            In host memory and without `return_undecided`, if some result is undecided.
        """
        function = "SoftmaxState.logsumexp"
        target = target_of(function, {"the state": self._arrays[0]})
        with target.scope():
            out, undecided = target.xp.empty(self.shape, self.dtype), target.xp.empty(self.shape, np.bool_)
            if out.size:
                target.state_logsumexp(self._arrays, out, undecided)
        if not self.shape:
            out, undecided = out[()], undecided[()]
        return _told(function, out, undecided, return_undecided)

    def softmax(self, x: Any, *, return_undecided: bool = False) -> Any:
        """Softmax of a part, over all the parts that were folded in.

        Parameters
        ----------
        x : array_like
            A part of the rows, as for `update`.
        return_undecided : bool, default False
            As for `logsumexp`.

        Returns
        -------
        array
            ``exp(x - logsumexp)``, of the shape and dtype of `x` (float64 for integers and bool). NaN for an element
            that is larger than all that were folded in: it is of none of the parts.
        array of bool
            With `return_undecided`: of the same shape.

        Warns
        -----
        UndecidedWarning
            As for `logsumexp`.

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
            undecided = target.xp.empty_like(out, dtype=np.bool_)
            if out.size:
                target.state_softmax(self._arrays, array, self.axis, out, undecided)
        return _told(function, out, undecided, return_undecided)

    def _with(self, target: Target, added: StateArrays, dtype: np.dtype[Any], columns: int) -> SoftmaxState:
        with target.scope():
            arrays = target.merge(self._arrays, added) if math.prod(self.shape) else added
        return SoftmaxState(arrays, self.axis, self.ndim, dtype, columns)

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
    """Give the state of `x`; that of nothing has the maximum -inf and no digits."""
    with target.scope():
        if x.size:
            return target.state_of(x, axes)
        kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
        m = target.xp.empty(kept)
        target.assign(m, -np.inf)
        return m, target.xp.zeros((WORDS, *kept), np.uint64)


def _checked(function: str, columns: int) -> int:
    """Give the number of elements of a row, if their digits can be added in 64 bits."""
    if columns > MOST:
        raise ShapeError(
            f"{function}: rows would have {columns} elements; expected at most {MOST}, so many a state can add. "
            "Keep several states, and take logsumexp of their results"
        )
    return columns


def _told(function: str, result: Any, undecided: Any, asked: bool) -> Any:
    """Give a result, and what is undecided, if that is asked; in host memory at least a warning."""
    if asked:
        return result, undecided
    if isinstance(undecided, (np.ndarray, np.bool_)) and undecided.any():
        warnings.warn(
            f"{function}: {np.count_nonzero(undecided)} of {undecided.size} results are undecided: the state's digits "
            "do not tell to which of two neighbours the true value rounds. return_undecided=True says which they are",
            UndecidedWarning,
            stacklevel=3,
        )
    return result
