"""`ReductionKernel`: CuPy's class of this name, on the simulated device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..errors import AxisError, LaunchError, ShapeError
from .broadcasting import broadcast, handed_out, made, spread
from .frame import elements, frame, marked, merged
from .generated import GeneratedKernels
from .signature import Parameter, decide

__all__ = ["ReductionKernel"]

_THREADS = 512
_MOST_SIDE_BY_SIDE = 32  # outputs of a block that adjacent threads compute, where that makes their reads adjacent
_WIDE = 0x7FFFFFFF

# A block computes `stride` outputs side by side, each by every stride-th of its threads: a thread first takes every
# so-many-th input, then the threads of an output join in halves.
_BODY = """
typedef {type} _type_reduce;
#line 1 "{name}"
extern "C" __global__ void {name}({formal}, const int _block_stride) {{
{bound}    __shared__ alignas(16) char _memory[{threads} * sizeof(_type_reduce)];
    _type_reduce* const _parts = reinterpret_cast<_type_reduce*>(_memory);
    const auto _joined = [&](_type_reduce a, _type_reduce b) -> _type_reduce {{ return ({reduce_expr}); }};
    const int _thread = threadIdx.x, _turns = {threads} / _block_stride;
    for (ptrdiff_t _first = blockIdx.x * static_cast<ptrdiff_t>(_block_stride); _first < _out_ind.size();
         _first += gridDim.x * static_cast<ptrdiff_t>(_block_stride)) {{
        const ptrdiff_t _i = _first + _thread % _block_stride;
        _type_reduce _part = _type_reduce({identity});
        if (_i < _out_ind.size()) {{
            IndexT _J = _thread / _block_stride;
            for (ptrdiff_t _j = _i + _J * _out_ind.size(); _j < _in_ind.size(); _j += _turns * _out_ind.size()) {{
                _in_ind.set(_j);
{inputs}                _part = _joined(_part, static_cast<_type_reduce>({map_expr}));
                _J += _turns;
            }}
        }}
        _parts[_thread] = _part;
        __syncthreads();
        for (int _half = {threads} / 2; _half >= _block_stride; _half /= 2) {{
            if (_thread < _half) _parts[_thread] = _joined(_parts[_thread], _parts[_thread + _half]);
            __syncthreads();
        }}
        if (_thread < _block_stride && _i < _out_ind.size()) {{
            _out_ind.set(_i);
{outputs}            _type_reduce a = _parts[_thread];
            ({post_map_expr});
        }}
    }}
}}
"""


class ReductionKernel(GeneratedKernels):
    """A kernel that maps elements, reduces them along axes, and maps what comes out.

    It takes what ``cupy.ReductionKernel`` takes. The order in which elements are joined is that of CuPy's own kernel;
    where CuPy hands a reduction to CUB, results of floating-point numbers may differ in their last bits.

    Parameters
    ----------
    in_params, out_params : str
        Parameters such as ``"T x, raw float32 w"``; see `ElementwiseKernel`.
    map_expr : str
        What is reduced, of the inputs' elements.
    reduce_expr : str
        Joins ``a`` and ``b``.
    post_map_expr : str
        Statement that makes the outputs' elements of ``a``.
    identity : str or None
        Value to begin with; None where there is none, then nothing empty is reduced.
    name : str
        Name of the kernel.
    reduce_type : str, optional
        C++ type of ``a`` and ``b``; that of the first output by default.
    reduce_dims : bool
        Whether axes are merged where the strides allow it.
    preamble : str
        CUDA C++ in front of the kernel.
    options : tuple of str
        Options of the compiler.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft.simulator as simulator
    >>> length = simulator.ReductionKernel("T x", "T y", "x * x", "a + b", "y = sqrt(a)", "0", "length")
    >>> length(np.array([[3.0, 4.0], [5.0, 12.0]]), axis=1)
    array([ 5., 13.])
    """

    def __init__(
        self,
        in_params: str,
        out_params: str,
        map_expr: str,
        reduce_expr: str,
        post_map_expr: str,
        identity: str | None,
        name: str = "reduce_kernel",
        reduce_type: str | None = None,
        reduce_dims: bool = True,
        preamble: str = "",
        options: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, in_params, out_params, preamble, options)
        if not self.out_params:
            raise LaunchError(f"{name}: a reduction has at least one output")
        self.map_expr, self.reduce_expr, self.post_map_expr = map_expr, reduce_expr, post_map_expr
        self.identity = "" if identity is None else str(identity)
        self.reduce_type = reduce_type or self.out_params[0].type
        self.reduce_dims = reduce_dims

    def __call__(
        self,
        *args: Any,
        out: Any = None,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
        stream: Any = None,
    ) -> Any:
        """Reduce.

        Parameters
        ----------
        args
            The inputs, arrays or scalars; then, if they are not to be made, the outputs.
        out : ndarray, optional
            The output, where there is one.
        axis : int or sequence of int, optional
            Axes that are reduced; all by default.
        keepdims : bool
            Whether reduced axes stay, with one element.
        stream : cupy.cuda.Stream, optional
            Of no effect.

        Returns
        -------
        ndarray
            The first output.
        """
        given = self._given_with(args, out)
        shape = broadcast(self.name, self.in_params, given[: self.nin], None)
        reduced, kept = self._axes(axis, len(shape))
        out_shape = tuple(1 if at in reduced else n for at, n in enumerate(shape) if keepdims or at not in reduced)
        types, placeholders = decide(self.name, self.params, given, self.nin)
        outputs = made(self.name, self.out_params, given[self.nin :], types[self.nin :], out_shape, False)
        if 0 in out_shape:
            return outputs[0]
        if not self.identity and 0 in shape:
            raise ShapeError(f"{self.name}: nothing is reduced, an input has shape {shape}, and there is no identity")
        inputs = spread(self.name, self.in_params, given[: self.nin], types, shape)
        self._run(inputs, outputs, placeholders, shape, out_shape, reduced + kept, stream)
        handed_out(self.name, self.out_params, given[self.nin :], outputs)
        return outputs[0]

    def _given_with(self, args: tuple[Any, ...], out: Any) -> list[Any]:
        given = self._given(args)
        if out is None:
            return given
        if self.nout != 1 or len(args) != self.nin:
            raise LaunchError(f"{self.name}: out= is for one output that is not among the other arguments")
        return [*args, out]

    def _axes(self, axis: int | Sequence[int] | None, ndim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes that are reduced, and those that stay."""
        try:
            reduced = tuple(range(ndim)) if axis is None else tuple(sorted(normalize_axis_tuple(axis, ndim, "axis")))
        except (ValueError, TypeError) as error:  # NumPy's AxisError is a ValueError
            raise AxisError(f"{self.name}: axis is {axis!r}, the inputs have {ndim} axes: {error}") from None
        return reduced, tuple(at for at in range(ndim) if at not in reduced)

    def _run(
        self,
        inputs: list[Any],
        outputs: list[Any],
        placeholders: dict[str, np.dtype[Any]],
        shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        order: tuple[int, ...],
        stream: Any,
    ) -> None:
        inputs, shape = self._turned(inputs, shape, order)
        if self.reduce_dims:
            inputs, shape = merged(self.in_params, inputs, shape)
            outputs, out_shape = merged(self.out_params, outputs, out_shape)
        stride = side_by_side(self.in_params, inputs, shape, out_shape)
        values = inputs + outputs
        around = frame(self.name, self.params, values, placeholders, {"_in_ind": shape, "_out_ind": out_shape})
        wide = math.prod(shape) / math.prod(out_shape) > _WIDE
        body = _BODY.format(
            type=self.reduce_type,
            name=self.name,
            formal=around.formal,
            bound=around.bound,
            threads=_THREADS,
            identity=self.identity,
            reduce_expr=marked(self.reduce_expr, f"{self.name}: reduce_expr"),
            inputs=elements(self.in_params, inputs, "_in_ind"),
            map_expr=marked(self.map_expr, f"{self.name}: map_expr"),
            outputs=elements(self.out_params, outputs, "_out_ind"),
            post_map_expr=marked(self.post_map_expr, f"{self.name}: post_map_expr"),
        )
        index = f"typedef {'long long' if wide else 'int'} IndexT;\n"
        text = f"{around.head}{index}{marked(self.preamble, f'{self.name}: preamble')}\n{body}"
        blocks = -(-math.prod(out_shape) // stride)
        names = [*around.labels, "_block_stride"]
        kernel = self._kernel(text, placeholders)
        kernel.launch((blocks,), (_THREADS,), [*around.args, np.int32(stride)], names=names, stream=stream)

    def _turned(
        self, inputs: list[Any], shape: tuple[int, ...], order: tuple[int, ...]
    ) -> tuple[list[Any], tuple[int, ...]]:
        """The inputs with the reduced axes in front."""
        if order == tuple(range(len(shape))):
            return inputs, shape
        if any(each.raw for each in self.in_params):
            raise LaunchError(f"{self.name}: with a raw input only the first axes can be reduced, as in CuPy")
        turned = [each.transpose(order) if isinstance(each, np.ndarray) else each for each in inputs]
        return turned, tuple(shape[at] for at in order)


def side_by_side(
    parameters: Sequence[Parameter], inputs: Sequence[Any], shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> int:
    """Outputs that a block computes at once, a power of two: as many as lie side by side in memory, or fill it."""
    adjacent = 1
    for parameter, value in zip(parameters, inputs, strict=True):
        if isinstance(value, np.ndarray) and not parameter.raw:
            count = 1
            for step, size in zip(reversed(value.strides), reversed(out_shape), strict=False):
                if step != count * value.itemsize:
                    break
                count *= size
            adjacent = max(adjacent, count)
    each = max(1, math.prod(shape) // math.prod(out_shape))
    most: int = max(min(adjacent, _MOST_SIDE_BY_SIDE), _THREADS // each)
    return 1 << (most.bit_length() - 1)
