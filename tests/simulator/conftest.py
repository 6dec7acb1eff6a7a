"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs a GPU where there is none."""
    if not collection_path.name.endswith("_on_device.py"):
        return None
    import cupy

    return None if cupy.cuda.is_available() else True
