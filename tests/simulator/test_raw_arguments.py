"""Arguments of a launch, of every kind that CuPy takes: what the kernel gets of them, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import LaunchError, MemcheckError

BF16 = np.dtype(ml_dtypes.bfloat16)


@pytest.fixture(params=[True, False], ids=["checked", "unchecked"], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[simulator.Device]:
    with simulator.Device(check=request.param) as made:
        yield made


def store(ctype: str, value: Any, dtype: np.dtype[Any], head: str = "") -> Any:
    """What a kernel finds in a parameter of a C++ type."""
    source = f'{head}\nextern "C" __global__ void store({ctype} value, {ctype}* out) {{ *out = value; }}'
    out = np.zeros((), dtype)
    simulator.RawKernel(source, "store")((1,), (1,), (value, out))
    return out[()]


@pytest.mark.parametrize(
    ("ctype", "value"),
    [
        ("bool", np.True_),
        ("signed char", np.int8(-5)),
        ("unsigned char", np.uint8(250)),
        ("short", np.int16(-30000)),
        ("unsigned short", np.uint16(60000)),
        ("int", np.int32(-(1 << 31))),
        ("unsigned int", np.uint32((1 << 32) - 1)),
        ("long long", np.int64(-(1 << 63))),
        ("unsigned long long", np.uint64((1 << 64) - 1)),
        ("float", np.float32(1e-45)),
        ("double", np.float64(5e-324)),
    ],
)
def test_numpy_scalars_of_every_dtype(ctype: str, value: np.generic) -> None:
    assert store(ctype, value, value.dtype) == value


@pytest.mark.parametrize(
    ("ctype", "value", "header"),
    [
        ("__half", np.float16(1.5), "cuda_fp16.h"),
        ("__nv_bfloat16", BF16.type(-2.25), "cuda_bf16.h"),
        ("float2", np.complex64(1 - 2j), ""),
        ("double2", np.complex128(3 + 4j), ""),
        ("cuComplex", np.complex64(-1 + 2j), "cuComplex.h"),
    ],
)
def test_numpy_scalars_that_are_structures_in_cuda(ctype: str, value: np.generic, header: str) -> None:
    assert store(ctype, value, value.dtype, f"#include <{header}>" if header else "") == value


@pytest.mark.parametrize(
    ("ctype", "value", "dtype"),
    [
        ("bool", True, np.bool_),
        ("long long", -(1 << 40), np.int64),
        ("unsigned long long", (1 << 64) - 1, np.uint64),
        ("int", -7, np.int32),
        ("unsigned char", 255, np.uint8),
        ("double", 2.5, np.float64),
        ("double2", 1 + 2j, np.complex128),
    ],
)
def test_python_scalars(ctype: str, value: complex, dtype: type[np.generic]) -> None:
    assert store(ctype, value, np.dtype(dtype)) == value


def test_null_pointers() -> None:
    source = 'extern "C" __global__ void f(const float* x, const float* w, int* has) { has[0] = !!x; has[1] = !!w; }'
    has = np.full(2, -1, np.int32)
    for nothing in (None, 0):
        simulator.RawKernel(source, "f")((1,), (1,), (np.zeros(3, np.float32), nothing, has))
        assert has.tolist() == [1, 0]


def test_an_address_as_an_integer_is_no_argument_that_the_checks_know(device: simulator.Device) -> None:
    source = 'extern "C" __global__ void f(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x]; }'
    x, y = np.arange(5, dtype=np.int32), np.zeros(5, np.int32)
    kernel = simulator.RawKernel(source, "f")
    if device.check:
        with pytest.raises(MemcheckError, match="f:"):
            kernel((1,), (5,), (x.ctypes.data, y))
    else:
        kernel((1,), (5,), (x.ctypes.data, y))
        assert y.tolist() == [0, 1, 2, 3, 4]


INNER = np.dtype([("low", "f4"), ("high", "f4")], align=True)
OUTER = np.dtype([("flag", "i1"), ("range", INNER), ("weights", "f8", (2, 2)), ("count", "i2")], align=True)
NESTED = r"""
struct Range { float low, high; };
struct Outer { signed char flag; Range range; double weights[2][2]; short count; };
extern "C" __global__ void f(Outer s, double* out) {
    out[0] = s.flag; out[1] = s.range.low; out[2] = s.range.high; out[3] = s.weights[1][0]; out[4] = s.count;
}"""


def test_structures_by_value_as_scalars_and_as_arrays() -> None:
    whole = np.zeros(1, OUTER)
    whole["flag"], whole["count"] = -3, 1234
    whole["range"] = (0.5, 7.5)
    whole["weights"] = [[[1, 2], [3, 4]]]
    for given in (whole[0], whole, whole.reshape(())):
        out = np.zeros(5)
        simulator.RawKernel(NESTED, "f")((1,), (1,), (given, out))
        assert out.tolist() == [-3, 0.5, 7.5, 3, 1234]


def test_the_address_of_a_structure_that_was_passed() -> None:
    """A ``__grid_constant__`` is read where it is, behind a pointer."""
    source = r"""
    struct Table { int n; float of[20]; };
    __device__ __noinline__ float look(const Table* t, int i) { return t->of[i * 7 % t->n]; }
    extern "C" __global__ void f(const __grid_constant__ Table table, float* y) {
        y[threadIdx.x] = look(&table, threadIdx.x);
    }"""
    table = np.zeros((), np.dtype([("n", "i4"), ("of", "f4", (20,))]))
    table["n"], table["of"] = 20, np.arange(20) * 1.5
    kernel = simulator.RawKernel(source, "f")
    # Whatever window an array gets: the operating system's addresses of memory lie in none of them.
    kept = [np.zeros(32, np.float32) for _ in range(130)]
    for y in kept:
        kernel((1,), (32,), (table, y))
        assert y.tolist() == [i * 7 % 20 * 1.5 for i in range(32)]


def test_a_structure_of_eight_bytes_is_no_pointer() -> None:
    source = 'struct Pair { int a, b; }; extern "C" __global__ void f(Pair p, int* out) { *out = p.a - p.b; }'
    out = np.zeros((), np.int32)
    pair = np.array((50, 8), [("a", "i4"), ("b", "i4")])
    for given in (pair, pair[()], np.array([50, 8], np.int32)):
        out[...] = 0
        simulator.RawKernel(source, "f")((1,), (1,), (given, out))
        assert out == 42


def test_arrays_of_structures_are_pointers() -> None:
    source = 'struct P { float x; int n; }; extern "C" __global__ void f(P* p) { p[threadIdx.x].n = p[threadIdx.x].x; }'
    points = np.zeros(5, [("x", "f4"), ("n", "i4")])
    points["x"] = np.arange(5) * 2
    simulator.RawKernel(source, "f")((1,), (5,), (points,))
    assert points["n"].tolist() == [0, 2, 4, 6, 8]


FIRST = 'extern "C" __global__ void f(const int* x, int* y) { y[threadIdx.x] = x[threadIdx.x]; }'
X = np.arange(24, dtype=np.int32).reshape(4, 6)


@pytest.mark.parametrize(
    ("view", "count", "expected"),
    [
        (X.T, 24, range(24)),
        (X[:, ::2], 23, range(23)),
        (X[1:, 2:], 16, range(8, 24)),
        (X[1::2], 18, range(6, 24)),
        (np.broadcast_to(X[2], (5, 6)), 6, range(12, 18)),
    ],
    ids=["transposed", "every other", "a corner", "every other row", "repeated"],
)
def test_strides_are_ignored(view: np.ndarray[Any, Any], count: int, expected: range) -> None:
    y = np.full(count, -1, np.int32)
    simulator.RawKernel(FIRST, "f")((1,), (count,), (view, y))
    assert y.tolist() == list(expected)


@pytest.mark.parametrize(
    ("view", "count"),
    [(X.T, 25), (X[:, ::2], 24), (X[1:, 2:], 17), (np.broadcast_to(X[2], (5, 6)), 7), (X[::-1], 7), (X[:0], 1)],
    ids=["transposed", "every other", "a corner", "repeated", "reversed", "empty"],
)
def test_the_memory_of_a_view_ends_with_its_last_element(
    view: np.ndarray[Any, Any], count: int, device: simulator.Device
) -> None:
    if not device.check:
        return
    with pytest.raises(MemcheckError, match="argument 0"):
        simulator.RawKernel(FIRST, "f")((1,), (count,), (view, np.zeros(count, np.int32)))


class TextureObject:
    """Named as CuPy's class."""


