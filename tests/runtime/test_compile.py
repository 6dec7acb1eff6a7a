"""Compiling: what comes out, what is kept, and what is said when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from cupysoft.errors import CompileError, MissingDependencyError
from cupysoft.runtime import compile as compile_module
from cupysoft.runtime import nvrtc
from cupysoft.runtime.cache import cache
from cupysoft.runtime.compile import OUR_OPTIONS, compile
from cupysoft.runtime.toolchain import Toolchain, toolchain

ROOT = Path(__file__).parents[2]

SCALE = r"""
template <typename T>
__global__ void scale(const T* __restrict__ x, T* y, long long n, T factor)
{
    long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * factor + T(1);
}
"""

pytestmark = pytest.mark.usefixtures("cache_folder")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each code that really reaches the compiler."""
    reached: list[str] = []
    run = nvrtc.run

    def counted(code: str, name: str, options: tuple[str, ...], names: tuple[str, ...]) -> nvrtc.Output:
        reached.append(name)
        return run(code, name, options, names)

    monkeypatch.setattr(nvrtc, "run", counted)
    return reached


def forget() -> None:
    """Leave what this process keeps in memory, as a new process would."""
    compile_module._kept.clear()


def test_ptx_of_one_instantiation() -> None:
    done = compile(SCALE, arch="sm_90", names=["scale<float>"])
    assert done.kind == "ptx"
    assert b".target sm_90" in done.code
    lowered = done.names["scale<float>"]
    assert list(done.parameters) == [lowered]  # that instantiation alone
    assert [(each.type, each.size, each.offset) for each in done.parameters[lowered]] == [
        ("u64", 8, 0),
        ("u64", 8, 8),
        ("u64", 8, 16),
        ("f32", 4, 24),
    ]
    assert done.nvrtc == nvrtc.version()


def test_our_rules_keep_the_arithmetic_as_written() -> None:
    ours = compile(SCALE, arch="sm_90", names=["scale<float>"]).code
    theirs = compile(SCALE, arch="sm_90", names=["scale<float>"], our_rules=False).code
    assert b"fma" not in ours
    assert b"fma" in theirs
    assert b".loc" in ours
    assert b".loc" in theirs
    assert "--fmad=false" in OUR_OPTIONS


def test_a_cubin_has_its_parameters_and_its_report() -> None:
    done = compile(SCALE, arch="sm_90", names=["scale<double>"], kind="cubin")
    assert done.kind == "cubin"
    assert done.code.startswith(b"\x7fELF")
    assert [each.type for each in done.parameters[done.names["scale<double>"]]] == ["u64", "u64", "u64", "f64"]
    assert "Used" in done.log
    assert done.path is not None
    assert done.path.read_bytes() == done.code


def test_the_second_time_comes_from_the_cache(runs: list[str]) -> None:
    first = compile(SCALE, arch="sm_90", names=["scale<float>"], kind="cubin")
    assert runs == ["kernel.cu"]
    forget()
    assert compile(SCALE, arch="sm_90", names=["scale<float>"], kind="cubin") == first
    assert runs == ["kernel.cu"]


def test_whatever_goes_in_is_in_the_key(runs: list[str]) -> None:
    keys = {
        compile(SCALE, arch="sm_90", names=["scale<float>"]).key,
        compile(SCALE + "\n", arch="sm_90", names=["scale<float>"]).key,
        compile(SCALE, arch="sm_80", names=["scale<float>"]).key,
        compile(SCALE, arch="sm_90", names=["scale<double>"]).key,
        compile(SCALE, arch="sm_90", names=["scale<float>"], kind="cubin").key,
        compile(SCALE, arch="sm_90", names=["scale<float>"], options=["-DX=1"]).key,
        compile(SCALE, arch="sm_90", names=["scale<float>"], our_rules=False).key,
        compile(SCALE, arch="sm_90", names=["scale<float>"], name="other.cu").key,
    }
    assert len(keys) == len(runs) == 8


