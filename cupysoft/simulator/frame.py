"""The text around the operation of a generated kernel: how arrays of any strides, and numbers, come into it.

An array is a pointer; shapes and strides of all of them come in one structure by value. In the kernel they become
CuPy's own classes `CArray` and `CIndexer`, so that an operation finds what it finds on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import MissingDependencyError
from ..runtime.cupy_headers import cupy_headers
from ..runtime.sources import source
from .signature import Parameter, ctype_of

__all__ = ["Frame", "elements", "frame", "marked", "merged"]

_NARROW = (1 << 31) - 1  # offsets up to here are 32-bit numbers
#: What CuPy puts in front of every kernel that it generates, and what it adds for 16-bit types.
_CUPY = "".join(
    f"#include <cupy/{name}>\n" for name in ("complex.cuh", "carray.cuh", "atomics.cuh", "math_constants.h")
)
_CUPY_HALF = "#if __has_include(<cupy/{0}.cuh>)\n#include <cupy/{0}.cuh>\n#endif\n"


@dataclass(frozen=True)
class Frame:
    """The parts of a generated text, and what the kernel is launched with.

    Parameters
    ----------
    head : str
        Headers, and types for the placeholders.
    formal : str
        Parameters of the kernel.
    bound : str
        Its first lines: arrays and indexers.
    args : list
        Arguments of the launch.
    labels : list of str
        What reports call them.
    """

    head: str
    formal: str
    bound: str
    args: list[Any]
    labels: list[str]


def frame(
    kernel: str,
    parameters: Sequence[Parameter],
    values: Sequence[Any],
    placeholders: Mapping[str, np.dtype[Any]],
    shapes: Mapping[str, tuple[int, ...]],
) -> Frame:
    """Write what stands around an operation.

    Parameters
    ----------
    kernel : str
        Name for messages.
    parameters : sequence of Parameter
        Parameters of the operation.
    values : sequence of ndarray or scalar
        Argument of each; scalars have the dtype of their parameter.
    placeholders : mapping
        Dtype of each placeholder.
    shapes : mapping
        Name of each indexer to the shape that it walks.
    """
    layouts: list[int] = []
    formal, bound, labels = [], [], []
    for parameter, value in zip(parameters, values, strict=True):
        ctype, const = ctype_of(parameter.name, value.dtype), "const " if parameter.const else ""
        if isinstance(value, np.ndarray):
            formal.append(f"{ctype}* _data_{parameter.name}")
            bound.append(f"{const}{_array(value, ctype, _array_name(parameter), parameter.name, layouts)}")
        else:
            formal.append(f"{const}{ctype} {parameter.name}")
        labels.append(parameter.name)
    for name, shape in shapes.items():
        narrow = str(np.prod(shape, dtype=object) <= _NARROW).lower()
        bound.append(f"CIndexer<{len(shape)}, {narrow}> {name}{f'(_layouts.of + {len(layouts)})' if shape else ''};")
        layouts += shape
    layouts.append(0)
    head = [
        _headers(kernel, [*placeholders.values(), *(value.dtype for value in values)]),
        f'#line 1 "{kernel}"\nstruct _Layouts {{ long long of[{len(layouts)}]; }};\n',
        *(f"typedef {ctype_of(name, dtype)} {name};\n" for name, dtype in sorted(placeholders.items())),
    ]
    formal.append("const _Layouts _layouts")
    lines = "".join(f"    {line}\n" for line in bound)
    args = [*values, np.array(layouts, np.int64)]
    return Frame("".join(head), ", ".join(formal), lines, args, [*labels, "_layouts"])


def _array_name(parameter: Parameter) -> str:
    """What the kernel calls an array; the operation sees elements unless it is raw."""
    return parameter.name if parameter.raw else f"_raw_{parameter.name}"


def elements(parameters: Sequence[Parameter], values: Sequence[Any], index: str) -> str:
    """Declarations of the elements at an indexer's place."""
    pairs = zip(parameters, values, strict=True)
    chosen = [each for each, value in pairs if isinstance(value, np.ndarray) and not each.raw]
    return "".join(
        f"{'const ' if each.const else ''}{each.type}& {each.name} = {_array_name(each)}[{index}.get()];\n"
        for each in chosen
    )


def marked(text: str, what: str) -> str:
    """Text of the user's, which reports of the simulator call `what` and whose lines they count from 1."""
    return f'\n#line 1 "{what}"\n{text}'


def _array(value: npt.NDArray[Any], ctype: str, name: str, data: str, layouts: list[int]) -> str:
    contiguous = value.flags.c_contiguous
    reach = value.itemsize + sum((n - 1) * abs(step) for n, step in zip(value.shape, value.strides, strict=True))
    narrow = max(reach, value.nbytes) <= _NARROW
    type_ = f"CArray<{ctype}, {value.ndim}, {str(contiguous).lower()}, {str(narrow).lower()}>"
    places = [f"_data_{data}"]
    for numbers in (value.shape, value.strides)[: 2 - contiguous] if value.ndim else ():
        places.append(f"_layouts.of + {len(layouts)}")
        layouts += numbers
    return f"{type_} {name}({', '.join(places)});"


def _headers(kernel: str, dtypes: Sequence[np.dtype[Any]]) -> str:
    halves = sorted({dtype.name for dtype in dtypes} & {"float16", "bfloat16"})
    if cupy_headers().version:
        return _CUPY + "".join(map(_CUPY_HALF.format, halves))
    if any(dtype.kind == "c" for dtype in dtypes):
        raise MissingDependencyError(
            f"{kernel}: complex numbers need a header of CuPy, which is not installed; it needs no GPU: "
            'pip install "cupy-cuda13x"'
        )
    return source("pointwise/arrays.cuh") + (source("pointwise/halves.cuh") if halves else "")


def merged(
    parameters: Sequence[Parameter], values: Sequence[Any], shape: tuple[int, ...]
) -> tuple[list[Any], tuple[int, ...]]:
    """See arrays over as few axes as their strides allow, as CuPy does unless ``reduce_dims`` is false."""
    pairs = list(zip(parameters, values, strict=True))
    arrays = [value for each, value in pairs if isinstance(value, np.ndarray) and not each.raw]
    strided = not all(each.flags.c_contiguous for each in arrays)
    if len(shape) < 2 or not arrays or (strided and len(shape) == 2):
        return list(values), shape
    axes = list(_merged_axes(shape, [each.strides for each in arrays]))
    if not strided:
        axes = [(int(np.prod(shape)), [each.itemsize for each in arrays])]
    sizes = tuple(size for size, _ in axes)
    views = iter(
        np.lib.stride_tricks.as_strided(array, sizes, [steps[at] for _, steps in axes], writeable=array.flags.writeable)
        for at, array in enumerate(arrays)
    )
    taken = [next(views) if isinstance(value, np.ndarray) and not each.raw else value for each, value in pairs]
    return taken, sizes


def _merged_axes(shape: tuple[int, ...], strides: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, list[int]]]:
    """Size and strides of each axis that remains, axes of size 1 left out."""
    pending: tuple[int, list[int]] | None = None
    for axis, size in enumerate(shape):
        steps = [each[axis] for each in strides]
        if size == 1:
            continue
        if pending is not None:
            if pending[1] == [step * size for step in steps]:
                size *= pending[0]
            else:
                yield pending
        pending = size, steps
    if pending is not None:
        yield pending
