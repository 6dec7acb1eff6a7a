"""Finding compiler and headers: the layouts of CUDA 12 and 13 wheels, toolkits, and nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupysoft.runtime import toolchain as module
from cupysoft.runtime.toolchain import header_folders, toolchain


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No toolkit in the environment, and nothing that NVIDIA's own finder would add."""
    for name in ("CUDA_PATH", "CUDA_HOME", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_asked_of_pathfinder", lambda: [])


def headers_at(folder: Path, version: int = 13050) -> Path:
    """A folder that looks like CUDA's headers."""
    folder.mkdir(parents=True)
    (folder / "cuda_fp16.h").touch()
    (folder / "cuda_runtime_api.h").write_text(f"#define CUDART_VERSION  {version}\n")
    return folder


def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *wheels: str) -> Path:
    """A folder of installed packages with the given wheels; gives the ``nvidia`` folder in it."""
    for wheel in wheels:
        (tmp_path / f"{wheel}.dist-info").mkdir(parents=True)
    (tmp_path / "nvidia").mkdir()
    monkeypatch.setattr(module, "_namespace", lambda name: (tmp_path / name,))
    return tmp_path / "nvidia"


def test_cuda_13_wheels(tmp_path: Path) -> None:
    include = headers_at(tmp_path / "cu13" / "include")
    (include / "cccl").mkdir()
    assert header_folders((tmp_path,), 13) == (include, include / "cccl")


def test_cuda_12_wheels(tmp_path: Path) -> None:
    include = headers_at(tmp_path / "cuda_runtime" / "include")
    library = tmp_path / "cuda_cccl" / "include"
    library.mkdir(parents=True)
    assert header_folders((tmp_path,), 12) == (include, library)


def test_headers_of_another_major_are_not_for_this_compiler(tmp_path: Path) -> None:
    old, new = headers_at(tmp_path / "cuda_runtime" / "include"), headers_at(tmp_path / "cu13" / "include")
    assert header_folders((tmp_path,), 12) == (old,)
    assert header_folders((tmp_path,), 13) == (new,)
    assert header_folders((tmp_path,), None) == (new,)


def test_a_toolkit_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    include = headers_at(tmp_path / "cuda" / "include")
    monkeypatch.setenv("CUDA_PATH", str(tmp_path / "cuda"))
    assert header_folders((), 13) == (include,)


def test_wheels_name_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia = site(
        tmp_path,
        monkeypatch,
        "cuda_bindings-12.9.4",
        "nvidia_cuda_nvrtc_cu12-12.9.86",
        "nvidia_cuda_runtime_cu12-12.9.79",
    )
    include = headers_at(nvidia / "cuda_runtime" / "include")
    found = toolchain.__wrapped__()
    assert found.identity == "cuda_bindings 12.9.4; nvidia_cuda_nvrtc_cu12 12.9.86; nvidia_cuda_runtime_cu12 12.9.79"
    assert found.headers == (include,)


def test_a_toolkit_names_the_compiler_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site(tmp_path, monkeypatch, "cuda_bindings-13.0.1")
    headers_at(tmp_path / "cuda" / "include", 13000)
    (tmp_path / "cuda" / "lib64").mkdir()
    (tmp_path / "cuda" / "lib64" / "libnvrtc.so.13.0.88").write_bytes(bytes(77))
    (tmp_path / "cuda" / "lib64" / "libnvrtc.so").symlink_to("libnvrtc.so.13.0.88")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    assert toolchain.__wrapped__().identity == "cuda_bindings 13.0.1; libnvrtc.so.13.0.88 77; headers 13000"


def test_no_bindings_means_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site(tmp_path, monkeypatch, "nvidia_cuda_nvrtc-13.5.37")
    assert toolchain.__wrapped__().identity == ""


def test_here_is_a_compiler() -> None:
    assert toolchain().identity
    assert any((folder / "cuda_fp16.h").is_file() for folder in toolchain().headers)
