"""The headers that CuPy's own compilations see: its copy of CUDA's libraries first, its own and CUDA's last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cupysoft.errors import MissingDependencyError
from cupysoft.runtime import compile as compile_module
from cupysoft.runtime.compile import compile
from cupysoft.runtime.cupy_headers import CupyHeaders, cupy_headers, headers_of
from cupysoft.runtime.toolchain import toolchain

COMPLEX = r"""
#include <cupy/complex.cuh>
extern "C" __global__ void square(complex<float>* z) { z[threadIdx.x] *= z[threadIdx.x]; }
"""


def cupy_at(folder: Path) -> Path:
    """A folder that looks like an installed CuPy."""
    own = folder / "_core" / "include" / "cupy"
    own.mkdir(parents=True)
    (own / "carray.cuh").touch()
    (folder / "_version.py").write_text("from __future__ import annotations\n\n__version__ = '14.2.0'\n")
    return folder


def test_without_cupy_the_headers_of_cuda_alone(tmp_path: Path) -> None:
    cuda = (tmp_path / "include", tmp_path / "include" / "cccl")
    assert headers_of(None, cuda) == CupyHeaders("", (), cuda)
    assert headers_of(tmp_path, cuda) == CupyHeaders("", (), cuda)


def test_a_cupy_that_brings_no_libraries(tmp_path: Path) -> None:
    cupy = cupy_at(tmp_path)
    cuda = (tmp_path / "include", tmp_path / "include" / "cccl")
    assert headers_of(cupy, cuda) == CupyHeaders("14.2.0", (), (cupy / "_core" / "include", *cuda))


def test_the_libraries_that_cupy_brings_stand_for_those_of_cuda(tmp_path: Path) -> None:
    cupy, cuda = cupy_at(tmp_path), tmp_path / "include"
    cuda.mkdir()
    (cuda / "cuda_runtime_api.h").touch()
    libraries = [cupy / "_core" / "include" / "cupy" / "_cccl" / name for name in ("cub", "thrust", "libcudacxx")]
    for folder in libraries:
        folder.mkdir(parents=True)
    found = headers_of(cupy, (cuda, cuda / "cccl"))
    assert found == CupyHeaders("14.2.0", tuple(libraries), (cupy / "_core" / "include", cuda))


def test_the_headers_of_this_environment() -> None:
    import cupy

    found = cupy_headers()
    assert found.version == cupy.__version__
    assert (found.after[0] / "cupy" / "complex.cuh").is_file()


@pytest.mark.usefixtures("cache_folder")
def test_kernels_of_others_see_the_headers_of_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert b".entry square" in compile(COMPLEX, arch="sm_90", our_rules=False).code
    monkeypatch.setattr(compile_module, "cupy_headers", lambda: headers_of(None, toolchain().headers))
    with pytest.raises(MissingDependencyError, match=r"cupy/complex\.cuh.*CuPy, which is not installed"):
        compile(COMPLEX, arch="sm_90", our_rules=False)


@pytest.mark.usefixtures("cache_folder")
def test_what_is_not_there_is_told_with_the_folders_that_were_searched() -> None:
    folder = str(cupy_headers().before[0])
    with pytest.raises(MissingDependencyError, match=rf"cuda/std/nothing.*{re.escape(folder)}"):
        compile("#include <cuda/std/nothing>", arch="sm_90", our_rules=False)
