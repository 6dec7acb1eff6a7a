"""Hypothesis strategies: the arrays, views, axes and weights on which softmax and its kin break; simulated devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cupysoft.errors import MissingDependencyError
from cupysoft.simulator import Device
from cupysoft.testing.trouble import FAMILIES, draw

__all__ = [
    "KINDS",
    "axes",
    "devices",
    "dtypes",
    "lengths",
    "real_arrays",
    "schedules",
    "shapes",
    "troublesome",
    "views",
    "weights",
]

KINDS = ("any", "narrow", "wide", "ties", "specials", "subnormal", "offset", "one leads", "normalised")
"""Characters of arrays that `real_arrays` draws: any bit pattern; normal with scale 1 and 40; few distinct values;
infinities, NaN and zeros among others; subnormal numbers; a huge common offset; one element above the rest; and
log-probabilities, whose logsumexp is nearly 0."""

ELEMENTWISE = 64
"""Up to this size Hypothesis draws, and shrinks, every element; larger arrays come from a seed."""

OFFSETS = {"float16": (3e3, -6e4), "float32": (3e4, -1e30), "bfloat16": (3e4, -1e30), "float64": (3e4, -1e300)}


def dtypes(*, bfloat16: bool = True) -> st.SearchStrategy[np.dtype[Any]]:
    """Draw float16, float32, float64 or, where ml_dtypes is installed, bfloat16."""
    names = [np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)]
    if bfloat16:
        names.append(_bfloat16())
    return st.sampled_from(names)


def _bfloat16() -> np.dtype[Any]:
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingDependencyError(
            "strategies.dtypes: bfloat16 needs ml_dtypes; pip install ml_dtypes, or pass bfloat16=False"
        ) from error
    result: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return result


def lengths(*, most: int = 300, tiles: Sequence[int] = (32, 128)) -> st.SearchStrategy[int]:
    """Draw sizes of an axis: any up to `most`, with 1, 2 and the neighbours of every tile size favoured."""
    edges = {1, 2, *(size + step for size in tiles for step in (-1, 0, 1))}
    return st.sampled_from(sorted(n for n in edges if n <= most)) | st.integers(1, most)


@st.composite
def shapes(draw: st.DrawFn, *, most_axes: int = 4, most_elements: int = 2000) -> tuple[int, ...]:
    """Draw shapes with 1 to `most_axes` axes, none empty, and at most `most_elements` elements."""
    room = most_elements
    shape = []
    for _ in range(draw(st.integers(1, most_axes))):
        shape.append(draw(lengths(most=max(1, min(room, 300)))))
        room //= shape[-1]
    return tuple(draw(st.permutations(shape)))


def axes(ndim: int) -> st.SearchStrategy[int | tuple[int, ...] | None]:
    """Draw an ``axis`` argument: None, one axis from either end, or a tuple of distinct ones, also empty."""
    several = st.lists(st.integers(0, ndim - 1), unique=True).map(tuple)
    turned = st.tuples(several, st.lists(st.booleans(), min_size=ndim, max_size=ndim)).map(
        lambda pair: tuple(i - ndim if flip else i for i, flip in zip(*pair, strict=False))
    )
    return st.none() | st.integers(-ndim, ndim - 1) | turned


@st.composite
def real_arrays(
    draw: st.DrawFn,
    dtype: npt.DTypeLike | st.SearchStrategy[np.dtype[Any]] | None = None,
    shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] | None = None,
    kinds: Sequence[str] = KINDS,
) -> npt.NDArray[Any]:
    """Draw contiguous arrays of one of the `kinds`.

    Parameters
    ----------
    dtype : dtype or strategy, optional
        ``dtypes()`` by default.
    shape : tuple or strategy, optional
        ``shapes()`` by default.
    kinds : sequence of str
        Some of `KINDS`.
    """
    dtype = dtypes() if dtype is None else dtype
    wanted = np.dtype(draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype)
    shape = shapes() if shape is None else shape
    size = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    kind = draw(st.sampled_from(list(kinds)))
    if kind == "any" and math.prod(size) <= ELEMENTWISE:
        width = 64 if wanted.itemsize == 8 else 32
        values = draw(hnp.arrays(f"f{width // 8}", size, elements=st.floats(width=width)))  # type: ignore[arg-type]
    else:
        values = _seeded(kind, draw(st.integers(0, 2**32 - 1)), size, wanted)
    with np.errstate(all="ignore"):
        return np.asarray(values.astype(wanted))


def _seeded(kind: str, seed: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    if kind == "wide":
        x *= 40
    elif kind == "ties":
        x = np.round(x * rng.choice([0.5, 2, 8]))
    elif kind in ("specials", "any"):
        spots = rng.random(shape) < rng.choice([0.02, 0.3])
        special = [np.inf, -np.inf, np.nan, 0.0, -0.0]
        x[spots] = rng.choice(special, np.count_nonzero(spots), p=[0.02, 0.6, 0.02, 0.18, 0.18])
    elif kind == "subnormal":
        x *= {"float16": 1e-6, "float64": 1e-310}.get(dtype.name, 1e-40)
    elif kind == "offset":
        x += rng.choice(OFFSETS[dtype.name])
    elif kind == "one leads":
        x[tuple(rng.integers(n) for n in shape)] += rng.uniform(5, 900)
    elif kind == "normalised":
        flat = x.reshape(-1, shape[-1])
        largest = flat.max(axis=1, keepdims=True)
        flat -= largest + np.log(np.exp(flat - largest).sum(axis=1, keepdims=True))
    return np.asarray(x, np.float64)


@st.composite
def troublesome(
    draw_from: st.DrawFn,
    dtype: npt.DTypeLike | st.SearchStrategy[np.dtype[Any]] | None = None,
    columns: int | st.SearchStrategy[int] | None = None,
    *,
    rows: int = 3,
    families: Sequence[str] = tuple(FAMILIES),
) -> npt.NDArray[Any]:
    """Draw (rows, columns) values, finite or -inf, that seek trouble: see `cupysoft.testing.trouble.FAMILIES`.

    Parameters
    ----------
    dtype : dtype or strategy, optional
        ``dtypes()`` by default.
    columns : int or strategy, optional
        ``lengths()`` by default.
    rows : int
    families : sequence of str
        Some of the names in `FAMILIES`.
    """
    dtype = dtypes() if dtype is None else dtype
    wanted = np.dtype(draw_from(dtype) if isinstance(dtype, st.SearchStrategy) else dtype)
    columns = lengths() if columns is None else columns
    length = draw_from(columns) if isinstance(columns, st.SearchStrategy) else columns
    family = draw_from(st.sampled_from(list(families)))
    return draw(family, np.random.default_rng(draw_from(st.integers(0, 2**32 - 1))), (rows, length), wanted)


@st.composite
def views(draw: st.DrawFn, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Draw a view of `array`: axes permuted, reversed, thinned out, or repeated with stride zero; never empty."""
    view = array.transpose(draw(st.permutations(range(array.ndim))))
    for axis, size in enumerate(view.shape):
        key: list[Any] = [slice(None)] * view.ndim
        way = draw(st.sampled_from(["whole", "reversed", "odd", "cut", "repeated"]))
        if way == "reversed":
            key[axis] = slice(None, None, -1)
        elif way == "odd":
            key[axis] = slice(None, None, draw(st.sampled_from([2, 3, -3])))
        elif way == "cut":
            key[axis] = slice(draw(st.integers(0, size - 1)), None)
        elif way == "repeated" and size <= 8:
            key[axis] = slice(0, 1)
            view = view[tuple(key)]
            view = np.broadcast_to(view, (*view.shape[:axis], draw(st.integers(1, 5)), *view.shape[axis + 1 :]))
            continue
        view = view[tuple(key)]
    return view


