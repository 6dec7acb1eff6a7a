"""What `warmup`, and the command line, are given: checked, and turned into calls."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cupysoft.arrays import accepted_dtype, normalize_axes
from cupysoft.errors import DtypeError, MissingDependencyError, ShapeError
from cupysoft.ops.arguments import broadcast_shape, is_fast
from cupysoft.ops.calls import OPERATIONS, Call, any_rows

__all__ = ["DTYPES", "LENGTHS", "all_calls", "calls_of", "known_dtypes", "named_dtype"]

DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")

# Every way to hold a row, and every way to reach its elements, which follows from the power of two in its length. How
# long rows are that a block keeps in shared memory is for the architecture to say.
LENGTHS = tuple(
    sorted(
        {n + more for n in (*(2**power for power in range(18)), *range(4096, 65536, 4096)) for more in (0, 1, 2, 4, 8)}
    )
)


def calls_of(
    operations: str | Sequence[str],
    dtypes: Any,
    columns: int | Sequence[int] | None = None,
    *,
    shape: Sequence[int] | None = None,
    axis: int | tuple[int, ...] | None = -1,
    b: bool | Sequence[int] = False,
    return_sign: bool = False,
    precision: object = "exact",
) -> tuple[Call, ...]:
    """Check what `warmup` is given, and give the calls that it describes."""
    names, types, fast = _names(operations), _types(dtypes), is_fast("warmup", precision)
    weighted = not isinstance(b, bool) or b
    if (weighted or return_sign) and "logsumexp" not in names:
        raise DtypeError(f"warmup: b and return_sign belong to logsumexp; operations holds {', '.join(names)}")
    found = []
    for given in types:
        for name in names:
            sums = name == "logsumexp"
            dtype = accepted_dtype("warmup", "dtypes", given, complex_too=sums)
            for each in _shapes(columns, shape, axis, b):
                weights = (each if isinstance(b, bool) else _sizes("b", b)) if sums and weighted else None
                joint = broadcast_shape("warmup", {"shape": each, "b": weights or (1,)})
                axes = normalize_axes("warmup", axis, len(joint))
                found.append(Call(name, given, dtype, each, axes, weights, sums and return_sign, fast))
    return tuple(found)


def known_dtypes() -> tuple[str, ...]:
    """Give all of `DTYPES`, but for bfloat16 where ml_dtypes is not installed."""
    try:
        importlib.import_module("ml_dtypes")
    except ImportError:
        return tuple(name for name in DTYPES if name != "bfloat16")
    return DTYPES


def all_calls(operations: Any = None, dtypes: Any = None, columns: Any = None) -> tuple[Call, ...]:
    """Give the calls that use every kernel for contiguous arrays; None stands for all there are."""
    found: list[Call] = []
    for given in _types(known_dtypes() if dtypes is None else dtypes):
        for name in _names(OPERATIONS if operations is None else operations):
            if given.kind == "c" and name != "logsumexp" and (operations is None or dtypes is None):
                continue
            lengths = LENGTHS if columns is None else columns
            for axis in (-1, 0):
                found += calls_of(name, given, lengths, axis=axis)
                if name == "logsumexp":
                    for b, return_sign in ((True, False), (False, True), (True, True)):
                        found += calls_of(name, given, lengths, axis=axis, b=b, return_sign=return_sign)
    return tuple(found)


def _shapes(columns: Any, shape: Any, axis: Any, b: Any) -> Iterator[tuple[int, ...]]:
    """Give the shape, or shapes that stand for any number of rows."""
    if shape is not None:
        if columns is not None:
            raise ShapeError(f"warmup: columns is {columns!r} and shape is {shape!r}; expected one of them")
        yield _sizes("shape", shape)
        return
    if axis not in (-1, 0) or not isinstance(b, bool):
        came = f"axis is {axis!r} and b is {b!r}"
        raise ShapeError(f"warmup: {came}; expected -1 or 0, and True or False, where no shape is given")
    lengths = (1000,) if columns is None else columns
    for length in _sizes("columns", (lengths,) if isinstance(lengths, (int, np.integer)) else lengths):
        yield from any_rows(length, axis)


def _sizes(argument: str, sizes: Any) -> tuple[int, ...]:
    """Check sizes of axes, or lengths of rows."""
    given = sizes if isinstance(sizes, Sequence) and not isinstance(sizes, str) else (sizes,)
    for size in given:
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
            raise ShapeError(f"warmup: {argument} holds {size!r}; expected integers, each at least 1")
    return tuple(map(int, given))


def _names(operations: str | Sequence[str]) -> tuple[str, ...]:
    names = (operations,) if isinstance(operations, str) else tuple(operations)
    for name in names:
        if name not in OPERATIONS:
            raise DtypeError(f"warmup: operations holds {name!r}; expected some of {', '.join(OPERATIONS)}")
    return names


def _types(dtypes: Any) -> tuple[np.dtype[Any], ...]:
    return tuple(
        named_dtype("warmup", "dtypes", each) for each in (dtypes if isinstance(dtypes, (list, tuple)) else (dtypes,))
    )


def named_dtype(function: str, argument: str, given: Any) -> np.dtype[Any]:
    """Read a dtype; NumPy knows the name bfloat16 only from ml_dtypes."""
    try:
        found: np.dtype[Any] = np.dtype(importlib.import_module("ml_dtypes").bfloat16 if given == "bfloat16" else given)
        return found
    except ImportError as error:
        raise MissingDependencyError(
            f"{function}: the dtype bfloat16 comes from ml_dtypes, which cannot be imported ({error}); "
            "install it with: pip install ml_dtypes"
        ) from error
    except TypeError:
        raise DtypeError(
            f"{function}: {argument} holds {given!r}, which is no dtype; expected some of {', '.join(DTYPES)}"
        ) from None
