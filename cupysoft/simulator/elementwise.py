"""`ElementwiseKernel`: the part of CuPy's class of this name that this package needs, on the simulated device."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DtypeError, LaunchError, ShapeError
from .kernels import RawKernel

__all__ = ["ElementwiseKernel"]

#: What CuPy, which compiles these kernels itself, puts behind the options that it is given.
_OPTIONS_OF_CUPY = ("--ftz=true",)
_THREADS = 128
_MOST_BLOCKS = 1 << 16
_TYPES = {
    "bool": "bool",
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned int",
    "int64": "long long",
    "uint64": "unsigned long long",
    "float16": "__half",
    "float32": "float",
    "float64": "double",
}
_PARAMETER = re.compile(r"(?P<raw>raw\s+)?(?P<type>\w+)\s+(?P<name>\w+)")


@dataclass(frozen=True)
class _Parameter:
    name: str
    type: str  # of a dtype, or a placeholder such as T
    raw: bool
    output: bool


class ElementwiseKernel:
    """A kernel that does the same for each element of arrays broadcast against each other.

    Parameters
    ----------
    in_params, out_params : str
        Parameters such as ``"float32 x, T y, raw T table"``. A name that is no dtype stands for whatever dtype the
        arguments have; a ``raw`` one is not broadcast and is indexed by the operation itself.
    operation : str
        CUDA C++ for one element; ``i`` is its index.
    name : str
        Name of the kernel.
    options : sequence of str
        Options of the compiler. Flush-to-zero is put behind them, as CuPy does.
    preamble : str
        CUDA C++ in front of the kernel.

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
        *,
        options: Sequence[str] = (),
        preamble: str = "",
    ) -> None:
        self.name = name
        self.operation = operation
        self.options = tuple(options)
        self.preamble = preamble
        self._parameters = _parsed(name, in_params, output=False) + _parsed(name, out_params, output=True)
        self._inputs = sum(not each.output for each in self._parameters)
        self._kernels: dict[tuple[tuple[str, bool], ...], RawKernel] = {}

    def __call__(self, *args: Any, size: int | None = None) -> Any:
        """Run the operation on every element.

        Parameters
        ----------
        args
            The inputs, arrays or scalars; then, if they are not to be made, the outputs.
        size : int, optional
            Number of elements, where every array is ``raw``.

        Returns
        -------
        ndarray or tuple of ndarray
            The outputs.
        """
        if len(args) not in (self._inputs, len(self._parameters)):
            raise LaunchError(
                f"{self.name}: {len(args)} arguments were given; it takes {self._inputs} inputs, and"
                f" {len(self._parameters) - self._inputs} outputs if any"
            )
        given = list(args) + [None] * (len(self._parameters) - len(args))
        types = self._types(given)
        shape = self._shape(given, size)
        count = size if size is not None else int(np.prod(shape, dtype=np.int64))
        outputs = self._outputs(given, types, shape)
        if count:
            passed, results = self._passed(given, outputs, types, shape)
            blocks = min(-(-count // _THREADS), _MOST_BLOCKS)
            labels = [*(each.name for each in self._parameters), "n"]
            kernel = self._kernel(types, [isinstance(each, np.ndarray) for each in passed])
            kernel.launch((blocks,), (_THREADS,), [*passed, np.int64(count)], names=labels)
            for output, result in results:
                output[...] = result
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _types(self, given: list[Any]) -> list[np.dtype[Any]]:
        """The dtype of each parameter; arrays decide about placeholders, scalars only where there is no array."""
        placeholders: dict[str, np.dtype[Any]] = {}
        for wanted in (True, False):
            for parameter, value in zip(self._parameters, given, strict=True):
                array = isinstance(value, np.ndarray | np.generic)
                if parameter.type in _TYPES or parameter.type in placeholders or value is None or array != wanted:
                    continue
                placeholders[parameter.type] = value.dtype if array else np.dtype(type(value))
        types = []
        for parameter, value in zip(self._parameters, given, strict=True):
            if parameter.type not in _TYPES and parameter.type not in placeholders:
                raise DtypeError(f"{self.name}: nothing tells the dtype {parameter.type} of {parameter.name}")
            dtype = placeholders.get(parameter.type) or np.dtype(parameter.type)
            if dtype.name not in _TYPES:
                raise DtypeError(f"{self.name}: {parameter.name} has dtype {dtype}; there are {', '.join(_TYPES)}")
            if isinstance(value, np.ndarray) and value.dtype != dtype:
                raise DtypeError(f"{self.name}: {parameter.name} has dtype {value.dtype}, it must be {dtype}")
            types.append(dtype)
        return types

    def _shape(self, given: list[Any], size: int | None) -> tuple[int, ...]:
        shapes = [
            np.shape(value)
            for parameter, value in zip(self._parameters, given, strict=True)
            if value is not None and not parameter.raw and not parameter.output
        ]
        arrays = any(
            not each.raw and isinstance(value, np.ndarray) for each, value in zip(self._parameters, given, strict=True)
        )
        if size is None and not arrays and not all(not each.raw for each in self._parameters):
            raise LaunchError(f"{self.name}: every array is raw; size= must say how many elements there are")
        if size is not None:
            return (size,)
        try:
            return np.broadcast_shapes(*shapes)
        except ValueError:
            raise ShapeError(f"{self.name}: inputs of shapes {shapes} do not broadcast") from None

    def _outputs(self, given: list[Any], types: list[np.dtype[Any]], shape: tuple[int, ...]) -> list[Any]:
        outputs = []
        for parameter, value, dtype in zip(self._parameters, given, types, strict=True):
            if not parameter.output:
                continue
            if value is None:
                value = np.empty(shape, dtype)
            elif not isinstance(value, np.ndarray) or (not parameter.raw and value.shape != shape):
                raise ShapeError(
                    f"{self.name}: output {parameter.name} has shape {np.shape(value)}, the inputs broadcast to {shape}"
                )
            outputs.append(value)
        return outputs

    def _passed(
        self, given: list[Any], outputs: list[Any], types: list[np.dtype[Any]], shape: tuple[int, ...]
    ) -> tuple[list[Any], list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]]:
        """What the kernel gets, contiguous; and outputs that have to be copied from a contiguous stand-in."""
        passed: list[Any] = []
        results = []
        targets = iter(outputs)
        for parameter, value, dtype in zip(self._parameters, given, types, strict=True):
            if parameter.output:
                target = next(targets)
                home = target if target.flags.c_contiguous else np.ascontiguousarray(target)
                if home is not target:
                    results.append((target, home))
                passed.append(home)
            elif not isinstance(value, np.ndarray):
                passed.append(dtype.type(value))
            else:
                alike = parameter.raw or value.shape == shape
                whole = np.ascontiguousarray(value if alike else np.broadcast_to(value, shape))
                shifted = any(np.may_share_memory(whole, each) and not _same(whole, each) for each in outputs)
                passed.append(whole.copy() if shifted else whole)
        return passed, results

    def _kernel(self, types: list[np.dtype[Any]], arrays: list[bool]) -> RawKernel:
        key = tuple(zip((each.name for each in types), arrays, strict=True))
        found = self._kernels.get(key)
        if found is None:
            text = self._source(types, arrays)
            found = self._kernels[key] = RawKernel(text, self.name, self.options + _OPTIONS_OF_CUPY)
        return found

    def _source(self, types: list[np.dtype[Any]], arrays: list[bool]) -> str:
        formal, bound = [], []
        placeholders = {}
        for parameter, dtype, array in zip(self._parameters, types, arrays, strict=True):
            ctype = _TYPES[dtype.name]
            if parameter.type not in _TYPES:
                placeholders[parameter.type] = ctype
            const = "" if parameter.output else "const "
            if parameter.raw or not array:
                formal.append(f"{const}{ctype}{'*' if array else ''} {parameter.name}")
            else:
                formal.append(f"{const}{ctype}* array_of_{parameter.name}")
                bound.append(f"        {const}{ctype}& {parameter.name} = array_of_{parameter.name}[i];")
        include = "#include <cuda_fp16.h>\n" if "__half" in map(_TYPES.get, (each.name for each in types)) else ""
        aliases = "".join(f"    using {name} = {ctype};\n" for name, ctype in placeholders.items())
        lines = "\n".join(bound)
        return (
            f"{include}{self.preamble}\n"
            f'extern "C" __global__ void {self.name}({", ".join(formal)}, long long elements) {{\n{aliases}'
            "    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < elements;\n"
            "         i += gridDim.x * (long long)blockDim.x) {\n"
            f"{lines}\n        {self.operation};\n    }}\n}}\n"
        )


def _parsed(kernel: str, text: str, output: bool) -> tuple[_Parameter, ...]:
    parameters = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PARAMETER.fullmatch(part)
        if match is None:
            raise LaunchError(f"{kernel}: {part!r} is no parameter; write a type and a name, such as 'float32 x'")
        parameters.append(_Parameter(match["name"], match["type"], bool(match["raw"]), output))
    return tuple(parameters)


def _same(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Whether two arrays are the very same elements."""
    ours, theirs = first.__array_interface__, second.__array_interface__
    return bool(
        ours["data"][0] == theirs["data"][0] and first.shape == second.shape and first.strides == second.strides
    )
