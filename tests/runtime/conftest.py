"""What the tests of this folder share: a cache of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupysoft.runtime import compile as compile_module


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing kept in memory from before."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CUPYSOFT_CACHE_DIR", str(folder))
    monkeypatch.setattr(compile_module, "_kept", {})
    return folder
