"""How kernels and modules are made: CuPy's parameters, its compilation, files of PTX, variables, attributes."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cupysoft.simulator as simulator
from cupysoft.errors import CompileError, DtypeError, LaunchError, MemcheckError, UnknownInstructionError
from cupysoft.runtime.compile import compile

SCALE = 'extern "C" __global__ void scale(float* x) { x[threadIdx.x] *= 0.5f; }'
TINY = np.float32(1e-45)


@pytest.fixture(params=[True, False], ids=["checked", "unchecked"], autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[simulator.Device]:
    with simulator.Device(check=request.param) as made:
        yield made


def scaled(kernel: simulator.RawKernel, x: Any) -> Any:
    y = np.array(x, np.float32)
    kernel((1,), (y.size,), (y,))
    return y


@pytest.mark.parametrize("options", [(), ("--ftz=false",), ("-ftz=false", "-lineinfo"), ("--use_fast_math",)])
def test_subnormal_numbers_are_flushed_as_by_cupy(options: tuple[str, ...]) -> None:
    assert scaled(simulator.RawKernel(SCALE, "scale", options), [8 * TINY, 4]).tolist() == [0, 2]


def test_options_reach_the_compiler() -> None:
    source = 'extern "C" __global__ void f(long* x) { x[0] = N; x[1] = __cplusplus; }'
    x = np.zeros(2, np.int64)
    simulator.RawKernel(source, "f", ("-DN=7", "-arch=sm_80"))((1,), (1,), (x,))
    assert x.tolist() == [7, 201703]
    simulator.RawKernel(source, "f", ("-DN=8", "-std=c++20"))((1,), (1,), (x,))
    assert x.tolist() == [8, 202002]


def test_functions_belong_to_the_device_without_saying_so() -> None:
    source = 'float half_of(float x) { return x / 2; } extern "C" __global__ void f(float* x) { *x = half_of(*x); }'
    assert scaled(simulator.RawKernel(source, "f"), [3])[0] == 1.5


def test_what_a_kernel_and_a_module_remember() -> None:
    kernel = simulator.RawKernel(SCALE, "scale", ("-DN=1",), enable_cooperative_groups=True)
    assert (kernel.code, kernel.name, kernel.__name__) == (SCALE, "scale", "scale")
    assert (kernel.options, kernel.backend, kernel.file_path) == (("-DN=1",), "nvrtc", None)
    assert kernel.enable_cooperative_groups
    module = simulator.RawModule(SCALE, options=("-DN=1",), name_expressions=["a", "b"])
    assert (module.code, module.options, module.name_expressions) == (SCALE, ("-DN=1",), ("a", "b"))
    assert isinstance(module.get_function("scale"), simulator.RawKernel)
    assert simulator.RawModule(code=SCALE).name_expressions is None


def test_name_expressions_of_templates_and_plain_functions() -> None:
    source = r"""
    namespace n { template <typename T, int K> __global__ void add(T* x) { x[threadIdx.x] += K; } }
    __global__ void twice(float* x) { x[threadIdx.x] *= 2; }"""
    names = ("n::add<float, 3>", "n::add<double, -1>", "twice")
    module = simulator.RawModule(code=source, name_expressions=names)
    assert scaled(module.get_function(names[0]), [1, 2]).tolist() == [4, 5]
    assert scaled(module.get_function("twice"), [1, 2]).tolist() == [2, 4]
    wide = np.ones(2)
    module.get_function(names[1])((1,), (2,), (wide,))
    assert wide.tolist() == [0, 0]


def test_a_stream_is_accepted() -> None:
    x = np.ones(1, np.float32)
    kernel = simulator.RawKernel(SCALE, "scale")
    kernel((1,), (1,), (x,), stream=SimpleNamespace(ptr=0))
    kernel((1,), (1,), (x,), shared_mem=0, stream=None)
    assert x[0] == 0.25
    with pytest.raises(DtypeError, match=r"stream must be a cupy\.cuda\.Stream"):
        kernel((1,), (1,), (x,), stream=7)


def test_a_file_of_ptx(tmp_path: Path) -> None:
    ptx = compile(SCALE, arch="sm_80", our_rules=False).code
    (tmp_path / "scale.ptx").write_bytes(ptx)
    module = simulator.RawModule(path=str(tmp_path / "scale.ptx"))
    kernel = module.get_function("scale")
    assert scaled(kernel, [8 * TINY, 4]).tolist() == [4 * TINY, 2]  # compiled by others, with other options
    assert (kernel.code, kernel.file_path) == (None, str(tmp_path / "scale.ptx"))
    assert kernel.attributes["num_regs"] == -1
    assert kernel.attributes["ptx_version"] == 80
    with pytest.raises(LaunchError, match="has no such kernel; it has scale"):
        scaled(module.get_function("other"), [1])


def test_files_that_are_no_ptx_for_the_device(tmp_path: Path) -> None:
    (tmp_path / "new.ptx").write_bytes(compile(SCALE, arch="sm_100", our_rules=False).code)
    cubin = compile(SCALE, arch="sm_90", our_rules=False, kind="cubin")
    (tmp_path / "scale.cubin").write_bytes(cubin.code)
    (tmp_path / "text").write_text("hello")
    for name, error, says in (
        ("new.ptx", LaunchError, "is PTX for sm_100, the device is sm_90"),
        ("scale.cubin", CompileError, "holds machine code"),
        ("text", CompileError, "is no PTX"),
    ):
        with pytest.raises(error, match=says):
            scaled(simulator.RawModule(path=str(tmp_path / name)).get_function("scale"), [1])
    with pytest.raises(FileNotFoundError):
        simulator.RawModule(path=str(tmp_path / "nothing.ptx")).compile()


VARIABLES = r"""
__constant__ float table[4] = {1, 2, 4, 8};
__device__ int calls;
__device__ double unused[3];
extern "C" __global__ void look(float* x) { x[threadIdx.x] = table[threadIdx.x & 3]; atomicAdd(&calls, 1); }
extern "C" __global__ void count(int* n) { *n = calls; }
"""


def test_variables_before_any_launch() -> None:
    module = simulator.RawModule(code=VARIABLES)
    table = np.ndarray((4,), np.float32, module.get_global("table"))  # the way of cupy.ndarray
    assert table.tolist() == [1, 2, 4, 8]
    table[:] = [5, 6, 7, 8]
    module.get_global("unused").view(np.float64)[:] = 3
    x = np.zeros(6, np.float32)
    module.get_function("look")((1,), (6,), (x,))
    assert x.tolist() == [5, 6, 7, 8, 5, 6]
    assert module.get_global("calls").view(np.int32)[0] == 6
    with pytest.raises(LaunchError, match="no global or constant variable 'nothing'; it has table, calls, unused"):
        module.get_global("nothing")


def test_pointers_that_a_launch_leaves_are_good_in_the_next(device: simulator.Device) -> None:
    source = r"""
    __device__ int* kept;
    struct Node { Node* next; int value; };
    extern "C" __global__ void link(const int* order, Node* nodes, int* y) {
        int i = threadIdx.x;
        nodes[order[i]].value = i;
        nodes[order[i]].next = i < 31 ? nodes + order[i + 1] : nullptr;
        if (i == 0) kept = y;
    }
    extern "C" __global__ void walk(int* y, const int* more, const Node* nodes, int first, int beyond) {
        int* p = kept + beyond;
        const Node* node = nodes + first;
        for (int k = 0; node; node = node->next) p[k++] = node->value + more[0];
    }"""
    order = np.random.default_rng(1).permutation(32).astype(np.int32)
    nodes, y, more = np.zeros(64, np.uint64), np.zeros(32, np.int32), np.ones(1, np.int32)
    module = simulator.RawModule(code=source)
    module.get_function("link")((1,), (32,), (order, nodes, y))
    walk = module.get_function("walk")
    walk((1,), (1,), (y, more, nodes, order[0], 0))
    assert y.tolist() == list(range(1, 33))
    if device.check:
        with pytest.raises(MemcheckError, match="element 32 of argument 0"):
            walk((1,), (1,), (y, more, nodes, order[0], 1))


def test_modules_of_one_source_share_their_variables() -> None:
    x, n = np.zeros(3, np.float32), np.zeros((), np.int32)
    look, count = (simulator.RawKernel(VARIABLES, name) for name in ("look", "count"))
    other = simulator.RawKernel(VARIABLES, "count", ("-DOTHER",))
    look((1,), (3,), (x,))
    count((1,), (1,), (n,))
    assert n == 3
    other((1,), (1,), (n,))
    assert n == 0


def test_compiling_before_the_first_launch() -> None:
    log = io.StringIO()
    noisy = 'extern "C" __global__ void f(float* x) { int idle = 1; *x = 2; }'
    kernel = simulator.RawKernel(noisy, "f")
    kernel.compile(log_stream=log)
    assert "idle" in log.getvalue()
    simulator.RawModule(code=SCALE).compile()
    with pytest.raises(CompileError, match="nothing"):
        simulator.RawModule(code='extern "C" __global__ void f() { nothing(); }').compile()
    with pytest.raises(LaunchError, match="has no such kernel"):
        simulator.RawKernel(SCALE, "other").compile()


def test_attributes() -> None:
    source = r"""
    __constant__ double table[5];
    extern "C" __global__ void __launch_bounds__(96) f(float* x) {
        __shared__ float s[1000];
        s[threadIdx.x] = table[2]; __syncthreads(); x[threadIdx.x] = s[95 - threadIdx.x];
    }"""
    kernel = simulator.RawKernel(source, "f")
    found = kernel.attributes
    assert 4 <= found.pop("num_regs") <= 64
    assert found == {
        "max_threads_per_block": 96,
        "shared_size_bytes": 4000,
        "const_size_bytes": 40,
        "local_size_bytes": 0,
        "ptx_version": 90,
        "binary_version": 90,
        "cache_mode_ca": 0,
        "max_dynamic_shared_size_bytes": (48 << 10) - 4000,
        "preferred_shared_memory_carveout": -1,
    }
    kernel.max_dynamic_shared_size_bytes = 100_000
    kernel.preferred_shared_memory_carveout = 50
    assert kernel.max_dynamic_shared_size_bytes == 100_000
    assert kernel.attributes["preferred_shared_memory_carveout"] == 50
    assert simulator.RawKernel(source, "f").max_dynamic_shared_size_bytes == (48 << 10) - 4000


def test_static_shared_memory_counts_with_the_dynamic() -> None:
    source = r"""
    extern "C" __global__ void f(int* out) {
        __shared__ int fixed[10000]; extern __shared__ int more[];
        fixed[threadIdx.x] = 1; more[threadIdx.x] = 2; out[threadIdx.x] = fixed[threadIdx.x] + more[threadIdx.x];
    }"""
    kernel, out = simulator.RawKernel(source, "f"), np.zeros(8, np.int32)
    kernel((1,), (8,), (out,), shared_mem=9152)
    assert out.tolist() == [3] * 8
    with pytest.raises(LaunchError, match="9153 bytes .* which is 9152"):
        kernel((1,), (8,), (out,), shared_mem=9153)


def test_kernels_and_modules_are_pickled() -> None:
    kernel = simulator.RawKernel(SCALE, "scale", ("-DN=1",))
    assert scaled(pickle.loads(pickle.dumps(kernel)), [4])[0] == 2
    module = pickle.loads(pickle.dumps(simulator.RawModule(code=SCALE, name_expressions=("scale",))))
    assert scaled(module.get_function("scale"), [4])[0] == 2


def test_textures_are_refused_by_name() -> None:
    module = simulator.RawModule(code=SCALE)
    for get in (module.get_texref, module.get_surfref):
        with pytest.raises(LaunchError, match="'image' cannot be had, textures and surfaces are not simulated"):
            get("image")
    source = r"""
    extern "C" __global__ void f(cudaTextureObject_t t, cudaSurfaceObject_t s, float* y) {
        if (y[0] > 0) y[0] = tex2D<float>(t, 0.5f, 0.5f); else surf2Dwrite(y[1], s, 4, 1);
    }"""
    with pytest.raises(UnknownInstructionError, match=r"(tex\.2d|sust).*kernel\.cu:3\): textures and surfaces are not"):
        simulator.RawKernel(source, "f")((1,), (1,), (0, 0, np.zeros(2, np.float32)))


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({}, DtypeError, "either code"),
        ({"code": SCALE, "path": "a.ptx"}, DtypeError, "either code"),
        ({"path": "a.ptx", "name_expressions": ["f"]}, CompileError, "need code"),
        ({"code": SCALE, "name_expressions": "f"}, DtypeError, "sequence of str"),
        ({"code": SCALE, "options": ["-DN=1"]}, DtypeError, "options must be a tuple"),
        ({"code": SCALE, "options": "-DN=1"}, DtypeError, "options must be a tuple"),
        ({"code": SCALE, "backend": "nvcc"}, CompileError, r"nvcc -ptx.*RawModule\(path=...\)"),
        ({"code": SCALE, "jitify": True}, CompileError, "cuda/std/type_traits"),
    ],
)
def test_what_cannot_be_made(given: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        simulator.RawModule(**given)
    if "code" in given and "path" not in given and "name_expressions" not in given:
        with pytest.raises(error, match=says):
            simulator.RawKernel(name="scale", **given)