@st.composite
def weights(
    draw: st.DrawFn, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64, *, signed: bool = True
) -> npt.NDArray[Any]:
    """Draw finite weights for logsumexp that broadcast to `shape`: zeros, small integers, signs, many magnitudes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    some = tuple(draw(st.sampled_from([n, n, 1])) for n in shape)
    way = draw(st.sampled_from(["integers", "normal", "magnitudes", "mask"]))
    b = rng.normal(size=some)
    if way == "integers":
        b = rng.integers(-3, 4, some).astype(np.float64)
    elif way == "magnitudes":
        b *= 10.0 ** rng.integers(-4, 4, some)
    elif way == "mask":
        b = rng.integers(0, 2, some).astype(np.float64)
    return np.asarray((b if signed else np.abs(b)).astype(dtype))


def schedules() -> st.SearchStrategy[int | None]:
    """Draw seeds for `cupysoft.simulator.Device`: None, the plain schedule, or a number.

    An example that fails shrinks to None where the plain schedule fails, too, else to a small number.
    """
    return st.none() | st.integers(0, 2**32 - 1)


def devices(
    *,
    arch: str | Sequence[str] = "sm_90",
    check: bool | None = True,
    seed: int | st.SearchStrategy[int | None] | None = None,
) -> st.SearchStrategy[Device]:
    """Draw simulated devices: the plain one, and ones on which a seed decides what CUDA leaves open.

    Each is a new one. An example that fails shrinks towards the plain device, so the one that is reported has a seed
    only where it takes one to fail. Its representation, which Hypothesis prints, is the call that makes it again.

    Parameters
    ----------
    arch : str or sequence of str
        Architecture, or several to draw from, the simplest first.
    check : bool, optional
        Whether the checks are on; None draws that. Without them a race has to give a wrong value before a test sees it.
    seed : int or strategy, optional
        ``schedules()`` by default.

    Examples
    --------
    A sum of atomic additions of floats, which is not what its author thinks:

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> from cupysoft import simulator
    >>> from cupysoft.testing import strategies
    >>> total = simulator.RawKernel(
    ...     'extern "C" __global__ void total(const float* x, float* y) { atomicAdd(y, x[threadIdx.x]); }', "total")
    >>> @settings(deadline=None)
    ... @given(strategies.devices())
    ... def test_total(device):
    ...     x, y = np.float32([1, 1e8, -1e8]), np.zeros(1, np.float32)
    ...     with device:
    ...         total((1,), (3,), (x, y))
    ...     assert y[0] == 0
    >>> try:
    ...     test_total()
    ... except AssertionError as error:
    ...     print(error.__notes__[0].splitlines()[1].strip()[:39])
    device=Device(arch='sm_90', check=True,
    """
    archs = [arch] if isinstance(arch, str) else list(arch)
    drawn = schedules() if seed is None else seed if isinstance(seed, st.SearchStrategy) else st.just(seed)
    checks = st.just(check) if check is not None else st.sampled_from([True, False])
    return st.builds(Device, arch=st.sampled_from(archs), check=checks, seed=drawn)
