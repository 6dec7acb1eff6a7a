"""What the tests of this folder share: a cache of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cupysoft.runtime import compile as compile_module
from cupysoft.runtime import launch, sources
from tests.runtime import sample as sample_module
from tests.runtime.cupy_double import CupyDouble, use_double


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing kept in memory from before."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(folder))
    monkeypatch.setattr(compile_module, "_kept", {})
    return folder


@pytest.fixture
def cupy_double(monkeypatch: pytest.MonkeyPatch) -> CupyDouble:
    """CuPy's double in CuPy's place, with nothing loaded yet."""
    return use_double(monkeypatch, CupyDouble())


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path) -> Iterator[Path]:
    """The sample as the only kernel of the package; gives its folder."""
    folder = tmp_path / "kernels"
    (folder / "sample").mkdir(parents=True)
    (folder / "sample/sample.cu").write_text(sample_module.CODE)
    monkeypatch.setattr(sources, "kernels_folder", lambda: folder)
    monkeypatch.setattr(launch, "_simulated", {})
    sources.source.cache_clear()
    yield folder
    sources.source.cache_clear()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs a GPU where there is none."""
    if collection_path.name != "test_cuda_on_device.py":
        return None
    import cupy

    return None if cupy.cuda.is_available() else True