def test_another_toolchain_compiles_anew(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    compile(SCALE, arch="sm_90", names=["scale<float>"])
    forget()
    headers = toolchain().headers
    monkeypatch.setattr(compile_module, "toolchain", lambda: Toolchain("nvrtc of tomorrow", headers))
    compile(SCALE, arch="sm_90", names=["scale<float>"])
    assert len(runs) == 2


def test_a_damaged_entry_is_compiled_anew(runs: list[str], cache_folder: Path) -> None:
    first = compile(SCALE, arch="sm_90", names=["scale<float>"])
    forget()
    (entry,) = cache_folder.glob("*.kernel")
    entry.write_bytes(entry.read_bytes()[:-7])
    assert compile(SCALE, arch="sm_90", names=["scale<float>"]) == first
    assert len(runs) == 2


def test_an_entry_of_another_making_is_compiled_anew(runs: list[str]) -> None:
    first = compile(SCALE, arch="sm_90", names=["scale<float>"])
    forget()
    cache().put(first.key, ".kernel", b'{"not": "ours"}\n')
    assert compile(SCALE, arch="sm_90", names=["scale<float>"]) == first
    assert len(runs) == 2


def test_threads_compile_once(runs: list[str]) -> None:
    threads = [
        threading.Thread(target=compile, args=(SCALE,), kwargs={"arch": "sm_90", "names": ("scale<int>",)})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1


def test_an_edited_header_of_the_user_compiles_anew(runs: list[str], tmp_path: Path) -> None:
    inner = tmp_path / "inner.h"
    (tmp_path / "outer.h").write_text('#include "inner.h"\n')
    inner.write_text("#define VALUE 1\n")
    code = '#include "outer.h"\nextern "C" __global__ void k(int* x) { *x = VALUE; }'
    first = compile(code, arch="sm_90", options=[f"-I{tmp_path}"], our_rules=False)
    inner.write_text("#define VALUE 2\n")
    second = compile(code, arch="sm_90", options=[f"-I{tmp_path}"], our_rules=False)
    assert first.code != second.code
    assert len(runs) == 2


def test_cuda_headers_are_found() -> None:
    code = """
    #include <cuda_fp16.h>
    #include <cuda_bf16.h>
    #include <cuda/std/limits>
    __global__ void k(__half* x, __nv_bfloat16* y) { *x = __float2half(cuda::std::numeric_limits<float>::max()); }
    """
    assert compile(code, arch="sm_90", names=["k"]).code


def test_a_compile_error_tells_where_and_how() -> None:
    code = '#line 41 "softmax/rows.cu"\n__global__ void k(int* x)\n{ *x = nowhere; }\n'
    with pytest.raises(CompileError) as caught:
        compile(code, arch="sm_90", name="softmax/rows.cu")
    text = str(caught.value)
    assert text.startswith('compile: softmax/rows.cu, line 42: identifier "nowhere" is undefined')
    assert "--fmad=false" in text
    assert "--gpu-architecture=compute_90" in text
    assert "log:" in text


def test_a_name_that_does_not_exist_is_a_compile_error() -> None:
    with pytest.raises(CompileError, match="scale<nothing>"):
        compile(SCALE, arch="sm_90", names=["scale<nothing>"])


@pytest.mark.parametrize("arch", ["90", "compute_90", "sm_9x", ""])
def test_a_strange_architecture_is_refused(arch: str) -> None:
    with pytest.raises(CompileError, match="arch must look like"):
        compile(SCALE, arch=arch)


def test_an_architecture_of_the_future_gets_ptx() -> None:
    done = compile(SCALE, arch="sm_999a", names=["scale<float>"], kind="cubin")
    assert done.kind == "ptx"
    assert done.arch == f"sm_{nvrtc.architectures()[-1]}"
    assert f".target {done.arch}".encode() in done.code
    assert done.path is not None
    assert done.path.suffix == ".ptx"


def test_an_architecture_of_the_past_is_refused_with_the_remedy() -> None:
    with pytest.raises(CompileError, match=r"sm_20.*cuda-bindings==12"):
        compile(SCALE, arch="sm_20", names=["scale<float>"])


def test_missing_cuda_headers_have_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "toolchain", lambda: Toolchain("no headers", ()))
    with pytest.raises(MissingDependencyError, match=r"cooperative_groups\.h.*cuda-toolkit\[cudart,cccl\]"):
        compile("#include <cooperative_groups.h>\n", arch="sm_90")
    with pytest.raises(MissingDependencyError, match=r"curand_kernel\.h.*cuda-toolkit\[curand\]"):
        compile("#include <curand_kernel.h>\n", arch="sm_90")


@pytest.mark.parametrize("name", ["mine.h", "custom.h"])
def test_missing_headers_of_the_user_are_a_compile_error(name: str) -> None:
    with pytest.raises(CompileError, match=name):
        compile(f'#include "{name}"\n', arch="sm_90")


def test_without_nvrtc_the_cache_still_serves(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = compile(SCALE, arch="sm_90", names=["scale<float>"], kind="cubin")
    forget()
    monkeypatch.setattr(compile_module, "toolchain", lambda: Toolchain("", ()))
    found = compile(SCALE, arch="sm_90", names=["scale<float>"], kind="cubin")
    assert found == ahead
    assert found.path == ahead.path
    assert len(runs) == 1


class WithoutLibrary:
    """Bindings that find no library to bind to."""

    @staticmethod
    def nvrtcVersion() -> None:
        """Fail as `cuda.pathfinder` does."""
        raise RuntimeError("Failure finding libnvrtc.so")


@pytest.fixture(params=["no bindings", "no library"])
def _without_nvrtc(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def forget_nvrtc() -> None:
        for each in (nvrtc._bindings, nvrtc.version, nvrtc.architectures):
            each.cache_clear()

    forget_nvrtc()
    monkeypatch.setattr(compile_module, "toolchain", lambda: Toolchain("", ()))
    if request.param == "no bindings":
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    else:
        monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(nvrtc=WithoutLibrary))
    yield
    monkeypatch.undo()
    forget_nvrtc()
    assert nvrtc.available()


@pytest.mark.usefixtures("_without_nvrtc")
def test_without_nvrtc_and_cache_the_remedy_is_named() -> None:
    assert not nvrtc.available()
    with pytest.raises(MissingDependencyError, match=r"cuda-toolkit\[nvrtc.*compile --arch sm_90"):
        compile(SCALE, arch="sm_90", names=["scale<float>"])


WARM = """
import json, sys, time
from cupysoft.runtime.compile import compile
code = sys.stdin.read()
start = time.perf_counter()
compile(code, arch="sm_90", names=["scale<float>"], kind="cubin")
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "bindings": "cuda.bindings" in sys.modules}))
"""


def test_a_warm_start_is_quick_and_loads_no_compiler(cache_folder: Path) -> None:
    cold, warm = (
        json.loads(
            subprocess.run(
                [sys.executable, "-c", WARM], cwd=ROOT, input=SCALE, text=True, capture_output=True, check=True
            ).stdout
        )
        for _ in range(2)
    )
    assert cold["bindings"]
    assert not warm["bindings"]
    assert warm["seconds"] < 0.05


def test_an_empty_log_is_not_written_into_a_string_that_python_shares() -> None:
    shared = bytes([32])  # the one object for this byte, which a buffer of one blank would be too
    nvrtc.run("__global__ void nothing() {}", "nothing.cu", ["--gpu-architecture=sm_80"], [])
    assert shared[0] == 32


def test_a_source_file_is_called_what_the_user_called_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        code = '__global__ void set(int* x) {\n#line 1 "part/of.cuh"\n  *x = 1;\n}'
        texts.append(nvrtc.run(code, "own.cu", ["--gpu-architecture=sm_80", "--generate-line-info"], []).ptx)
    assert texts[0] == texts[1]
    assert b'"own.cu"' in texts[0]
    assert b'"part/of.cuh"' in texts[0]