@pytest.mark.parametrize(
    ("parameter", "argument", "says"),
    [
        ("float a", 1, "argument 0 is the int 1"),
        ("float a", 1.0, "float64 of 8 bytes"),
        ("float a", np.zeros((), np.float32), "argument 0 is an array"),
        ("int a", np.float32(1), "argument 0 is a float32"),
        ("int a", 1 << 33, "does not fit"),
        ("int a", True, "bool of 1 bytes"),
        ("double a", np.longdouble(1), "16 bytes"),
        ("float* a", np.array([None]), "Python objects"),
        ("float* a", np.zeros(3, ">f4"), "argument 0 has dtype >f4, whose byte order"),
        ("int4 a", np.zeros(4, "<i2,>i2")[()], "whose byte order"),
        ("int4 a", np.zeros(3, np.int32), "array of 12 bytes"),
        ("int4 a", np.array((1, 2), "i4,i8")[()], "12 bytes"),
        ("float* a", [1.0], "builtins.list"),
        ("float* a", "text", "builtins.str"),
        ("cudaTextureObject_t a", TextureObject(), "TextureObject; textures and surfaces are not simulated"),
    ],
)
def test_what_does_not_fit_is_refused(parameter: str, argument: object, says: str) -> None:
    kernel = simulator.RawKernel(f'extern "C" __global__ void f({parameter}) {{ }}', "f")
    with pytest.raises(LaunchError, match=says):
        kernel((1,), (1,), (argument,))


