"""`ElementwiseKernel`: CuPy's class of this name, on the simulated device."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import LaunchError
from .broadcasting import broadcast, handed_out, made, spread
from .frame import elements, frame, marked, merged
from .generated import GeneratedKernels
from .signature import decide

__all__ = ["ElementwiseKernel"]


class ElementwiseKernel(GeneratedKernels):
    """A kernel that does the same for each element of arrays broadcast against each other.

    It takes what ``cupy.ElementwiseKernel`` takes. As there, an array is never copied: where an input and an output
    share memory, threads may read what others have written.

    Parameters
    ----------
    in_params, out_params : str
        Parameters such as ``"float32 x, T y, raw T table"``. One letter stands for whatever dtype the arrays have; a
        ``raw`` array is not broadcast and is indexed by the operation itself.
    operation : str
        CUDA C++ for one element; ``i`` is its index and ``_ind.get()`` its index by axes.
    name : str
        Name of the kernel.
    reduce_dims : bool
        Whether axes are merged where the strides allow it.
    preamble : str
        CUDA C++ in front of the kernel.
    no_return : bool
        Whether a call returns None.
    return_tuple : bool
        Whether a call returns a tuple where there is one output, too.
    options : tuple of str
        Options of the compiler.
    loop_prep, after_loop : str
        CUDA C++ before and after the loop over a thread's elements.

    Examples
    --------
    >>> import numpy as np
    >>> import cupysoft.simulator as simulator
    >>> hypotenuse = simulator.ElementwiseKernel("T x, T y", "T z", "z = sqrt(x * x + y * y)", "hypotenuse")
    >>> hypotenuse(np.array([[3.0], [5.0]]), np.array([4.0, 12.0]))
    array([[ 5.        , 12.36931688],
           [ 6.40312424, 13.        ]])
    """

    def __init__(
        self,
        in_params: str,
        out_params: str,
        operation: str,
        name: str = "kernel",
        reduce_dims: bool = True,
        preamble: str = "",
        no_return: bool = False,
        return_tuple: bool = False,
        *,
        options: tuple[str, ...] = (),
        loop_prep: str = "",
        after_loop: str = "",
    ) -> None:
        super().__init__(name, in_params, out_params, preamble, options)
        self.operation, self.loop_prep, self.after_loop = operation, loop_prep, after_loop
        self.reduce_dims, self.no_return, self.return_tuple = reduce_dims, no_return, return_tuple
        if any(each.name == "i" for each in self.params):
            raise LaunchError(f"{name}: no parameter can be called i, which is the index of the element")

    def __call__(self, *args: Any, size: int | None = None, block_size: int = 128, stream: Any = None) -> Any:
        """Run the operation on every element.

        Parameters
        ----------
        args
            The inputs, arrays or scalars; then, if they are not to be made, the outputs.
        size : int, optional
            Number of elements, where every array is ``raw``.
        block_size : int
            Threads of a block.
        stream : cupy.cuda.Stream, optional
            Of no effect.

        Returns
        -------
        ndarray, tuple of ndarray, or None
            The outputs.
        """
        given = self._given(args)
        if block_size < 1:
            raise LaunchError(f"{self.name}: block_size must be at least 1, not {block_size}")
        shape = broadcast(self.name, self.params, given, size)
        types, placeholders = decide(self.name, self.params, given, self.nin)
        outputs = made(self.name, self.out_params, given[self.nin :], types[self.nin :], shape, size is not None)
        if 0 not in shape:
            inputs = spread(self.name, self.in_params, given[: self.nin], types, shape)
            self._run(inputs + outputs, placeholders, shape, block_size, stream)
        handed_out(self.name, self.out_params, given[self.nin :], outputs)
        if self.no_return:
            return None
        return outputs[0] if self.nout == 1 and not self.return_tuple else tuple(outputs)

    def _run(
        self,
        values: list[Any],
        placeholders: dict[str, np.dtype[Any]],
        shape: tuple[int, ...],
        block_size: int,
        stream: Any,
    ) -> None:
        if self.reduce_dims:
            values, shape = merged(self.params, values, shape)
        around = frame(self.name, self.params, values, placeholders, {"_ind": shape})
        text = (
            f"{around.head}{marked(self.preamble, f'{self.name}: preamble')}\n"
            f'#line 1 "{self.name}"\nextern "C" __global__ void {self.name}({around.formal}) {{\n{around.bound}'
            f"{marked(self.loop_prep, f'{self.name}: loop_prep')};\n"
            "#pragma unroll 1\n    CUPY_FOR(i, _ind.size()) {\n_ind.set(i);\n"
            f"{elements(self.params, values, '_ind')}{marked(self.operation, f'{self.name}: operation')};\n    }}"
            f"{marked(self.after_loop, f'{self.name}: after_loop')};\n}}\n"
        )
        count = int(np.prod(shape, dtype=np.int64))
        threads = min(block_size, count)
        kernel = self._kernel(text, placeholders)
        kernel.launch((-(-count // block_size),), (threads,), around.args, names=around.labels, stream=stream)