LAUNCHES: list[tuple[Any, Any, Any, Any, str]] = [
    ((1.5,), (1,), (), 0, r"f: grid must be a tuple of one to three ints, not \(1.5,\)"),
    ("1", (1,), (), 0, "f: grid must be a tuple of one to three ints, not '1'"),
    (1, (1,), (), 0, "f: grid must be a tuple of one to three ints, not 1"),
    ((1,), (1, 1, 1, 1), (), 0, "f: block must have one to three extents, not 4"),
    ((1,), (1,), None, 0, "f: args must be a tuple of arguments, not None"),
    ((1,), (1,), np.zeros(3), 0, "f: args must be a tuple of arguments, not an array"),
    ((1,), (1,), (), 1.5, "f: shared_mem must be a number of bytes, not 1.5"),
    ((1,), (1,), (), -1, "f: -1 bytes of dynamic"),
    ((1,), (1,), (3, 4), 0, r"f: 2 arguments were given, but the kernel has 1 parameters \(an integer of 4 bytes\)"),
    ((1,), (1,), (np.int64(3),), 0, "f: argument 0 is an int64 of 8 bytes, but the kernel takes an integer of 4 bytes"),
    ((1,), (1,), (1 << 40,), 0, "f: argument 0 is the int 1099511627776, which does not fit an integer of 4 bytes"),
]


@pytest.mark.parametrize(("grid", "block", "args", "shared", "says"), LAUNCHES)
def test_what_does_not_fit_a_launch_is_named(grid: Any, block: Any, args: Any, shared: Any, says: str) -> None:
    kernel = simulator.RawKernel('extern "C" __global__ void f(int n) {}', "f")
    kernel((1,), (1,), [np.int32(3)])
    with pytest.raises(LaunchError, match=says):
        kernel(grid, block, args, shared_mem=shared)


@pytest.mark.parametrize("arch", ["hopper", "compute_90", 90, None, "sm_90 "])
def test_an_architecture_is_checked_at_once(arch: Any) -> None:
    with pytest.raises(LaunchError, match='Device: arch must look like "sm_90" or "sm_90a", not '):
        simulator.Device(arch=arch)


@pytest.mark.parametrize("seed", ["x", 1.5])
def test_a_seed_is_checked_at_once(seed: Any) -> None:
    with pytest.raises(LaunchError, match="Device: seed must be an int or None, not "):
        simulator.Device(seed=seed)


def test_a_block_is_held_against_what_the_kernel_was_compiled_for() -> None:
    x = np.zeros(128, np.int32)
    kernel = simulator.RawKernel(
        'extern "C" __global__ void __launch_bounds__(64) f(int* x) { x[threadIdx.x] = 1; }', "f"
    )
    kernel((1,), (64,), (x,))
    with pytest.raises(LaunchError, match=r"f: a block of \(65, 1, 1\) has 65 threads; .* compiled for at most 64"):
        kernel((1,), (65,), (x,))
    assert x.sum() == 64
